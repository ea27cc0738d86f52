"""Check ScalingPolicy files: every problem with file, line, key, value and what is legal.

The files are checked together: no two policies may have one host or one backend. Documents of other kinds are left out
and named; a List, as `kubectl get -o yaml` writes it, is looked into.

Exit status 0 when all are valid, 2 when not. With --against, each document that an earlier release took and this one
refuses is named too: stored in a cluster, such a policy is Invalid after an upgrade, and its service is not scaled.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from autoscaler.documents import DocumentError
from autoscaler.host_claims_file import read_grants
from autoscaler.releases import RELEASES, took
from autoscaler.validation import Contents, contents, policies_of, policy_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files, and what their namespaces may claim."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--against", choices=RELEASES, help="name what this release took and is refused now")
    parser.add_argument("--host-claims", type=Path, metavar="FILE", help="which namespaces may claim which hosts (any)")


def run(arguments: argparse.Namespace) -> int:
    """Validate all files and print each policy, or each problem."""
    files = [contents(path) for path in arguments.files]  # once: one may be a pipe
    try:
        policies = policies_of(files, read_grants(arguments.host_claims))
    except DocumentError as error:
        print(error, file=sys.stderr)
        if arguments.against:
            for refused in newly_refused(files, arguments.against):
                print(f"{refused}: {arguments.against} took it; see docs/how-to/upgrade.md", file=sys.stderr)
        return 2
    for policy in policies:
        print(f"{policy.service}: valid")
    for file in files:
        for note in file.notes:
            print(note)
    return 0


def newly_refused(files: Iterable[Contents], release: str) -> Iterator[str]:
    """Name each document, by file and line, that a release took and that is refused now."""
    for document in (each for file in files for each in file.documents):
        try:
            policy_of(document)
        except DocumentError as error:
            if took(release, document.value, error.problems):
                yield f"{document.source}:{document.line(('metadata', 'name'))}"
