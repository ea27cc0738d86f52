"""Sources of requests: closed loops of clients, drawn or replayed arrivals, and several of these together.

A workload of `simulations.scenario.workloads` becomes one of them in `source_of`.
"""

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import islice, repeat
from math import inf
from typing import cast

import numpy as np

from algorithms.distributions import Distribution, Exponential, Gamma, Uniform
from autoscaler.host_claims import normal
from simulations.model.history import SERVED
from simulations.model.random_streams import CHUNK, RandomStreams
from simulations.model.run_inputs import Arrival, Batch, Chunk, Floats, Source
from simulations.scenario import rate_curve
from simulations.scenario.rate_curve import Curve
from simulations.scenario.workloads import ClosedLoop, Diurnal, RateCurve, Trace, Workload

EVEN = Uniform(0.0, 1.0)


class Retrier:
    """Retries of clients after a failure."""

    def __init__(self, workload: Workload, random_streams: RandomStreams, number: int) -> None:
        retries = workload.retries
        self._attempts = retries.attempts if retries else 1
        self._backoff = random_streams.draws("retry", retries.backoff, number) if retries else repeat(0.0)

    @property
    def may_come(self) -> bool:
        """Whether a request can have a second attempt."""
        return self._attempts > 1

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Give the next attempt of a failed request; None if none is left."""
        if status == SERVED or ended.attempt >= self._attempts:
            return None
        return ended._replace(t_s=now_s + next(self._backoff), attempt=ended.attempt + 1)


class ClosedLoopSource:
    """Clients that each send the next request after the last one ended.

    The k-th request of a client has the same service time and patience under every policy.
    """

    def __init__(self, workload: Workload, loop: ClosedLoop, random_streams: RandomStreams, number: int) -> None:
        self._start_s, self._timeout_s = workload.start, workload.timeout or inf
        self._clients, self._each = loop.clients, loop.requests // loop.clients
        total = self._each * loop.clients
        self._service = _taken(random_streams.chunks("service", workload.service_time, number), total)
        self._think = _taken(random_streams.chunks("think", loop.think_time, number), total)
        self._patience = _taken(_patience(workload, random_streams, number), total)
        self._retries = Retrier(workload, random_streams, number)
        self._kind, self._keep_cookies = _kind(workload), workload.sessions is not None
        self._sent = [0] * loop.clients
        self._thought = 0

    def arrivals(self) -> Iterator[Arrival]:
        """Give the first request of each client."""
        yield from [self._next(client, self._start_s) for client in range(self._clients) if self._each]

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Give the client's next attempt, or its next request; None if it has none left."""
        again = self._retries.after(ended, status, now_s)
        if again is not None:
            return again
        if self._sent[ended.client] == self._each:
            return None
        self._thought += 1
        return self._next(ended.client, now_s + float(self._think[self._thought - 1]))

    def _next(self, client: int, t_s: float) -> Arrival:
        number = self._sent[client] * self._clients + client
        self._sent[client] += 1
        service_s, patience_s = float(self._service[number]), float(self._patience[number])
        session = client if self._keep_cookies else -1
        return self._kind._replace(t_s=t_s, service_s=service_s, patience_s=patience_s, client=client, session=session)

    def batch(self, until_s: float) -> Batch | None:  # noqa: ARG002  # arrivals depend on responses
        """Give all requests at once; None if clients retry."""
        if self._retries.may_come:
            return None
        timeout = np.full(len(self._service), self._timeout_s)
        return Batch(
            self._service, self._service, self._patience, timeout, self._clients, self._each, self._think, self._start_s
        )

    def chunks(self) -> None:
        """Give None: arrivals depend on responses."""


