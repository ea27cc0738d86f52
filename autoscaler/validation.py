"""From files to policies: every problem is told with file, line, key, value and what is legal."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from autoscaler.documents import Document, DocumentError, KeyPath, dotted, read_file
from autoscaler.policy import ScalingPolicy

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_policies(paths: Iterable[Path]) -> list[ScalingPolicy]:
    """Read every policy of some files.

    Raises:
        DocumentError: listing all problems of all files: what is no YAML, no ScalingPolicy, not legal, or there twice.
    """
    policies: dict[str, ScalingPolicy] = {}
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
    return list(policies.values())


def _add(document: Document, policies: dict[str, ScalingPolicy]) -> list[str]:
    try:
        policy = validated(document, ScalingPolicy)
    except DocumentError as error:
        return error.problems
    if policy.service in policies:
        line = document.line(("metadata", "name"))
        return [f"{document.source}:{line}: metadata.name: a policy {policy.service} was already read"]
    policies[policy.service] = policy
    return []


def validated(document: Document, model: type[ModelT]) -> ModelT:
    """Read a document as a model; raises DocumentError with all its problems."""
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda details: document.line(details["loc"]))
        raise DocumentError([_problem(document, model, details) for details in found]) from error


def _problem(document: Document, model: type[BaseModel], details: Any) -> str:
    path: KeyPath = details["loc"]
    where = f"{document.source}:{document.line(path)}: {dotted(path) or 'document'}: "
    match details["type"]:
        case "extra_forbidden":
            legal = _model_at(model, path[:-1])
            keys = ", ".join(field.alias or name for name, field in legal.model_fields.items())
            return f"{where}unknown key; legal here: {keys}"
        case "missing":
            return f"{where}is required"
    value = "" if isinstance(details["input"], dict) else f"{details['input']!r}: "
    return f"{where}{value}{_said(details)}"


def _said(details: Any) -> str:
    """Give pydantic's message without its own preamble."""
    message: str = details["msg"]
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Give the model that stands at a key path; list indices do not lead into another one."""
    for part in path:
        if isinstance(part, str):
            field = next(f for name, f in model.model_fields.items() if part in (f.alias, name))
            model = _model_in(field.annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel]:
    """Find the model in `X`, `X | None` or `tuple[X, ...]`."""
    if get_origin(annotation) is None:
        return annotation  # type: ignore[no-any-return]
    return next(_model_in(item) for item in get_args(annotation) if item not in (type(None), ...))
