"""The GPU kinds that an annotation names in order of preference: the cloud chooses among them, or pools do."""

from autoscaler.convert.draft import Draft, Object, Options
from autoscaler.convert.knative.pods import GPU_KINDS
from autoscaler.convert.knative.scaling import ANNOTATIONS_PATH
from autoscaler.documents.document import KeyPath

_PATH: KeyPath = (*ANNOTATIONS_PATH, GPU_KINDS)


def choose_nodes(draft: Draft, _deployment: Object, _options: Options) -> None:
    """Account for the annotation."""
    kinds = [each.strip() for each in draft.source.text(*_PATH).split(",") if each.strip()]
    if not kinds:
        return
    draft.source.keep(
        _PATH,
        "on the pods, for a cloud that makes their nodes and tries one kind after the other. Where you choose the "
        f"nodes it means nothing: --nodes ours writes {len(kinds)} pools instead",
    )
