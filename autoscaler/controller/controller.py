"""The live driver of `step`: observe, decide, write, record; then sleep until the next tick or a wake-up.

Rules:
1. Ticks lie on a fixed grid; one that was missed is not made up for.
2. A wake-up decides at once on what the streams say; it waits for no tick, no scrape and no slow Prometheus.
3. A write that hangs delays only its own service.
4. A Prometheus that hangs delays no tick: see `polling`.
5. If a write has begun since a service was observed, the service is observed again before it is decided on.
6. A tick over many services is cut into slices, and wake-ups are answered between them. Ticks skip idle services.
7. An error in the work for one service goes to `failures`. That service holds, and is tried again at the next tick. All
   others go on. A decider that fails again and again is replaced by a fresh one, because its state may be the cause.
8. Nothing is kept of a service that is gone.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import floor, log2
from typing import Protocol

from algorithms.observation import Observation
from autoscaler.controller.accounting import Accounting
from autoscaler.controller.budgets import Budgets
from autoscaler.controller.failures import CANDIDATE, DECIDER, OBSERVATION, Failures
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.new_starts import NewStarts
from autoscaler.controller.observe import StreamedCounts, observe
from autoscaler.controller.polling import MetricsPoller
from autoscaler.controller.recorders import Recording
from autoscaler.controller.revisions import LastRead
from autoscaler.controller.step import Service, Step, step
from autoscaler.ports import (
    Clock,
    Fleet,
    MetricsSource,
    Outcome,
    Query,
    Reading,
    Record,
    Recorder,
    ScaleTarget,
    ServiceName,
)
from autoscaler.runtime.errors import described

_PATIENCE = 0.25
"""The part of a tick that may be spent on waiting for Prometheus."""
_SLICE = 25
"""Services that are decided on without a break, in about a millisecond."""
_FAILURES_BEFORE_RENEWAL = 3
"""Failures in a row after which a decider is replaced; then again after twice as many, and so on."""
_NOTHING_RUNS = Fleet(0, ())


OnObservations = Callable[[Mapping[ServiceName, tuple[Observation, Fleet]]], None]


class Streams(Protocol):
    """The gateways' own counts, as they stand in memory."""

    def known(self) -> int:
        """Give the number of known gateways."""
        ...

    def complete(self, now_s: float) -> bool:
        """Tell whether the counts of all of them are up to date."""
        ...

    def live(self, service: ServiceName, since_s: float, now_s: float) -> StreamedCounts:
        """Give the counts of one service; its mean is over `(since_s, now_s]`."""
        ...


class WakeUps:
    """Services that must be decided on now: the readers of streams add them, the controller takes them."""

    def __init__(self) -> None:
        self._services: set[ServiceName] = set()
        self._any = asyncio.Event()

    def add(self, service: ServiceName) -> None:
        """Request a decision on a service now (see `autoscaler.wake_up`)."""
        self._services.add(service)
        self._any.set()

    async def take(self) -> set[ServiceName]:
        """Wait until there are some, and take them all."""
        await self._any.wait()
        self._any.clear()
        taken, self._services = self._services, set()
        return taken


