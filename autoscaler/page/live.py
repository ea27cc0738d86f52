"""The newest of everything that is known of the services of this process. Nothing is computed here."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

from algorithms.observation import Observation
from autoscaler.accounts import Account, Starts
from autoscaler.explain.episodes import EpisodeRecorder
from autoscaler.explain.forecast import Forecast
from autoscaler.explain.view import Role, ServiceFigures, ServiceView
from autoscaler.page.decisions import RecentDecisions
from autoscaler.page.history import History, Sample
from autoscaler.page.tables import Table, quality
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Fleet, Record, ServiceName


class Facts(NamedTuple):
    """What other parts of the process know; they are asked only while somebody looks."""

    services: Callable[[], Collection[ServiceName]]
    policy: Callable[[ServiceName], ScalingPolicy | None]
    role: Role = "controller"
    leads: Callable[[], bool] = lambda: True
    leader: Callable[[], str | None] = lambda: None
    """Who leads instead of this process; None if nobody does."""
    figures: Callable[[ServiceName], ServiceFigures | None] = lambda _service: None
    quality: Callable[[ServiceName, float, float], Table] = lambda _service, _since_s, _now_s: quality([])
    """How well a service was served between two times."""
    forecast: Callable[[ServiceView], Forecast | None] = lambda _view: None
    past: Callable[[ServiceName, float, float], Awaitable[list[Sample]]] | None = None
    """What is known of a service from before this process."""
    starts: Callable[[ServiceName], Starts] = lambda _service: Starts()
    account: Callable[[ServiceName], Account | None] = lambda _service: None


class Live:
    """Keeps the newest decision and fleet of each service, and an hour before it; a recorder.

    Args:
        now: gives the time of the process.
        gap_s: for how long a service may go unobserved before it counts as unknown.
    """

    def __init__(self, now: Callable[[], float], gap_s: float = 10.0) -> None:
        self.now = now
        self.history = History(gap_s)
        self.decisions = RecentDecisions()
        self._recorders = (self.history, self.decisions, EpisodeRecorder())
        self._records: dict[ServiceName, Record] = {}
        self._fleets: dict[ServiceName, Fleet] = {}
        self._changed_s: dict[ServiceName, float] = {}
        self._newest_s = float("-inf")
        self._waiting: dict[ServiceName, asyncio.Event] = {}

    def __call__(self, record: Record) -> None:
        """Keep a decision."""
        for recorder in self._recorders:
            recorder(record)
        self._records[record.service] = record
        self.changed(record.service)

    def observed(self, observations: Mapping[ServiceName, tuple[Observation, Fleet]]) -> None:
        """Keep what was seen of the replicas of services."""
        self._fleets.update((name, fleet) for name, (_, fleet) in observations.items())

    def changed(self, service: ServiceName) -> None:
        """Note that what is shown of a service may have changed, and wake who waits for that."""
        self._newest_s = self._changed_s[service] = self.now()
        for name in (service, ""):
            if (waiting := self._waiting.pop(name, None)) is not None:
                waiting.set()

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self.changed(service)
        for recorder in self._recorders:
            recorder.forget(service)
        for kept in (self._records, self._fleets, self._changed_s):
            kept.pop(service, None)

    def changed_s(self, service: ServiceName) -> float:
        """Give the time of the last change of a service."""
        return self._changed_s.get(service, float("-inf"))

    async def change(self, service: ServiceName, since_s: float) -> None:
        """Wait until a service has changed since a time; an empty name is any service."""
        while (self.changed_s(service) if service else self._newest_s) < since_s:
            await self._waiting.setdefault(service, asyncio.Event()).wait()

    def view(self, service: ServiceName, facts: Facts) -> ServiceView:
        """Give all that is known of a service now, without its forecast."""
        *_, episodes = self._recorders
        record = self._records.get(service)
        return ServiceView(
            service,
            self.now(),
            policy=facts.policy(service),
            record=record,
            fleet=self._fleets.get(service),
            episodes=episodes.of(service),
            figures=_behind(facts.figures(service), record),
            starts=facts.starts(service),
            account=facts.account(service),
            leader=None if facts.leads() else facts.leader(),
            role=facts.role,
            zone=None,
        )


def _behind(figures: ServiceFigures | None, record: Record | None) -> ServiceFigures | None:
    """Leave the counts to the newest decision, if it knows them: gateways are asked for figures less often."""
    if figures is None or record is None or record.observation.queued is None:
        return figures
    return figures._replace(queued=None, running=None)
