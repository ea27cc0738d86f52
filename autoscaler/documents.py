"""YAML documents with the line of every key, so that an error can point at what the user wrote.

Plain scalars mean what YAML 1.2's core schema says: `on` and `no` are strings, `10:30` is no number and `010` is ten.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
"""Where a value stands in a document: keys and list indices, like pydantic's `loc`."""


class DocumentError(ValueError):
    """What the user wrote is wrong: one line for each problem, with file, line, key, value and what is legal."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: plain values, and the line on which each stands."""

    source: str
    """The file's name, as the user gave it."""
    value: Any
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Give the line of a key path, or of the nearest key above it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain scalars of YAML 1.2's core schema."""


_CoreSchemaLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _CoreSchemaLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), list(_first))
_CoreSchemaLoader.add_constructor("tag:yaml.org,2002:int", lambda _loader, node: int(node.value))


def read_file(path: Path) -> list[Document]:
    """Read every document of a YAML file; empty documents are left out.

    Raises:
        DocumentError: the file cannot be read, is no YAML, or says a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError([f"{path}: cannot be read: {error}"]) from error
    return read_text(text, str(path))


def read_text(text: str, source: str) -> list[Document]:
    """Read every document of a YAML text; as `read_file`."""
    loader = _CoreSchemaLoader(text)
    try:
        return list(_documents(loader, source))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError([f"{source}:{line}: this is no YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise DocumentError([f"{source}: this is no YAML: {error}"]) from error
    finally:
        loader.dispose()


def _documents(loader: _CoreSchemaLoader, source: str) -> Iterator[Document]:
    while loader.check_node():
        node = loader.get_node()
        if node is None:
            continue
        lines: dict[KeyPath, int] = {}
        problems: list[str] = []
        _walk(node, (), lines, problems)
        if problems:
            raise DocumentError([f"{source}:{problem}" for problem in problems])
        value = loader.construct_document(node)
        if value is not None:
            yield Document(source, value, lines)


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], problems: list[str]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, problems)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            inner = (*path, str(key.value))
            line = key.start_mark.line + 1
            if inner in lines:
                problems.append(f"{line}: {dotted(inner)}: said twice, first on line {lines[inner]}")
            lines[inner] = line
            _walk(item, inner, lines, problems)


def dotted(path: KeyPath) -> str:
    """Write a key path as people do: `spec.traffic.paths[2].class`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
