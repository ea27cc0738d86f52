"""Runs conversions of files in tests/data/convert, and looks for values of the input that were lost on the way."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autoscaler.convert.draft import Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.readers import Conversion, convert
from autoscaler.documents.document import mixed_documents
from autoscaler.policy.loading import unlisted

DATA = Path(__file__).resolve().parents[2] / "data" / "convert"
REFUSED = {"04", "08"}
"""The beginnings of the names of files that cannot be converted."""
READABLE = [path for path in sorted(DATA.glob("*.yaml")) if path.name[:2] not in REFUSED]


def conversion_of(text, **options) -> Conversion:
    """Convert a text."""
    return convert(mixed_documents(text, "in.yaml"), Options(**options))


def converted(name, **options) -> Conversion:
    """Convert the file whose name begins so."""
    (path,) = DATA.glob(f"{name}*.yaml")
    return conversion_of(path.read_text(), **options)


def objects_of(conversion) -> Mapping[str, Any]:
    """Give the objects of the only service by their kinds."""
    (service,) = conversion.services
    return {each["kind"]: each for each in service.objects}


def said(conversion, effect=None) -> str:
    """Give all findings, or those of an effect, as one text."""
    findings = [each for service in conversion.services for each in service.findings]
    return "\n".join(str(each) for each in [*findings, *conversion.unused] if effect in (None, each.effect))


def lost(text, conversion) -> list[str]:
    """Give each value of an input that neither the output has nor the report names."""
    findings = [each for service in conversion.services for each in service.findings] + list(conversion.unused)
    written = {_ending(path, value) for service in conversion.services for path, value in _leaves(service.objects)}
    return [
        f"{path}: {value!r}"
        for document in unlisted(mixed_documents(text, "in.yaml"))
        for path, value in _leaves(document.value)
        if value not in (None, [])  # which are absent to Kubernetes
        if not _is_there(document, path, value, findings, written)
    ]


def _is_there(document, path, value, findings, written) -> bool:
    about = [each for each in findings if _is_about(each, document, path)]
    if not about:
        return False
    most = max(about, key=lambda each: len(each.path))
    return most.effect is not Effect.KEPT or _ending(path, value) in written


def _is_about(finding, document, path) -> bool:
    is_above = finding.path == path[: len(finding.path)] and finding.line == document.line(finding.path or ("kind",))
    return is_above and (bool(finding.path) or "is not read" in finding.text)


def _ending(path, value) -> tuple[Any, str]:
    """Tell values apart by their last key and their text."""
    return next((key for key in reversed(path) if isinstance(key, str)), None), repr(value)


def _leaves(value, path=()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else []
    if not value or not isinstance(value, dict | list | tuple):
        yield path, value
    for key, each in inner:
        yield from _leaves(each, (*path, key))
