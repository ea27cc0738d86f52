"""A request's body on its way to a pod: read while its request is held, then passed on as it arrives."""

import asyncio
from collections.abc import Callable

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.http.client_connection import ClientConnection
from autoscaler.gateway.http.exchange import Exchange
from autoscaler.gateway.http.headers import RequestHead
from autoscaler.gateway.http.incoming_body import BrokenBodyError, IncomingBody
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.minimum_rate import MinimumRate
from autoscaler.gateway.http.pod_connection import PodConnection

READ_AHEAD_BYTES = 1 << 20
"""How much of a body is read while its request is held, so that no pod waits for it."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyTooLargeError(Exception):
    """The body is longer than the service allows."""


class BodyLateError(Exception):
    """The body does not arrive, or arrives too slowly, while a slot is held for it."""


class RequestBody:
    """Reads a client's body and writes it unchanged: with its length, or in chunks."""

    __slots__ = ("_config", "_content", "_expects", "_taken", "announced_too_large", "chunked", "is_empty")

    def __init__(
        self, content: IncomingBody | None, head: RequestHead, config: GatewayService, *, expects: bool = False
    ) -> None:
        self._content = content
        self._config = config
        self._expects = expects
        self._taken = 0
        self.chunked = head.chunked
        self.is_empty = content is None and not self.chunked
        self.announced_too_large = self._is_too_large(head.content_length or 0)

    @property
    def taken_bytes(self) -> int:
        """How much of it was read."""
        return self._taken

    @property
    def is_read(self) -> bool:
        """Whether nothing of it is left in the client's connection."""
        return self._content is None or self._content.complete

    def read_ahead(self, budget: MemoryBudget) -> None:
        """Let the body arrive while its request is held, unless the client waits for `100 Continue`."""
        if self._content is not None and not self._expects:
            self._content.read_ahead(READ_AHEAD_BYTES, budget)

    def when_broken(self, call: Callable[[], object]) -> None:
        """Call this when the body turns out to be malformed, even if it is not being read."""
        if self._content is None:
            return
        self._content.on_broken = call
        if self._content.broken:
            call()

    def check(self) -> None:
        """Raise BrokenBodyError or BodyTooLargeError if what has arrived is useless to a pod."""
        if self._content is not None and self._content.broken:
            raise BrokenBodyError(self._content.broken)
        if self._content is not None and self._is_too_large(self._taken + self._content.size):
            raise BodyTooLargeError

    def whole(self) -> bytes | None:
        """Return the whole body, None if some of it has not arrived; raises BodyTooLargeError."""
        if self._content is None:
            return self._last()
        if not self._content.complete:
            return None
        return self._part(self._taking(self._content.take())) + self._last()

    async def stream(self, client: ClientConnection, exchange: Exchange, connection: PodConnection) -> None:
        """Send the body until its end, or until the response is complete.

        Raises:
            BrokenBodyError: the body is malformed.
            BodyLateError: the client sends nothing, or too slowly.
            BodyTooLargeError: the body is too long.
        """
        if self._expects:
            self._expects = False
            client.send_interim(_CONTINUE)
        pump = asyncio.ensure_future(self._pump(exchange, connection))
        exchange.on_over = pump.cancel
        try:
            await asyncio.wait((pump,))
        finally:
            pump.cancel()
        if not pump.cancelled():
            pump.result()

    def close(self) -> None:
        """Drop what was not sent."""
        if self._content is not None:
            self._content.on_broken = None
            self._content.close()

    async def _pump(self, exchange: Exchange, connection: PodConnection) -> None:
        content, rate = self._content, MinimumRate(self._config.min_body_bytes_per_s)
        while content is not None and (data := await self._read(content, rate)):
            connection.write(self._part(data))
            await exchange.until_writable()
        connection.write(self._last())
        connection.complete()

    async def _read(self, content: IncomingBody, rate: MinimumRate) -> bytes:
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        try:
            async with asyncio.timeout(min(self._config.timeouts.body_idle_s, rate.left_s)):
                data = await content.read()
        except TimeoutError as error:
            raise BodyLateError from error
        rate.received(len(data), loop.time() - asked_s)
        return self._taking(data)

    def _taking(self, data: bytes) -> bytes:
        self._taken += len(data)
        if self._is_too_large(self._taken):
            raise BodyTooLargeError
        return data

    def _is_too_large(self, size: int) -> bool:
        return self._config.max_body_bytes is not None and size > self._config.max_body_bytes

    def _part(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    def _last(self) -> bytes:
        return b"0\r\n\r\n" if self.chunked else b""
