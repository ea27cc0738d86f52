"""One pod: its address, its idle connections, and how new connections are made.

An idle connection is used for at most two seconds, because uvicorn closes its own after five, and never for a request
that must not be sent twice.
"""

import asyncio
import errno
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from autoscaler.gateway.http.pod_connection import Failure, PodConnection
from autoscaler.gateway.http.resolver import Resolver

_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE}
_DESCRIPTOR_WAIT_S = 0.05
IDLE_LIMIT_S = 2.0
IDLE_CONNECTIONS = 128
"""Idle connections kept for one pod."""
_SHORT_WATCH_S, _WATCH_S, _LONGER_WATCH_S = 0.002, 0.05, 0.5
"""How long a new connection is watched before a pod that has never answered is sent anything: if the cluster says that
the pod is ready, if nothing is known, and after it has closed a connection."""


class PodRefusedError(Exception):
    """There is no connection to a pod: nothing listens there, the pod is gone, or its address is invalid."""


class PodUser(Protocol):
    """Waits for something from a pod."""

    def failed(self, failure: Failure) -> None:
        """Note that no more will arrive."""


class Pod:
    """One pod's address and idle connections; a new pod at the same address shares none of them."""

    def __init__(
        self, name: str, address: str, loop: asyncio.AbstractEventLoop, resolver: Resolver, *, ready: bool = False
    ) -> None:
        """Describe a pod.

        Args:
            name: its name.
            address: where it serves, as `host:port`.
            loop: the event loop of its connections.
            resolver: looks up its host.
            ready: whether the cluster says that it is ready.
        """
        self.name = name
        self.address = address
        self._resolver = resolver
        self._loop = loop
        self._idle: list[PodConnection] = []
        self._closed = False
        self.known_s = loop.time()
        """Since when the gateway knows it."""
        self.gone = False
        """Whether the pod was removed, so that every request to it fails."""
        self.open: set[PodUser] = set()
        """The exchanges and tunnels that are open at this pod."""
        self.on_outcome: Callable[[int, Failure | None], None] | None = None
        """Is given the result of each client's request."""
        self.has_answered = False
        """Whether it has ever answered a request."""
        self.answers = 0
        """How many requests of clients it has answered."""
        self.admitted = False
        """Whether it is sent clients' requests; before, it may have to pass checks."""
        self.warm = False
        """Whether it has served a request, or a warm-up has begun."""
        self.may_be_unready = False
        """Whether a 503 with Retry-After means that it is not ready yet, and not that it is busy."""
        self.keeps_idle = True
        """Whether a connection stays open after its request."""
        self._watch_s = _SHORT_WATCH_S if ready else _WATCH_S
        self._sweep: asyncio.TimerHandle | None = None

    def at_port(self, port: int) -> "Pod":
        """Return the same pod at another port."""
        return Pod(self.name, f"{self.address.rpartition(':')[0]}:{port}", self._loop, self._resolver)

    def take_idle(self) -> PodConnection | None:
        """Return an idle connection that is fresh enough, the one used last first."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and self._loop.time() - connection.idle_since_s < IDLE_LIMIT_S:
                return connection
            connection.close()
        return None

    async def connect(self, timeout_s: float, answer_s: float = math.inf) -> PodConnection:
        """Open a connection for a request that must be answered within `answer_s`.

        A port may be open before its server is, such as the port of a proxy or a sidecar, which then closes the
        connection. So the first connections of a pod are watched for a moment, for a tenth of `answer_s` at most. While
        nothing is written, no server has read anything, and any request can be sent again.

        Raises:
            PodRefusedError: there is no connection, or it was closed before anything was sent.
        """
        if self.gone:
            raise PodRefusedError("the pod is gone")
        host, _, port = self.address.rpartition(":")
        host = host.strip("[]")
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connected(host, int(port))
        except (OSError, ValueError, OverflowError) as error:  # no port has six digits
            self._resolver.forget(host)
            raise PodRefusedError(str(error)) from error
        if self.gone or not connection.reusable:
            connection.close()
            raise PodRefusedError("closed at once")
        if not self.has_answered:
            await self._watch(connection, min(self._watch_s, answer_s / 10))
        return connection

    async def _connected(self, host: str, port: int) -> PodConnection:
        """Connect to one of a name's addresses; if all refuse, look the name up again."""
        addresses = await self._resolver.addresses(host)
        try:
            return await self._connected_to(addresses, port)
        except OSError:
            self._resolver.forget(host)
            others = await self._resolver.addresses(host)
            if others == addresses:
                raise
            return await self._connected_to(others, port)

    async def _connected_to(self, addresses: Sequence[str], port: int) -> PodConnection:
        refused: OSError | None = None
        for address in addresses:
            try:
                return await self._connected_at(address, port)
            except OSError as error:
                refused = error
        raise refused or OSError("the name has no address")

    async def _connected_at(self, address: str, port: int) -> PodConnection:
        """Connect; without a free file descriptor wait for one, because that is not the pod's fault."""
        while True:
            try:
                _, connection = await self._loop.create_connection(lambda: PodConnection(self._loop), address, port)
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR:
                    raise
                self.drop_idle()
                await asyncio.sleep(_DESCRIPTOR_WAIT_S)
            else:
                return connection

    async def _watch(self, connection: PodConnection, seconds: float) -> None:
        try:
            stays = await connection.stays_open(seconds)
        except asyncio.CancelledError:
            connection.close()
            raise
        if self.gone or not stays:
            connection.close()
            self._watch_s = _LONGER_WATCH_S
            raise PodRefusedError("closed before anything was sent")

    def give_back(self, connection: PodConnection) -> None:
        """Keep a connection whose response is complete, if it can be used again."""
        if self._closed or not self.keeps_idle or not connection.reusable or len(self._idle) >= IDLE_CONNECTIONS:
            connection.close()
            return
        connection.idle_since_s = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_LIMIT_S, self._close_old)

    def close(self) -> None:
        """Close idle connections, now and later, and report no more results."""
        self._closed = True
        self.on_outcome = None
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self.drop_idle()

    def drop_idle(self) -> None:
        """Close the connections that are not in use."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def remove(self) -> None:
        """Mark the pod as gone, and fail everything that waits for it, now and later."""
        self.gone = True
        self.close()
        for each in list(self.open):
            each.failed(Failure.RESET)

    def _close_old(self) -> None:
        self._sweep = None
        now_s = self._loop.time()
        old = [c for c in self._idle if not c.reusable or now_s - c.idle_since_s >= IDLE_LIMIT_S]
        self._idle = [connection for connection in self._idle if connection not in old]
        for connection in old:
            connection.close()
        if self._idle:
            self._sweep = self._loop.call_later(IDLE_LIMIT_S, self._close_old)