class OpenSource:
    """Requests whose arrivals do not depend on responses."""

    def __init__(self, times: Iterator[Floats], workload: Workload, random_streams: RandomStreams, number: int) -> None:
        self._times = _first(times, workload.requests)
        self._service = _service(workload, random_streams, number)
        self._patience = _patience(workload, random_streams, number)
        self._timeout_s = workload.timeout or inf
        self._waits = workload.patience is None and workload.timeout is None
        self._retries = Retrier(workload, random_streams, number)
        self._kind, self._sessions = _kind(workload), workload.sessions or 0
        self._chosen = random_streams.draws("session", EVEN, number) if workload.sessions else repeat(-1.0)

    def arrivals(self) -> Iterator[Arrival]:
        """Give all requests in order of arrival."""
        for times, service, patience in self._chunks():
            yield from map(self._arrival, times.tolist(), service.tolist(), patience.tolist())

    def _arrival(self, t_s: float, service_s: float, patience_s: float) -> Arrival:
        session = int(next(self._chosen) * self._sessions) if self._sessions else -1
        return self._kind._replace(t_s=t_s, service_s=service_s, patience_s=patience_s, session=session)

    def _chunks(self) -> Iterator[tuple[Floats, Floats, Floats]]:
        for times, service, patience in zip(self._times, self._service, self._patience, strict=False):
            count = int(np.searchsorted(times, inf))
            yield times[:count], service[:count], patience[:count]
            if count < len(times):
                return

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Give the client's next attempt."""
        return self._retries.after(ended, status, now_s)

    def batch(self, until_s: float) -> Batch | None:
        """Give all requests up to a time at once; None if clients retry."""
        if self._retries.may_come:
            return None
        columns: list[tuple[Floats, Floats, Floats]] = []
        for chunk in self._chunks():
            columns.append(chunk)
            if len(chunk[0]) and chunk[0][-1] > until_s:
                break
        arrival, service, patience = (np.concatenate(column) for column in zip(*columns, strict=True))
        count = int(np.searchsorted(arrival, until_s, side="right"))
        return Batch(arrival[:count], service[:count], patience[:count], np.full(count, self._timeout_s))

    def chunks(self) -> Iterator[Chunk] | None:
        """Give arrivals and service times in chunks, as they are drawn; None if clients may leave."""
        return ((times, service) for times, service, _ in self._chunks()) if self._waits else None


class MergedSource:
    """Several sources together."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def arrivals(self) -> Iterator[Arrival]:
        """Give the requests of all sources, in order of arrival."""
        marked = [map(_from(number), source.arrivals()) for number, source in enumerate(self._sources)]
        return merge(*marked, key=lambda arrival: arrival.t_s)

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Give what the request's own source gives."""
        following = self._sources[ended.source].after(ended, status, now_s)
        return following and following._replace(source=ended.source)

    def batch(self, until_s: float) -> Batch | None:
        """Give all requests up to a time at once; None if some depend on responses."""
        batches = [source.batch(until_s) for source in self._sources]
        known = [batch for batch in batches if batch is not None and not batch.clients]
        if len(known) < len(batches):
            return None
        arrival, *others = (np.concatenate(column) for column in zip(*(batch[:4] for batch in known), strict=True))
        order = np.argsort(arrival, kind="stable")
        service, patience, timeout = (column[order] for column in others)
        return Batch(arrival[order], service, patience, timeout)

    def chunks(self) -> Iterator[Chunk] | None:
        """Give the chunks of all sources, merged; None if clients of one may leave."""
        streams = [source.chunks() for source in self._sources]
        known = [stream for stream in streams if stream is not None]
        return _merged(known) if len(known) == len(streams) else None


def source_of(workloads: Sequence[Workload], random_streams: RandomStreams) -> Source:
    """Make one source for all workloads of a scenario."""
    sources = [source_of_workload(workload, random_streams, number) for number, workload in enumerate(workloads)]
    return sources[0] if len(sources) == 1 else MergedSource(sources)


def _kind(workload: Workload) -> Arrival:
    """Give what all requests of a workload have in common."""
    return Arrival(
        0.0,
        0.0,
        timeout_s=workload.timeout or inf,
        path=workload.path or "",
        host=normal(workload.host or ""),
        headers=tuple((workload.headers or {}).items()),
    )


def source_of_workload(workload: Workload, random_streams: RandomStreams, number: int) -> Source:
    """Give the requests of one workload, by its number among all."""
    if workload.closed_loop:
        return ClosedLoopSource(workload, workload.closed_loop, random_streams, number)
    return OpenSource(_times(workload, random_streams, number), workload, random_streams, number)


