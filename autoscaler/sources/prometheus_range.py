"""What Prometheus answers about the past: rows of values in the place of values. No I/O."""

import math
from array import array
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from autoscaler.ports import Reading, ReadingHistory, ServiceName, TimedReading
from autoscaler.sources.prometheus_response import Labels, Sample, believed, result_of, understood

Row: TypeAlias = "array[float]"
"""One value for each time of a grid."""


class Grid(NamedTuple):
    """The times of a range, in whole milliseconds by the clock of Prometheus."""

    start_ms: int
    step_ms: int
    steps: int

    def row(self, values: Iterable[tuple[float, str]]) -> Row:
        """Put values at their times; NaN stands where there is none."""
        row = array("d", [math.nan]) * (self.steps + 1)
        for at_s, text in values:
            step = round((at_s * 1000 - self.start_ms) / self.step_ms)
            if 0 <= step <= self.steps:
                row[step] = float(text)
        return row


class PastAnswer(NamedTuple):
    """One parsed range: like an `Answer`, with a row of values in the place of each value."""

    grid: Grid
    value: Mapping[ServiceName, Row]
    oldest: Mapping[ServiceName, Row]
    series: Mapping[ServiceName, Row]
    bare: Mapping[ServiceName, Row]
    twice: Mapping[ServiceName, Row]
    usual: Mapping[str, Row]
    repeated: frozenset[ServiceName]
    warning: str


class _Range(msgspec.Struct, gc=False):
    metric: Labels
    values: list[tuple[float, str]]


_MATRIX, _RANGE = msgspec.json.Decoder(list[msgspec.Raw]), msgspec.json.Decoder(_Range)


def parse_past(body: bytes, grid: Grid, wanted: Container[ServiceName]) -> PastAnswer:
    """Read what `short_query` over a range was answered about the services that are wanted; raises Fault."""
    kinds: dict[str, dict[ServiceName, Row]] = {"value": {}, "oldest": {}, "series": {}, "bare": {}, "twice": {}}
    usual: dict[str, Row] = {}
    repeated = set()
    with understood():
        result, warning = result_of(body, "matrix")
        # One by one, as their text is many times larger than the rows that are kept.
        for element in map(_RANGE.decode, _MATRIX.decode(result)):
            labels = element.metric
            of_kind = kinds[labels.f]
            if labels.namespace is None or labels.service is None:
                usual[labels.f] = grid.row(element.values)
                continue
            service = f"{labels.namespace}/{labels.service}"
            if service not in wanted:
                continue
            if service in of_kind:
                repeated.add(service)
            of_kind[service] = grid.row(element.values)
    return PastAnswer(grid, **kinds, usual=usual, repeated=frozenset(repeated), warning=warning)


def pasts(
    services: Iterable[ServiceName], max_age_s: float, answer: PastAnswer | str, now_s: float
) -> dict[ServiceName, ReadingHistory]:
    """Say what the past was that ended now: at each time of the grid what `reading` would have said then.

    Services that are as usual and had the same values share one past.
    """
    if isinstance(answer, str):
        return dict.fromkeys(services, ReadingHistory((), answer))
    special = {*answer.oldest, *answer.series, *answer.bare, *answer.twice}
    of_values: dict[bytes, ReadingHistory] = {}
    made = {}
    for service in services:
        row = _NO_VALUES if service in answer.repeated else answer.value.get(service, _NO_VALUES)
        key = row.tobytes() if service not in special else service.encode()
        known = of_values.get(key)
        if known is None:
            known = of_values[key] = ReadingHistory(_moments(service, row, max_age_s, answer, now_s))
        made[service] = known
    return made


_NO_VALUES: Row = array("d")


def _moments(
    service: ServiceName, values: Row, max_age_s: float, answer: PastAnswer, now_s: float
) -> tuple[TimedReading, ...]:
    """Go through the grid; what is not said of a service is as usual, and a count without any of it is none."""
    grid, missing = answer.grid, answer.grid.row(())
    rows = (
        values or missing,
        answer.oldest.get(service, missing),
        answer.usual.get("oldest", missing),
        answer.series.get(service, missing),
        answer.usual.get("series", missing),
        answer.bare.get(service, missing),
        answer.twice.get(service, missing),
    )
    made = []
    for step, (value, own_oldest, oldest, own_series, series, bare, twice) in enumerate(zip(*rows, strict=True)):
        at_s = now_s - (grid.steps - step) * grid.step_ms / 1000
        oldest_s = oldest if math.isnan(own_oldest) else own_oldest
        sources = series if math.isnan(own_series) else own_series
        is_missing = any(map(math.isnan, (value, oldest_s, sources)))
        if is_missing or not (math.isnan(bare) and math.isnan(twice)):
            made.append(TimedReading(at_s, Reading(None, at_s, problem="there was no count")))
        else:
            age_s = (grid.start_ms + step * grid.step_ms) / 1000 - oldest_s
            made.append(TimedReading(at_s, believed(Sample(value, sources, age_s), max_age_s, answer.warning, at_s)))
    return tuple(made)
