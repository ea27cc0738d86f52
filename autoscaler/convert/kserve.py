"""Refuses a KServe InferenceService, and names what can be converted in its place."""

from typing import NoReturn

from autoscaler.convert.draft import Options
from autoscaler.convert.source import Source, Sources
from autoscaler.documents.document import DocumentError

GROUP = "serving.kserve.io"
_MODE = "serving.kserve.io/deploymentMode"
_RAW = {"RawDeployment", "Standard"}
_PARTS = ("predictor", "transformer", "explainer")


def refuse(source: Source, _sources: Sources, _options: Options) -> NoReturn:
    """Raise DocumentError: KServe makes the pods' template of a runtime that the file does not have."""
    parts = [part for part in _PARTS if part in source.mapping("spec")] or ["predictor"]
    namespace = f" --namespace {source.namespace}" if source.namespace else ""
    names = [f"{source.name}-{part}" for part in parts]
    kind = "deployment,hpa" if source.get("metadata", "annotations", _MODE) in _RAW else "ksvc"
    commands = [_command(kind, name, namespace) for name in names]
    why = "KServe makes its pods of it and of a ServingRuntime. Convert what KServe made"
    where = source.where("kind")
    raise DocumentError([f"{where}: the {source.title} cannot be converted: {why}: {'; '.join(commands)}"])


def _command(kinds: str, name: str, namespace: str) -> str:
    return f"kubectl get {kinds} {name}{namespace} --output yaml | autoscaler convert -f -"
