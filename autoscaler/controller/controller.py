"""The live driver of `loop.step`: look, step, write, record; then sleep until the next tick or a wake-up.

Rules:
1. Ticks lie on a fixed grid; one that was missed is not made up for.
2. A wake-up decides at once on what the streams say; it waits for no tick, no scrape and no slow Prometheus.
3. A write that hangs delays its own service only: the others go on being decided.
4. A Prometheus that hangs delays nobody's tick: see `readings`.
5. Nothing is decided on what was observed before a write that has begun since: it is observed anew.
6. A tick over many services is cut into slices, between which wake-ups come first; who rests is left out of it.
7. An error in the work for one service goes to `failures`. That service holds, and is tried again at the next tick; all
   others go on. A decider that fails again and again is replaced by a fresh one: its memory may be the cause.
8. Nothing is kept of a service that is gone.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import floor, log2
from typing import Protocol

from algorithms.types import Observation
from autoscaler.controller.failures import DECIDER, OBSERVATION, Failures
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.observation import Live, observe
from autoscaler.controller.polling import MetricsPoller
from autoscaler.controller.recorders import Recording
from autoscaler.controller.step import Service, Step, described, step
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

_PATIENCE = 0.25
"""How much of a tick is spent on waiting for Prometheus."""
_SLICE = 25
"""Services that are decided on at a stretch, about a millisecond."""
_SUSPICIOUS = 3
"""Failures in a row after which a decider is replaced; then after twice as many, and so on."""
_NOTHING_RUNS = Fleet(0, ())


class Streams(Protocol):
    """The gateways' own counts, as they stand in memory."""

    def known(self) -> int:
        """Give the number of gateways that are known to live."""
        ...

    def heard(self, now_s: float) -> bool:
        """Tell whether all of them are heard."""
        ...

    def live(self, service: ServiceName, since_s: float, now_s: float) -> Live:
        """Give what is heard of one service; its mean is over `(since_s, now_s]`."""
        ...


