"""A request's body between the client's connection and its reader: reading pauses while enough of it waits."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from autoscaler.gateway.http.memory_budget import MemoryBudget

BODY_BUFFER_BYTES = 1 << 16
"""Reading pauses when this much of a body, or of what follows an upgrade, has not been taken."""


class BrokenBodyError(Exception):
    """A request's body is malformed."""

    def __init__(self, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__()
        self.status = status


class Source(Protocol):
    """Where a body comes from."""

    def pause_reading(self) -> None:
        """Stop reading."""

    def resume_reading(self) -> None:
        """Read again."""


class IncomingBody:
    """A request's body: the parts that have arrived and were not read yet."""

    __slots__ = (
        "_ahead_bytes",
        "_borrowed",
        "_budget",
        "_data",
        "_paused",
        "_source",
        "_waiter",
        "broken",
        "complete",
        "on_broken",
    )

    def __init__(self, source: Source) -> None:
        self._source = source
        # Not a list of parts: a part of one byte would take forty bytes.
        self._data = bytearray()
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._budget: MemoryBudget | None = None
        self._ahead_bytes = 0
        self._borrowed = 0
        """Bytes of the budget that this body has taken."""
        self.broken: HTTPStatus | None = None
        """Why the body is malformed, as the status of the response; None if it is not."""
        self.on_broken: Callable[[], object] | None = None
        self.complete = False
        """Whether all of it has arrived."""

    def read_ahead(self, most_bytes: int, budget: MemoryBudget) -> None:
        """Let more than usual arrive while the request is held, up to a limit and while the budget has room.

        This ends when something is taken, or with `close`.
        """
        self._budget, self._ahead_bytes = budget, most_bytes
        self._hold_back()

    def arrived(self, data: bytes) -> None:
        """Add a part."""
        self._data += data
        self._hold_back()
        self._wake()

    @property
    def size(self) -> int:
        """Bytes that have arrived and were not taken."""
        return len(self._data)

    def end(self, broken: HTTPStatus | None = None) -> None:
        """Note that no more will come."""
        self.broken = broken
        self.complete = broken is None
        self._wake()
        if broken is not None and self.on_broken is not None:
            self.on_broken()

    def take(self) -> bytes:
        """Take everything that has arrived."""
        data = bytes(self._data)
        self.close()
        self._hold_back()
        return data

    async def read(self) -> bytes:
        """Take what has arrived, or wait for it; empty at the end.

        Raises:
            BrokenBodyError: the body is malformed.
        """
        if not (self._data or self.complete or self.broken):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.broken:
            raise BrokenBodyError(self.broken)
        return self.take()

    def close(self) -> None:
        """Drop what was not taken, and return its bytes to the budget."""
        self._data = bytearray()
        if self._budget is not None:
            self._budget.give_back(self._borrowed)
            self._budget, self._borrowed = None, 0

    def _hold_back(self) -> None:
        """Read or pause, depending on whether there is room."""
        full = self.size > BODY_BUFFER_BYTES if self._budget is None else not self._borrows(self._budget)
        if full == self._paused:
            return
        self._paused = full
        if full:
            self._source.pause_reading()
        else:
            self._source.resume_reading()

    def _borrows(self, budget: MemoryBudget) -> bool:
        if self.size > self._ahead_bytes or not budget.take(self.size - self._borrowed):
            return False
        self._borrowed = self.size
        return True

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
