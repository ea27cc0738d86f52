"""The figures of charts as tables: columns of one length, by name. The page, PNG, SVG and notebooks draw from them.

A value that is unknown is None. Times are in Unix seconds. Nothing is interpolated: a row holds until the next one.
"""

from collections.abc import Iterable, Sequence

from autoscaler.explain.forecast import Point
from autoscaler.page.history import Sample

Column = list[float | None]
Table = dict[str, Column]

SERIES = ("time", "running", "queued", "average", "asked", "ready", "starting")
QUALITY = ("time", "answers", "success", "4xx", "5xx", "p50", "p90", "p95", "p99", "count")
FORECAST = ("time", "average", "asked")
SPARKS = 9
"""Parts of the small chart of a fleet's row."""
SPARK_S = 400.0
"""How long each part is. Parts begin at multiples of it, so that they do not change while nothing happens."""
_MOST_POINTS = 240


def series(samples: Iterable[Sample]) -> Table:
    """Give requests in flight and replicas over time."""
    return _table(SERIES, samples)


def quality(rows: Iterable[Sequence[float | None]]) -> Table:
    """Give answers over time: rates in a minute, the share that succeeded, response times, and of how many."""
    return _table(QUALITY, rows)


def forecast(points: Sequence[Point]) -> Table:
    """Give the forecast: each change of the number, and in between as much of the average as a chart can show."""
    step = len(points) // _MOST_POINTS + 1
    shown = [
        (point.at_s, point.average, point.desired)
        for place, point in enumerate(points)
        if not place % step or point is points[-1] or point.desired != points[place - 1].desired
    ]
    return _table(FORECAST, shown)


def _table(names: Sequence[str], rows: Iterable[Sequence[float | None]]) -> Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return {name: [short(value) for value in column] for name, column in zip(names, columns, strict=True)}


def short(value: float | None) -> float | None:
    """Write three decimals: a number of replicas without any, a time in milliseconds."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 3)


def spark_begins_s(now_s: float) -> float:
    """Give the time at which the first part of a small chart begins."""
    return (now_s // SPARK_S - SPARKS + 1) * SPARK_S


def spark(samples: Sequence[Sample], slots: float) -> list[Column | None]:
    """Give the last hour in few parts: running, queued and slots asked for when most was in flight; None is unknown.

    It is empty if nothing was there for all of the time.

    Args:
        samples: the rows since `spark_begins_s` until now.
        slots: requests in flight that a replica should have.
    """
    begins_s = spark_begins_s(samples[-1].at_s) if samples else 0.0
    parts: list[Column | None] = []
    index, at = 0, None
    for part in range(SPARKS):
        end_s, found = begins_s + (part + 1) * SPARK_S, [] if at is None else [at]
        while index < len(samples) and samples[index].at_s < end_s:
            at = samples[index]
            found.append(at)
            index += 1
        parts.append(_busiest(found, slots))
    return parts if any(part is None or any(part) for part in parts) else []


def _busiest(samples: Sequence[Sample], slots: float) -> Column | None:
    known = [
        (each.running + each.queued, each) for each in samples if not (each.running is None or each.queued is None)
    ]
    if not known or len(known) < len(samples):
        return None
    most = max(in_flight for in_flight, _ in known)
    *_, busiest = (each for in_flight, each in known if in_flight == most)
    return [short(busiest.running), short(busiest.queued), busiest.asked and short(busiest.asked * slots)]