class WakeUps:
    """Services that must be decided now: whoever hears of it adds them, the controller takes them."""

    def __init__(self) -> None:
        self._services: set[ServiceName] = set()
        self._any = asyncio.Event()

    def add(self, service: ServiceName) -> None:
        """Have a service decided now: requests met zero replicas, or its queue has grown."""
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
        on_observations: Callable[[Mapping[ServiceName, tuple[Observation, Fleet]]], None] = lambda _observations: None,
        failures: Failures | None = None,
        renew: Callable[[ServiceName], None] = lambda _service: None,
    ) -> None:
        """Wire it.

        Args:
            services: what is decided on; it and `queries` may change while this runs, and are read at every step.
            clock: the time of looks and ticks.
            target: what is observed and scaled.
            tick_s: distance of the ticks.
            metered: Prometheus, for the services that `queries` names.
            queries: how each of these is asked for.
            streams: the gateways' streams.
            wake_ups: filled by whoever reads the streams.
            idle: is told of every change by target and streams; without it every tick looks at every service.
            recorders: are given every decision, after it was written; one that fails stops nothing.
            on_observations: is shown what is decided on, before it is.
            failures: takes in what fails for single services; None makes one.
            renew: gives a service a fresh decider.
        """
        self._services = services
        self._clock = clock
        self._target = target
        self._tick_s = tick_s
        self._readings = MetricsPoller(metered, {} if queries is None else queries, clock.now, _PATIENCE * tick_s)
        self._streams = streams
        self._on_observations = on_observations
        self.recording = Recording(recorders)
        """What becomes of the records."""
        self.failures = failures or Failures()
        """What fails for single services."""
        self._renew = renew
        self._seen_s: dict[ServiceName, float] = {}
        self._wake_ups = wake_ups or WakeUps()
        self._idle = idle
        self._writing: set[ServiceName] = set()
        self._writes: Counter[ServiceName] = Counter()
        """How many have begun."""
        self._missed: set[ServiceName] = set()
        """Woken while a write of theirs was under way: decided again right after it."""

    async def run(self) -> None:
        """Tick and answer wake-ups until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick_forever(group))
            group.create_task(self._answer_wake_ups(group))

    def is_writing(self, service: ServiceName) -> bool:
        """Tell whether a write of this service is under way: what was decided is recorded after it."""
        return service in self._writing

    async def _tick_forever(self, group: asyncio.TaskGroup) -> None:
        never = asyncio.Event()
        tick = floor(self._clock.now() / self._tick_s)
        while True:
            await self._decide_all(group, await self._readings.at_tick(group))
            self._forget(self._seen_s.keys() - self._services.keys())
            # A timer may go off a rounding error early, which is no reason to tick twice at one point of the grid.
            tick = max(tick, floor(self._clock.now() / self._tick_s)) + 1
            await self._clock.sleep_until(tick * self._tick_s, never)

    def _forget(self, gone: Iterable[ServiceName]) -> None:
        for name in gone:
            self._seen_s.pop(name, None)
            self._writes.pop(name, None)
            self._missed.discard(name)
            self.failures.forget(name)
            self.recording.forget(name)
            if self._idle is not None:
                self._idle.forget(name)

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
        gateways, heard = (0, False) if streams is None else (streams.known(), streams.heard(now_s))
        return self._idle.active(self._services, readings, now_s, gateways=gateways, heard=heard)

    async def _decide(
        self, group: asyncio.TaskGroup, names: Iterable[ServiceName], readings: Mapping[ServiceName, Reading]
    ) -> list[ServiceName]:
        """Decide on services; gives those that could not be, because a write of theirs came in between."""
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
        for taken in step(self._services, observations):
            self._judge(taken)
            if taken.order is None:
                self._record(taken, None)
                self._settle(taken, observations[taken.service][1])
            else:
                self._writing.add(taken.service)
                self._writes[taken.service] += 1
                group.create_task(self._write(taken))
        return busy

    async def _observe(self, names: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Observe services; if that fails, each is observed alone, and one that fails is left out."""
        try:
            fleets = await self._target.observe(names)
        except Exception as error:  # noqa: BLE001 - no target may raise one, and then one service is the cause
            if len(names) == 1:
                self.failures.failed(names[0], OBSERVATION, error)
                return {}
            return {name: fleet for each in names for name, fleet in (await self._observe([each])).items()}
        for name in fleets:
            self.failures.works(name, OBSERVATION)
        return fleets

    def _judge(self, taken: Step) -> None:
        """Tell whether a decider works, and have one replaced that fails again and again."""
        name, error = taken.service, taken.failure
        if error is None:
            self.failures.works(name, DECIDER)
            return
        if not log2(self.failures.failed(name, DECIDER, error) / _SUSPICIOUS).is_integer():
            return
        try:
            self._renew(name)
        except Exception as unfit:  # noqa: BLE001 - then it goes on with the one that it has
            self.failures.failed(name, "renewal", unfit)
        else:
            self.failures.works(name, "renewal")

    def _wake(self, name: ServiceName) -> None:
        """Show a service that has rested the time of its rest."""
        past = self._idle.end_idle_period(name) if self._idle else None
        if past is not None:
            self._seen_s[name] = past.now_s
            for taken in step(self._services, {name: (past, _NOTHING_RUNS)}):
                self._judge(taken)
                self._record(taken, None)

    def _settle(self, taken: Step, fleet: Fleet) -> None:
        if self._idle is not None and taken.failure is None:
            self._idle.mark_idle(taken.service, self._services[taken.service], taken.observation, fleet)

    def _observation(self, name: ServiceName, fleet: Fleet, reading: Reading | None) -> Observation:
        now_s = self._clock.now()
        since_s = self._seen_s.get(name, now_s)
        self._seen_s[name] = now_s
        if self._streams is None:
            return observe(now_s, since_s, fleet, metered=reading)
        try:
            live = self._streams.live(name, since_s, now_s)
        except Exception as error:  # noqa: BLE001 - one service's counts; Prometheus may know it
            self.failures.failed(name, "stream", error)
            live = Live(None, None, problem=f"its gateways' counts: {described(error)}")
        else:
            self.failures.works(name, "stream")
        return observe(now_s, since_s, fleet, metered=reading, live=live, gateways=self._streams.known())

    async def _write(self, taken: Step) -> None:
        try:
            (outcome,) = await self._target.scale([taken.order] if taken.order else [])
            self.failures.works(taken.service, "write")
        except asyncio.CancelledError:
            # It may have been carried out, and then the log has to say why.
            self._record(taken, Outcome(taken.service, "stopped before the answer came"))
            raise
        except Exception as error:  # noqa: BLE001 - one service's write; it is decided on again at the next tick
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
        self.recording(Record(taken.service, taken.observation, taken.decision, outcome))
