"""Print the schema of a kind of document: a JSON Schema for editors, or with --crd the definition for Kubernetes.

An editor with the YAML language server takes the schema from the first line of the file:
`# yaml-language-server: $schema=scalingpolicy.schema.json`
"""

import argparse
import json

from autoscaler.documents.document import to_yaml
from autoscaler.policy.schema import KINDS, custom_resource_definition, json_schema

EXIT_STATUS = {0: "printed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--kind", choices=KINDS, default="ScalingPolicy", help="the kind of document (ScalingPolicy)")
    parser.add_argument("--crd", action="store_true", help="print the CustomResourceDefinition, as YAML")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    kind = arguments.kind
    print(to_yaml(custom_resource_definition(kind)) if arguments.crd else json.dumps(json_schema(kind), indent=2))
    return 0
