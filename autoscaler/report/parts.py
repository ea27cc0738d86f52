"""What a report is made of. All texts are plain; whoever writes the report escapes them."""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

DRAWN = ("step", "line", "area", "points")
"""How a series is drawn: a value that holds until the next one, a line between values, a filled step, or points."""
COLORS = ("running", "queued", "ready", "starting", "ink")
"""Colours that the page of a service gives a meaning; other series get colours of their own in turn."""


class Text(NamedTuple):
    """A paragraph."""

    text: str


class Code(NamedTuple):
    """A document as it is written, such as YAML. It is folded."""

    title: str
    text: str


class Table(NamedTuple):
    """A table; the first cell of each row names it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Each has as many cells as `head`."""
    note: str = ""
    """A sentence below it."""
    left: Sequence[int] = (0,)
    """The columns that have text, by number from 0; the others have numbers, which stand to the right."""
    folded: bool = False


class Series(NamedTuple):
    """The values of one name in a chart."""

    name: str
    values: Sequence[float | None]
    """One for each x; None is unknown."""
    draw: str = "step"
    """One of `DRAWN`."""
    color: str = ""
    """One of `COLORS`, or empty."""


class Chart(NamedTuple):
    """Series over one axis."""

    title: str
    x: Sequence[float]
    """In order from the smallest."""
    series: Sequence[Series]
    x_label: str = ""
    x_unit: str = "s"
    """`s` for seconds, which the axis writes as durations; empty for numbers."""
    unit: str = ""
    """Of the values."""
    note: str = ""
    """A sentence below it."""
    names: Sequence[str] = ()
    """A name for each x, or none."""
    axis: str = ""
    """Charts with the same name of their axis have one cursor, and are zoomed together."""


Part = Text | Code | Table | Chart


class Section(NamedTuple):
    """A part of a report with a heading."""

    title: str
    parts: Sequence[Part]


def checked(sections: Sequence[Section]) -> Sequence[Section]:
    """Give the sections if they hold together.

    Raises:
        ValueError: a row or a series has another length than its head or its axis, an x is smaller than the one before,
            a number is not finite, or a series is drawn in a way that is none of `DRAWN`.
    """
    for section in sections:
        for part in section.parts:
            _check(part)
    return sections


def _check(part: Part) -> None:
    if isinstance(part, Table) and any(len(row) != len(part.head) for row in part.rows):
        raise ValueError(f"table {part.title!r}: each row must have {len(part.head)} cells")
    if isinstance(part, Chart):
        problem = next(filter(None, (_axis_problem(part), *(_series_problem(part, each) for each in part.series))), "")
        if problem:
            raise ValueError(f"chart {part.title!r}: {problem}")


def _axis_problem(chart: Chart) -> str:
    if not all(map(isfinite, chart.x)):
        return "x must be finite"
    if any(before > after for before, after in pairwise(chart.x)):
        return "x must be in order from the smallest"
    if chart.names and len(chart.names) != len(chart.x):
        return f"there must be {len(chart.x)} names, one for each x"
    return ""


def _series_problem(chart: Chart, series: Series) -> str:
    if len(series.values) != len(chart.x):
        return f"{series.name!r} must have {len(chart.x)} values, one for each x"
    if not all(value is None or isfinite(value) for value in series.values):
        return f"{series.name!r} must be finite; None is unknown"
    if series.draw not in DRAWN:
        return f"{series.draw!r}: draw must be one of {', '.join(DRAWN)}"
    if series.color and series.color not in COLORS:
        return f"{series.color!r}: color must be one of {', '.join(COLORS)}"
    return ""
