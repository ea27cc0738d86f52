"""The compiled engine: the same history as the reference engine's, with compiled code between decisions.

It is exact if all requests are known beforehand or come from one closed loop, no replica dies, and every replica gets
a GPU immediately. Otherwise it raises NotExactError with the reason, and the reference engine does the run.
"""

from collections.abc import Callable
from itertools import islice
from math import inf

import numpy as np

from autoscaler.accounts import NOT_YET, StartTimes
from autoscaler.controller.observe import NO_STREAM, StreamedCounts
from autoscaler.controller.step import Service
from autoscaler.ports import Reading, Record, Replica, ScaleRequest
from autoscaler.removal_order import replicas_to_remove
from simulations.engines import compiled_kernel, compiled_stream
from simulations.engines.compiled_kernel import GROW, REACHED
from simulations.engines.compiled_state import (
    ALIVE,
    AREA,
    ARRIVED,
    AVAILABLE,
    CLIENTS,
    DUE,
    LAST_CHANGE,
    NOW,
    OBSERVED_AREA,
    QUEUED,
    REPLICAS,
    RUNNING,
    SENT_AREA,
    SENT_ARRIVED,
    SENT_AT,
    SENT_FINISHED,
    SENT_INFLIGHT,
    SENT_QUEUED,
    SENT_SERVED_S,
    STAYING,
    State,
    grown,
    new_state,
)
from simulations.engines.controller import Controller
from simulations.engines.lazy_fleet import LazyFleet
from simulations.engines.telemetry import Samples, Totals
from simulations.model.history import Change, History, Replicas, Requests
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Batch, Floats, NotExactError, RunInputs, next_on_grid

MAX_STAGES = 100


def run(
    inputs: RunInputs,
    batch: Batch | None,
    service: Service,
    random_streams: RandomStreams,
    recorder: Callable[[Record], None] | None = None,
) -> History:
    """Run all requests of a source.

    Raises:
        NotExactError: only the reference engine can do this run.
    """
    if batch is None:
        raise NotExactError("arrivals depend on responses")
    if any(pool.lifetime is not None for pool in inputs.pools):
        raise NotExactError("replicas die")
    if inputs.immediate and inputs.pools[0].stock < inf:
        raise NotExactError("GPUs may be out of stock")
    return CompiledEngine(inputs, batch, service, random_streams, recorder).run()


