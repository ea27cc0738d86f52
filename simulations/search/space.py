"""The variants of a sweep: which values, in which combinations."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import log10
from typing import Any, NamedTuple

from autoscaler.documents.document import DocumentError
from autoscaler.documents.fields import format_duration, format_percent, parse_duration, parse_percent

Settings = dict[str, Any]
"""Values of one variant by their place in the document."""
MOST_VARIANTS = 100_000
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"\s*(\S+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")


class Condition(NamedTuple):
    """What a variant must satisfy, such as `spec.minReplicas <= spec.maxReplicas`."""

    left: str
    sign: str
    right: str

    def __str__(self) -> str:
        """Write it as in a document."""
        return f"{self.left} {self.sign} {self.right}"

    def holds(self, settings: Settings) -> bool:
        """Tell whether a variant satisfies it.

        Raises:
            ValueError: a side is a place that no value is given for, or the sides are not of one kind.
        """
        left, right = (_side(text, settings) for text in (self.left, self.right))
        try:
            return _OPERATORS[self.sign](left, right)
        except TypeError as error:
            raise ValueError(f"{self}: cannot compare {left!r} with {right!r}") from error


def condition(text: str) -> Condition:
    """Read a condition; raises ValueError."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text}: must be a comparison such as spec.minReplicas <= spec.maxReplicas")
    return Condition(*found.groups())


def _side(text: str, settings: Settings) -> Any:
    if text in settings:
        return measure(settings[text])
    if text.startswith("spec."):
        raise ValueError(f"{text}: has no values in this sweep; it has {', '.join(settings)}")
    return measure(text)


def measure(value: Any) -> Any:
    """Give what a value means: seconds of a duration, the ratio of a percentage, a number, or the value itself."""
    for read in (parse_duration, parse_percent):
        try:
            return read(value)
        except ValueError:
            pass
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    return value


def spread(low: Any, high: Any, *, step: Any = None, points: int | None = None, log: bool = False) -> list[Any]:
    """Give values from `low` to `high`, both included, in the spelling of `low`: durations, percentages or numbers.

    >>> spread("1m", "5m", step="2m")
    ['1m', '3m', '5m']
    >>> spread(1, 100, points=3, log=True)
    [1, 10, 100]

    Args:
        low: the first value.
        high: the last value; with a step, no value is above it.
        step: the distance between values; one of this and `points`.
        points: how many values, at least 2.
        log: whether the ratio between values is constant, and not the distance; needs points, and `low` above 0.

    Raises:
        ValueError: the values are not of one kind, not in order, or too many.
    """
    write = _writer(low, high, *([] if step is None else [step]))
    first, last = float(measure(low)), float(measure(high))
    if first >= last:
        raise ValueError(f"from: {low}: must be below to, which is {high}")
    if (step is None) == (points is None):
        raise ValueError("must have exactly one of step, points")
    if step is not None:
        return [write(first + number * float(measure(step))) for number in range(_steps(first, last, step))]
    count = int(points or 0)
    if not 2 <= count <= MOST_VARIANTS:  # noqa: PLR2004
        raise ValueError(f"points: {points}: must be 2 to {MOST_VARIANTS}")
    if log and first <= 0:
        raise ValueError(f"from: {low}: must be above 0 with log")
    shares = [number / (count - 1) for number in range(count)]
    if log:
        found = [10 ** (log10(first) + share * (log10(last) - log10(first))) for share in shares]
    else:
        found = [first + share * (last - first) for share in shares]
    return list(dict.fromkeys(write(value) for value in found))


def _steps(first: float, last: float, step: Any) -> int:
    by = float(measure(step))
    if by <= 0 or (last - first) / by > MOST_VARIANTS:
        raise ValueError(f"step: {step}: must be above 0, and give at most {MOST_VARIANTS} values")
    return int((last - first) / by + 1e-9) + 1


def _writer(*values: Any) -> Callable[[float], Any]:
    """Give the function that writes a number as these values are written."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        whole = all(isinstance(value, int) for value in values)
        return round if whole else lambda value: round(value, 9)
    for read, write in ((parse_duration, lambda s: format_duration(round(s, 3))), (parse_percent, _percent)):
        if all(_reads(read, value) for value in values):
            return write
    raise ValueError(f"{', '.join(map(str, values))}: must all be numbers, durations or percentages")


def _percent(ratio: float) -> str:
    return format_percent(round(ratio, 6))


def _reads(read: Callable[[Any], float], value: Any) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def combinations(
    grid: Mapping[str, Sequence[Any]], listed: Sequence[Settings] = (), conditions: Sequence[Condition] = ()
) -> list[Settings]:
    """Give the settings of all variants: each combination of the grid with each of the list, if the conditions hold.

    Args:
        grid: values by their place in the document.
        listed: settings that belong together.
        conditions: a variant that does not satisfy all of them is left out.

    Raises:
        DocumentError: a place is in both, a condition is invalid, or there are no variants or too many.
    """
    twice = [place for place in grid if any(place in each for each in listed)]
    if twice:
        raise DocumentError([f"{place}: has values in the grid and in the list" for place in twice])
    count = max(len(listed), 1)
    for place, values in grid.items():
        if not values:
            raise DocumentError([f"{place}: has no value"])
        count *= len(values)
    if count > MOST_VARIANTS:
        raise DocumentError([f"there are {count} variants; at most {MOST_VARIANTS} are simulated"])
    try:
        found = [each for each in _all(grid, listed) if all(one.holds(each) for one in conditions)]
    except ValueError as error:
        raise DocumentError([f"where: {error}"]) from error
    if not found:
        raise DocumentError(["where: no variant satisfies the conditions"])
    return found


def _all(grid: Mapping[str, Sequence[Any]], listed: Sequence[Settings]) -> Iterator[Settings]:
    for together in listed or [{}]:
        for values in product(*grid.values()):
            yield {**together, **dict(zip(grid, values, strict=True))}
