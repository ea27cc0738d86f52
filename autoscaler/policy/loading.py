"""From files to policies; each problem is reported with file, line, key, value and the allowed values."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from autoscaler.documents.document import Document, DocumentError, read_mixed_file, to_inline_yaml
from autoscaler.documents.problems import problems_of
from autoscaler.host_claims import Claim, HostGrants, normal, settle_ageless
from autoscaler.policy.annotations import AnnotationError, overrides_of
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.spec import ScalingPolicy, backend_address

_GROUP = "inflight.dev"
_BUDGET = "GpuBudget"
_OUR_LISTS = ("List", "ScalingPolicyList", "GpuBudgetList")
_WRITTEN_BY_THE_SERVER = {
    *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generation"),
    *("generateName", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"),
}
_log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=BaseModel)


class Contents(NamedTuple):
    """The contents of one file."""

    documents: list[Document]
    """The documents that are policies, or should be."""
    notes: list[str]
    """A note on each document of another kind, which is ignored: files contain Deployments too."""
    problems: list[str]
    """Why the file cannot be read."""
    missing: list[str]
    """That the file has no policy."""
    has_empty_list: bool = False
    """`kubectl get` found nothing to write into the file."""
    others: Sequence[Document] = ()
    """The documents of other kinds."""


class _Read(NamedTuple):
    """A policy with its document."""

    policy: ScalingPolicy
    document: Document

    def where(self, *path: str | int) -> str:
        """Give file and line of a key."""
        return f"{self.document.source}:{self.document.line(path)}"


def contents(path: Path) -> Contents:
    """Read the documents of a file that are policies, or should be, also inside of a List as kubectl writes it."""
    try:
        found = list(unlisted(read_mixed_file(path)))
    except DocumentError as error:
        return Contents([], [], error.problems, [])
    ours, others, notes = list[Document](), list[Document](), list[str]()
    for document in found:
        where = f"{document.source}:{document.line(('kind',))}"
        if _is_empty_list(document):
            notes.append(f"{where}: the {document.value['kind']} is empty")
        elif _is_foreign(document):
            notes.append(f"{where}: a {document.value['kind']} is no ScalingPolicy and is left out")
            others.append(document)
        else:
            ours.append(replace(document, value=_written(document.value)))
    missing = [] if ours else [f"{path}: has no {'ScalingPolicy' if notes else 'document'}"]
    return Contents(ours, notes, [], missing, any(map(_is_empty_list, found)), others)


def unlisted(documents: Iterable[Document]) -> Iterator[Document]:
    """Replace each List by its items; an empty one stays.

    Raises:
        DocumentError: the items of a List are no list, or there is a flaw outside of them.
    """
    for document in documents:
        kind, items = document.value_at(("kind",)), document.value_at(("items",))
        if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list) and items:
            yield from unlisted(document.parts("items"))
        elif kind in _OUR_LISTS and items not in (None, []):
            where = f"{document.source}:{document.line(('items',))}"
            raise DocumentError([f"{where}: items: {to_inline_yaml(items)}: must be a list of documents"])
        else:
            yield document


def _is_empty_list(document: Document) -> bool:
    """Tell whether a document is what `kubectl get -o yaml` prints if it finds nothing."""
    return document.value_at(("kind",)) in _OUR_LISTS and document.value_at(("items",)) == []


def _written(value: Any) -> Any:
    """Remove what the API server adds to a policy, which `kubectl get -o yaml` prints."""
    if not isinstance(value, dict):
        return value
    written = {key: inner for key, inner in value.items() if key != "status"}
    if isinstance(metadata := written.get("metadata"), dict):
        written["metadata"] = {key: inner for key, inner in metadata.items() if key not in _WRITTEN_BY_THE_SERVER}
    return written


def _is_foreign(document: Document) -> bool:
    """Tell whether a document is clearly of another kind, and not a misspelled policy.

    A document with `kind` twice is not: its `---` may be missing. Flaws inside of such a document do not matter here,
    because numbers like `0644` are usual there.
    """
    value = document.value
    if not isinstance(value, dict) or any(len(flaw.path) < 2 for flaw in document.flaws):  # noqa: PLR2004 - a top key
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    if not (isinstance(version, str) and isinstance(kind, str) and version and kind):
        return False
    return version.partition("/")[0] != _GROUP and kind not in {"ScalingPolicy", _BUDGET}


def read_policies(paths: Iterable[Path], grants: HostGrants | None = None) -> list[ScalingPolicy]:
    """Read every policy of some files, which will run side by side.

    Args:
        paths: the files.
        grants: the hosts that namespaces may claim; None allows all hosts that no other policy has.

    Raises:
        DocumentError: all problems of all files: what is not YAML, not a ScalingPolicy, invalid, or there twice, and
            two policies with one host or one backend.
    """
    return policies_of([contents(path) for path in paths], grants)


def read_alternatives(paths: Iterable[Path]) -> list[ScalingPolicy]:
    """Read every policy of some files, one of which runs at a time; as `read_policies`, but hosts may recur."""
    return [policy for policy, _ in _read_all(contents(path) for path in paths).values()]


def policies_of(files: Iterable[Contents], grants: HostGrants | None = None) -> list[ScalingPolicy]:
    """Give the policies of some files, as `read_policies` does."""
    read = _read_all(files)
    if problems := [*_host_problems(read, grants), *_backend_problems(read.values())]:
        raise DocumentError(problems)
    return [policy for policy, _ in read.values()]


def _read_all(files: Iterable[Contents]) -> dict[str, _Read]:
    policies: dict[str, _Read] = {}
    problems: list[str] = []
    for file in files:
        for note in file.notes:
            _log.info("%s", note)
        problems += [*file.problems, *file.missing]
        for document in file.documents:
            if not is_budget(document):
                problems += _add(document, policies)
    if problems:
        raise DocumentError(problems)
    return policies


def is_budget(document: Document) -> bool:
    """Tell whether a document is a GpuBudget, which stands beside policies in a file."""
    return bool(document.value_at(("kind",)) == _BUDGET)


def read_budgets(paths: Iterable[Path]) -> list[GpuBudget]:
    """Read every budget of some files; they need not have any.

    Raises:
        DocumentError: as `budgets_of`, or a file cannot be read.
    """
    files = [contents(path) for path in paths]
    if problems := [problem for file in files for problem in file.problems]:
        raise DocumentError(problems)
    return budgets_of(files)


def budgets_of(files: Iterable[Contents]) -> list[GpuBudget]:
    """Give the budgets of some files.

    Raises:
        DocumentError: all problems of all budgets: what is not valid, or has the name of another.
    """
    budgets: dict[str, str] = {}
    found, problems = list[GpuBudget](), list[str]()
    for document in (each for file in files for each in file.documents if is_budget(each)):
        try:
            budget = validated(document, GpuBudget)
        except DocumentError as error:
            problems += error.problems
            continue
        where = f"{document.source}:{document.line(('metadata', 'name'))}"
        if budget.name in budgets:
            first = budgets[budget.name]
            problems.append(f'{where}: metadata.name: "{budget.name}": the budget is there already, at {first}')
        budgets.setdefault(budget.name, where)
        found.append(budget)
    if problems:
        raise DocumentError(problems)
    return found


def _add(document: Document, policies: dict[str, _Read]) -> list[str]:
    """Add the policy of a document; give what is wrong with it."""
    try:
        policy = policy_of(document)
    except DocumentError as error:
        return error.problems
    read = _Read(policy, document)
    if policy.service in policies:
        where, first = (each.where("metadata", "name") for each in (read, policies[policy.service]))
        return [f"{where}: metadata.name: the policy {policy.service} is there already, at {first}"]
    policies[policy.service] = read
    return []


def policy_of(document: Document) -> ScalingPolicy:
    """Read a document as a policy, with its annotations.

    Raises:
        DocumentError: all problems of the document.
    """
    read = _Read(validated(document, ScalingPolicy), document)
    try:
        overrides_of(read.policy.metadata.annotations)
    except AnnotationError as error:
        raise DocumentError([f"{read.where('metadata', 'annotations', error.key)}: {error}"]) from error
    return read.policy


def _host_problems(policies: dict[str, _Read], grants: HostGrants | None) -> Iterator[str]:
    claims = (Claim(service, _hosts(read.policy)) for service, read in policies.items())
    for service, conflicts in settle_ageless(claims, grants).conflicts.items():
        for conflict in conflicts:
            where = _where_host(policies[service], conflict.host)
            problem = f"{where}: the policy {service} cannot have it: {conflict.why}"
            if conflict.owner is not None:
                problem += f" ({conflict.owner}: {policies[conflict.owner].where('spec', 'traffic', 'hosts')})"
            yield problem


def _where_host(read: _Read, host: str) -> str:
    """Give file, line, key and value of a host that a policy names."""
    number, value = next((n, each) for n, each in enumerate(_hosts(read.policy)) if normal(each) == host)
    return f'{read.where("spec", "traffic", "hosts", number)}: spec.traffic.hosts[{number}]: "{value}"'


def _hosts(policy: ScalingPolicy) -> tuple[str, ...]:
    return policy.spec.traffic.hosts if policy.spec.traffic else ()


def _backend_problems(policies: Iterable[_Read]) -> Iterator[str]:
    """Find backends of two policies: each policy would send a pod as many requests as it can take."""
    first: dict[str, tuple[str, str]] = {}
    for read in policies:
        for number, backend in enumerate(read.policy.spec.backends or ()):
            where, service = read.where("spec", "backends", number), read.policy.service
            owner, there = first.setdefault(backend_address(backend), (service, where))
            if owner != service:
                yield (
                    f'{where}: spec.backends[{number}]: "{backend}": the policy {service} cannot have it: '
                    f"it is a backend of the policy {owner}, at {there}"
                )


def validated(document: Document, model: type[ModelT]) -> ModelT:
    """Read a document as a model; raises DocumentError with all its problems."""
    if document.flaws:
        raise DocumentError(document.report(document.flaws))
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise DocumentError(problems_of(document, model, error)) from error