class CompiledEngine:
    """One run; `run` may be called once."""

    def __init__(
        self,
        inputs: RunInputs,
        batch: Batch,
        service: Service,
        random_streams: RandomStreams,
        recorder: Callable[[Record], None] | None = None,
    ) -> None:
        """Set up a run; the arguments are those of the reference engine. Check that it is possible first."""
        self._inputs, self._random_streams = inputs, random_streams
        self._records: list[Record] = []
        self._controller = Controller(inputs, service, recorder or self._records.append)
        self._samples = Samples(inputs, random_streams)
        self._totals = Totals()
        self._pools: list[int] = []
        self._changes = [Change(0.0, inputs.initial)]
        self._asked = inputs.initial
        self._total = len(batch.service)
        self._state = new_state(inputs, batch)
        for client in range(batch.clients if batch.each else 0):
            compiled_kernel.schedule_next_request(self._state, client, batch.start_s)

    def run(self) -> History:
        """Run to the end. After Ctrl-C the history ends there, and is partial.

        Raises:
            NotExactError: a replica found no GPU.
        """
        for _ in range(self._inputs.initial):
            self._add(cold=False)
        if self._inputs.immediate:
            self._start_cold()
        partial = False
        try:
            self._loop()
        except KeyboardInterrupt:
            partial = True
        return self._history(partial=partial)

    def _loop(self) -> None:
        until_s = self._inputs.until_s
        tick_s = 0.0 if self._inputs.tick_s < inf else inf
        scrape_s = 0.0 if self._inputs.scrape_s < inf else inf
        while (now_s := min(tick_s, scrape_s)) <= until_s and now_s < inf:
            self._advance(now_s)
            if now_s == scrape_s:
                self._samples.take(float(self._inflight()), now_s)
                scrape_s = self._next_time(now_s, self._inputs.scrape_s)
            if now_s == tick_s:
                self._decide(self._samples.newest(now_s))
                tick_s = self._next_time(now_s, self._inputs.tick_s)
        self._advance(until_s)

    def _next_time(self, now_s: float, every_s: float) -> float:
        return inf if self._is_finished() else next_on_grid(now_s, every_s)

    def _advance(self, when_s: float) -> None:
        """Advance the run to a time, with decisions at wake-ups."""
        while (why := compiled_kernel.advance(self._state, when_s)) != REACHED:
            if why == GROW:
                self._state = grown(self._state)
                if self._inputs.immediate:
                    self._start_cold()
            else:
                self._decide(None)
        if when_s < inf:
            self._state.clock[NOW] = when_s

    def _inflight(self) -> int:
        return int(self._state.counts[QUEUED] + self._state.counts[RUNNING])

    def _is_finished(self) -> bool:
        counts, clock = self._state.counts, self._state.clock
        to_come = counts[DUE] if self._state.limits[CLIENTS] else self._total - counts[ARRIVED]
        alive = counts[ALIVE]
        settled = not to_come and not self._inflight() and self._asked == alive <= self._inputs.min_replicas
        stuck = not to_come and clock[NOW] - clock[LAST_CHANGE] >= self._inputs.settle_s
        return bool(self._inputs.until_s == inf and (settled or stuck))

    # Replicas.

    def _add(self, *, cold: bool = True) -> None:
        """Ask for one more replica."""
        number = len(self._pools)
        pool = self._pool_with_stock()
        while number + compiled_kernel.ROOM > len(self._state.replicas):
            self._state = grown(self._state)
        self._state.replicas.cold[number] = self._cold_start_s(pool) if cold else 0.0
        self._state.replicas.speed[number] = self._inputs.pools[pool].speed
        self._pools.append(pool)
        compiled_kernel.add_replica(self._state)

    def _pool_with_stock(self) -> int:
        alive = np.isnan(self._state.replicas.gone[: len(self._pools)])
        for number, pool in enumerate(self._inputs.pools):
            if pool.stock == inf or np.count_nonzero(alive & (np.array(self._pools) == number)) < pool.stock:
                return number
        raise NotExactError("a replica found no GPU")

    def _cold_start_s(self, pool: int) -> float:
        stages = enumerate(self._inputs.pools[pool].cold_start, start=MAX_STAGES * pool)
        return sum(self._random_streams.draw("cold start", stage, which) for which, stage in stages)

    def _start_cold(self) -> None:
        """Draw the cold starts of all places for replicas: compiled code adds replicas without asking."""
        table, pool, known = self._state.replicas, self._inputs.pools[0], len(self._pools)
        missing = len(table) - known
        table.cold[known:] = sum(self._taken(stage, missing) for stage in range(len(pool.cold_start)))
        table.speed[known:] = pool.speed
        self._pools += [0] * missing

    def _taken(self, stage: int, count: int) -> Floats:
        """Take the next cold starts of the first pool, in the order of single draws."""
        stream = self._random_streams.stream("cold start", self._inputs.pools[0].cold_start[stage], stage)
        return np.fromiter(islice(stream, count), dtype=float, count=count)

    # The controller.

    def _live(self, now_s: float) -> StreamedCounts:
        if self._inputs.coalesce_s == inf:
            return NO_STREAM
        clock, inflight = self._state.clock, int(self._state.counts[SENT_INFLIGHT])
        seconds = float(clock[SENT_AREA]) + inflight * (now_s - float(clock[SENT_AT]))
        spent = seconds - float(clock[OBSERVED_AREA])
        clock[OBSERVED_AREA] = seconds
        arrived, finished, served_s = self._totals.since_last(
            int(self._state.counts[SENT_ARRIVED]), int(self._state.counts[SENT_FINISHED]), float(clock[SENT_SERVED_S])
        )
        return StreamedCounts(
            latest=inflight,
            mean=spent / (now_s - self._controller.observed_s) if now_s > self._controller.observed_s else None,
            queued=int(self._state.counts[SENT_QUEUED]),
            arrived=arrived,
            finished=finished,
            served_s=served_s,
        )

    def to_remove(self, now_s: float, staying: int) -> tuple[str, ...]:
        """Name the replicas to remove so that `staying` are left."""
        return replicas_to_remove(self.replicas(now_s), staying)

    def replicas(self, now_s: float) -> tuple[Replica, ...]:
        """Give the replicas that are not draining, as a target reports them."""
        staying = self._state.replicas[self._state.replicas.staying[: self._state.counts[STAYING]]]
        numbers = self._state.replicas.staying[: self._state.counts[STAYING]].tolist()
        columns = (staying.ready >= 0, staying.serving, now_s - staying.asked, staying.ready - staying.asked)
        rows = zip(numbers, *(column.tolist() for column in columns), strict=True)
        return tuple(
            Replica(f"replica-{number}", ready, busy, age, start=StartTimes((), took) if ready else NOT_YET)
            for number, ready, busy, age, took in rows
        )

    def _decide(self, metered: Reading | None) -> None:
        now_s = float(self._state.clock[NOW])
        fleet = LazyFleet.of(self._asked, int(self._state.counts[AVAILABLE]), self, now_s)
        request = self._controller.decide(now_s, fleet, metered, self._live(now_s))
        if request is not None:
            self._scale(request)

    def _scale(self, request: ScaleRequest) -> None:
        self._asked = request.replicas
        self._changes.append(Change(float(self._state.clock[NOW]), self._asked))
        for name in request.remove:
            compiled_kernel.drain(self._state, int(name.removeprefix("replica-")))
        for _ in range(self._asked - int(self._state.counts[STAYING])):
            self._add()

    # The history.

    def _history(self, *, partial: bool) -> History:
        state = self._state
        ended_s = max(float(state.clock[LAST_CHANGE]), self._controller.observed_s)
        end_s = ended_s if partial or self._inputs.until_s == inf else self._inputs.until_s
        state.clock[NOW] = end_s
        compiled_stream.integrate_inflight(state)
        return History(
            engine="compiled",
            end_s=end_s,
            requests=_requests(state),
            replicas=self._replicas(),
            changes=tuple(self._changes),
            decisions=tuple(self._records),
            inflight_s=float(state.clock[AREA]),
            partial=partial,
        )

    def _replicas(self) -> Replicas:
        state, count = self._state, int(self._state.counts[REPLICAS])
        for number in np.flatnonzero(np.isnan(state.replicas.gone[:count])).tolist():
            compiled_kernel.account_time(state, number)
        return Replicas(
            asked_s=state.replicas.asked[:count].copy(),
            placed_s=state.replicas.asked[:count].copy(),
            ready_s=state.replicas.ready[:count].copy(),
            leaving_s=state.replicas.leaving[:count].copy(),
            gone_s=state.replicas.gone[:count].copy(),
            busy_s=state.replicas.busy[:count].copy(),
            draining_s=state.replicas.draining[:count].copy(),
            pool=np.array(self._pools[:count], dtype=np.int64),
        )


def _requests(state: State) -> Requests:
    count = int(state.counts[ARRIVED])
    return Requests(
        arrival_s=state.requests.arrival[:count].copy(),
        start_s=state.requests.start[:count].copy(),
        end_s=state.requests.end[:count].copy(),
        status=state.requests.status[:count].copy(),
        replica=state.requests.replica[:count].copy(),
        client=state.requests.client[:count].copy(),
        latency_s=state.requests.latency[:count].copy(),
        service_s=state.requests.work[:count].copy(),
    )
