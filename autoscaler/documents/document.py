"""YAML documents with the line of every key, so that an error can name the line.

Plain scalars follow YAML 1.2's core schema: `on` and `no` are strings, `10:30` is no number. A number written as `010`
is refused, because it is ten there and eight for kubectl. As for kubectl, merge keys (`<<`) are applied, tabs may
separate words, and JSON values may follow each other. The size with all aliases expanded and the depth are limited.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MOST_BYTES = 16 << 20
"""The largest file; a ConfigMap has at most 1 MiB."""
MOST_ALIASED = 100_000
"""The most values that aliases and merge keys may add."""
DEEPEST = 100
"""The most levels of nested values."""

KeyPath = tuple[str | int, ...]
"""The place of a value in a document: keys and list indices, like pydantic's `loc`."""


class DocumentError(ValueError):
    """A document is wrong: one line for each problem, with file, line, key, value and the allowed values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Flaw(NamedTuple):
    """A problem of the YAML of a document, whatever its kind: a duplicate key, `010`."""

    path: KeyPath
    line: int
    why: str
    octal: int | None = None
    """What kubectl reads, if the flaw is a number with two meanings."""


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: plain values, and the line of each."""

    source: str
    """The name of the file, as given by the user."""
    value: Any
    lines: dict[KeyPath, int]
    flaws: tuple[Flaw, ...] = ()
    """What must be corrected before the value can be used."""

    def report(self, flaws: Iterable[Flaw]) -> list[str]:
        """Give one line for each flaw."""
        return [f"{self.source}:{flaw.line}: {dotted(flaw.path) or 'document'}: {flaw.why}" for flaw in flaws]

    def line(self, path: KeyPath) -> int:
        """Give the line of a key path, or of the nearest key above it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def parts(self, key: str) -> list["Document"]:
        """Give the items of a list, each as a document with its own lines.

        Raises:
            DocumentError: there is a flaw outside of these items.
        """
        lines: list[dict[KeyPath, int]] = [{} for _ in self.value[key]]
        for path, line in self.lines.items():
            if (number := _item_of(path, key)) is not None:
                lines[number][path[2:]] = line
        flaws: list[list[Flaw]] = [[] for _ in lines]
        for flaw in self.flaws:
            if (number := _item_of(flaw.path, key)) is None:
                raise DocumentError(self.report([flaw]))
            flaws[number].append(flaw._replace(path=flaw.path[2:]))
        parts = zip(self.value[key], lines, flaws, strict=True)
        return [Document(self.source, value, stands, tuple(wrong)) for value, stands, wrong in parts]

    def value_at(self, path: KeyPath) -> Any:
        """Give the value at a key path; None if there is none."""
        value = self.value
        for part in path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return None
        return value


def _item_of(path: KeyPath, key: str) -> int | None:
    """Give the number of the list item that contains a path."""
    if len(path) > 1 and path[0] == key and isinstance(path[1], int):
        return path[1]
    return None


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain scalars of YAML 1.2's core schema, and what kubectl also reads."""

    def scan_to_next_token(self) -> None:
        """Skip tabs too, outside of indentation, as libyaml does, and with it kubectl."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def parse_document_start(self) -> yaml.Event:
        """Let JSON objects follow each other without anything between them."""
        if self.check_token(yaml.FlowMappingStartToken):
            return self.parse_implicit_document_start()  # type: ignore[no-any-return, no-untyped-call]
        return super().parse_document_start()  # type: ignore[no-any-return, no-untyped-call]


_TAG = "tag:yaml.org,2002:"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_SCALARS = {
    f"{_TAG}bool": re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"),
    f"{_TAG}int": re.compile(r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
    f"{_TAG}float": re.compile(rf"({_FLOAT})\Z"),
    f"{_TAG}null": re.compile(r"(~|null|Null|NULL|)\Z"),
}
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a character above U+FFFF, which JSON can write and no text can contain."""
_TWO_MEANINGS = re.compile(r"[-+]?0[0-9]+\Z")
_OCTAL = "is octal to kubectl and decimal in YAML 1.2: leave the zero out, write 0o for octal, or put it in quotes"
_PLAIN = {
    yaml.ScalarNode: f"{_TAG}str",
    yaml.SequenceNode: f"{_TAG}seq",
    yaml.MappingNode: f"{_TAG}map",
}
"""The tag by which each kind of node can be read."""


