"""The table of readers, one for each kind of input, and the conversion itself."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from autoscaler.convert import hpa, kserve
from autoscaler.convert.draft import Converted, Draft, Options
from autoscaler.convert.findings import STRICT, Effect, Finding
from autoscaler.convert.keda import http_scaled_object, scaled_object
from autoscaler.convert.knative import reader as knative
from autoscaler.convert.routes import add_route
from autoscaler.convert.shapes import misshapen
from autoscaler.convert.source import Source, Sources
from autoscaler.convert.unrendered import in_source, without_templates
from autoscaler.documents.document import Document, DocumentError
from autoscaler.documents.problems import problems_of
from autoscaler.policy.loading import Contents, policies_of, unlisted
from autoscaler.policy.spec import ScalingPolicy

Reader = Callable[[Source, Sources, Options], Draft]
"""Makes a draft of a document, and uses others that belong to it; raises DocumentError with all that hinders it."""

READERS: tuple[tuple[str, str, Reader], ...] = (
    (knative.GROUP, "Service", knative.read),
    (kserve.GROUP, "InferenceService", kserve.refuse),
    ("http.keda.sh", "HTTPScaledObject", http_scaled_object.read),
    ("keda.sh", "ScaledObject", scaled_object.read),
    ("http.keda.sh", "InterceptorRoute", http_scaled_object.refuse_route),
    ("keda.sh", "ScaledJob", http_scaled_object.refuse_job),
    ("autoscaling", "HorizontalPodAutoscaler", hpa.read),
)
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
        findings = [*self.unused, *(finding for each in self.services for finding in each.findings)]
        return not any(finding.effect in STRICT for finding in findings)


def convert(documents: Iterable[Document], options: Options | None = None) -> Conversion:
    """Convert documents.

    Raises:
        DocumentError: all that cannot be converted, with file and line.
    """
    chosen = options or Options()
    sources = Sources(unlisted(documents))
    if problems := [problem for source in sources for problem in _unreadable(source)]:
        raise DocumentError(problems)
    if nameless := [_nameless(source) for source, _ in _readable(sources) if not source.name]:
        raise DocumentError(nameless)
    if unrendered := [problem for source in sources for problem in in_source(source)]:
        raise DocumentError([*unrendered, *_said_besides(sources, chosen)])
    drafts = list[Draft]()
    for source, reader in _readable(sources):
        try:
            drafts.append(reader(source, sources, chosen))
        except DocumentError as error:
            problems += error.problems
    problems += [problem for draft in drafts for problem in _invalid(draft)]
    problems = problems or _conflicts(drafts)
    if not drafts and not problems:
        problems = [_nothing_to_convert(source) for source in sources] or ["the input has no document"]
    if problems:
        raise DocumentError(problems)
    return Conversion(tuple(_converted(draft, chosen) for draft in drafts), tuple(_unused(sources)))


def _unreadable(source: Source) -> Iterator[str]:
    yield from source.document.report(source.document.flaws)
    if not isinstance(source.document.value, dict) or not source.kind:
        yield f"{source.where()}: is no object of Kubernetes: it has no kind"
        return
    for path, value in source.leaves():
        if path[-2:-1] in {("annotations",), ("labels",)} and not isinstance(value, str):
            yield source.problem(path, "must be a text: put it in quotes")
    yield from misshapen(source)


def _said_besides(sources: Sources, options: Options) -> Iterator[str]:
    """Say what is known before the templates are rendered: what will have no effect, or will be to decide."""
    rest = Sources(without_templates(source) for source in sources)
    for source, reader in _readable(rest):
        try:
            draft = reader(source, rest, options)
        except DocumentError:
            continue  # of the values that are there some need those that are not
        yield from (str(finding) for finding in draft.source.findings if finding.effect in STRICT and finding.path)


def _readable(sources: Sources) -> Iterator[tuple[Source, Reader]]:
    for group, kind, reader in READERS:
        for source in sources:
            if (source.group, source.kind) == (group, kind) and not source.used:
                yield source, reader


def _invalid(draft: Draft) -> list[str]:
    """Check the policy as `autoscaler validate` does."""
    document = _document(draft)
    try:
        ScalingPolicy.model_validate(document.value)
    except ValidationError as error:
        return [f"{problem} (the policy of {draft.service})" for problem in problems_of(document, ScalingPolicy, error)]
    return []


def _conflicts(drafts: Iterable[Draft]) -> list[str]:
    """Check the policies side by side as `autoscaler validate` does: no two have one name, and no two one host."""
    try:
        policies_of([Contents([_document(draft) for draft in drafts], [], [], [])])
    except DocumentError as error:
        return error.problems
    return []


def _document(draft: Draft) -> Document:
    """Give the policy with the lines of the input from which its keys come."""
    source = draft.source.document
    lines = {(): source.line(("kind",)), ("metadata", "name"): source.line(("metadata", "name")), **draft.lines}
    return Document(source.source, draft.policy(), lines)


def _nameless(source: Source) -> str:
    return f"{source.where('metadata')}: metadata.name: is required"


def _nothing_to_convert(source: Source) -> str:
    if source.kind.endswith("List"):
        return f"{source.where('kind')}: the {source.kind} is empty: kubectl has found nothing"
    kinds = ", ".join(f"{kind} of {group}" for group, kind, _ in READERS)
    return f'{source.where("kind")}: kind: "{source.kind}": nothing says how a service is scaled; can be read: {kinds}'


def _converted(draft: Draft, options: Options) -> Converted:
    add_route(draft, options)
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
            if source.owner:
                effect, text = Effect.LEFT_OUT, f"the {source.title} is not read: the {source.owner} made it"
            else:
                effect, text = Effect.NONE, f"the {source.title} is not read: it belongs to no service of the input"
            yield Finding(source.document.source, line, (), None, effect, text)
