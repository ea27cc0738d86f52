"""One deadline that moves: for what would else set and cancel a timer for each request."""

import asyncio
import math
from collections.abc import Callable

_TOO_EARLY_S = 1e-6
"""A timer comes when its time is due by the resolution of the loop's clock, which may be a little before."""


class Deadline:
    """Calls when the time is up. Its timer is moved only when it fires: setting it anew costs next to nothing."""

    __slots__ = ("_call", "_due_s", "_loop", "_timer", "_timer_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._due_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        """When the timer fires. Kept here: the handle of uvloop has no time where that has come already."""

    def within(self, seconds: float) -> None:
        """Be due after so many seconds, whatever was set before."""
        self._due_s = self._loop.time() + seconds
        if self._timer is not None and self._timer_s > self._due_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._set(seconds)

    def never(self) -> None:
        """Be not due until it is set again."""
        self._due_s = math.inf

    def close(self) -> None:
        """Be never due again, and hold on to nobody."""
        self.never()
        self._call = _nothing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        left_s = self._due_s - self._loop.time()
        if left_s <= _TOO_EARLY_S:
            self.never()
            self._call()
        elif left_s < math.inf:
            self._set(left_s)

    def _set(self, seconds: float) -> None:
        self._timer_s = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._check)


def _nothing() -> None:
    """Stand for a call that is not made any more."""
