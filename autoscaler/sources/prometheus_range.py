"""What a range query's response means: rows of values instead of single values. No I/O."""

import math
from array import array
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from autoscaler.ports import Reading, ReadingHistory, ServiceName, TimedReading
from autoscaler.sources.prometheus_response import Labels, Sample, as_reading, malformed_is_error, result_of

Row: TypeAlias = "array[float]"
"""One value for each time of a grid."""


class Grid(NamedTuple):
    """The times of a range, in whole milliseconds by Prometheus' clock."""

    start_ms: int
    step_ms: int
    steps: int

    def form(self) -> dict[str, str]:
        """Give it as a range query has it."""
        times = {"start": self.start_ms, "end": self.start_ms + self.steps * self.step_ms, "step": self.step_ms}
        return {name: f"{time_ms / 1000:.3f}" for name, time_ms in times.items()}

    def row(self, values: Iterable[tuple[float, str]]) -> Row:
        """Put values at their times; NaN is a missing value."""
        row = array("d", [math.nan]) * (self.steps + 1)
        for at_s, text in values:
            step = round((at_s * 1000 - self.start_ms) / self.step_ms)
            if 0 <= step <= self.steps:
                row[step] = float(text)
        return row


class RangeResponse(NamedTuple):
    """A parsed range: like a `QueryResponse`, with a row instead of each value."""

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


def parse_range(body: bytes, grid: Grid, wanted: Container[ServiceName]) -> RangeResponse:
    """Read the response to `short_query` over a range for the wanted services; raises QueryError."""
    kinds: dict[str, dict[ServiceName, Row]] = {"value": {}, "oldest": {}, "series": {}, "bare": {}, "twice": {}}
    usual: dict[str, Row] = {}
    repeated = set()
    with malformed_is_error():
        result, warning = result_of(body, "matrix")
        # One by one, because their text is many times larger than the rows.
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
    return RangeResponse(grid, **kinds, usual=usual, repeated=frozenset(repeated), warning=warning)


def histories(
    services: Iterable[ServiceName], max_age_s: float, response: RangeResponse | str, now_s: float
) -> dict[ServiceName, ReadingHistory]:
    """Give the history until now: at each time of the grid the reading that a query would have given then.

    Services with the usual properties and the same values share one history.
    """
    if isinstance(response, str):
        return dict.fromkeys(services, ReadingHistory((), response))
    special = {*response.oldest, *response.series, *response.bare, *response.twice}
    of_values: dict[bytes, ReadingHistory] = {}
    made = {}
    for service in services:
        row = _NO_VALUES if service in response.repeated else response.value.get(service, _NO_VALUES)
        key = row.tobytes() if service not in special else service.encode()
        known = of_values.get(key)
        if known is None:
            known = of_values[key] = ReadingHistory(_timed_readings(service, row, max_age_s, response, now_s))
        made[service] = known
    return made


_NO_VALUES: Row = array("d")


def _timed_readings(
    service: ServiceName, values: Row, max_age_s: float, response: RangeResponse, now_s: float
) -> tuple[TimedReading, ...]:
    """Make a reading for each time of the grid; a service without a property of its own has the usual one."""
    grid, missing = response.grid, response.grid.row(())
    rows = (
        values or missing,
        response.oldest.get(service, missing),
        response.usual.get("oldest", missing),
        response.series.get(service, missing),
        response.usual.get("series", missing),
        response.bare.get(service, missing),
        response.twice.get(service, missing),
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
            made.append(
                TimedReading(at_s, as_reading(Sample(value, sources, age_s), max_age_s, response.warning, at_s))
            )
    return tuple(made)
