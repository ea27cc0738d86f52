"""Reads a source for all services in time for each tick; a slow peer delays no tick.

Rules:
1. Services with the same query share one request, and a query is not sent again before it is answered.
2. A tick waits a limited time for an answer, and not at all if the last answer took longer than that.
3. Without a new answer the last one counts, with its age; if it is older than its query allows, the count is unknown.
4. If a source raises an error, which it must not, the counts are unknown, and it is asked again.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import chain

from autoscaler.controller.revisions import LastRead
from autoscaler.documents.prometheus_address import public
from autoscaler.ports import MetricsSource, Query, Reading, ServiceName
from autoscaler.runtime.errors import described

_log = logging.getLogger(__name__)
_QueryKey = tuple[str, str, str]
"""Server, expression and series."""


def sharing(queries: Mapping[ServiceName, Query]) -> Mapping[_QueryKey, Mapping[ServiceName, Query]]:
    """Group the services by query."""
    shared: defaultdict[_QueryKey, dict[ServiceName, Query]] = defaultdict(dict)
    for service, query in queries.items():
        shared[query.server, query.expression, query.series][service] = query
    return shared


class MetricsPoller:
    """Reads a source at each tick.

    Args:
        source: the source; None if there is none.
        queries: the query of each service; it may change at any time.
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
        self._grouped = LastRead()
        self._shared: dict[_QueryKey, _SharedQuery] = {}

    async def at_tick(self, tasks: asyncio.TaskGroup) -> Mapping[ServiceName, Reading]:
        """Send the queries that are not under way, in tasks of the group; give what is known after `patience_s`."""
        if self._source is None:
            return {}
        self._group()
        shared = self._shared.values()
        for each in shared:
            each.ask(self._source, tasks, self._now, self._patience_s)
        awaited = [each.task for each in shared if each.on_time and each.task is not None]
        if awaited:
            await asyncio.wait(awaited, timeout=self._patience_s)
        found = [each.readings(self._now()) for each in shared]
        # Most services share one query, and their readings are not copied.
        return found[0] if len(found) == 1 else dict(chain.from_iterable(each.items() for each in found))

    def _group(self) -> None:
        """Group the services by query again if queries have changed; in most ticks they have not."""
        if not self._grouped.is_stale(self._queries):
            return
        groups = sharing(self._queries)
        self._shared = {key: self._shared.get(key, _SharedQuery()) for key in groups}
        for key, queries in groups.items():
            self._shared[key].queries = queries


class _SharedQuery:
    """One query and its last answer."""

    def __init__(self) -> None:
        self.queries: Mapping[ServiceName, Query] = {}
        self.task: asyncio.Task[None] | None = None
        self.on_time = True
        """Whether the last answer came in time."""
        self._failing = ""
        """The kind of error of the last read, which is logged once."""
        self._asked_s = 0.0
        self._answer: Mapping[ServiceName, Reading] = {}
        self._answered: Mapping[ServiceName, Query] = {}
        """The queries of that answer."""

    def ask(self, source: MetricsSource, tasks: asyncio.TaskGroup, now: Callable[[], float], patience_s: float) -> None:
        if self.task is None or self.task.done():
            self._asked_s = now()
            self.task = tasks.create_task(self._ask(source, now, patience_s))

    async def _ask(self, source: MetricsSource, now: Callable[[], float], patience_s: float) -> None:
        queries = self.queries
        try:
            self._answer = await source.read(queries, self._asked_s)
            self._failing = ""
        except Exception as error:  # noqa: BLE001 - a defect of the source; other queries continue
            self._answer = dict.fromkeys(queries, self._failed(error, now()))
        self._answered = queries
        self.on_time = now() - self._asked_s <= patience_s

    def _failed(self, error: Exception, now_s: float) -> Reading:
        if self._failing != type(error).__name__:
            self._failing = type(error).__name__
            _log.error("counts of %d services cannot be read: %s", len(self.queries), error, exc_info=error)
        return Reading(None, now_s, problem=f"the count cannot be read: {described(error)}")

    def readings(self, now_s: float) -> Mapping[ServiceName, Reading]:
        """Give the present reading of each service."""
        if self.task is not None and self.task.done() and self._answered is self.queries:
            return self._answer
        self.on_time = False
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
