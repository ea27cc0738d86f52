"""What is computed when: the fleet's rows and a service's figures, once for all viewers, and only while some look."""

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from math import inf
from typing import NamedTuple

from autoscaler.explain.fleet import fleet_answer
from autoscaler.explain.sentences import Answer, answer
from autoscaler.explain.states import State
from autoscaler.explain.view import ServiceView
from autoscaler.explain.why_not import why_not
from autoscaler.page import snapshot, tables
from autoscaler.page.events import Event, Stream, Streams
from autoscaler.page.history import SPAN_S, Sample
from autoscaler.page.live import Facts, Live
from autoscaler.page.snapshot import Values
from autoscaler.ports import ServiceName

_SLICE = 10
"""Rows that are computed without a break."""
_OVERLAP_S = 15.0
"""New points of a chart replace those of this time before, because a gap is known only afterwards."""


class _Row(NamedTuple):
    computed_s: float
    changed_s: float
    view: ServiceView
    answer: Answer
    figures: Values
    values: Values


class Board:
    """What the page shows.

    Args:
        live: what is known of the services.
        facts: what other parts of the process know.
    """

    def __init__(self, live: Live, facts: Facts) -> None:
        self._live = live
        self._facts = facts
        self._rows: dict[ServiceName, _Row] = {}
        self._gone: dict[ServiceName, float] = {}
        """When services were found to be gone."""
        self._began_s = live.now()
        """Since when `_rows` and `_gone` know every change."""
        self._computing = asyncio.Lock()
        self.streams = Streams(self._stream)
        """The streams of events, by service; the fleet's has an empty name."""

    def services(self) -> Collection[ServiceName]:
        """Give the services that there are."""
        return self._facts.services()

    async def fleet(self) -> Values:
        """Give the whole fleet."""
        await self._compute_rows()
        rows = sorted((each.values for each in self._rows.values()), key=_by_need)
        return {**self._process(), **self._whole(), "services": rows}

    async def service(self, service: ServiceName, seconds: float = SPAN_S) -> Values | None:
        """Give a service with the last seconds of its history; None if there is none of this name."""
        since_s = self._live.now() - min(seconds, SPAN_S)
        begins_s, before = self._live.history.begins_s(service), list[Sample]()
        if self._facts.past is not None and begins_s is not None and service in self.services():
            before = await self._facts.past(service, since_s, begins_s)
        return self._service(service, since_s, 0.0, before)

    def why_not(self, service: ServiceName, replicas: int) -> Values | None:
        """Say why a service does not have a number of replicas; None if there is none of this name."""
        view = self._view(service)
        if view is None:
            return None
        return {"service": service, "replicas": replicas, "sentences": why_not(view, replicas)}

    # Both are computed anew for each event.

    def _process(self) -> Values:
        leads = self._facts.leads()
        return {
            **snapshot.time_of(self._live.now()),
            "role": self._facts.role,
            "leads": leads,
            "leader": None if leads else self._facts.leader(),
        }

    def _whole(self) -> Values:
        views = [each.view for each in self._rows.values()]
        said = fleet_answer(views, [each.answer for each in self._rows.values()])
        return {
            "sentence": snapshot.sentence(*said),
            "totals": snapshot.totals(views, [each.figures for each in self._rows.values()]),
        }

    async def _compute_rows(self) -> None:
        """Compute the rows of services that have changed; decisions go on meanwhile."""
        async with self._computing:
            services = self.services()
            for gone in self._rows.keys() - services:
                del self._rows[gone]
                self._gone[gone] = self._live.now()
            changed = [name for name in services if self._is_outdated(name)]
            for start in range(0, len(changed), _SLICE):
                for name in changed[start : start + _SLICE]:
                    self._rows[name] = self._row(name)
                await asyncio.sleep(0)

    def _is_outdated(self, service: ServiceName) -> bool:
        known = self._rows.get(service)
        if known is None or known.computed_s <= self._live.changed_s(service):
            return True
        return known.computed_s < self._live.now() // tables.SPARK_S * tables.SPARK_S

    def _row(self, service: ServiceName) -> _Row:
        view = self._live.view(service, self._facts)
        known = self._rows.get(service)
        samples = self._live.history.samples(service, tables.spark_begins_s(view.now_s), view.now_s)
        said = answer(view)
        shown = snapshot.figures(view)
        values = snapshot.row(view, said, shown, samples)
        changed_s = known.changed_s if known and known.values == values else view.now_s
        return _Row(view.now_s, changed_s, view, said, shown, values)

    def _view(self, service: ServiceName) -> ServiceView | None:
        """Give all that is known of a service, with its forecast."""
        if service not in self.services():
            return None
        view = self._live.view(service, self._facts)
        return view._replace(forecast=self._facts.forecast(view))

    def _service(
        self, service: ServiceName, since_s: float, rows_since_s: float, before: Sequence[Sample] = ()
    ) -> Values | None:
        view = self._view(service)
        if view is None:
            return None
        samples = [*before, *self._live.history.samples(service, since_s, view.now_s)]
        decisions = self._live.decisions.rows(service, rows_since_s)
        quality = self._facts.quality(service, since_s, view.now_s)
        return {**self._process(), **snapshot.service(view, answer(view), samples, quality, decisions)}

    # Events.

    def _stream(self, service: ServiceName) -> Stream:
        after = partial(self._service_after, service) if service else self.fleet_after
        return Stream(after, partial(self._live.change, service))

    async def fleet_after(self, since_s: float) -> Event:
        """Give what has changed in the fleet since a time."""
        await self._compute_rows()
        now_s, complete = self._live.now(), since_s < self._began_s
        values = {
            "now": now_s,
            **self._whole(),
            "services": [each.values for each in self._rows.values() if complete or each.changed_s > since_s],
            "gone": [name for name, gone_s in self._gone.items() if gone_s > since_s and name not in self._rows],
            "complete": complete,
        }
        return Event("fleet", now_s, values)

    async def _service_after(self, service: ServiceName, since_s: float) -> Event:
        now_s = self._live.now()
        values = self._service(service, max(since_s - _OVERLAP_S, now_s - SPAN_S), since_s)
        if values is None:
            return Event("gone", now_s, {"now": now_s, "name": service})
        points = {"series": values.pop("series"), "quality": values.pop("quality")}
        return Event("service", now_s, {**values, "points": points})


def _by_need(row: Values) -> tuple[bool, float, bool, str]:
    """Order rows: those that need attention, then by what waits, an unknown count first, and those at zero last."""
    waits = inf if row["queued"] is None else row["queued"]
    return not row["attention"], -waits, row["state"] == State.AT_ZERO, row["name"]
