"""The fastest engine: a FIFO queue before replicas that each serve one request at a time.

It is exact if between ticks requests only arrive, start and end: no stream of the gateway, no client that leaves, and
one kind of GPU that is never out of stock. Requests are read in chunks and given to a sink when they have started, so a
run needs memory for its queue only.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, nan
from typing import Protocol

import numpy as np

from algorithms.distributions import Constant
from autoscaler.controller.step import Service
from autoscaler.ports import Recorder, Replica
from simulations.engines import fifo_recursion
from simulations.engines.control_law import REPLICA_PREFIX, ControlLaw, ControllerLaw
from simulations.engines.fifo_recursion import (
    ARRIVAL,
    ARRIVED,
    ASKED,
    BUSY,
    DEPARTED,
    FREE,
    HEAD,
    KNOWN,
    LAST_CHANGE,
    LONGEST_QUEUE,
    LONGEST_WAIT,
    NUMBER,
    READY,
    REMOVED_AT,
    REPLICA,
    REQUEST_SECONDS,
    SERVICE,
    SPEED,
    START,
)
from simulations.engines.jit import specialised
from simulations.engines.lazy_fleet import listed
from simulations.model.history import SERVED, STILL_IN, Change, History, Replicas, Requests
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Chunk, Floats, NotExactError, RunInputs

PIECE = 65_536
"""Requests in a piece, if all are known: a piece fits in the processor's cache."""

ROOM = 64
"""Capacity for replicas at the beginning, beside the initial ones; it is doubled when needed."""


class RequestSink(Protocol):
    """Takes requests that have started, or that never will."""

    def take(self, requests: Floats) -> None:
        """Take requests in order of arrival: the rows of `requests` in `fifo_recursion`, which are then overwritten."""
        ...


