"""A decision log as what is known of its services at one time: the same views that a running controller gives."""

from collections.abc import Iterable
from datetime import tzinfo
from typing import Any

from algorithms.types import State
from autoscaler.controller.replay import Replay
from autoscaler.explain.decisions import DecisionTable
from autoscaler.explain.episodes import EpisodeRecorder
from autoscaler.explain.forecast import forecast
from autoscaler.explain.view import ServiceView
from autoscaler.ports import Record, ServiceName


class LogViews:
    """Goes through a log up to a time.

    Args:
        zone: the zone of the times in sentences; None is that of this process.
        most_rows: how many rows of decisions are kept of each service.
    """

    def __init__(self, zone: tzinfo | None = None, most_rows: int = 100) -> None:
        self._zone, self._most_rows = zone, most_rows
        self._replay = Replay()
        self._episodes = EpisodeRecorder()
        self._records: dict[ServiceName, Record] = {}
        self._tables: dict[ServiceName, DecisionTable] = {}

    def read(self, values: Iterable[Any], source: str, until_s: float) -> None:
        """Take in the lines of one file; those of a rotated log come in the order of time.

        Raises:
            DocumentError: a line is not one of a decision log.
        """
        for each in self._replay.lines(values, source, until_s):
            record = each.recorded
            self._episodes(record)
            self._records[record.service] = record
            self._tables.setdefault(record.service, DecisionTable(self._most_rows))(record)

    @property
    def services(self) -> tuple[ServiceName, ...]:
        """The services that were decided on so far."""
        return tuple(sorted(self._records))

    def table(self, service: ServiceName) -> DecisionTable:
        """Give the decisions on a service."""
        return self._tables[service]

    def state(self, service: ServiceName) -> State:
        """Give the state of the decider of a service after its last decision."""
        return self._replay.state(service)

    def view(self, service: ServiceName, now_s: float | None = None) -> ServiceView:
        """Give what is known of a service; the time is that of its last decision unless another one is given."""
        record, policy = self._records[service], self._replay.policy(service)
        return ServiceView(
            service,
            record.observation.now_s if now_s is None else now_s,
            policy,
            record,
            episodes=self._episodes.of(service),
            forecast=forecast(policy, self.state(service), record),
            role="log",
            zone=self._zone,
        )
