"""Show the effective settings of a policy or a budget as YAML, and where each value comes from.

`given, line 8` is in the file, `default` is the default value, and values under `derived` follow from other values.
"""

import argparse
import sys
from pathlib import Path

from autoscaler.documents.document import Document, DocumentError
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.explain import explained, to_yaml
from autoscaler.policy.loading import contents, is_budget, validated
from autoscaler.policy.spec import ScalingPolicy

EXIT_STATUS = {0: "all documents are valid", 2: "a document is invalid, a file cannot be read, or there is no policy"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file."""
    parser.add_argument("file", type=Path, metavar="FILE", help="documents of the kinds ScalingPolicy and GpuBudget")


def run(arguments: argparse.Namespace) -> int:
    """Print each policy; 2 if one is not valid, or if there is none."""
    file = contents(arguments.file)
    for note in file.notes:
        print(note, file=sys.stderr)
    if problems := [*file.problems, *file.missing]:
        print(*problems, sep="\n", file=sys.stderr)
        return 2
    try:
        texts = [to_yaml(explained(document, _read(document))) for document in file.documents]
    except DocumentError as error:
        print(error, file=sys.stderr)
        return 2
    print("---\n".join(texts), end="")
    return 0


def _read(document: Document) -> ScalingPolicy | GpuBudget:
    return validated(document, GpuBudget) if is_budget(document) else validated(document, ScalingPolicy)
