"""Writes a conversion as text: the report, and the objects with the report as comments at their head."""

from collections.abc import Iterator

from autoscaler.convert.draft import Converted
from autoscaler.convert.findings import Effect
from autoscaler.convert.readers import Conversion
from autoscaler.documents.document import to_yaml


def report(conversion: Conversion) -> str:
    """Write the report of all services, and name the documents that belong to none."""
    parts = ["\n".join(_lines(converted)) for converted in conversion.services]
    parts += ["\n".join(["not read:", *(f"  {finding}" for finding in conversion.unused)])] * bool(conversion.unused)
    return "\n\n".join(parts) + "\n"


def manifest(converted: Converted) -> str:
    """Write the objects of a service as YAML documents, with the report as comments."""
    comments = "".join(f"# {line}".rstrip() + "\n" for line in _lines(converted))
    return comments + "---\n".join(map(to_yaml, converted.objects))


def file_name(converted: Converted) -> str:
    """Name the file of a service; no name of Kubernetes' has an underscore."""
    return f"{converted.service.replace('/', '_')}.yaml"


def _lines(converted: Converted) -> Iterator[str]:
    yield f"{converted.service}, made of the {converted.origin}"
    for effect in Effect:
        found = [finding for finding in converted.findings if finding.effect is effect]
        if found:
            yield f"{effect}:"
            yield from (f"  {line}" for finding in found for line in str(finding).splitlines())
    if converted.hand_over:
        yield "hand over without two writers:"
        yield from (f"  {number}. {step}" for number, step in enumerate(converted.hand_over, start=1))
