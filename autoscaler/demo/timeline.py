"""Watches a live run from outside the decisions: what there is, every few milliseconds, and what it adds up to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from autoscaler.demo.report import Decided, Moment, Served
from autoscaler.gateway.request_log import RequestRecord
from autoscaler.ports import Fleet, Record

LOOK_EVERY_S = 0.005


class Sight(NamedTuple):
    """What is seen at one moment."""

    fleet: Fleet
    processes: int
    """Replicas that hold a GPU, those on their way out included."""
    running: int
    queued: int


class Witness:
    """Keeps the timeline of a run, the decisions, and the sums over time; times count from its making."""

    def __init__(
        self, observation: Callable[[], Awaitable[Sight]], now: Callable[[], float], ended: Iterable[RequestRecord] = ()
    ) -> None:
        self._observation = observation
        self._now = now
        self._ended = ended
        self._start_s = self._seen_s = now()
        self._seen = asyncio.Condition()
        self._ready: dict[str, float] = {}
        self.timeline: list[Moment] = []
        self.decisions: list[Decided] = []
        self.processes = 0
        self.gpu_s = 0.0
        self.idle_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Time since the beginning."""
        return self._now() - self._start_s

    @property
    def cold_starts_s(self) -> tuple[float, ...]:
        """How long each replica took from its start to being ready."""
        return tuple(self._ready.values())

    @property
    def served(self) -> frozenset[str]:
        """Names of the replicas that were ready at some time; no other was ever given a request."""
        return frozenset(self._ready)

    @property
    def last(self) -> Moment:
        """The newest state."""
        return self.timeline[-1]

    def record(self, record: Record) -> None:
        """Take a decision in: a recorder."""
        self.decisions.append(Decided(record.observation.now_s - self._start_s, record.decision.desired))

    @property
    def requests(self) -> list[Served]:
        """Those that a replica was given, in order of arrival."""
        return sorted(
            Served(each.arrival - self._start_s, each.wait_s, each.service_s)
            for each in self._ended
            if each.wait_s is not None and each.service_s is not None
        )

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.see()
            async with self._seen:
                self._seen.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)

    async def at_zero(self) -> None:
        """Wait until nothing is asked for and nothing runs."""
        async with self._seen:
            await self._seen.wait_for(lambda: bool(self.timeline) and not (self.last.asked or self.processes))

    async def see(self) -> None:
        """Look once."""
        sight = await self._observation()
        replicas = sight.fleet.replicas
        passed_s, self._seen_s = self._now() - self._seen_s, self._now()
        self.processes = sight.processes
        self.gpu_s += sight.processes * passed_s
        self.idle_s += sum(replica.ready and not replica.running for replica in replicas) * passed_s
        for replica in replicas:
            if replica.ready:
                self._ready.setdefault(replica.name, replica.age_s)
        ready = sum(replica.ready for replica in replicas)
        moment = Moment(self.elapsed_s, sight.fleet.asked, ready, sight.running, sight.queued)
        if not self.timeline or self.last[1:] != moment[1:]:
            self.timeline.append(moment)
