"""Reads a Knative Service."""

from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.source import Source, Sources


def read(source: Source, _sources: Sources, options: Options) -> Draft:
    """Make a draft of a Knative Service."""
    draft = Draft(source, source.name, source.namespace)
    draft.set("scaleTargetRef", {"name": draft.name})
    draft.limit_replicas(source, (), None, options)
    return draft
