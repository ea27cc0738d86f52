"""All connections of clients: how many there may be, which one is closed to make room, and how they are shut down.

A connection that serves a request is never closed to make room.
"""

import asyncio
from typing import NamedTuple, Protocol

from autoscaler.gateway.http.framing import HeadLimits
from autoscaler.gateway.http.memory_budget import MemoryBudget

BACKLOGS_BYTES = 64 << 20
"""Memory for the responses that all slow clients have not read, unless the gateway is given another budget."""


class ClientLimits(NamedTuple):
    """What each client may use."""

    head: HeadLimits = HeadLimits()
    head_timeout_s: float = 10.0
    """For the head of a request, from its first byte, or from the start of the connection."""
    keep_alive_s: float = 620.0
    """For an idle connection: longer than load balancers keep theirs, the longest of which is 600 s."""
    lingering_s: float = 2.0
    """How long the rest of an unwanted body is read, because a reset would lose the response."""
    connections: int = 20_000


class Connection(Protocol):
    """One client's connection."""

    @property
    def is_flushed(self) -> bool:
        """Whether all responses have been sent."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that serves the current request."""

    def break_off(self) -> None:
        """Close it."""

    def close_if_idle(self) -> None:
        """Close it if no request is being served."""

    def cancel(self) -> asyncio.Task[None] | None:
        """Close it, and return the task that this cancels."""


class Clients:
    """All connections of clients."""

    def __init__(self, limits: ClientLimits, backlog_budget: MemoryBudget | None = None) -> None:
        self.limits = limits
        self.backlog_budget = backlog_budget or MemoryBudget(BACKLOGS_BYTES)
        """For responses that clients have not read."""
        self.connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        """Connections that serve no request, the longest idle first."""
        self.shed = 0
        """Connections that were closed to make room."""
        self.stalled = 0
        """Clients that read nothing of their response for too long."""
        self.draining = False
        """Whether each connection ends with its current response."""

    def opened(self, connection: Connection) -> None:
        """Add a connection; if there are too many, close the one that has been idle for longest."""
        self.connections.add(connection)
        self.idle(connection)
        while len(self.connections) > self.limits.connections and self._idle:
            oldest = next((each for each in self._idle if each.is_flushed), connection)
            self.closed(oldest)
            self.shed += 1
            oldest.break_off()

    def idle(self, connection: Connection) -> None:
        """Note that a connection serves no request from now on."""
        self._idle.pop(connection, None)
        self._idle[connection] = None

    def serving(self, connection: Connection) -> None:
        """Note that a connection serves a request from now on."""
        self._idle.pop(connection, None)

    def closed(self, connection: Connection) -> None:
        """Note that a connection is closed."""
        self.connections.discard(connection)
        self._idle.pop(connection, None)

    async def shutdown(self, patience_s: float) -> None:
        """Close all connections; the tasks that serve requests get this many seconds to end."""
        for connection in list(self.connections):
            connection.close_if_idle()
        served = {connection.task for connection in self.connections if connection.task is not None}
        if served:
            await asyncio.wait(served, timeout=patience_s)
        cancelled = [task for connection in list(self.connections) if (task := connection.cancel()) is not None]
        await asyncio.gather(*cancelled, return_exceptions=True)
