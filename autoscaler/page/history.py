"""One hour of every service in memory: what was counted, and what was asked for. No I/O.

Rules:
1. A row holds until the next one. What changes nothing adds no row, so that an idle service costs nothing.
2. A service that was not observed for longer than `gap_s` is unknown in between, unless nothing at all was there: idle
   services are not observed.
3. The newest rows are all kept. Of older ones each 15 s keep two: the last one, and the one with most requests in
   flight, an unknown count before all. So no peak and no gap gets lost.
4. All services together have `MOST_ROWS`. If they are too many, the hour of each gets shorter.
"""

import math
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from autoscaler.explain.episodes import asked_after
from autoscaler.ports import Record, ServiceName

SPAN_S = 3600.0
FINE_ROWS = 384
"""The newest rows of a service, which are all kept: 13 minutes of changes at a tick of 2 s."""
MOST_ROWS = 2_000_000
"""Of all services together: 64 MB."""
_COARSE_S = 15.0
_COARSE_ROWS = 2 * int(SPAN_S / _COARSE_S)
_MOVED = 32
"""Rows that leave the newest ones at once."""
_FEWEST_ROWS = 64


class Sample(NamedTuple):
    """A service at one time; None is unknown."""

    at_s: float
    running: float | None
    queued: float | None
    average: float | None
    """The average that the recommendation is based on."""
    asked: float | None
    ready: float | None
    starting: float | None

    @property
    def is_nothing(self) -> bool:
        """Whether it is known that nothing is there."""
        return not any(value is None or value for value in self[1:])


UNKNOWN = Sample(0.0, *[None] * 6)
_WIDTH = len(UNKNOWN) - 1


def sample_of(record: Record) -> Sample:
    """Give what a decision record says of its time."""
    observation, averages = record.observation, record.decision.recommendation.averages
    return Sample(
        observation.now_s,
        running=observation.running,
        queued=observation.queued,
        average=averages[0].value if averages else None,
        asked=asked_after(record),
        ready=observation.ready,
        starting=observation.starting,
    )


class _Rows:
    """Samples in two arrays: 32 bytes each."""

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times = array("d")
        self.values = array("f")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> Sample:
        index %= len(self.times)
        values = self.values[index * _WIDTH : (index + 1) * _WIDTH]
        return Sample(self.times[index], *(None if math.isnan(value) else value for value in values))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def append(self, sample: Sample) -> None:
        self.times.append(sample.at_s)
        self.values.extend([math.nan if value is None else value for value in sample[1:]])

    def in_flight(self, index: int) -> float:
        """Give the requests in flight of a row, counted from the end; an unknown count is more than any."""
        first = len(self.values) + index * _WIDTH
        total = self.values[first] + self.values[first + 1]
        return math.inf if math.isnan(total) else total

    def drop_first(self, number: int) -> None:
        del self.times[:number]
        del self.values[: number * _WIDTH]

    def drop(self, index: int) -> None:
        index %= len(self.times)
        del self.times[index]
        del self.values[index * _WIDTH : (index + 1) * _WIDTH]


class _ServiceHistory:
    __slots__ = ("coarse", "fine", "last", "seen_s")

    def __init__(self, sample: Sample) -> None:
        self.fine = _Rows()
        self.coarse = _Rows()
        self.append(sample)

    def append(self, sample: Sample) -> None:
        self.fine.append(sample)
        self.last, self.seen_s = sample, sample.at_s

    def shorten(self, most: int) -> None:
        """Move the oldest of the newest rows to the others, and drop what is too old or too much."""
        if len(self.fine) >= min(FINE_ROWS, most // 2) + _MOVED:
            for index in range(_MOVED):
                self._move(index)
            self.fine.drop_first(_MOVED)
        times, oldest_s = self.coarse.times, self.seen_s - SPAN_S
        while len(times) > 1 and (times[1] <= oldest_s or len(times) > min(_COARSE_ROWS, most // 2)):
            self.coarse.drop_first(1)

    def _move(self, index: int) -> None:
        """Add one of the newest rows to the others; of the two that are there in its part the busier one stays."""
        coarse, at_s = self.coarse, self.fine.times[index]
        if len(coarse) > 1 and coarse.times[-2] // _COARSE_S == at_s // _COARSE_S:
            coarse.drop(-1 if coarse.in_flight(-2) >= coarse.in_flight(-1) else -2)
        coarse.times.append(at_s)
        coarse.values += self.fine.values[index * _WIDTH : (index + 1) * _WIDTH]

    def all(self) -> Iterator[Sample]:
        yield from self.coarse
        yield from self.fine


class History:
    """The last hour of all services.

    Args:
        gap_s: for how long a service that has something may go unobserved before it counts as unknown.
    """

    def __init__(self, gap_s: float = 10.0) -> None:
        self._gap_s = gap_s
        self._services: dict[ServiceName, _ServiceHistory] = {}

    def __call__(self, record: Record) -> None:
        """Keep what a decision record says; this is a recorder of the controller."""
        self.add(record.service, sample_of(record))

    def add(self, service: ServiceName, sample: Sample) -> None:
        """Keep a sample; those of one service come in order of time."""
        known = self._services.get(service)
        if known is None:
            self._services[service] = _ServiceHistory(sample)
            return
        if not known.last.is_nothing and sample.at_s - known.seen_s > self._gap_s:
            known.append(UNKNOWN._replace(at_s=known.seen_s))
        if known.last[1:] == sample[1:]:
            known.seen_s = sample.at_s
            return
        known.append(sample)
        known.shorten(max(MOST_ROWS // len(self._services), _FEWEST_ROWS))

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._services.pop(service, None)

    def rows(self, service: ServiceName) -> int:
        """Count the rows of a service."""
        known = self._services.get(service)
        return 0 if known is None else len(known.coarse) + len(known.fine)

    def begins_s(self, service: ServiceName) -> float | None:
        """Give the time of the oldest row; None if there is none."""
        known = self._services.get(service)
        return None if known is None else next(known.all()).at_s

    def samples(self, service: ServiceName, since_s: float, now_s: float) -> list[Sample]:
        """Give the rows since a time, the first one at that time and the last one now."""
        known = self._services.get(service)
        if known is None:
            return []
        before, found = None, []
        for row in known.all():
            if row.at_s > since_s:
                found.append(row)
            else:
                before = row
        if before is not None:
            found.insert(0, before._replace(at_s=since_s))
        if found[-1].at_s < now_s:
            if now_s - known.seen_s > self._gap_s and not known.last.is_nothing:
                found.append(UNKNOWN._replace(at_s=max(known.seen_s, since_s)))
            found.append(found[-1]._replace(at_s=now_s))
        return found
