"""What Prometheus has of our own metrics of one service: the part of a chart from before this process. No I/O.

Rules:
1. A sample counts until the next one should have come, and no longer: Prometheus itself repeats it for 5 minutes.
2. Two controllers say the same of a service: the larger number counts. Gateways are added up, each once.
3. A value that is no count, a response that is not what was asked for, or a part that may be missing, is unknown.
"""

import math
from typing import NamedTuple

import msgspec

from autoscaler.documents.promql import GATEWAYS_SERIES, quoted
from autoscaler.ports import ServiceName
from autoscaler.sources.prometheus_range import Grid
from autoscaler.sources.prometheus_response import LARGEST_COUNT, QueryError, malformed_is_error, result_of

_SAMPLE_S = 60
"""The longest usual distance of scrapes."""


class PastCounts(NamedTuple):
    """A service at one time before this process; None is unknown."""

    at_s: float
    running: float | None
    queued: float | None
    asked: float | None
    ready: float | None


class _Labels(msgspec.Struct, gc=False):
    f: str


class _Range(msgspec.Struct, gc=False):
    metric: _Labels
    values: list[tuple[float, str]]


_MATRIX = msgspec.json.Decoder(list[_Range])
_KINDS = ("running", "queued", "asked", "ready")


def past_query(service: ServiceName) -> str:
    """Give the query for one service; each element says in its label `f` what it is."""
    namespace, _, name = service.partition("/")
    labels = f"namespace={quoted(namespace)},service={quoted(name)}"
    requests = {kind: f"{GATEWAYS_SERIES}{{{labels},state={quoted(kind)}}}" for kind in ("running", "queued")}
    replicas = {"asked": f"inflight_replicas{{{labels}}}", "ready": f"inflight_ready_replicas{{{labels}}}"}
    parts = {kind: f"sum(max by (instance, pod) ({_fresh(series)}))" for kind, series in requests.items()}
    parts |= {kind: f"max({_fresh(series)})" for kind, series in replicas.items()}
    return "\nor ".join(f'label_replace({part}, "f", "{kind}", "", "")' for kind, part in parts.items())


def _fresh(series: str) -> str:
    return f"{series} and (time() - timestamp({series}) < {_SAMPLE_S})"


def parse_past(body: bytes, grid: Grid) -> tuple[PastCounts, ...]:
    """Read the response to `past_query` over a range; raises QueryError."""
    rows = {}
    with malformed_is_error():
        result, warning = result_of(body, "matrix")
        for element in _MATRIX.decode(result):
            if element.metric.f not in _KINDS or element.metric.f in rows:
                raise QueryError("the result has other elements than were asked for")
            rows[element.metric.f] = grid.row(element.values)
    if warning:
        raise QueryError(f"part of the data may be missing: {warning}")
    columns = [[_count(value) for value in rows.get(kind, grid.row(()))] for kind in _KINDS]
    times = [(grid.start_ms + step * grid.step_ms) / 1000 for step in range(grid.steps + 1)]
    return tuple(PastCounts(*row) for row in zip(times, *columns, strict=True))


def _count(value: float) -> float | None:
    return value if not math.isnan(value) and 0 <= value <= LARGEST_COUNT else None
