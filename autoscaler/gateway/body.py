"""A request's body on its way to a pod: read when there is a pod to send it to, passed on as it comes."""

import asyncio

from autoscaler.gateway.edge import ClientConnection
from autoscaler.gateway.exchange import Exchange
from autoscaler.gateway.heads import RequestHead
from autoscaler.gateway.incoming import IncomingBody
from autoscaler.gateway.upstream import PodConnection

READ_AHEAD_BYTES = 1 << 20
"""How much of a body that waited is read before a pod is asked, to find out whether its client is still there."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TURNS_TO_NOTICE = 3
"""Turns of the event loop between the last byte of a body and the news that nothing follows it."""


class BodyTooLargeError(Exception):
    """The body is longer than the service takes."""


class RequestBody:
    """Reads a client's body and writes it as it came: with its length, or in chunks."""

    __slots__ = (
        "_ahead",
        "_content",
        "_expects",
        "_idle_s",
        "_max_bytes",
        "_taken",
        "announced_too_large",
        "chunked",
        "is_empty",
    )

    def __init__(
        self,
        content: IncomingBody | None,
        head: RequestHead | None,
        idle_s: float = 0.0,
        max_bytes: int | None = None,
        *,
        expects: bool = False,
    ) -> None:
        self._content = content
        self._idle_s = idle_s
        self._max_bytes = max_bytes
        self._expects = expects
        self._ahead: list[bytes] = []
        self._taken = 0
        self.chunked = head is not None and head.chunked
        self.is_empty = content is None and not self.chunked
        self.announced_too_large = max_bytes is not None and head is not None and (head.content_length or 0) > max_bytes

    @property
    def is_read(self) -> bool:
        """Whether nothing of it is left in the client's connection."""
        return self._content is None or self._content.complete

    async def read_ahead(self, client: ClientConnection) -> None:
        """Read what there is, up to a limit; raises what `stream` raises."""
        content = self._content
        if content is None or content.complete:
            return
        self._go_on(client)
        while self._taken < READ_AHEAD_BYTES and (data := await self._read(content)):
            self._ahead.append(data)
        for _ in range(_TURNS_TO_NOTICE):
            await asyncio.sleep(0)

    def whole(self) -> bytes | None:
        """Give the body as it is to be sent, if all of it is here; raises BodyTooLargeError."""
        if self._content is None:
            return self._last()
        if not self._content.complete:
            return None
        self._ahead.append(self._taking(self._content.take()))
        return b"".join(map(self._part, self._ahead)) + self._last()

    async def stream(self, client: ClientConnection, exchange: Exchange, connection: PodConnection) -> None:
        """Send the body until it has been sent, or the response is there without it.

        Raises:
            BrokenBodyError: the client's chunks are none.
            TimeoutError: the client has fallen silent.
            BodyTooLargeError: it goes on for too long.
        """
        self._go_on(client)
        pump = asyncio.ensure_future(self._pump(exchange, connection))
        exchange.on_over = pump.cancel
        try:
            await asyncio.wait((pump,))
        finally:
            pump.cancel()
        if not pump.cancelled():
            pump.result()

    async def _pump(self, exchange: Exchange, connection: PodConnection) -> None:
        content = self._content
        for data in self._ahead:
            connection.write(self._part(data))
        self._ahead.clear()
        while content is not None and (data := await self._read(content)):
            connection.write(self._part(data))
            await exchange.until_writable()
        connection.write(self._last())
        connection.complete()

    async def _read(self, content: IncomingBody) -> bytes:
        async with asyncio.timeout(self._idle_s):
            data = await content.read()
        return self._taking(data)

    def _taking(self, data: bytes) -> bytes:
        self._taken += len(data)
        if self._max_bytes is not None and self._taken > self._max_bytes:
            raise BodyTooLargeError
        return data

    def _go_on(self, client: ClientConnection) -> None:
        """Tell a client that waits for it that its body is wanted now."""
        if self._expects:
            self._expects = False
            client.send(_CONTINUE)

    def _part(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    def _last(self) -> bytes:
        return b"0\r\n\r\n" if self.chunked else b""


NO_BODY = RequestBody(None, None)
"""That of every request without one."""