def _whole_number(_loader: _CoreSchemaLoader, node: yaml.ScalarNode) -> int:
    base = {"0o": 8, "0x": 16}.get(node.value[:2], 10)
    try:
        return int(node.value, base)
    except ValueError as error:
        raise yaml.constructor.ConstructorError(None, None, "a number of too many digits", node.start_mark) from error


def _text(loader: _CoreSchemaLoader, node: yaml.ScalarNode) -> str:
    """Give a text; JSON writes a character above U+FFFF as two."""
    return _joined(loader.construct_scalar(node))


def _joined(text: str) -> str:
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


_CoreSchemaLoader.yaml_implicit_resolvers = {}
for _tag, _pattern in _SCALARS.items():
    _CoreSchemaLoader.add_implicit_resolver(_tag, _pattern, None)
_CoreSchemaLoader.add_constructor(f"{_TAG}int", _whole_number)
_CoreSchemaLoader.add_constructor(f"{_TAG}str", _text)


def read_file(path: Path) -> list[Document]:
    """Read every document of a YAML file, without empty ones.

    Raises:
        DocumentError: the file cannot be read, is not YAML, or a document in it has flaws.
    """
    return _flawless(read_mixed_file(path))


def read_mixed_file(path: Path) -> list[Document]:
    """Read a file with documents of other programs, as `read_file`, but leave flaws to the user of a document."""
    return mixed_documents(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Read a file as text; raises DocumentError if it cannot be read, is no text or is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError([f"{path}: cannot be read: {error}"]) from error
    if len(content) > MOST_BYTES:
        raise DocumentError([f"{path}: has more than {MOST_BYTES >> 20} MiB, which is the most that is read"])
    return text


def mixed_documents(text: str, source: str) -> list[Document]:
    """Read every document of a YAML text, as `read_mixed_file`."""
    return _read(text, source)


def read_text(text: str, source: str) -> list[Document]:
    """Read every document of a YAML text, as `read_file`."""
    return _flawless(_read(text, source))


def _flawless(documents: list[Document]) -> list[Document]:
    for document in documents:
        if document.flaws:
            raise DocumentError(document.report(document.flaws))
    return documents


def _read(text: str, source: str) -> list[Document]:
    line = 0
    try:
        loader = _CoreSchemaLoader(_not_indented(text))
        try:
            return list(_documents(loader, source))
        finally:
            line = loader.line + 1
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError([f"{source}:{line}: this is no YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise DocumentError([f"{source}: this is no YAML: {error}"]) from error
    except RecursionError as error:
        raise DocumentError([f"{source}:{line}: {_TOO_DEEP}"]) from error


def _not_indented(text: str) -> str:
    """Replace tabs before JSON, which has no indentation, by spaces."""
    rest = text.lstrip("\ufeff \t\r\n")
    return text[: -len(rest)].replace("\t", " ") + rest if rest.startswith(("{", "[")) else text


def _documents(loader: _CoreSchemaLoader, source: str) -> Iterator[Document]:
    while loader.check_node():
        node = loader.get_node()
        if node is None:
            continue
        _Expansion(source).check(node)
        lines: dict[KeyPath, int] = {}
        flaws: list[Flaw] = []
        _walk(node, (), lines, flaws)
        value = loader.construct_document(node)
        if value is not None or flaws:
            yield Document(source, value, lines, tuple(flaws))


class _Extent(NamedTuple):
    """The number of values of a node with all aliases expanded, and the number of its levels."""

    size: int
    height: int


_TOO_DEEP = f"is nested too deeply: at most {DEEPEST} levels are read"


class _Expansion:
    """Applies the merge keys of a document, and measures it with all aliases expanded."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._extents: dict[int, _Extent] = {}
        self._under_way: set[int] = set()
        self._merged = 0

    def check(self, root: yaml.Node) -> None:
        """Refuse a document that is too large.

        Raises:
            DocumentError: it is too large or too deep, a value contains itself, or a merge key has no mapping.
        """
        extent = self._extent(root)
        if extent.height > DEEPEST:
            raise self._error(root, _TOO_DEEP)
        self._limit(root, extent.size - len(self._extents))

    def _extent(self, node: yaml.Node) -> _Extent:
        known = self._extents.get(id(node))
        if known is not None:
            return known
        if id(node) in self._under_way:
            raise self._error(node, "the value refers to itself")
        self._under_way.add(id(node))
        inner = [self._extent(each) for each in self._inner(node)]
        self._under_way.discard(id(node))
        found = _Extent(1 + sum(each.size for each in inner), 1 + max((each.height for each in inner), default=0))
        self._extents[id(node)] = found
        return found

    def _inner(self, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if isinstance(node, yaml.MappingNode):
            self._merge(node)
            return [value for _, value in node.value]
        return []

    def _merge(self, node: yaml.MappingNode) -> None:
        """Apply merge keys: a key of the mapping itself wins, then the mapping that is named first."""
        merges = [value for key, value in node.value if _is_merge(key)]
        if not merges:
            return
        own = [(key, value) for key, value in node.value if not _is_merge(key)]
        known, pairs = {str(key.value) for key, _ in own}, []
        for mapping in self._mappings(merges):
            self._extent(mapping)  # which applies its own merge keys
            self._merged += len(mapping.value)
            self._limit(node, self._merged)
            pairs += [pair for pair in mapping.value if str(pair[0].value) not in known]
            known.update(str(key.value) for key, _ in mapping.value)
        node.value = pairs + own

    def _mappings(self, merges: list[yaml.Node]) -> Iterator[yaml.MappingNode]:
        for merge in merges:
            for mapping in merge.value if isinstance(merge, yaml.SequenceNode) else [merge]:
                if not isinstance(mapping, yaml.MappingNode):
                    raise self._error(mapping, "<<: merges mappings only")
                yield mapping

    def _limit(self, node: yaml.Node, aliased: int) -> None:
        if aliased > MOST_ALIASED:
            raise self._error(node, f"excessive aliasing: aliases would add more than {MOST_ALIASED:,} values")

    def _error(self, node: yaml.Node, why: str) -> DocumentError:
        return DocumentError([f"{self._source}:{node.start_mark.line + 1}: {why}"])


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.style is None


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], flaws: list[Flaw]) -> None:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if not _fits(node):
        flaws.append(Flaw(path, line, f"is no {node.tag.replace(_TAG, '!!')}"))
        node.tag = _PLAIN[type(node)]  # so that the rest of the document has a value
    if _has_two_meanings(node):
        octal = int(node.value, 8) if re.fullmatch("[-+]?[0-7]+", node.value) else None
        flaws.append(Flaw(path, line, f"{node.value} {_OCTAL}", octal))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, flaws)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            inner = (*path, str(key.value))
            line = key.start_mark.line + 1
            if inner in lines:
                flaws.append(Flaw(inner, line, f"said twice, first on line {lines[inner]}"))
            lines[inner] = line
            _walk(item, inner, lines, flaws)


def _has_two_meanings(node: yaml.Node) -> bool:
    return node.tag == f"{_TAG}int" and isinstance(node.value, str) and _TWO_MEANINGS.match(node.value) is not None


def _fits(node: yaml.Node) -> bool:
    """Tell whether a value can be read by its tag, which may be explicit: `!!int five`."""
    if node.tag in _SCALARS:
        return isinstance(node, yaml.ScalarNode) and _SCALARS[node.tag].match(node.value) is not None
    if node.tag == _PLAIN[yaml.ScalarNode]:
        return isinstance(node, yaml.ScalarNode) and _HALF.search(_joined(node.value)) is None
    return node.tag in _PLAIN.values()


def dotted(path: KeyPath) -> str:
    """Write a key path as `spec.traffic.paths[2].class`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


class _PlainDumper(yaml.SafeDumper):
    """PyYAML's safe dumper without aliases."""

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
