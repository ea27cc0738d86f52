"""Backfill: fills the windows of a new decider from Prometheus' history, so that no user notices a restart.

Rules:
1. The history of each query is read once, as far back as the windows and delays of its services reach.
2. Nothing waits for it. Meanwhile every service is decided on with what is known, and its number does not fall.
3. When the history is there, the service continues as if its decider had seen the history, and then all observations
   since the start, in order.
4. A service without history continues with its observations; its own rules hold it until these are enough.
5. If anything goes wrong with the history of one service, that service continues without it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from algorithms.observation import Observation
from autoscaler.controller.failures import Failures
from autoscaler.controller.observe import past_observations
from autoscaler.controller.polling import sharing
from autoscaler.controller.services import BACKFILL, ServiceRegistry
from autoscaler.policy.decider_factory import lookback_s
from autoscaler.ports import Fleet, HistorySource, Query, ReadingHistory, Rescale, ServiceName
from autoscaler.runtime.errors import described

LONGEST_S = 3600.0
"""The longest history that is read; a longer delay continues from there."""
MOST_STEPS = 300
"""A longer history is read in longer steps, because all services of a query get the same number."""
PATIENCE_S = 30.0
"""A service that is not observed for this long, or has a write under way, continues without its history."""
_RETRY_S = 0.1
_log = logging.getLogger(__name__)


class HistoryBackfill:
    """Gives the new services of a registry their history; `run` it.

    Args:
        registry: its new services get their history.
        source: reads the history.
        now: gives the controller's time.
        tick_s: the shortest step of a history.
        gateways: gives the number of known gateways.
        rescale_of: gives the last change of a service's replicas, if it is known.
        failures: collects the services whose history cannot be used.
    """

    def __init__(
        self,
        registry: ServiceRegistry,
        source: HistorySource,
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
        self._observed: dict[ServiceName, list[tuple[Observation, Fleet]]] = {}
        self._under_way: set[ServiceName] = set()

    def saw(self, observations: Mapping[ServiceName, tuple[Observation, Fleet]]) -> None:
        """Keep the observations of new services, which are decided on next."""
        for service in self._registry.unwarmed & observations.keys():
            self._observed.setdefault(service, []).append(observations[service])

    async def run(self, is_writing: Callable[[ServiceName], bool]) -> None:
        """Backfill until cancelled, but not a service that is being written: its last decision is not recorded yet."""
        async with asyncio.TaskGroup() as group:
            while True:
                for gone in self._observed.keys() - self._registry.unwarmed:
                    del self._observed[gone]
                begin = self._registry.unwarmed - self._under_way
                queries = {service: self._registry.queries[service] for service in begin}
                for shared in sharing(queries).values():
                    self._under_way |= shared.keys()
                    group.create_task(self._backfill(shared, is_writing))
                await asyncio.sleep(self._tick_s)

    async def _backfill(self, queries: Mapping[ServiceName, Query], is_writing: Callable[[ServiceName], bool]) -> None:
        histories = await self._read(queries)
        _log_result(histories)
        until_s = self._now() + PATIENCE_S
        while histories and self._now() < until_s:
            for service in [service for service in histories if service in self._observed]:
                if not is_writing(service):
                    self._remember(service, histories.pop(service))
                    await asyncio.sleep(0)  # let ticks and wake-ups run
            await asyncio.sleep(_RETRY_S)
        for service in histories:
            self._remember(service, ReadingHistory(()))
        self._under_way -= queries.keys()

    async def _read(self, queries: Mapping[ServiceName, Query]) -> dict[ServiceName, ReadingHistory]:
        """Read the history of all services; if that fails, there is none."""
        try:
            span_s = min(max(map(self._lookback_s, queries)), LONGEST_S)
            step_s = max(self._tick_s, 1.0, span_s / MOST_STEPS)
            return dict(await self._source.history(queries, self._now(), span_s=span_s, step_s=step_s))
        except Exception as error:  # noqa: BLE001 - a source must not raise; the services continue without history
            _log.exception("the history of %d services cannot be read", len(queries))
            return dict.fromkeys(queries, ReadingHistory((), f"it cannot be read: {described(error)}"))

    def _lookback_s(self, service: ServiceName) -> float:
        entry = self._registry.entries.get(service)
        if entry is None:
            return 0.0
        return max(map(lookback_s, (entry.policy, *entry.policy.candidates.values())))

    def _remember(self, service: ServiceName, history: ReadingHistory) -> None:
        since_start = self._observed.pop(service, [])
        if service not in self._registry.unwarmed:
            return
        try:
            before = self._before(history, service, *since_start[0]) if since_start and history.readings else []
            observed = [observation for observation, _ in since_start]
            self._registry.remember(service, [*before, *observed] if before else ())
        except Exception as error:  # noqa: BLE001 - the error stays with this service's history
            self._failures.failed(service, BACKFILL, error)
            self._registry.remember(service, ())

    def _before(
        self, history: ReadingHistory, service: ServiceName, first: Observation, fleet: Fleet
    ) -> list[Observation]:
        """Make the observations before the first one; none for a service at zero that had nothing in flight."""
        had_load = any(each.reading.value for each in history.readings)
        if not (fleet.asked or fleet.replicas or had_load):
            return []
        rescale = self._rescale_of(service)
        if rescale is not None and rescale.at_s > first.now_s:
            rescale = None  # by another clock, which is ahead of ours
        return past_observations(history.readings, fleet, first.now_s, gateways=self._gateways(), rescale=rescale)


def _log_result(histories: Mapping[ServiceName, ReadingHistory]) -> None:
    known = sum(any(each.reading.value is not None for each in history.readings) for history in histories.values())
    _log.info("the history of %d of %d services is known", known, len(histories))
    for problem in {history.problem for history in histories.values() if history.problem}:
        _log.warning("%d services begin without their history: %s", len(histories), problem)
