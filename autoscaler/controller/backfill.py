"""Tells services that begin anew what was before they began, so that a restart changes nothing that a user can see.

Rules:
1. Of each query the past is asked for once: so far back as its services' windows and delays reach.
2. Nothing waits for it. Meanwhile every service is decided on with what is known, and is not lowered.
3. When it is there, a service goes on as if that, and then what was seen since the start, had been seen in order.
4. Where there is no past, a service goes on with what it has seen: its own rules hold it until that is enough.
5. Whatever goes wrong with one service's past, that service goes on without it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from algorithms.types import Observation
from autoscaler.controller.failures import Failures
from autoscaler.controller.observation import past_observations
from autoscaler.controller.polling import sharing
from autoscaler.controller.services import BACKFILL, ServiceRegistry
from autoscaler.controller.step import described
from autoscaler.policy.decider_factory import lookback_s
from autoscaler.ports import Fleet, Past, PastSource, Query, Rescale, ServiceName

LONGEST_S = 3600.0
"""No further back is asked; a delay that is longer runs on from there."""
MOST_STEPS = 300
"""A longer past is asked for in longer steps, because all services of a query get as many."""
PATIENCE_S = 30.0
"""After so long without a look at a service, or with a write of its under way, it goes on without its past."""
_LOOK_AGAIN_S = 0.1
_log = logging.getLogger(__name__)


class HistoryBackfill:
    """Follows a roster; `run` it.

    Args:
        registry: its newcomers are told of their past.
        source: who knows it.
        now: gives the controller's time.
        tick_s: the shortest step of a past.
        gateways: gives how many gateways are known to live.
        rescale_of: gives when a service's number was changed last, where that is known.
        failures: takes in the services whose past cannot be used.
    """

    def __init__(
        self,
        registry: ServiceRegistry,
        source: PastSource,
        now: Callable[[], float],
        *,
        tick_s: float,
        gateways: Callable[[], int],
        rescale_of: Callable[[ServiceName], Rescale | None] = lambda _service: None,
        failures: Failures | None = None,
    ) -> None:
        self._registry = registry
        self._source = source
        self._now = now
        self._tick_s = tick_s
        self._gateways = gateways
        self._rescale_of = rescale_of
        self._failures = failures or Failures()
        self._seen: dict[ServiceName, list[tuple[Observation, Fleet]]] = {}
        self._under_way: set[ServiceName] = set()

    def saw(self, observations: Mapping[ServiceName, tuple[Observation, Fleet]]) -> None:
        """Take in what is decided on next."""
        for service in self._registry.unwarmed & observations.keys():
            self._seen.setdefault(service, []).append(observations[service])

    async def run(self, is_writing: Callable[[ServiceName], bool]) -> None:
        """Recall until cancelled; while a service is being written its last decision is not yet recorded."""
        async with asyncio.TaskGroup() as group:
            while True:
                for gone in self._seen.keys() - self._registry.unwarmed:
                    del self._seen[gone]
                begin = self._registry.unwarmed - self._under_way
                queries = {service: self._registry.queries[service] for service in begin}
                for shared in sharing(queries).values():
                    self._under_way |= shared.keys()
                    group.create_task(self._backfill(shared, is_writing))
                await asyncio.sleep(self._tick_s)

    async def _backfill(self, queries: Mapping[ServiceName, Query], is_writing: Callable[[ServiceName], bool]) -> None:
        pasts = await self._pasts(queries)
        _tell(pasts)
        until_s = self._now() + PATIENCE_S
        while pasts and self._now() < until_s:
            for service in [service for service in pasts if service in self._seen]:
                if not is_writing(service):
                    self._remember(service, pasts.pop(service))
                    await asyncio.sleep(0)  # ticks and wake-ups go on
            await asyncio.sleep(_LOOK_AGAIN_S)
        for service in pasts:
            self._remember(service, Past(()))
        self._under_way -= queries.keys()

    async def _pasts(self, queries: Mapping[ServiceName, Query]) -> dict[ServiceName, Past]:
        """Ask for the past of all; where that fails there is none."""
        try:
            span_s = min(max(map(self._reach_s, queries)), LONGEST_S)
            step_s = max(self._tick_s, 1.0, span_s / MOST_STEPS)
            return dict(await self._source.past(queries, self._now(), span_s=span_s, step_s=step_s))
        except Exception as error:  # noqa: BLE001 - no source may raise one; they go on without
            _log.exception("the past of %d services cannot be read", len(queries))
            return dict.fromkeys(queries, Past((), f"it cannot be read: {described(error)}"))

    def _reach_s(self, service: ServiceName) -> float:
        entry = self._registry.entries.get(service)
        return 0.0 if entry is None else lookback_s(entry.policy)

    def _remember(self, service: ServiceName, past: Past) -> None:
        seen = self._seen.pop(service, [])
        if service not in self._registry.unwarmed:
            return
        try:
            observations = self._before(service, past, *seen[0]) if seen and past.moments else []
            self._registry.remember(
                service, [*observations, *(observation for observation, _ in seen)] if observations else ()
            )
        except Exception as error:  # noqa: BLE001 - one service's past
            self._failures.failed(service, BACKFILL, error)
            self._registry.remember(service, ())

    def _before(self, service: ServiceName, past: Past, first: Observation, fleet: Fleet) -> list[Observation]:
        """Make the looks before the first one; a service at zero that had nothing in flight has nothing to remember."""
        is_settled = not (fleet.asked or fleet.replicas or any(moment.reading.value for moment in past.moments))
        if is_settled:
            return []
        rescale = self._rescale_of(service)
        if rescale is not None and rescale.at_s > first.now_s:
            rescale = None  # told by another clock, which is ahead of ours
        return past_observations(past.moments, fleet, first.now_s, gateways=self._gateways(), rescale=rescale)


def _tell(pasts: Mapping[ServiceName, Past]) -> None:
    known = sum(any(moment.reading.value is not None for moment in past.moments) for past in pasts.values())
    _log.info("the past of %d of %d services is known", known, len(pasts))
    for problem in {past.problem for past in pasts.values() if past.problem}:
        _log.warning("%d services begin without their past: %s", len(pasts), problem)
