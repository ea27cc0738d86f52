"""One stream of events for all viewers of one thing: an event is computed and formatted once, and nobody waits for it.

Rules:
1. Nothing is computed while nobody looks: the stream begins with its first viewer and ends with its last one.
2. At most two events a second; without a change one every two seconds, so that a viewer knows that the page is live.
3. A viewer that does not keep up is disconnected, and comes back by itself. Nothing waits for it.
4. At most `MOST_VIEWERS` for all streams of the process.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

MOST_VIEWERS = 20
SHORTEST_S = 0.5
LONGEST_S = 2.0
MOST_WAITING = 8
"""Events that may wait for one viewer: 4 seconds at the most."""
_log = logging.getLogger(__name__)

Values = Mapping[str, Any]


class Event(NamedTuple):
    """One event; its id is the time up to which it says everything."""

    name: str
    now_s: float
    values: Values

    def text(self) -> bytes:
        """Write it as server-sent events are written."""
        return f"event: {self.name}\nid: {self.now_s}\ndata: {compact(self.values)}\n\n".encode()


def compact(values: Values) -> str:
    """Write JSON without spaces; NaN would be no JSON, and is an error."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


class TooManyViewersError(Exception):
    """All places are taken."""


class Viewer:
    """One viewer's events that were not sent yet."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self.is_late = False
        """Whether it did not keep up, so that an event is missing."""

    def offer(self, event: bytes) -> None:
        """Let an event wait for this viewer."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.is_late = True

    async def events(self) -> AsyncIterator[bytes]:
        """Give the events until it is late."""
        while not self.is_late:
            yield await self._waiting.get()


class Stream:
    """The events of one thing.

    Args:
        after: computes the event of everything since a time.
        wait: waits until something has changed since a time.
    """

    def __init__(self, after: Callable[[float], Awaitable[Event]], wait: Callable[[float], Awaitable[None]]) -> None:
        self._after = after
        self._wait = wait
        self._viewers: set[Viewer] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def viewers(self) -> int:
        """How many look."""
        return len(self._viewers)

    @asynccontextmanager
    async def viewer(self, since_s: float) -> AsyncIterator[Viewer]:
        """Add a viewer while the block runs; its first event says everything since a time."""
        viewer = Viewer()
        first = await self._after(since_s)
        viewer.offer(first.text())
        self._viewers.add(viewer)
        if self._task is None:
            self._task = asyncio.create_task(self._run(first.now_s))
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self, since_s: float) -> None:
        while True:
            await asyncio.sleep(SHORTEST_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_S - SHORTEST_S):
                    await self._wait(since_s)
            try:
                event = await self._after(since_s)
            except Exception:  # noqa: BLE001 - a defect must not end what is shown; the page says how old it is
                _log.exception("the page's events cannot be computed")
                continue
            since_s, text = event.now_s, event.text()
            for viewer in self._viewers:
                viewer.offer(text)


class Streams:
    """All streams of the page, and the places of their viewers."""

    def __init__(self, make: Callable[[str], Stream]) -> None:
        self._make = make
        self._streams: dict[str, Stream] = {}
        self._viewers = 0

    @asynccontextmanager
    async def viewer(self, name: str, since_s: float) -> AsyncIterator[Viewer]:
        """Add a viewer of one stream while the block runs.

        Raises:
            TooManyViewersError: all places are taken.
        """
        if self._viewers >= MOST_VIEWERS:
            raise TooManyViewersError
        self._viewers += 1
        stream = self._streams.setdefault(name, self._make(name))
        try:
            async with stream.viewer(since_s) as viewer:
                yield viewer
        finally:
            self._viewers -= 1
            if not stream.viewers and self._streams.get(name) is stream:
                del self._streams[name]
