"""The GPU kinds that an annotation names in order of preference: the cloud chooses among them, or pools do."""

import re

from autoscaler.convert.draft import Draft, Object, Options
from autoscaler.convert.knative.pods import GPU_KINDS
from autoscaler.convert.knative.scaling import ANNOTATIONS_PATH
from autoscaler.documents.document import KeyPath

_PATH: KeyPath = (*ANNOTATIONS_PATH, GPU_KINDS)
_INSTANCE_TYPE = re.compile(r"[a-z]+\.[a-z0-9-]+\.[a-z0-9-]+")
"""Such as ecs.gn5-c4g1.xlarge; the annotation may also have a size without a kind, such as 2-4Gi."""


def choose_nodes(draft: Draft, deployment: Object, options: Options) -> None:
    """Keep the annotation on the pods, or write a pool for each kind."""
    kinds = [each.strip() for each in draft.source.text(*_PATH).split(",") if each.strip()]
    if not kinds:
        return
    if options.nodes == "ours":
        _write_pools(draft, deployment, list(dict.fromkeys(kinds)))
    else:
        draft.source.keep(
            _PATH,
            "on the pods, for a cloud that makes their nodes and tries one kind after the other. Where you choose the "
            f"nodes it means nothing: --nodes ours writes {len(kinds)} pools instead",
        )


def _write_pools(draft: Draft, deployment: Object, kinds: list[str]) -> None:
    """Write pools in the order of preference; the annotation means nothing to our nodes."""
    metadata = deployment["spec"]["template"]["metadata"]
    del metadata["annotations"][GPU_KINDS]
    if not metadata["annotations"]:
        del metadata["annotations"]
    types = [kind for kind in kinds if _INSTANCE_TYPE.fullmatch(kind)]
    if others := [kind for kind in kinds if kind not in types]:
        draft.source.decide(_PATH, f"{', '.join(others)} is no type of an instance: write a pool with a nodeSelector")
    if types:
        pools = [{"name": _name(kind), "instanceTypes": [kind]} for kind in types]
        draft.map(draft.source, _PATH, "pools", pools, f"in this order: {', '.join(types)}")


def _name(kind: str) -> str:
    """Name a pool; its name becomes a part of the name of a Deployment."""
    return kind.partition(".")[2].replace(".", "-")
