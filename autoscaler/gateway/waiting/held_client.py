"""One client whose request is held: what was expected of its wait, and what became of it."""

import asyncio
from collections.abc import Hashable
from typing import Protocol

from autoscaler.gateway.waiting.estimate import Estimate, header_lines


class WaitingService(Protocol):
    """What it needs to know of the service."""

    ready_since_s: float | None
    """Since when there has been a ready pod all the time; None while there is none."""

    def estimate(self, request: Hashable | None) -> Estimate | None:
        """Return what is expected of a wait."""


class HeldClient:
    """Follows one request.

    Args:
        service: its service.
        request: its name at the dispatcher.
        arrived_s: when it arrived.
        loop: the event loop, which has the time.

    Attributes:
        estimate: what was expected when it began to wait; None if that is unknown.
    """

    __slots__ = ("_arrived_s", "_granted_s", "_loop", "_request", "_service", "_was_held", "estimate")

    def __init__(
        self, service: WaitingService, request: Hashable, arrived_s: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._service = service
        self._request = request
        self._arrived_s = arrived_s
        self._loop = loop
        self._was_held = False
        self._granted_s: float | None = None
        self.estimate: Estimate | None = None

    def held(self) -> None:
        """Note that the request waits, for the first time or again."""
        self._granted_s = None
        if not self._was_held:
            self._was_held = True
            self.estimate = self._service.estimate(self._request)

    def granted(self) -> None:
        """Note that the wait is over."""
        self._granted_s = self._loop.time()

    def lines(self) -> bytes:
        """Return the header lines of its answer, which begins now; nothing if it never waited."""
        if not self._was_held:
            return b""
        expected = b"" if self.estimate is None else header_lines(self.estimate)
        return b"%bServer-Timing: %b\r\n" % (expected, self._timing())

    def _timing(self) -> bytes:
        """Write how long it waited for a pod to start, then for a slot, and then for the pod's answer."""
        now_s = self._loop.time()
        until_s = now_s if self._granted_s is None else self._granted_s
        ready_s = until_s if self._service.ready_since_s is None else self._service.ready_since_s
        ready_s = min(max(ready_s, self._arrived_s), until_s)
        spans = [(b"start", ready_s - self._arrived_s), (b"queue", until_s - ready_s)]
        if self._granted_s is not None:
            spans.append((b"upstream", now_s - until_s))
        return b", ".join(b"%b;dur=%.1f" % (name, seconds * 1000) for name, seconds in spans)
