"""Finds templates that nobody rendered: `{{ ... }}` and `${...}`. What they mean is known only after that."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from autoscaler.convert.source import Source, is_written_by_the_server
from autoscaler.documents.document import Document, KeyPath

RENDER_FIRST = "is not rendered; render it first, for example with helm template, kustomize build or envsubst"
_IN_A_LINE = re.compile(r"\{\{|\$\{")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\$\{[^}]*\}", re.DOTALL)
_HELM = re.compile(r"\{\{-?\s*(\.(Values|Release|Chart|Capabilities)\b|include\b|template\b|toYaml\b)")
_OF_A_PROGRAM = {"command", "args", "data", "stringData", "value", "body", "query"}
"""Keys whose texts may be templates or scripts of the program itself; only what is Helm's is none of it there."""


def in_text(text: str, source: str) -> list[str]:
    """Give one problem for each line of a text that has a template; for texts that are no YAML because of them."""
    lines = enumerate(text.splitlines(), start=1)
    return [f"{source}:{number}: {line.strip()}: {RENDER_FIRST}" for number, line in lines if _IN_A_LINE.search(line)]


def in_source(source: Source) -> Iterator[str]:
    """Give one problem for each value or key of a document that has a template."""
    return (source.problem(path, RENDER_FIRST) for path, value in source.leaves() if _is_template(path, value))


def without_templates(source: Source) -> Document:
    """Give the document without the values that are templates."""
    return replace(source.document, value=_without((), source.document.value))


def _without(path: KeyPath, value: Any) -> Any:
    if isinstance(value, dict):
        inner = ((key, (*path, key), each) for key, each in value.items())
        return {key: _without(there, each) for key, there, each in inner if not _is_template(there, each)}
    if isinstance(value, list):
        return [None if _is_template(path, each) else _without(path, each) for each in value]
    return value


def _is_template(path: KeyPath, value: Any) -> bool:
    if is_written_by_the_server(path):
        return False
    pattern = _HELM if _is_a_programs(path) else _TEMPLATE
    return any(pattern.search(part) for part in (value, *path) if isinstance(part, str))


def _is_a_programs(path: KeyPath) -> bool:
    is_env = "env" in path
    keys = [key for key in path if isinstance(key, str)]
    return (bool(_OF_A_PROGRAM & set(keys)) and not is_env) or any("template-" in key for key in keys)
