"""What comparing a golden file gives, and how its format is recognised.

A comparer takes the parsed file and returns a `Comparison`; `formats.py` says which comparer reads which format. A
golden file that nobody can read is an error and never a file without differences.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Document = Mapping[str, Any]


class Comparison(NamedTuple):
    """How many values of a file were compared, and the first that differs (None: all agree)."""

    compared: int
    first_difference: str | None
    not_compared: int = 0
    """Cases of a format that is recognised, but that nothing here can run yet."""


Comparer = Callable[[Document], Comparison]


class UnknownFormatError(ValueError):
    """The file is not JSON, or not of a format that is known here."""


class BadGoldenError(ValueError):
    """The file is of a known format and says something that this format does not have."""


class Tally:
    """Counts the values that were compared and keeps the first difference."""

    def __init__(self) -> None:
        self.compared = 0
        self.first_difference: str | None = None

    def equal(self, where: str, got: object, want: object) -> None:
        """Compare one value exactly; 10 and 10.0 are the same number."""
        self._count(where, got, want, agrees=got == want)

    def close(self, where: str, got: float | None, want: float | None, tolerance: float = 1e-9) -> None:
        """Compare one number within an absolute tolerance; None agrees with None only."""
        unknown = got is None or want is None
        self._count(where, got, want, agrees=got is want if unknown else abs(got - want) <= tolerance)

    def _count(self, where: str, got: object, want: object, *, agrees: bool) -> None:
        self.compared += 1
        if not agrees and self.first_difference is None:
            self.first_difference = f"{where}: got {got!r}, expected {want!r}"

    def result(self) -> Comparison:
        """Give what was counted."""
        return Comparison(self.compared, self.first_difference)


def load(path: Path) -> Document:
    """Parse a golden file; raises UnknownFormatError when it is not a JSON object."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UnknownFormatError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnknownFormatError("not a JSON object")
    return document


def format_of(document: Document) -> str:
    """Name a document's format: its `schema`, else its `kind`, else "simulation/1" for `format: 1` with cases."""
    name = document.get("schema", document.get("kind"))
    if name is None and document.get("format") == 1 and isinstance(document.get("cases"), list):
        return "simulation/1"
    if not isinstance(name, str):
        raise UnknownFormatError("neither schema, nor kind, nor format 1 with cases")
    return name


def describe(comparison: Comparison) -> str:
    """Say in one line what was compared."""
    if comparison.not_compared:
        return f"not compared yet: {comparison.not_compared} cases"
    difference = "no difference" if comparison.first_difference is None else f"first: {comparison.first_difference}"
    return f"{comparison.compared} values compared, {difference}"
