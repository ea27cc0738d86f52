"""All connections of clients: how many there may be, which one is closed to make room, and how they end together.

A connection that serves a request is never closed for another.
"""

import asyncio
from typing import NamedTuple, Protocol

from autoscaler.gateway.http.framing import HeadLimits
from autoscaler.gateway.http.memory_budget import MemoryBudget

BACKLOGS_BYTES = 64 << 20
"""What all slow clients together may leave in our memory unless the gateway is given another budget."""


class ClientLimits(NamedTuple):
    """What any client may take."""

    head: HeadLimits = HeadLimits()
    head_timeout_s: float = 10.0
    """For a request's head, from its first byte, or from the connection."""
    keep_alive_s: float = 620.0
    """For an idle connection: longer than load balancers keep theirs, of which the longest is 600 s."""
    lingering_s: float = 2.0
    """How long the rest of an unwanted body is read, so that the answer is not lost in a reset."""
    connections: int = 20_000


class Connection(Protocol):
    """One client's connection."""

    @property
    def is_flushed(self) -> bool:
        """Whether the client has been sent all of its responses."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What serves its request."""

    def break_off(self) -> None:
        """Close it."""

    def close_if_idle(self) -> None:
        """Close it if it serves no request."""

    def cancel(self) -> asyncio.Task[None] | None:
        """Close it, and give the task that is cancelled by it."""


class Clients:
    """All connections of clients."""

    def __init__(self, limits: ClientLimits, backlog_budget: MemoryBudget | None = None) -> None:
        self.limits = limits
        self.backlog_budget = backlog_budget or MemoryBudget(BACKLOGS_BYTES)
        """For what clients leave lying of their responses."""
        self.connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        """Those that serve nobody, the one that has done so for longest first."""
        self.shed = 0
        """Connections that were closed to make room for others."""
        self.stalled = 0
        """Clients that took nothing of their response for too long."""
        self.draining = False
        """Whether connections end with the response that is under way."""

    def opened(self, connection: Connection) -> None:
        """Take a connection in; if there are too many now, close the one that has served nobody for longest."""
        self.connections.add(connection)
        self.idle(connection)
        while len(self.connections) > self.limits.connections and self._idle:
            oldest = next((each for each in self._idle if each.is_flushed), connection)
            self.closed(oldest)
            self.shed += 1
            oldest.break_off()

    def idle(self, connection: Connection) -> None:
        """Take note that a connection serves nobody from now on."""
        self._idle.pop(connection, None)
        self._idle[connection] = None

    def serving(self, connection: Connection) -> None:
        """Take note that a connection serves a request from now on."""
        self._idle.pop(connection, None)

    def closed(self, connection: Connection) -> None:
        """Take note that a connection is there no more."""
        self.connections.discard(connection)
        self._idle.pop(connection, None)

    async def shutdown(self, patience_s: float) -> None:
        """Close all connections; those that are served may take so long for their end."""
        for connection in list(self.connections):
            connection.close_if_idle()
        served = {connection.task for connection in self.connections if connection.task is not None}
        if served:
            await asyncio.wait(served, timeout=patience_s)
        cancelled = [task for connection in list(self.connections) if (task := connection.cancel()) is not None]
        await asyncio.gather(*cancelled, return_exceptions=True)
