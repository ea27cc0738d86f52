"""Show the effective settings of a policy as YAML, and where each value comes from.

`given, line 8` is in the file, `default` is the default value, and values under `derived` follow from other values.
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
    """Print each policy; 2 if one is not valid."""
    try:
        documents, _ = policy_documents(arguments.file)
        texts = [to_yaml(explained(document, validated(document, ScalingPolicy))) for document in documents]
    except DocumentError as error:
        print(error, file=sys.stderr)
        return 2
    print("---\n".join(texts), end="")
    return 0
