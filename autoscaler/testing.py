"""What tests of this package, and of code built on it, are made of: virtual time, and fakes of the ports."""

import asyncio
import selectors

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