def _times(workload: Workload, random_streams: RandomStreams, number: int) -> Iterator[Floats]:
    """Give arrival times in chunks; infinite for places without an arrival."""
    if workload.trace:
        return _cut(workload.start + _kept(workload.trace, workload.trace.columns()[0], random_streams, number))
    if workload.poisson:
        return _accumulated(
            workload.start, random_streams.chunks("arrivals", Exponential(1 / workload.poisson.rate), number)
        )
    if workload.renewal:
        return _accumulated(workload.start, random_streams.chunks("arrivals", workload.renewal.interarrival, number))
    changing = cast("Diurnal | RateCurve", workload.diurnal or workload.rate_curve)
    shape: Distribution = Gamma(1.0, changing.cv) if changing.cv != 1 else Exponential(1.0)
    rate, units = _curve(changing), _accumulated(0.0, random_streams.chunks("arrivals", shape, number))
    return (workload.start + rate.times(chunk) for chunk in units)


def _merged(streams: Sequence[Iterator[Chunk]]) -> Iterator[Chunk]:
    """Merge chunks in order of time; at the same time the first stream comes first."""
    none: Floats = np.zeros(0)
    held: list[Chunk] = [(none, none)] * len(streams)
    known_s = [-inf] * len(streams)
    while min(known_s) < inf:
        behind = int(np.argmin(known_s))
        arrival, service = next(streams[behind], (none, none))
        known_s[behind] = float(arrival[-1]) if len(arrival) else inf
        times, needs = held[behind]
        held[behind] = np.concatenate([times, arrival]), np.concatenate([needs, service])
        ends = [int(np.searchsorted(times, min(known_s))) for times, _ in held]
        arrival, service = (
            np.concatenate([one[column][:end] for one, end in zip(held, ends, strict=True)]) for column in range(2)
        )
        held = [(times[end:], needs[end:]) for (times, needs), end in zip(held, ends, strict=True)]
        order = np.argsort(arrival, kind="stable")
        yield arrival[order], service[order]


def _curve(changing: Diurnal | RateCurve) -> Curve:
    if isinstance(changing, Diurnal):
        return rate_curve.sine(changing.mean_rate, changing.amplitude, changing.period, changing.peak)
    make = rate_curve.steps if changing.between == "Steps" else rate_curve.lines
    return make(*changing.curve())


def _accumulated(start_s: float, gaps: Iterator[Floats]) -> Iterator[Floats]:
    last_s = start_s
    for chunk in gaps:
        times = np.cumsum(np.concatenate([[last_s], chunk]))[1:]
        yield times
        last_s = float(times[-1])


def _service(workload: Workload, random_streams: RandomStreams, number: int) -> Iterator[Floats]:
    drawn = random_streams.chunks("service", workload.service_time, number)
    known = workload.trace.columns()[1] if workload.trace else None
    if workload.trace is None or known is None:
        return drawn
    kept = _cut(_kept(workload.trace, known, random_streams, number))
    return (np.where(np.isnan(given), draws, given) for given, draws in zip(kept, drawn, strict=False))


def _kept(trace: Trace, column: Floats, random_streams: RandomStreams, number: int) -> Floats:
    """Select the kept requests of a column; the selection is the same for each column."""
    if trace.keep == 1:
        return column
    return column[_taken(random_streams.chunks("keep", Uniform(0.0, 1.0), number), len(column)) < trace.keep]


def _patience(workload: Workload, random_streams: RandomStreams, number: int) -> Iterator[Floats]:
    if workload.patience is None:
        return repeat(np.full(CHUNK, inf))
    return random_streams.chunks("patience", workload.patience, number)


def _cut(values: Floats) -> Iterator[Floats]:
    """Cut values into chunks of `CHUNK`; the rest of the last chunk is infinite."""
    filled = np.concatenate([values, np.full(-len(values) % CHUNK + 1, inf)])
    return (filled[at : at + CHUNK] for at in range(0, len(values) + 1, CHUNK))


def _first(chunks: Iterator[Floats], count: int | None) -> Iterator[Floats]:
    """Keep the first `count` values; the others become infinite."""
    if count is None:
        yield from chunks
        return
    for chunk in chunks:
        yield np.concatenate([chunk[:count], np.full(max(len(chunk) - count, 0), inf)])
        count = max(count - len(chunk), 0)


def _taken(chunks: Iterator[Floats], count: int) -> Floats:
    taken = list(islice(chunks, -(-count // CHUNK)))
    return np.concatenate(taken)[:count] if taken else np.zeros(0)


def _from(number: int) -> Callable[[Arrival], Arrival]:
    return lambda arrival: arrival._replace(source=number)
