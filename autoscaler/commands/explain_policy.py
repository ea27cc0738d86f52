"""Show what a policy comes to: every value in force as YAML, and where each came from.

`given, line 8` stands in the file, `default` is ours, and what stands under `derived` follows from other values.
"""

import argparse
import sys
from pathlib import Path

from autoscaler.documents.document import DocumentError
from autoscaler.policy.explain import explained, to_yaml
from autoscaler.policy.loading import policy_documents, validated
from autoscaler.policy.spec import ScalingPolicy

EXIT_STATUS = {0: "all documents are valid", 2: "a document is invalid, or a file cannot be read"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file."""
    parser.add_argument("file", type=Path, metavar="FILE", help="ScalingPolicy documents")


def run(arguments: argparse.Namespace) -> int:
    """Print each policy; 2 where one is not legal."""
    try:
        documents, _ = policy_documents(arguments.file)
        told = [to_yaml(explained(document, validated(document, ScalingPolicy))) for document in documents]
    except DocumentError as error:
        print(error, file=sys.stderr)
        return 2
    print("---\n".join(told), end="")
    return 0
