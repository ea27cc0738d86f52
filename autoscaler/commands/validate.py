"""Check ScalingPolicy files: every problem with file, line, key, value and what is legal.

The files are checked together: no two policies may have one host or one backend. Documents of other kinds are left out
and named; a List, as `kubectl get -o yaml` writes it, is looked into.

Exit status 0 when all are valid, 2 when not. With --against, each document that an earlier release took and this one
refuses is named too: stored in a cluster, such a policy is Invalid after an upgrade, and its service is not scaled.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from autoscaler.documents import DocumentError
from autoscaler.host_claims_file import read_grants
from autoscaler.policy import ScalingPolicy
from autoscaler.releases import RELEASES, took
from autoscaler.validation import policy_documents, read_policies, validated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files, and what their namespaces may claim."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--against", choices=RELEASES, help="name what this release took and is refused now")
    parser.add_argument("--host-claims", type=Path, metavar="FILE", help="which namespaces may claim which hosts (any)")


def run(arguments: argparse.Namespace) -> int:
    """Validate all files and print each policy, or each problem."""
    try:
        policies = read_policies(arguments.files, read_grants(arguments.host_claims))
    except DocumentError as error:
        print(error, file=sys.stderr)
        if arguments.against:
            for refused in newly_refused(arguments.files, arguments.against):
                print(f"{refused}: {arguments.against} took it; see docs/upgrading.md", file=sys.stderr)
        return 2
    for policy in policies:
        print(f"{policy.service}: valid")
    for path in arguments.files:
        for note in policy_documents(path)[1]:
            print(note)
    return 0


def newly_refused(paths: Iterable[Path], release: str) -> Iterator[str]:
    """Name each document, by file and line, that a release took and that is refused now."""
    for path in paths:
        with suppress(DocumentError):  # no document was read, and that has been said
            for document in policy_documents(path)[0]:
                try:
                    validated(document, ScalingPolicy)
                except DocumentError as error:
                    if took(release, document.value, error.problems):
                        yield f"{document.source}:{document.line(('metadata', 'name'))}"
