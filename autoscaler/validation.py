"""From files to policies: every problem is told with file, line, key, value and what is legal."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from autoscaler.documents import Document, DocumentError, read_file
from autoscaler.policy import ScalingPolicy
from autoscaler.problems import problems_of

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_policies(paths: Iterable[Path]) -> list[ScalingPolicy]:
    """Read every policy of some files.

    Raises:
        DocumentError: listing all problems of all files: what is no YAML, no ScalingPolicy, not legal, or there twice.
    """
    policies: dict[str, tuple[ScalingPolicy, str]] = {}
    problems: list[str] = []
    for path in paths:
        try:
            documents = read_file(path)
        except DocumentError as error:
            problems += error.problems
            continue
        problems += [] if documents else [f"{path}: has no document"]
        for document in documents:
            problems += _add(document, policies)
    if problems:
        raise DocumentError(problems)
    return [policy for policy, _ in policies.values()]


def _add(document: Document, policies: dict[str, tuple[ScalingPolicy, str]]) -> list[str]:
    """Add a document's policy, with where it stands; gives what is wrong with it."""
    try:
        policy = validated(document, ScalingPolicy)
    except DocumentError as error:
        return error.problems
    where = f"{document.source}:{document.line(('metadata', 'name'))}"
    if policy.service in policies:
        _, first = policies[policy.service]
        return [f"{where}: metadata.name: the policy {policy.service} is there already, at {first}"]
    policies[policy.service] = policy, where
    return []


def validated(document: Document, model: type[ModelT]) -> ModelT:
    """Read a document as a model; raises DocumentError with all its problems."""
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise DocumentError(problems_of(document, model, error)) from error
