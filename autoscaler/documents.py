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

    def value_at(self, path: KeyPath) -> Any:
        """Give the value at a key path; None where there is none."""
        value = self.value
        for part in path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return None
        return value


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain scalars of YAML 1.2's core schema."""


_TAG = "tag:yaml.org,2002:"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_SCALARS = {
    f"{_TAG}bool": re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"),
    f"{_TAG}int": re.compile(r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
    f"{_TAG}float": re.compile(rf"({_FLOAT})\Z"),
    f"{_TAG}null": re.compile(r"(~|null|Null|NULL|)\Z"),
}
_OTHER_TAGS = {f"{_TAG}{name}" for name in ("str", "seq", "map")}


def _whole_number(_loader: _CoreSchemaLoader, node: yaml.ScalarNode) -> int:
    base = {"0o": 8, "0x": 16}.get(node.value[:2], 10)
    try:
        return int(node.value, base)
    except ValueError as error:
        raise yaml.constructor.ConstructorError(None, None, "a number of too many digits", node.start_mark) from error


_CoreSchemaLoader.yaml_implicit_resolvers = {}
for _tag, _pattern in _SCALARS.items():
    _CoreSchemaLoader.add_implicit_resolver(_tag, _pattern, None)
_CoreSchemaLoader.add_constructor(f"{_TAG}int", _whole_number)


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
    try:
        return list(_documents(_CoreSchemaLoader(text), source))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError([f"{source}:{line}: this is no YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise DocumentError([f"{source}: this is no YAML: {error}"]) from error
    except RecursionError as error:
        raise DocumentError([f"{source}: is nested too deeply, or refers to itself"]) from error


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
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if not _fits(node):
        problems.append(f"{line}: {dotted(path) or 'document'}: is no {node.tag.replace(_TAG, '!!')}")
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


def _fits(node: yaml.Node) -> bool:
    """Tell whether a value can be read by its tag, which may have been written beside it: `!!int five`."""
    if node.tag in _SCALARS:
        return isinstance(node, yaml.ScalarNode) and _SCALARS[node.tag].match(node.value) is not None
    return node.tag in _OTHER_TAGS


def dotted(path: KeyPath) -> str:
    """Write a key path as people do: `spec.traffic.paths[2].class`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


class _PlainDumper(yaml.SafeDumper):
    """PyYAML's safe dumper that writes what is there twice twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def to_yaml(value: Any) -> str:
    """Write plain values as one YAML document."""
    text: str = yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def to_inline_yaml(value: Any) -> str:
    """Write a scalar, or a list of scalars, on one line."""
    text: str = yaml.dump(value, Dumper=_PlainDumper, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
