"""Check ScalingPolicy files: every problem with file, line, key, value and what is legal.

Exit status 0 when all are valid, 2 when not.
"""

import argparse
import sys
from pathlib import Path

from autoscaler.documents import DocumentError
from autoscaler.validation import read_policies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")


def run(arguments: argparse.Namespace) -> int:
    """Validate all files and print each policy, or each problem."""
    try:
        policies = read_policies(arguments.files)
    except DocumentError as error:
        print(error, file=sys.stderr)
        return 2
    for policy in policies:
        print(f"{policy.service}: valid")
    return 0
