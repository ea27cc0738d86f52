"""One document of the input. It accounts for each value: what no reader mentions is reported as without effect."""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, cast

from autoscaler.convert.findings import Effect, Finding
from autoscaler.documents.document import Document, DocumentError, KeyPath, to_inline_yaml

_SERVER_METADATA = (
    *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generation"),
    *("generateName", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"),
)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BY_THE_SERVER: tuple[KeyPath, ...] = (
    ("status",),
    *(("metadata", key) for key in _SERVER_METADATA),
    ("metadata", "annotations", LAST_APPLIED),
)


@dataclass(eq=False)
class Source:
    """A document of the input, and what became of its values so far."""

    document: Document
    findings: list[Finding] = field(default_factory=list)
    used: bool = False
    """Whether a service of the output was made of it."""

    def get(self, *path: str | int, default: Any = None) -> Any:
        """Give the value at a path, without accounting for it."""
        value = self.document.value_at(path)
        return default if value is None else value

    def keys(self, *path: str | int) -> list[str]:
        """Give the keys of the mapping at a path, none if there is no mapping."""
        value = self.document.value_at(path)
        return list(value) if isinstance(value, dict) else []

    def mapping(self, *path: str | int) -> dict[str, Any]:
        """Give the mapping at a path, empty if there is nothing; raises DocumentError if it is none."""
        return cast("dict[str, Any]", self._expected(path, dict, "a mapping", {}))

    def items(self, *path: str | int) -> list[Any]:
        """Give the list at a path, empty if there is nothing; raises DocumentError if it is none."""
        return cast("list[Any]", self._expected(path, list, "a list", []))

    def text(self, *path: str | int) -> str:
        """Give the text at a path, empty if there is nothing; raises DocumentError if it is none."""
        return cast("str", self._expected(path, str, "a text", ""))

    def whole(self, *path: str | int) -> int | None:
        """Give the whole number at a path; raises DocumentError if it is none."""
        return cast("int | None", self._expected(path, int, "a whole number", None))

    def _expected(self, path: KeyPath, kind: type, legal: str, absent: object) -> object:
        value = self.document.value_at(path)
        if value is None:
            return absent
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DocumentError([self.problem(path, f"must be {legal}")])
        return value

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        version = str(self.get("apiVersion", default=""))
        return version.partition("/")[0] if "/" in version else ""

    @property
    def version(self) -> str:
        """The version within the group."""
        return str(self.get("apiVersion", default="")).rpartition("/")[2]

    @property
    def kind(self) -> str:
        """The kind."""
        return str(self.get("kind", default=""))

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.get("metadata", "name", default=""))

    @property
    def namespace(self) -> str | None:
        """The object's namespace, if it says one."""
        namespace = self.get("metadata", "namespace")
        return None if namespace is None else str(namespace)

    @property
    def title(self) -> str:
        """Kind and name, for a sentence."""
        return f"{self.kind} {self.name}"

    def where(self, *path: str | int) -> str:
        """Give file and line of a path."""
        return f"{self.document.source}:{self.document.line(path)}"

    def problem(self, path: KeyPath, text: str) -> str:
        """Word why the document cannot be converted, with file, line, key and value."""
        finding = self._finding(path, Effect.DECIDE, text)
        return str(finding)

    def note(self, path: KeyPath, effect: Effect, text: str) -> None:
        """Account for the value at a path and for all below it; a deeper finding says more."""
        self.findings.append(self._finding(path, effect, text))

    def mapped(self, path: KeyPath, text: str) -> None:
        """Account for a value that another key expresses."""
        self.note(path, Effect.MAPPED, text)

    def ineffective(self, path: KeyPath, text: str) -> None:
        """Account for a value that has no effect here."""
        self.note(path, Effect.NONE, text)

    def decide(self, path: KeyPath, text: str) -> None:
        """Account for a value about which a person must decide."""
        self.note(path, Effect.DECIDE, text)

    def added(self, text: str) -> None:
        """Say what the output has and this document has not."""
        self.note((), Effect.ADDED, text)

    def keep(self, path: KeyPath, text: str) -> Any:
        """Account for a value that the output has as it is, and give a copy of it."""
        self.note(path, Effect.KEPT, text)
        return deepcopy(self.get(*path))

    @property
    def owner(self) -> str | None:
        """Kind and name of the object that made this one; None if people wrote it."""
        owners = self.get("metadata", "ownerReferences", default=[])
        return f"{owners[0].get('kind')} {owners[0].get('name')}" if owners else None

    def settle(self) -> None:
        """Account for the rest: what the API server wrote, and what nobody mentioned."""
        for path in _BY_THE_SERVER:
            if self._is_there(path) and not self._is_accounted(path):
                self.note(path, Effect.LEFT_OUT, "written by the API server or by kubectl")
        for path in self._unmentioned((), self.document.value):
            if self.document.value_at(path) in ({}, [], None):
                self.note(path, Effect.LEFT_OUT, "is empty")
            else:
                self.ineffective(path, "is not known to Inflight")

    def leaves(self) -> Iterator[tuple[KeyPath, Any]]:
        """Give each value that contains no other, with its path."""
        yield from _leaves((), self.document.value)

    def finding_of(self, path: KeyPath) -> Finding | None:
        """Give the finding that says most about a value: the one of the nearest key above it, the last if several."""
        about = [each for each in self.findings if each.path == path[: len(each.path)] and _covers(each)]
        return max(about, key=lambda each: len(each.path), default=None)

    def _finding(self, path: KeyPath, effect: Effect, text: str) -> Finding:
        return Finding(self.document.source, self.document.line(path), path, self.document.value_at(path), effect, text)

    def _is_there(self, path: KeyPath) -> bool:
        return path[-1] in self.keys(*path[:-1])

    def _is_accounted(self, path: KeyPath) -> bool:
        return self.finding_of(path) is not None

    def _unmentioned(self, path: KeyPath, value: Any) -> Iterator[KeyPath]:
        """Give the highest keys about which, and about all below which, there is no finding."""
        if self._is_accounted(path):
            return
        inner = list(_inner(value))
        if not any(each.path[: len(path)] == path for each in self.findings if each.path) and path:
            yield path
        else:
            for key, below in inner:
                yield from self._unmentioned((*path, key), below)


