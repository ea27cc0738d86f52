"""What tests of this package, and of code built on it, are made of: virtual time, and fakes of the ports."""

import asyncio
import selectors
from collections.abc import Mapping

from autoscaler.ports import Query, Reading, ServiceName

HANGING_S = 20.0
"""Real seconds without anything to do, and no timer set, after which `VirtualTimeLoop` says that a test hangs."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time: where nothing is ready, its clock jumps to the next timer.

    It starts at 0 and counts in whole nanoseconds, so that `sleep(0.1)` three times ends at 0.3. It is for code that
    waits only for itself: a socket or a thread takes real time to answer, and the clock would jump over its deadline.
    """

    def __init__(self) -> None:
        self._selector_of_time = _JumpingSelector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Return the seconds since the loop was made, by the timers that went off."""
        return self._selector_of_time.now


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._wait_for_others()
        ready = super().select(0)
        if not ready:
            self.now = round(self.now + max(timeout, 0), 9)
        return ready

    def _wait_for_others(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(HANGING_S)
        if not ready:
            raise RuntimeError("the test hangs: every task waits, no timer is set, and nothing else came")
        return ready


class FakeMetricsSource:
    """A `MetricsSource` that says what a test told it; of what it was not told it knows nothing."""

    def __init__(self) -> None:
        self._told: dict[ServiceName, Reading] = {}

    def tell(self, service: ServiceName, reading: Reading) -> None:
        """Answer with this reading from now on, until it is older than the query allows."""
        self._told[service] = reading

    def forget(self, service: ServiceName) -> None:
        """Know nothing of this service from now on."""
        self._told.pop(service, None)

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Give what was told, without waiting for anything."""
        return {service: self._reading(service, query, now_s) for service, query in queries.items()}

    def _reading(self, service: ServiceName, query: Query, now_s: float) -> Reading:
        reading = self._told.get(service, Reading(None, now_s, problem=f"nothing was told of {service}"))
        if now_s - reading.sampled_s > query.max_age_s:
            return Reading(None, now_s, problem=f"what was told of {service} is {now_s - reading.sampled_s:g} s old")
        return reading
