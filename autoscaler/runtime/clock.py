"""The system's clock: the only module that reads it."""

import asyncio
import time
from datetime import UTC, datetime
from datetime import time as time_of_day

from autoscaler.ports import Wake

_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Only Linux has the former."""


class SystemClock:
    """Unix time at the start plus the event loop's monotonic time since then, so that it never steps.

    On an event loop with virtual time it is a virtual clock.
    """

    def __init__(self, start_s: float | None = None) -> None:
        """Start it inside a running event loop, at a Unix time in seconds, by default the current one."""
        self._loop_time = asyncio.get_running_loop().time
        self._offset_s = (time.time() if start_s is None else start_s) - self._loop_time()

    def now(self) -> float:
        """Give the time."""
        return self._loop_time() + self._offset_s

    async def sleep_until(self, when_s: float, wake: Wake) -> bool:
        """Sleep until `when_s`, or until `wake` is set; True if it was woken."""
        try:
            async with asyncio.timeout_at(when_s - self._offset_s):
                return await wake.wait()
        except TimeoutError:
            return False


def boot_time_s() -> float:
    """Return seconds that go on while the machine sleeps, for what must end even if the process does not run."""
    return time.clock_gettime(_BOOT_TIME)


def local_midnight_s(at_s: float) -> float:
    """Give when the local day of a time began; the zone is that of this process."""
    day = datetime.fromtimestamp(at_s, UTC).astimezone().date()
    return datetime.combine(day, time_of_day.min).astimezone().timestamp()
