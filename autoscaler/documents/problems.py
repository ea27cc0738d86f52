"""Translates pydantic's errors to problems of the document: file, line, key, value and the allowed values."""

import json
import re
from operator import itemgetter
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from autoscaler.documents.document import Document, KeyPath, dotted
from autoscaler.documents.fields import metadata_of
from autoscaler.documents.prometheus_address import CredentialsError, public

LONGEST_VALUE = 60
"""The most characters of a value in a message."""

_KEYS_FIRST = re.compile(r"([a-zA-Z_]+(?:\.(?:[a-zA-Z_]+|[0-9]+))*): ")

Details = Any
"""One of pydantic's errors: a dict with `type`, `loc`, `msg`, `input`, `ctx`."""


def problems_of(document: Document, model: type[BaseModel], error: ValidationError) -> list[str]:
    """Give one line for each problem, in the order of the file."""
    found = [details for details in error.errors() if not _is_echo(details)]
    lines = [(document.line(_path(details)), _problem(document, model, details)) for details in found]
    return [f"{document.source}:{line}: {text}" for line, text in sorted(lines, key=itemgetter(0))]


def _is_echo(details: Details) -> bool:
    """Tell whether a list is too short only because its items are invalid, which are problems of their own."""
    return details["type"] == "too_short" and bool(len(details["input"]) >= details["ctx"]["min_length"])


def _path(details: Details) -> KeyPath:
    """Give the place of the problem; the message of a rule across keys names one of them: `minReplicas: must ...`."""
    keys, _ = _member(details)
    return (*details["loc"], *keys)


def _member(details: Details) -> tuple[KeyPath, str]:
    """Split a message into the keys at its start and the rest."""
    message = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    keys = (
        re.match(r"([a-zA-Z_]+(?:\.(?:[a-zA-Z_]+|[0-9]+))*): ", message) if details["type"] == "value_error" else None
    )
    if keys is None:
        return (), message
    path = (int(part) if part.isdecimal() else part for part in keys[1].split("."))
    return tuple(path), message[keys.end() :]


def _problem(document: Document, model: type[BaseModel], details: Details) -> str:
    path = _path(details)
    where = f"{dotted(path) or 'document'}: "
    match details["type"]:
        case "extra_forbidden":
            return f"{where}unknown key; legal here: {_keys(_model_at(model, path[:-1]))}"
        case "missing":
            return f"{where}is required"
        case "invalid_key":
            return f"{where}unknown key; keys are strings"
    value = document.value_at(path)
    is_shown = value is not None and not isinstance(value, dict) and not _has_credentials(details)
    shown = f"{_shown(value)}: " if is_shown else ""
    return f"{where}{shown}{_legal(model, details)}"


def _has_credentials(details: Details) -> bool:
    return isinstance(details.get("ctx", {}).get("error"), CredentialsError)


def _shown(value: Any) -> str:
    # A problem is shown in statuses and logs, and an address may contain a password.
    text = public(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _legal(model: type[BaseModel], details: Details) -> str:
    """Say what is allowed, in words of YAML where pydantic has words of Python."""
    if details["type"] == "model_type":
        return f"must be a mapping with keys such as: {_keys(_model_at(model, details['loc']))}"
    if details["type"] in {"greater_than", "greater_than_equal", "less_than_equal"}:
        return _range(_field_at(model, details["loc"])) or _message(details)
    return (
        _IN_YAML[details["type"]].format(**details.get("ctx", {})) if details["type"] in _IN_YAML else _message(details)
    )


_IN_YAML = {
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "too_long": "must have at most {max_length} and has {actual_length}",
    "too_short": "must have at least {min_length}",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}


def _message(details: Details) -> str:
    _, message = _member(details)
    return message


def _range(field: FieldInfo) -> str:
    """Give both ends of the range of a number, if it has both."""
    limits = list(metadata_of(field))
    low = next((limit.ge for limit in limits if isinstance(limit, Ge)), None)
    high = next((limit.le for limit in limits if isinstance(limit, Le)), None)
    above = next((limit.gt for limit in limits if isinstance(limit, Gt)), None)
    if high is None or (low is None and above is None):
        return ""
    return f"must be {low} to {high}" if above is None else f"must be above {above} up to {high}"


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(field.alias or name for name, field in model.model_fields.items())


def _field_at(model: type[BaseModel], path: KeyPath) -> FieldInfo:
    """Give the field at a key path; for an item of a list, the list."""
    *above, key = [part for part in path if isinstance(part, str)]
    fields = _model_at(model, tuple(above)).model_fields
    return next(field for name, field in fields.items() if key in (field.alias, name))


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Give the model at a key path; list indices and the keys of a mapping are skipped."""
    is_key_of_mapping = False
    for part in path:
        if not isinstance(part, str) or is_key_of_mapping:
            is_key_of_mapping = False
            continue
        annotation = _field_at(model, (part,)).annotation
        is_key_of_mapping = get_origin(annotation) is dict
        model = _model_in(annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel]:
    """Find the model in `X`, `X | None`, `tuple[X, ...]` or `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    items = [item for item in get_args(annotation) if item not in (type(None), ...)]
    return _model_in(items[-1] if get_origin(annotation) is dict else items[0])
