"""Validate documents: each problem is reported with file, line, key, value and the allowed values.

The files are checked together: no two policies may share a host or a backend. A Scenario is checked with the files that
it names. Documents of other kinds are skipped and named, and so are files without a document of ours, unless no file
has one. A List, as `kubectl get -o yaml` prints it, is read too, and may be empty.

A warning names a Deployment in these files whose pods are killed before a request of its policy can end.

With --against, each policy that an earlier release accepted and this one rejects is named too: stored in a cluster,
such a policy is invalid after an upgrade, and its service is not scaled.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from autoscaler.documents.document import Document, DocumentError
from autoscaler.policy.host_claims_file import read_grants
from autoscaler.policy.loading import Contents, budgets_of, contents, is_budget, policies_of, policy_of
from autoscaler.policy.pod_ending import DrainProblem, drain_problem, pod_ending
from autoscaler.policy.releases import RELEASES, took
from autoscaler.policy.schema import KINDS as OURS
from autoscaler.policy.spec import ScalingPolicy

KINDS = "autoscaler.kinds"
"""The entry-point group for kinds of other packages: each entry checks a document and raises DocumentError."""
_POD_SPEC = ("spec", "template", "spec")
EXIT_STATUS = {
    0: "all documents are valid",
    2: "a document is invalid, a file cannot be read, or no file has a document of ours",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files and options."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="documents to check")
    parser.add_argument(
        "--against", choices=RELEASES, help="name documents that this release accepted and that are rejected now"
    )
    parser.add_argument("--host-claims", type=Path, metavar="FILE", help="which namespaces may claim which hosts (any)")


def run(arguments: argparse.Namespace) -> int:
    """Validate all files and print each document, or each problem."""
    files = _with_skipped_files([contents(path) for path in arguments.files])  # once: a file may be a pipe
    status = 0
    try:
        for name in _valid(files, arguments.host_claims):
            print(f"{name}: valid")
        for warning in _drain_warnings(files):
            print(warning)
    except DocumentError as error:
        status = 2
        print(error, file=sys.stderr)
        if arguments.against:
            for refused in newly_refused(files, arguments.against):
                print(f"{refused}: {arguments.against} accepted it; see docs/how-to/upgrade.md", file=sys.stderr)
    for note in (note for file in files for note in file.notes):
        print(note)
    return status


def _drain_warnings(files: Sequence[Contents]) -> Iterator[str]:
    """Name the targets in these files whose pods are killed before their requests can end."""
    targets = {_identity(each): each for file in files for each in file.others}
    for policy in (policy_of(each) for each in _documents(files) if _kind(each) == "ScalingPolicy"):
        reference = policy.spec.scale_target_ref
        target = targets.get((reference.kind, policy.metadata.namespace, reference.name)) if reference else None
        if target is not None and (problem := _drain_problem(target, policy)):
            where = f"{target.source}:{target.line((*_POD_SPEC, 'terminationGracePeriodSeconds'))}"
            yield f"{where}: {problem.reason}: {policy.service}: {problem.message}"


def _drain_problem(target: Document, policy: ScalingPolicy) -> DrainProblem | None:
    spec = target.value_at(_POD_SPEC)
    try:
        return drain_problem(pod_ending(spec), policy) if spec else None
    except (AttributeError, TypeError):
        return None  # no Deployment at all; kubectl says what is wrong with it


def _identity(document: Document) -> tuple[str, str, str]:
    """Give kind, namespace and name."""
    namespace = document.value_at(("metadata", "namespace")) or "default"
    return _kind(document), str(namespace), str(document.value_at(("metadata", "name")))


def _with_skipped_files(files: Sequence[Contents]) -> list[Contents]:
    """Make it a note that a file has no document of ours, unless this is true of all files."""
    if not any(file.documents or file.has_empty_list for file in files):
        return list(files)
    return [file._replace(notes=[*file.notes, *file.missing], missing=[]) for file in files]


def _valid(files: Sequence[Contents], host_claims: Path | None) -> list[str]:
    """Give the name of each document.

    Raises:
        DocumentError: listing all problems of all files.
    """
    checks = {entry.name: entry for entry in entry_points(group=KINDS)}
    kinds = [*OURS, *checks]
    names, problems = list[str](), [_wrong_kind(each, kinds) for each in _documents(files) if _is_other(each, kinds)]
    ours = [
        file._replace(
            documents=[each for each in file.documents if _kind(each) not in checks if not _is_other(each, kinds)]
        )
        for file in files
    ]
    for named in (partial(_policies, ours, host_claims), partial(_budgets, ours)):
        try:
            names += named()
        except DocumentError as error:
            problems += error.problems
    for document in (each for each in _documents(files) if _kind(each) in checks):
        try:
            checks[_kind(document)].load()(document)
            names.append(f"{_kind(document)} {document.value_at(('metadata', 'name'))}")
        except DocumentError as error:
            problems += error.problems
    if problems:
        raise DocumentError(problems)
    return names


def _policies(files: Sequence[Contents], host_claims: Path | None) -> list[str]:
    return [policy.service for policy in policies_of(files, read_grants(host_claims))]


def _budgets(files: Sequence[Contents]) -> list[str]:
    return [f"GpuBudget {budget.name}" for budget in budgets_of(files)]


def _documents(files: Iterable[Contents]) -> Iterator[Document]:
    return (document for file in files for document in file.documents)


def _is_other(document: Document, kinds: Sequence[str]) -> bool:
    """Tell whether a document has a kind that is not ours; of which kind its keys should be is then unknown."""
    kind = document.value_at(("kind",))
    return isinstance(kind, str) and kind not in kinds and not document.flaws


def _wrong_kind(document: Document, kinds: Sequence[str]) -> str:
    where = f"{document.source}:{document.line(('kind',))}"
    return f'{where}: kind: "{_kind(document)}": must be {" or ".join(map(repr, kinds))}'


def _kind(document: Document) -> str:
    return str(document.value_at(("kind",)))


def newly_refused(files: Iterable[Contents], release: str) -> Iterator[str]:
    """Give file and line of each document that a release accepted and that is rejected now."""
    for document in (each for each in _documents(files) if not is_budget(each)):
        try:
            policy_of(document)
        except DocumentError as error:
            if took(release, document.value, error.problems):
                yield f"{document.source}:{document.line(('metadata', 'name'))}"
