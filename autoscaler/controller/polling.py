"""What a source says of all services, in time for a tick: a peer that is slow keeps nobody waiting.

Rules:
1. Services that share a query are asked for together, and a query is not asked again before it is answered.
2. A tick waits for an answer so long, and not at all for one that took longer the last time.
3. Where no answer has come the one before it holds, with its age; older than its query allows it is unknown.
4. Where asking raises an error, which no source may, what was asked for is unknown, and it is asked again.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping

from autoscaler.documents.prometheus_address import public
from autoscaler.ports import MetricsSource, Query, Reading, ServiceName
from autoscaler.runtime.errors import described

_log = logging.getLogger(__name__)
_Asked = tuple[str, str, str]
"""Server, expression and series."""


def sharing(queries: Mapping[ServiceName, Query]) -> Mapping[_Asked, Mapping[ServiceName, Query]]:
    """Put together the services that share a query."""
    shared: defaultdict[_Asked, dict[ServiceName, Query]] = defaultdict(dict)
    for service, query in queries.items():
        shared[query.server, query.expression, query.series][service] = query
    return shared


class MetricsPoller:
    """A source as ticks see it.

    Args:
        source: who is asked; None is nobody.
        queries: how each service is asked for; it may change at any time.
        now: gives the controller's time.
        patience_s: how long a tick waits.
    """

    def __init__(
        self,
        source: MetricsSource | None,
        queries: Mapping[ServiceName, Query],
        now: Callable[[], float],
        patience_s: float,
    ) -> None:
        self._source = source
        self._queries = queries
        self._now = now
        self._patience_s = patience_s
        self._known: Mapping[ServiceName, Query] = {}
        self._questions: dict[_Asked, _SharedQuery] = {}

    async def at_tick(self, tasks: asyncio.TaskGroup) -> dict[ServiceName, Reading]:
        """Ask what is not being asked already, in tasks of the group; give what is known when patience ends."""
        if self._source is None:
            return {}
        self._sort()
        questions = self._questions.values()
        for each in questions:
            each.ask(self._source, tasks, self._now, self._patience_s)
        awaited = [each.task for each in questions if each.punctual and each.task is not None]
        if awaited:
            await asyncio.wait(awaited, timeout=self._patience_s)
        readings: dict[ServiceName, Reading] = {}
        for each in questions:
            readings.update(each.readings(self._now()))
        return readings

    def _sort(self) -> None:
        """Put together what shares a query; most ticks find the queries as they were."""
        if self._queries == self._known:
            return
        self._known = dict(self._queries)
        shared = sharing(self._known)
        self._questions = {asked: self._questions.get(asked, _SharedQuery()) for asked in shared}
        for asked, queries in shared.items():
            self._questions[asked].queries = queries


class _SharedQuery:
    """One query and what was answered last."""

    def __init__(self) -> None:
        self.queries: Mapping[ServiceName, Query] = {}
        self.task: asyncio.Task[None] | None = None
        self.punctual = True
        """Whether the last answer came within a tick's patience."""
        self._failing = ""
        """The kind of error that reading ends in now, which is said once."""
        self._asked_s = 0.0
        self._answer: Mapping[ServiceName, Reading] = {}
        self._answered: Mapping[ServiceName, Query] = {}
        """What that is the answer to."""

    def ask(self, source: MetricsSource, tasks: asyncio.TaskGroup, now: Callable[[], float], patience_s: float) -> None:
        if self.task is None or self.task.done():
            self._asked_s = now()
            self.task = tasks.create_task(self._ask(source, now, patience_s))

    async def _ask(self, source: MetricsSource, now: Callable[[], float], patience_s: float) -> None:
        queries = self.queries
        try:
            self._answer = await source.read(queries, self._asked_s)
            self._failing = ""
        except Exception as error:  # noqa: BLE001 - an error of ours, and what is read of others goes on
            self._answer = dict.fromkeys(queries, self._failed(error, now()))
        self._answered = queries
        self.punctual = now() - self._asked_s <= patience_s

    def _failed(self, error: Exception, now_s: float) -> Reading:
        if self._failing != type(error).__name__:
            self._failing = type(error).__name__
            _log.error("counts of %d services cannot be read: %s", len(self.queries), error, exc_info=error)
        return Reading(None, now_s, problem=f"the count cannot be read: {described(error)}")

    def readings(self, now_s: float) -> Mapping[ServiceName, Reading]:
        """Give what is known now of each service."""
        if self.task is not None and self.task.done() and self._answered is self.queries:
            return self._answer
        self.punctual = False
        return {service: self._last(service, query, now_s) for service, query in self.queries.items()}

    def _last(self, service: ServiceName, query: Query, now_s: float) -> Reading:
        waiting = (
            f"Prometheus at {public(query.server).partition('//')[2]}: no answer for {now_s - self._asked_s:.1f} s"
        )
        reading = self._answer.get(service) or Reading(None, now_s, problem=f"{waiting}, and none before")
        age_s = now_s - reading.sampled_s
        if reading.value is None or age_s <= query.max_age_s:
            return reading
        problem = f"{waiting}; the last one is {age_s:.1f} s old, more than maxSampleAge {query.max_age_s:g} s"
        return Reading(None, now_s, problem=problem)
