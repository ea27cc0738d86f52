"""The table of readers, one for each kind of input, and the conversion itself."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from autoscaler.convert import knative
from autoscaler.convert.draft import Converted, Draft, Options
from autoscaler.convert.findings import Effect, Finding
from autoscaler.convert.source import Source, Sources
from autoscaler.convert.unrendered import in_source
from autoscaler.documents.document import Document, DocumentError
from autoscaler.documents.problems import problems_of
from autoscaler.policy.loading import unlisted
from autoscaler.policy.spec import ScalingPolicy

Reader = Callable[[Source, Sources, Options], Draft]
"""Makes a draft of a document, and uses others that belong to it; raises DocumentError with all that hinders it."""

READERS: tuple[tuple[str, str, Reader], ...] = (("serving.knative.dev", "Service", knative.read),)
"""API group, kind and reader. The order matters where a document belongs to another one: who uses it stands first."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came out."""

    services: tuple[Converted, ...]
    unused: tuple[Finding, ...]
    """The documents that belong to no service."""

    @property
    def is_strict(self) -> bool:
        """Whether everything has an effect and nothing is left to decide."""
        return not self.unused and not any(True for each in self.services for _ in each.strict_findings)


def convert(documents: Iterable[Document], options: Options | None = None) -> Conversion:
    """Convert documents.

    Raises:
        DocumentError: all that cannot be converted, with file and line.
    """
    sources = Sources(unlisted(documents))
    if problems := [problem for source in sources for problem in _unreadable(source)]:
        raise DocumentError(problems)
    drafts = list[Draft]()
    for source, reader in _readable(sources):
        try:
            drafts.append(reader(source, sources, options or Options()))
        except DocumentError as error:
            problems += error.problems
    problems += [problem for draft in drafts for problem in _invalid(draft)]
    if not drafts and not problems:
        problems = [_nothing_to_convert(source) for source in sources] or ["the input has no document"]
    if problems:
        raise DocumentError(problems)
    return Conversion(tuple(map(_converted, drafts)), tuple(_unused(sources)))


def _unreadable(source: Source) -> Iterator[str]:
    yield from source.document.report(source.document.flaws)
    if not isinstance(source.document.value, dict) or not source.kind:
        yield f"{source.where()}: is no object of Kubernetes: it has no kind"
        return
    yield from in_source(source)


def _readable(sources: Sources) -> Iterator[tuple[Source, Reader]]:
    for group, kind, reader in READERS:
        for source in sources:
            if (source.group, source.kind) == (group, kind) and not source.used:
                yield source, reader


def _invalid(draft: Draft) -> list[str]:
    """Check the policy as `autoscaler validate` does."""
    document = draft.policy()
    try:
        ScalingPolicy.model_validate(document)
    except ValidationError as error:
        there = Document(draft.source.document.source, document, {(): draft.source.document.line(("kind",))})
        return [f"{problem} (the policy of {draft.service})" for problem in problems_of(there, ScalingPolicy, error)]
    return []


def _nothing_to_convert(source: Source) -> str:
    kinds = ", ".join(f"{kind} of {group}" for group, kind, _ in READERS)
    return f'{source.where("kind")}: kind: "{source.kind}": nothing says how a service is scaled; can be read: {kinds}'


def _converted(draft: Draft) -> Converted:
    for source in draft.sources:
        source.settle()
    origin = f"{draft.source.title}, {draft.source.where('kind')}"
    findings = tuple(finding for source in draft.sources for finding in source.findings)
    objects = (*draft.objects, draft.policy(), *draft.routes)
    return Converted(draft.service, origin, objects, findings, tuple(draft.hand_over))


def _unused(sources: Sources) -> Iterator[Finding]:
    for source in sources:
        if not source.used:
            line = source.document.line(("kind",))
            text = f"the {source.title} belongs to no service of the input and is not read"
            yield Finding(source.document.source, line, (), None, Effect.NONE, text)
