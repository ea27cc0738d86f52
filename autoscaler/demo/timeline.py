"""Records a live run from outside the controller: its state every few milliseconds, and sums over time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from autoscaler.demo.report import DecisionPoint, Moment, ServedRequest
from autoscaler.gateway.request_log import RequestRecord
from autoscaler.ports import Fleet, Record

SAMPLE_EVERY_S = 0.005


class Snapshot(NamedTuple):
    """The state at one time."""

    fleet: Fleet
    processes: int
    """Replicas that hold a GPU, including those that are being removed."""
    running: int
    queued: int


class RunRecorder:
    """Records the timeline of a run, its decisions, and sums over time; times count from its creation."""

    def __init__(
        self, snapshot: Callable[[], Awaitable[Snapshot]], now: Callable[[], float], ended: Iterable[RequestRecord] = ()
    ) -> None:
        self._snapshot = snapshot
        self._now = now
        self.ended = ended
        """All requests that have ended."""
        self.start_s = self._seen_s = now()
        """When it was created."""
        self._seen = asyncio.Condition()
        self._ready: dict[str, float] = {}
        self.timeline: list[Moment] = []
        self.decisions: list[DecisionPoint] = []
        self.processes = 0
        self.gpu_s = 0.0
        self.idle_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """The time since the start."""
        return self._now() - self.start_s

    @property
    def cold_starts_s(self) -> tuple[float, ...]:
        """How long each replica took from its start to being ready."""
        return tuple(self._ready.values())

    @property
    def served(self) -> frozenset[str]:
        """The names of all replicas that were ready at some time; no other one got a request."""
        return frozenset(self._ready)

    @property
    def last(self) -> Moment:
        """The newest state."""
        return self.timeline[-1]

    def record(self, record: Record) -> None:
        """Record a decision; this is a recorder of the controller."""
        self.decisions.append(DecisionPoint.of(record, self.start_s))

    @property
    def requests(self) -> list[ServedRequest]:
        """The requests that were sent to a replica, in order of arrival."""
        return sorted(
            ServedRequest(each.arrival - self.start_s, each.wait_s, each.service_s)
            for each in self.ended
            if each.wait_s is not None and each.service_s is not None
        )

    async def watch(self) -> None:
        """Take samples until cancelled."""
        while True:
            await self.sample()
            async with self._seen:
                self._seen.notify_all()
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def at_zero(self) -> None:
        """Wait until no replica is asked for and none runs."""
        async with self._seen:
            await self._seen.wait_for(lambda: bool(self.timeline) and not (self.last.asked or self.processes))

    async def sample(self) -> None:
        """Take one sample."""
        snapshot = await self._snapshot()
        replicas = snapshot.fleet.replicas
        passed_s, self._seen_s = self._now() - self._seen_s, self._now()
        self.processes = snapshot.processes
        self.gpu_s += snapshot.processes * passed_s
        self.idle_s += sum(replica.ready and not replica.running for replica in replicas) * passed_s
        for replica in replicas:
            if replica.ready:
                self._ready.setdefault(replica.name, replica.age_s)
        ready = sum(replica.ready for replica in replicas)
        moment = Moment(self.elapsed_s, snapshot.fleet.asked, ready, snapshot.running, snapshot.queued)
        if not self.timeline or self.last[1:] != moment[1:]:
            self.timeline.append(moment)