def is_written_by_the_server(path: KeyPath) -> bool:
    """Tell whether a value is one that no person wrote."""
    return any(path[: len(each)] == each for each in _BY_THE_SERVER)


def _covers(finding: Finding) -> bool:
    """Tell whether a finding is about what the document has; one about the whole document is, if nothing is added."""
    return finding.effect is not Effect.ADDED and bool(finding.path or finding.effect is Effect.NONE)


def _inner(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return [(str(key), each) for key, each in value.items()]
    return list(enumerate(value)) if isinstance(value, list) else []


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    inner = _inner(value)
    for key, each in inner:
        yield from _leaves((*path, key), each)
    if not inner:
        yield path, value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _as_kubectl_reads(document: Document) -> Source:
    """Take a document as kubectl does: 0644 is octal there, as in a volume's defaultMode."""
    flaws = tuple(flaw for flaw in document.flaws if flaw.octal is None)
    source = Source(replace(document, value=_without_nulls(document.value), flaws=flaws))
    for flaw in document.flaws:
        place: Any = source.get(*flaw.path[:-1])
        if flaw.octal is not None and place is not None:
            place[flaw.path[-1]] = flaw.octal
            source.mapped(flaw.path, "the octal number, as kubectl reads it")
    return source


class Sources:
    """All documents of the input."""

    def __init__(self, documents: Iterable[Document]) -> None:
        """Take the documents; Lists are flat already. A key without a value is absent, as in Kubernetes."""
        self._all = list(map(_as_kubectl_reads, documents))

    def __iter__(self) -> Iterator[Source]:
        return iter(self._all)

    def find(
        self, group: str, kind: str, namespace: str | None, suits: Callable[[Source], bool] = lambda _: True
    ) -> list[Source]:
        """Give the documents of a kind and a namespace that suit; a document without a namespace is in any."""
        return [
            source
            for source in self._all
            if (source.group, source.kind) == (group, kind)
            and (source.namespace == namespace or None in (source.namespace, namespace))
            and suits(source)
        ]

    def named(self, group: str, kind: str, namespace: str | None, name: str) -> Source | None:
        """Give the document of a kind with a name."""
        return next(iter(self.find(group, kind, namespace, lambda source: source.name == name)), None)


def inline(value: Any) -> str:
    """Write a value on one line, for a text."""
    return to_inline_yaml(value)