class Controller:
    """Keeps the replicas of all services at what their policies say, until it is cancelled."""

    def __init__(
        self,
        services: Mapping[ServiceName, Service],
        *,
        clock: Clock,
        target: ScaleTarget,
        tick_s: float,
        metered: MetricsSource | None = None,
        queries: Mapping[ServiceName, Query] | None = None,
        streams: Streams | None = None,
        wake_ups: WakeUps | None = None,
        idle: IdleServices | None = None,
        recorders: Sequence[Recorder] = (),
        on_observations: OnObservations = lambda _observations: None,
        failures: Failures | None = None,
        renew: Callable[[ServiceName], None] = lambda _service: None,
        budgets: Budgets | None = None,
        accounting: Accounting | None = None,
    ) -> None:
        """Wire it.

        Args:
            services: the services to decide on. It and `queries` may change meanwhile; every step reads them.
            clock: the time of observations and ticks.
            target: observes and scales the services.
            tick_s: the time between ticks.
            metered: Prometheus, for the services in `queries`.
            queries: how to ask for each of them.
            streams: the gateways' streams.
            wake_ups: filled by the readers of the streams.
            idle: gets every change from target and streams; without it every tick observes every service.
            recorders: get every decision after it was written; one that fails stops nothing.
            on_observations: gets the observations before they are decided on.
            failures: collects the failures of single services; None makes one.
            renew: gives a service a fresh decider.
            budgets: limits what services that share something may ask for.
            accounting: keeps account of what services use.
        """
        self._services = services
        self._clock = clock
        self._target = target
        self._tick_s = tick_s
        self._readings = MetricsPoller(metered, {} if queries is None else queries, clock.now, _PATIENCE * tick_s)
        self._streams = streams
        self._on_observations = on_observations
        self.recording = Recording(recorders)
        """Passes the records on."""
        self.failures = failures or Failures()
        """The failures of single services."""
        self._renew = renew
        self._budgets = budgets
        self.accounting = accounting
        """Keeps account of what services use."""
        self._observed_s: dict[ServiceName, float] = {}
        self._new_starts: dict[ServiceName, NewStarts] = {}
        self._forgotten = LastRead()
        self._wake_ups = wake_ups or WakeUps()
        self._idle = idle
        self._writing: set[ServiceName] = set()
        self._writes: Counter[ServiceName] = Counter()
        """How many writes of each service have begun."""
        self._missed: set[ServiceName] = set()
        """Services that were woken during a write of theirs; they are decided on again right after it."""

    async def run(self) -> None:
        """Tick and answer wake-ups until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick_forever(group))
            group.create_task(self._answer_wake_ups(group))

    @property
    def services(self) -> Mapping[ServiceName, Service]:
        """The services that are decided on now."""
        return self._services

    def is_writing(self, service: ServiceName) -> bool:
        """Tell whether a write of this service is under way; its decision is recorded after it."""
        return service in self._writing

    async def _tick_forever(self, group: asyncio.TaskGroup) -> None:
        never = asyncio.Event()
        tick = floor(self._clock.now() / self._tick_s)
        while True:
            await self._decide_all(group, await self._readings.at_tick(group))
            if self._forgotten.is_stale(self._services):
                self._forget(self._observed_s.keys() - self._services.keys())
            # A timer may fire a rounding error early, which must not cause two ticks at one point of the grid.
            tick = max(tick, floor(self._clock.now() / self._tick_s)) + 1
            await self._clock.sleep_until(tick * self._tick_s, never)

    def _forget(self, gone: Iterable[ServiceName]) -> None:
        for name in gone:
            self._observed_s.pop(name, None)
            self._new_starts.pop(name, None)
            self._writes.pop(name, None)
            self._missed.discard(name)
            self.failures.forget(name)
            self.recording.forget(name)
            if self._idle is not None:
                self._idle.forget(name)
            if self._budgets is not None:
                self._budgets.forget(name)
            if self.accounting is not None:
                self.accounting.forget(name)

    async def _answer_wake_ups(self, group: asyncio.TaskGroup) -> None:
        while True:
            for service in await self._decide(group, await self._wake_ups.take(), {}):
                if service in self._writing:
                    self._missed.add(service)
                else:
                    self._wake_ups.add(service)

    async def _decide_all(self, group: asyncio.TaskGroup, readings: Mapping[ServiceName, Reading]) -> None:
        names = self._awake(readings)
        for start in range(0, len(names), _SLICE):
            await self._decide(group, names[start : start + _SLICE], readings)
            await asyncio.sleep(0)

    def _awake(self, readings: Mapping[ServiceName, Reading]) -> list[ServiceName]:
        if self._idle is None:
            return list(self._services)
        now_s, streams = self._clock.now(), self._streams
        gateways, complete = (0, False) if streams is None else (streams.known(), streams.complete(now_s))
        return self._idle.active(self._services, readings, now_s, gateways=gateways, complete=complete)

    async def _decide(
        self, group: asyncio.TaskGroup, names: Iterable[ServiceName], readings: Mapping[ServiceName, Reading]
    ) -> list[ServiceName]:
        """Decide on services; give those that could not be decided on, because a write of theirs came in between."""
        begun = {name: self._writes[name] for name in names if name in self._services}
        for name in begun:
            self._wake(name)
        fleets = await self._observe(list(begun))
        busy = [name for name in fleets if name in self._writing or self._writes[name] != begun[name]]
        observations = {
            name: (self._observation(name, fleet, readings.get(name)), fleet)
            for name, fleet in fleets.items()
            if name not in busy and name in self._services
        }
        self._on_observations(observations)
        if self.accounting is not None:
            self.accounting.saw(observations)
        for taken in step(self._services, observations, self._budgets):
            self._check_decider(taken)
            if taken.request is None:
                self._record(taken, None)
                self._mark_idle(taken, observations[taken.service][1])
            else:
                self._writing.add(taken.service)
                self._writes[taken.service] += 1
                group.create_task(self._write(taken))
        return busy

    async def _observe(self, names: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Observe services; if that fails, observe each alone, and leave out those that fail."""
        try:
            fleets = await self._target.observe(names)
        except Exception as error:  # noqa: BLE001 - a target must not raise; if one does, find the service that is the cause
            if len(names) == 1:
                self.failures.failed(names[0], OBSERVATION, error)
                return {}
            return {name: fleet for each in names for name, fleet in (await self._observe([each])).items()}
        for name in fleets:
            self.failures.works(name, OBSERVATION)
        return fleets

    def _check_decider(self, taken: Step) -> None:
        """Report whether a decider works, and replace one that fails again and again."""
        name, error = taken.service, taken.failure
        if taken.candidate_failure is not None:
            self.failures.failed(name, CANDIDATE, taken.candidate_failure)
        elif taken.candidates:
            self.failures.works(name, CANDIDATE)
        if error is None:
            self.failures.works(name, DECIDER)
            return
        if not log2(self.failures.failed(name, DECIDER, error) / _FAILURES_BEFORE_RENEWAL).is_integer():
            return
        try:
            self._renew(name)
        except Exception as unfit:  # noqa: BLE001 - then it keeps the decider that it has
            self.failures.failed(name, "renewal", unfit)
        else:
            self.failures.works(name, "renewal")

    def _wake(self, name: ServiceName) -> None:
        """End a service's idle period, and let its decider see that period."""
        past = self._idle.end_idle_period(name) if self._idle else None
        if past is not None:
            self._observed_s[name] = past.now_s
            for taken in step(self._services, {name: (past, _NOTHING_RUNS)}):
                self._check_decider(taken)
                self._record(taken, None)

    def _mark_idle(self, taken: Step, fleet: Fleet) -> None:
        if self._idle is not None and taken.failure is None:
            self._idle.mark_idle(taken.service, self._services[taken.service], taken.observation, fleet)

    def _observation(self, name: ServiceName, fleet: Fleet, reading: Reading | None) -> Observation:
        now_s = self._clock.now()
        since_s = self._observed_s.get(name, now_s)
        self._observed_s[name] = now_s
        if name not in self._new_starts:
            self._new_starts[name] = NewStarts()
        starts = self._new_starts[name](fleet)
        if self._streams is None:
            return observe(now_s, since_s, fleet, metered=reading, starts=starts)
        try:
            live = self._streams.live(name, since_s, now_s)
        except Exception as error:  # noqa: BLE001 - the error stays with this service; Prometheus may know its count
            self.failures.failed(name, "stream", error)
            live = StreamedCounts(None, None, problem=f"its gateways' counts: {described(error)}")
        else:
            self.failures.works(name, "stream")
        return observe(now_s, since_s, fleet, metered=reading, live=live, gateways=self._streams.known(), starts=starts)

    async def _write(self, taken: Step) -> None:
        try:
            (outcome,) = await self._target.scale([taken.request] if taken.request else [])
            self.failures.works(taken.service, "write")
        except asyncio.CancelledError:
            # The write may have succeeded, and then the log has to say why.
            self._record(taken, Outcome(taken.service, "stopped before the answer came"))
            raise
        except Exception as error:  # noqa: BLE001 - the error stays with this service until its next decision
            self.failures.failed(taken.service, "write", error)
            outcome = Outcome(taken.service, described(error))
        finally:
            self._writing.discard(taken.service)
        self._record(taken, outcome)
        if taken.service not in self._services:
            self._forget([taken.service])
        if taken.service in self._missed:
            self._missed.remove(taken.service)
            self._wake_ups.add(taken.service)

    def _record(self, taken: Step, outcome: Outcome | None) -> None:
        record = Record(taken.service, taken.observation, taken.decision, outcome, taken.unwritten, taken.candidates)
        self.recording(record)
