"""Where requests come from: closed loops of clients, arrivals drawn or replayed, and several of these at once."""

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import islice, repeat
from math import inf

from algorithms.distributions import Distribution, Exponential
from simulations.luck import Luck, draws
from simulations.scenario import ClosedLoop, Workload
from simulations.setup import Arrival, Source


class Closed:
    """Clients that each send the next request when the last one has ended.

    The k-th request of a client has the same service time whatever happens, so that policies meet the same work.
    """

    def __init__(self, workload: Workload, loop: ClosedLoop, luck: Luck, number: int) -> None:
        self._make = _maker(workload, luck, number)
        self._start_s = workload.start
        self._think = draws(loop.think_time, luck.rng("think", number))
        self._each = loop.requests // loop.clients
        self._sent = [0] * loop.clients
        service = islice(draws(workload.service_time, luck.rng("service", number)), self._each * loop.clients)
        self._service = list(service)

    def arrivals(self) -> Iterator[Arrival]:
        """Give the first request of each client."""
        if self._each:
            yield from [self._next(client, self._start_s) for client in range(len(self._sent))]

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:  # noqa: ARG002  # hey goes on as well
        """Give the client's next request, if it has one left."""
        if self._sent[ended.client] == self._each:
            return None
        return self._next(ended.client, now_s + next(self._think))

    def _next(self, client: int, t_s: float) -> Arrival:
        service_s = self._service[self._sent[client] * len(self._sent) + client]
        self._sent[client] += 1
        return self._make(t_s, service_s)._replace(client=client)


class Open:
    """Requests that come whatever happens to those before them."""

    def __init__(self, times: Iterator[float], workload: Workload, luck: Luck, number: int) -> None:
        given = workload.trace.service if workload.trace else None
        service = iter(given) if given else draws(workload.service_time, luck.rng("service", number))
        self._times = islice(times, workload.requests)
        self._service = service
        self._make = _maker(workload, luck, number)

    def arrivals(self) -> Iterator[Arrival]:
        """Give them in order."""
        return map(self._make, self._times, self._service)

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:  # noqa: ARG002
        """Give nothing."""
        return None


class Together:
    """Several sources at once."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def arrivals(self) -> Iterator[Arrival]:
        """Give those of all, in order."""
        marked = [map(_from(number), source.arrivals()) for number, source in enumerate(self._sources)]
        return merge(*marked, key=lambda arrival: arrival.t_s)

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Ask the source it came from."""
        following = self._sources[ended.source].after(ended, status, now_s)
        return following and following._replace(source=ended.source)


def source_of(workloads: Sequence[Workload], luck: Luck) -> Source:
    """Make the source of some workloads."""
    sources = [_source(workload, luck, number) for number, workload in enumerate(workloads)]
    return sources[0] if len(sources) == 1 else Together(sources)


def _source(workload: Workload, luck: Luck, number: int) -> Source:
    if workload.closed_loop:
        return Closed(workload, workload.closed_loop, luck, number)
    return Open(_times(workload, luck, number), workload, luck, number)


def _times(workload: Workload, luck: Luck, number: int) -> Iterator[float]:
    if workload.trace:
        return (workload.start + t_s for t_s in workload.trace.arrivals)
    gaps: Distribution
    if workload.renewal:
        gaps = workload.renewal.interarrival
    else:
        gaps = Exponential(1 / workload.poisson.rate) if workload.poisson else Exponential(1.0)
    return _accumulated(workload.start, draws(gaps, luck.rng("arrivals", number)))


def _accumulated(start_s: float, gaps: Iterator[float]) -> Iterator[float]:
    t_s = start_s
    for gap_s in gaps:
        t_s += gap_s
        yield t_s


def _from(number: int) -> Callable[[Arrival], Arrival]:
    return lambda arrival: arrival._replace(source=number)


def _maker(workload: Workload, luck: Luck, number: int) -> Callable[[float, float], Arrival]:
    """Give a function that makes a request with the patience of this workload's clients."""
    patience = draws(workload.patience, luck.rng("patience", number)) if workload.patience else repeat(inf)
    timeout_s = workload.timeout or inf
    return lambda t_s, service_s: Arrival(t_s, service_s, next(patience), timeout_s)
