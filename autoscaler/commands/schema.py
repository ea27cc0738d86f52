"""Print the schema of a ScalingPolicy: a JSON Schema for editors, or with --crd the definition for Kubernetes.

An editor with the YAML language server takes the schema from the first line of the file:
`# yaml-language-server: $schema=scalingpolicy.schema.json`
"""

import argparse
import json

from autoscaler.documents.document import to_yaml
from autoscaler.policy.schema import custom_resource_definition, json_schema

EXIT_STATUS = {0: "printed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument("--crd", action="store_true", help="print the CustomResourceDefinition, as YAML")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    print(to_yaml(custom_resource_definition()) if arguments.crd else json.dumps(json_schema(), indent=2))
    return 0
