"""One pod: its address, its idle connections, and how a connection to it comes about.

An idle connection is used for at most two seconds, as uvicorn closes its own after five, and never for a request that
must not be sent twice.
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
"""How long a connection is watched before a pod that has never answered is sent anything: one that somebody says is
ready, one of which nothing is known, one that has closed a connection."""


class PodRefusedError(Exception):
    """No connection to a pod came about, for whatever reason: nobody listens, it is gone, or its address is none."""


class PodUser(Protocol):
    """Whoever waits for something of a pod."""

    def failed(self, failure: Failure) -> None:
        """Take note that no more will come."""


class Pod:
    """One pod's address and its idle connections; a pod that follows at the same address shares none of them."""

    def __init__(
        self, name: str, address: str, loop: asyncio.AbstractEventLoop, resolver: Resolver, *, ready: bool = False
    ) -> None:
        """Take a pod in.

        Args:
            name: what it is called.
            address: where it serves, as `host:port`.
            loop: the loop of its connections.
            resolver: looks up its host.
            ready: whether somebody has seen that it serves.
        """
        self.name = name
        self.address = address
        self._resolver = resolver
        self._loop = loop
        self._idle: list[PodConnection] = []
        self._closed = False
        self.gone = False
        """Whether whatever waits for it waits in vain."""
        self.open: set[PodUser] = set()
        """Who waits for a response of this pod, or is a tunnel to it."""
        self.on_outcome: Callable[[int, Failure | None], None] | None = None
        """Is given what becomes of each client's request."""
        self.has_answered = False
        """Whether it has ever answered anything."""
        self.admitted = False
        """Whether it is sent requests; before, it may have to answer what is asked of it."""
        self.may_be_unready = False
        """Whether a 503 with Retry-After means that it does not serve yet, and not that it is full."""
        self._watch_s = _SHORT_WATCH_S if ready else _WATCH_S
        self._sweep: asyncio.TimerHandle | None = None

    def at_port(self, port: int) -> "Pod":
        """Give what the same pod serves on another port."""
        return Pod(self.name, f"{self.address.rpartition(':')[0]}:{port}", self._loop, self._resolver)

    def take_idle(self) -> PodConnection | None:
        """Give an idle connection that is fresh enough, the last one used first."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and self._loop.time() - connection.idle_since_s < IDLE_LIMIT_S:
                return connection
            connection.close()
        return None

    async def connect(self, timeout_s: float, answer_s: float = math.inf) -> PodConnection:
        """Open a connection for a request that has to be answered within `answer_s`.

        A port may be open before its server is: of a proxy, a forwarder, a sidecar. It closes the connection then. So
        the first connections of a pod are watched for a moment, a tenth of `answer_s` at most. While nothing is
        written, nobody has read anything, and the request can be sent again whatever it is.

        Raises:
            PodRefusedError: there is no connection, or it was closed before anything was sent.
        """
        if self.gone:
            raise PodRefusedError("it is gone")
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
        """Connect to one of a name's addresses; if all of them refuse, the name may have moved."""
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
        raise refused or OSError("there is no address")

    async def _connected_at(self, address: str, port: int) -> PodConnection:
        """Connect; without a descriptor wait for one, for that is no fault of the pod."""
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
        if self._closed or not connection.reusable or len(self._idle) >= IDLE_CONNECTIONS:
            connection.close()
            return
        connection.idle_since_s = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_LIMIT_S, self._close_old)

    def close(self) -> None:
        """Close what is idle, now and later; nobody wants to know any more what becomes of requests."""
        self._closed = True
        self.on_outcome = None
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self.drop_idle()

    def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def remove(self) -> None:
        """Be gone: end all that waits for this pod, now and later."""
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