def why_not_exact(inputs: RunInputs) -> str:
    """Say why this engine cannot do a run exactly; empty if it can."""
    reasons = {
        "replicas follow every request": inputs.immediate,
        "the controller reads the gateway's stream": inputs.coalesce_s < inf,
        "a replica serves more than one request at a time": inputs.limits.concurrency != 1,
        "replicas die": any(pool.lifetime is not None for pool in inputs.pools),
        "GPUs may be out of stock": inputs.pools[0].stock < inf,
        "the lag of metrics varies": not isinstance(inputs.metric_lag, Constant),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def in_pieces(arrival: Floats, service: Floats) -> Iterator[Chunk]:
    """Cut known requests into pieces."""
    return ((arrival[at : at + PIECE], service[at : at + PIECE]) for at in range(0, len(arrival), PIECE))


class FifoEngine:
    """One run; `run` may be called once.

    Attributes:
        asked: replicas asked for now.
    """

    def __init__(
        self,
        inputs: RunInputs,
        chunks: Iterator[Chunk],
        control_law: ControlLaw,
        random_streams: RandomStreams,
        sink: RequestSink,
    ) -> None:
        """Set up a run that begins at 0; check with `why_not_exact` first."""
        self._inputs, self._chunks, self._control_law, self._sink = inputs, chunks, control_law, sink
        self.asked = inputs.initial
        self._changes = [(0.0, inputs.initial)]
        """Times, and replicas asked for from then on."""
        self._requests = np.zeros((5, PIECE))
        self._places, self._departed = np.zeros((6, ROOM + inputs.initial)), np.zeros((7, ROOM + inputs.initial))
        self._counts = np.zeros(8, dtype=np.int64)
        self._sums = np.zeros(5)
        self._sums[SPEED] = inputs.pools[0].speed
        arrays = self._places, self._counts, self._sums
        self._advance = specialised(fifo_recursion.advance, self._requests, *arrays, 0.0)
        self._append = specialised(fifo_recursion.add_replica, *arrays[:2], 0, 0.0, 0.0)
        self._shrink = specialised(fifo_recursion.remove_until, *arrays, self._departed, 0)
        self._known_s = -inf
        """All requests that arrive before this time are in `_requests`."""
        self._added = self._staying = 0
        stages = enumerate(inputs.pools[0].cold_start)
        self._cold_starts = [random_streams.stream("cold start", stage, which) for which, stage in stages]
        self._lag_s = inputs.metric_lag.expected()
        self._now_s = self._observed_s = 0.0

    def run(self) -> History:
        """Run to the end. After Ctrl-C the history ends there, and is partial.

        Raises:
            NotExactError: a request exceeded the queue timeout, or found the queue full.
        """
        for _ in range(self._inputs.initial):
            self._add(0.0, 0.0)
        partial = False
        try:
            self._loop()
        except KeyboardInterrupt:
            partial = True
        return self._history(partial=partial)

    def _loop(self) -> None:
        inputs, control_law, advance, until_s, lag_s = (
            self._inputs,
            self._control_law,
            self._advance,
            self._inputs.until_s,
            self._lag_s,
        )
        ends, ticks, scrapes, shown, seen = until_s < inf, 0, 0, 0, None
        tick_s = 0.0 if inputs.tick_s < inf else inf
        scrape_s, due_s = (0.0, lag_s) if inputs.scrape_s < inf else (inf, inf)
        samples: deque[float] = (
            deque()
        )  # samples that no query finds yet; a query finds the first of them from due_s on
        while (now_s := tick_s if tick_s < scrape_s else scrape_s) <= until_s and now_s < inf:  # noqa: FURB136 - min costs a call
            self._now_s = now_s
            if self._known_s <= now_s:
                self._read_until(now_s)
            inflight, ready = advance(self._requests, self._places, self._counts, self._sums, now_s)
            if now_s == scrape_s:
                samples.append(inflight)
                scrapes += 1
                scrape_s = scrapes * inputs.scrape_s if ends or not self._is_finished(now_s, inflight) else inf
            while due_s <= now_s and samples:
                seen = samples.popleft()
                shown += 1
                due_s = shown * inputs.scrape_s + lag_s
            if now_s == tick_s:
                wanted = control_law(now_s, seen, self.asked, ready)
                if wanted != self.asked:
                    self.scale(now_s, wanted)
                self._observed_s = now_s
                ticks += 1
                tick_s = ticks * inputs.tick_s if ends or not self._is_finished(now_s, inflight) else inf
        self._read_until(until_s)
        advance(self._requests, self._places, self._counts, self._sums, until_s)

    def _is_finished(self, now_s: float, inflight: float) -> bool:
        """Say whether the run is over: nothing else can happen."""
        if self._known_s < inf or self._counts[ARRIVED] < self._counts[KNOWN]:
            return False
        if not inflight and self.asked <= self._inputs.min_replicas:
            return True
        last_change_s = fifo_recursion.last_change(self._requests, self._places, self._counts, self._sums, now_s)
        return now_s - last_change_s >= self._inputs.settle_s

    # Requests.

    def _read_until(self, until_s: float) -> None:
        """Read until all arrivals up to a time are known."""
        while self._known_s <= until_s and self._read():
            pass

    def _read(self) -> bool:
        """Hand over the requests that have started, then read one more piece; say whether there was one."""
        if self._known_s > -inf:
            self._advance(self._requests, self._places, self._counts, self._sums, self._known_s)
            self._hand_over()
        arrival, service = next(self._chunks, (None, None))
        if arrival is None or service is None:
            self._known_s = inf
            return False
        filled = int(self._counts[KNOWN])
        end = filled + len(arrival)
        if end > self._requests.shape[1]:
            self._requests = np.concatenate([self._requests, np.zeros((5, end))], axis=1)
        self._requests[ARRIVAL, filled:end], self._requests[SERVICE, filled:end] = arrival, service
        self._counts[KNOWN] = end
        self._known_s = float(arrival[-1]) if len(arrival) else self._known_s
        return True

    def _hand_over(self) -> None:
        """Give the requests that have started to the sink, and keep the queue."""
        self._sums[LAST_CHANGE] = fifo_recursion.last_change(
            self._requests, self._places, self._counts, self._sums, self._known_s
        )
        head, filled = int(self._counts[HEAD]), int(self._counts[KNOWN])
        self._check()
        self._sink.take(self._requests[:, :head])
        self._requests[:, : filled - head] = self._requests[:, head:filled].copy()
        self._counts[[HEAD, ARRIVED, KNOWN]] -= head

    def _check(self) -> None:
        """Check that the queue had room for every request, and that no queue timeout expired."""
        head, came, room = int(self._counts[HEAD]), int(self._counts[ARRIVED]), self._inputs.limits.queue_length
        arrival, start = self._requests[ARRIVAL], self._requests[START]
        start[head:came] = inf
        met_many = room < came and bool(np.any(start[: came - room] > arrival[room:came]))
        if met_many or self._counts[LONGEST_QUEUE] > room:
            raise NotExactError("the queue was full")
        if self._sums[LONGEST_WAIT] >= self._inputs.limits.queue_timeout_s < inf:
            raise NotExactError("a request waited longer than the queue timeout")

    # Replicas.

    def scale(self, now_s: float, replicas: int, leaving: Sequence[int] | None = None) -> None:
        """Ask for a number of replicas.

        Args:
            now_s: when.
            replicas: the number to ask for.
            leaving: the numbers of the replicas to remove; None for the live controller's order.
        """
        self.asked = replicas
        self._changes.append((now_s, replicas))
        if replicas > self._staying:
            for _ in range(replicas - self._staying):
                self._add(now_s, sum(map(next, self._cold_starts)))
        else:
            self._remove(replicas, leaving)

    def _add(self, now_s: float, cold_s: float) -> None:
        taken = self._append(self._places, self._counts, self._added, now_s, now_s + cold_s)
        if taken == self._places.shape[1] - 1:  # `fifo_recursion.remove_replica` needs a free place
            self._places = doubled(self._places)
        self._added += 1
        if self._added == self._departed.shape[1]:
            self._departed = doubled(self._departed)
        self._staying += 1

    def _remove(self, staying: int, leaving: Sequence[int] | None) -> None:
        arrays = self._places, self._counts, self._sums, self._departed
        if leaving is None:
            self._shrink(*arrays, staying)
        else:
            for number in leaving:
                fifo_recursion.remove_replica(*arrays, number)
        self._staying = staying

    def to_remove(self, now_s: float, staying: int) -> tuple[str, ...]:
        """Name the replicas to remove so that `staying` are left; the first to remove comes first."""
        place, names = -1, []
        for _ in range(self._staying - staying):
            place = fifo_recursion.next_to_remove(self._places, self._counts, place, now_s)
            names.append(f"{REPLICA_PREFIX}{int(self._places[NUMBER, place])}")
        return tuple(names)

    def replicas(self, now_s: float) -> tuple[Replica, ...]:
        """Give the replicas that are not draining, as a target reports them, by number."""
        rows = self._places[:, : self._staying].tolist()
        columns = zip(rows[NUMBER], rows[READY], rows[FREE], rows[ASKED], strict=True)
        return tuple(
            listed(f"{REPLICA_PREFIX}{int(number)}", now_s, asked_s, ready_s, busy=int(now_s < free_s))
            for number, ready_s, free_s, asked_s in sorted(columns)
        )

    # The history.

    def _history(self, *, partial: bool) -> History:
        until_s = self._now_s if partial else self._inputs.until_s
        end_s = until_s
        if partial or until_s == inf:
            last_change_s = fifo_recursion.last_change(self._requests, self._places, self._counts, self._sums, until_s)
            end_s = max(last_change_s, self._observed_s)
        waiting = self._hand_over_rest(until_s)
        departed = self._departed[:, : self._counts[DEPARTED]]
        columns = np.concatenate([self._places[:, : self._staying], departed[:REMOVED_AT]], axis=1)
        serving = (columns[READY] <= end_s) & (columns[FREE] > end_s)
        beyond = (columns[FREE] - end_s)[serving].sum()
        return History(
            engine="fifo",
            end_s=end_s,
            requests=RequestColumns().requests(end_s, 1.0),
            replicas=self._replicas(columns, departed[REMOVED_AT], end_s),
            changes=tuple(map(Change._make, self._changes)),
            decisions=(),
            inflight_s=float(self._sums[REQUEST_SECONDS] - beyond + (end_s - waiting).sum()),
            partial=partial,
        )

    def _hand_over_rest(self, until_s: float) -> Floats:
        """Give all requests to the sink, and return the arrival times of those that are still queued."""
        head, came = int(self._counts[HEAD]), int(self._counts[ARRIVED])
        arrival, start = self._requests[ARRIVAL, :came], self._requests[START, :came]
        self._requests[REPLICA, head:came] = -1
        if came > head:
            self._sums[LONGEST_WAIT] = max(self._sums[LONGEST_WAIT], until_s - arrival[head])
        self._check()
        start[head:] = nan
        self._sink.take(self._requests[:, :came])
        return arrival[head:].copy()

    def _replicas(self, columns: Floats, departed_s: Floats, end_s: float) -> Replicas:
        left_s = np.concatenate([np.full(self._staying, nan), departed_s])
        order = np.argsort(columns[NUMBER])
        columns, left_s = columns[:, order], left_s[order]
        free_s = columns[FREE]
        ready = (columns[READY] <= end_s) & ~(columns[READY] > left_s)
        gone_s = np.where(ready, np.fmax(free_s, left_s), left_s)
        gone_s[np.isnan(left_s) | (gone_s > end_s)] = nan
        return Replicas(
            asked_s=columns[ASKED],
            placed_s=columns[ASKED],
            ready_s=np.where(ready, columns[READY], nan),
            leaving_s=left_s,
            gone_s=gone_s,
            busy_s=columns[BUSY] - np.where(ready, np.maximum(free_s - end_s, 0.0), 0.0),
            draining_s=np.where(ready, np.fmax(np.minimum(free_s, end_s) - left_s, 0.0), 0.0),
            pool=np.zeros(len(free_s), dtype=np.int64),
        )


def doubled(columns: Floats) -> Floats:
    """Give columns with twice the capacity."""
    return np.concatenate([columns, np.zeros_like(columns)], axis=1)


class RequestColumns:
    """A sink that keeps every request."""

    def __init__(self) -> None:
        self._pieces: list[Floats] = [np.zeros((4, 0))]

    def take(self, requests: Floats) -> None:
        """Copy the requests."""
        self._pieces.append(requests[:4].copy())

    def requests(self, end_s: float, speed: float) -> Requests:
        """Give all requests at the end of the run."""
        arrival, service, start, replica = np.concatenate(self._pieces, axis=1)
        end = start + service / speed
        end[end > end_s] = nan
        return Requests(
            arrival_s=arrival,
            start_s=start,
            end_s=end,
            status=np.where(np.isnan(end), STILL_IN, SERVED),
            replica=replica.astype(np.int64),
            client=np.full(len(arrival), -1),
            latency_s=end - arrival,
            service_s=service,
        )


def run_with_control_law(
    inputs: RunInputs,
    chunks: Iterator[Chunk] | None,
    control_law: ControlLaw,
    random_streams: RandomStreams,
    sink: RequestSink,
) -> History:
    """Run a source's chunks with a control law. The sink gets the requests; the history has none.

    Raises:
        NotExactError: this engine cannot do this run exactly.
    """
    if why := why_not_exact(inputs):
        raise NotExactError(why)
    if chunks is None:
        raise NotExactError("clients may retry or leave")
    engine = FifoEngine(inputs, chunks, control_law, random_streams, sink)
    if isinstance(control_law, ControllerLaw):
        control_law.engine = engine
    return engine.run()


def run(
    inputs: RunInputs,
    chunks: Iterator[Chunk] | None,
    service: Service,
    random_streams: RandomStreams,
    recorder: Recorder = lambda _: None,
) -> History:
    """Run all requests with the live controller's step; raises as `run_with_control_law`."""
    sink = RequestColumns()
    history = run_with_control_law(inputs, chunks, ControllerLaw(inputs, service, recorder), random_streams, sink)
    return replace(history, requests=sink.requests(history.end_s, inputs.pools[0].speed))
