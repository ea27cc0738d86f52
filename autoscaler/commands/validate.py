"""Check ScalingPolicy files: every problem with file, line, key, value and what is legal.

The files are checked together: no two policies may have one host or one backend.

Exit status 0 when all are valid, 2 when not.
"""

import argparse
import sys
from pathlib import Path

from autoscaler.documents import DocumentError
from autoscaler.host_claims_file import read_grants
from autoscaler.validation import read_policies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files, and what their namespaces may claim."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--host-claims", type=Path, metavar="FILE", help="which namespaces may claim which hosts (any)")


def run(arguments: argparse.Namespace) -> int:
    """Validate all files and print each policy, or each problem."""
    try:
        policies = read_policies(arguments.files, read_grants(arguments.host_claims))
    except DocumentError as error:
        print(error, file=sys.stderr)
        return 2
    for policy in policies:
        print(f"{policy.service}: valid")
    return 0
