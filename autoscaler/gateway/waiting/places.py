"""Places in line whose client is away for a moment: a browser between two refreshes of its page.

The dispatcher has such a request as any other, so it counts as demand, starts a pod and keeps its turn.

Rules:
1. A place is kept for some seconds after its client was there last. Then the dispatcher loses it.
2. A slot that is granted to a place waits `PICK_UP_S` for its client. Then it goes to the next request.
3. A client that comes back later than that, or at another gateway, stands by its age: its token says when it came.
"""

import asyncio
from typing import Any, Protocol

PICK_UP_S = 3.0
"""Longer than a browser takes to come back, and shorter than most work."""
_WAKING = b""
"""The key of the request that has no client."""


class Waiting(Protocol):
    """A request that waits."""

    placement: asyncio.Future[Any] | None


class Line(Protocol):
    """Where requests wait."""

    def abandon(self, waiter: Any) -> None:
        """End a request in any state."""


class Places:
    """The places of one service at one gateway, by the key in the client's token."""

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._line = line
        self._loop = loop
        self._away: dict[bytes, tuple[Any, asyncio.TimerHandle]] = {}
        self._here: set[bytes] = set()
        """Keys of clients that came back and are connected."""

    def __len__(self) -> int:
        return len(self._away)

    def leave(self, key: bytes, waiter: Waiting, keep_s: float) -> None:
        """Keep the place of a client that goes away now; one that has this key already is given up."""
        self._keep(key, waiter, keep_s)
        if waiter.placement is not None:
            waiter.placement.add_done_callback(lambda _: self._granted(key, waiter))

    def wake(self, waiter: Waiting, keep_s: float) -> None:
        """Let a request that its client gave up start a pod all the same; one is enough for a service.

        Otherwise clients that wait for less than a start takes would never get a pod.
        """
        self.leave(_WAKING, waiter, keep_s)

    def enter(self, key: bytes) -> bool:
        """Note that a client is back; False if one with this key is here already, so that a copy is no second place."""
        if key in self._here:
            return False
        self._here.add(key)
        return True

    def exit(self, key: bytes) -> None:
        """Note that a client is not connected any more."""
        self._here.discard(key)

    def take(self, key: bytes) -> Any:
        """Return the request of a client that is back; None if its place was given up."""
        found = self._away.pop(key, None)
        if found is None:
            return None
        waiter, timer = found
        timer.cancel()
        return waiter

    def close(self) -> None:
        """Forget all."""
        for _, timer in self._away.values():
            timer.cancel()
        self._away.clear()

    def _keep(self, key: bytes, waiter: Waiting, keep_s: float) -> None:
        found = self._away.get(key)
        if found is not None:
            found[1].cancel()
            if found[0] is not waiter:
                self._line.abandon(found[0])
        self._away[key] = (waiter, self._loop.call_later(keep_s, self._give_up, key))

    def _granted(self, key: bytes, waiter: Waiting) -> None:
        """Limit the time for which a slot waits for a client that is away."""
        found = self._away.get(key)
        if found is not None and found[0] is waiter:
            self._keep(key, waiter, 0.0 if key == _WAKING else PICK_UP_S)

    def _give_up(self, key: bytes) -> None:
        waiter, _ = self._away.pop(key)
        self._line.abandon(waiter)
