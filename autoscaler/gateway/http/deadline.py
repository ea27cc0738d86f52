"""A deadline that can be moved, without setting and cancelling a timer for each request."""

import asyncio
import math
from collections.abc import Callable

_TOO_EARLY_S = 1e-6
"""A timer may fire this much early: it is due by the resolution of the loop's clock."""


class Deadline:
    """Calls a function when the time is up. Moving the deadline is cheap: the timer is only moved when it fires."""

    __slots__ = ("_call", "_due_s", "_loop", "_timer", "_timer_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._due_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        """When the timer fires. Kept here because a handle of uvloop loses its time once that has passed."""

    def within(self, seconds: float) -> None:
        """Set the deadline this many seconds from now."""
        self.at(self._loop.time() + seconds)

    def at(self, when_s: float) -> None:
        """Set the deadline at a time of the event loop."""
        self._due_s = when_s
        if self._timer is not None and self._timer_s > when_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._set(when_s)

    def never(self) -> None:
        """Have no deadline until it is set again."""
        self._due_s = math.inf

    def close(self) -> None:
        """Never call again, and drop the reference to the function."""
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
            self._set(self._due_s)

    def _set(self, when_s: float) -> None:
        self._timer_s = when_s
        self._timer = self._loop.call_at(when_s, self._check)


def _nothing() -> None:
    """Replace a function that must not be called any more."""
