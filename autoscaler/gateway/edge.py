"""The side of the clients: aiohttp's low-level server, told a few things that it does not do by itself.

A contract test stands behind each private part of aiohttp that is leaned on here, and pyproject.toml pins its minor
version.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

RESPONSE_BUFFER_BYTES = 1 << 20
"""What a slow client may leave in our memory, so that its pod is free for the next."""
_REQUEST_BUFFER_BYTES = 1 << 15
"""aiohttp stops reading at twice this much of an unread body."""
_STALL_CHECKS = 4
_NO_LINGER = struct.pack("ii", 1, 0)


class EdgeLimits(NamedTuple):
    """What any client may take."""

    head_timeout_s: float = 10.0
    """For a request's head, from its first byte, or from the connection."""
    keep_alive_s: float = 75.0
    lingering_s: float = 2.0
    """How long the rest of an unwanted body is read, so that the answer is not lost in a reset."""
    line_bytes: int = 16 * 1024
    field_bytes: int = 32 * 1024
    fields: int = 128
    connections: int = 20_000


class Sent:
    """What the server is handed in place of a response: everything has been written already."""

    __slots__ = ("keep_alive",)

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to do."""

    async def write_eof(self) -> None:
        """Nothing is left to do."""


class ClientListener(Protocol):
    """Who wants to know how a client keeps up with its response."""

    def client_paused(self) -> None:
        """Take note that the client's buffer is full."""

    def client_resumed(self) -> None:
        """Take note that there is room again."""

    def client_eof(self) -> bool:
        """Take note that the client closed its sending side; True if the connection is to stay open."""


class ClientConnection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_head_timer", "_stall_timer", "at_eof", "body", "edge", "half_close", "listener", "stall_s")

    def __init__(self, manager: "EdgeServer", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.edge = manager
        self.at_eof = False
        """Whether the client has closed its sending side."""
        self.body: StreamReader | None = None
        """What is left to read of the request that is being served."""
        self.half_close = False
        """Whether the end of the client's sending is not taken for its going while its request is held."""
        self.listener: ClientListener | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self.stall_s = 60.0

    @property
    def going(self) -> bool:
        """Whether the connection is to end with the response that is under way."""
        return self.at_eof or self.edge.draining

    def send(self, data: bytes) -> None:
        """Write to the client, if it is still there."""
        if self.transport is not None:
            self.transport.write(data)

    def send_eof(self) -> None:
        """Close the sending side."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def break_off(self) -> None:
        """End the connection behind what has been written, which the client knows to be less than was announced."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Cut the connection so that the client cannot take what it has for the whole."""
        if self.transport is not None:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def watch_stall(self) -> None:
        """Cut the connection if the client takes nothing of what waits for it for `stall_s`."""
        if self._stall_timer is None and self.transport is not None:
            size = self.transport.get_write_buffer_size()
            if size:
                self._stall_timer = self._loop.call_later(self.stall_s / _STALL_CHECKS, self._check_stall, size, 1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head, unless there are too many connections."""
        super().connection_made(transport)
        cast("asyncio.Transport", transport).set_write_buffer_limits(RESPONSE_BUFFER_BYTES, RESPONSE_BUFFER_BYTES // 4)
        if self.edge.full:
            transport.close()
        self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End; the handler is cancelled by aiohttp."""
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and time the head of a request that comes in parts."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
                self._break_body()
        elif self._waiter is not None and self._head_timer is None:
            self._wait_for_head()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Ask whoever is served whether half a connection is enough."""
        self.at_eof = True
        return self.listener.client_eof() if self.listener is not None else self.half_close

    def pause_writing(self) -> None:
        """Pass on that the client does not keep up."""
        super().pause_writing()
        self.watch_stall()
        if self.listener is not None:
            self.listener.client_paused()

    def resume_writing(self) -> None:
        """Pass on that it does again."""
        super().resume_writing()
        if self.listener is not None:
            self.listener.client_resumed()

    def _break_body(self) -> None:
        """Tell who reads the body in which the parser met an error; aiohttp tells only the next request."""
        body = self._messages[-2][1] if len(self._messages) > 1 else self.body
        if body is not None and not body.is_eof():
            body.set_exception(RequestPayloadError("the body is broken"))

    def _wait_for_head(self) -> None:
        self._head_timer = self._loop.call_later(self.edge.limits.head_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        self.force_close()

    def _check_stall(self, before: int, checks: int) -> None:
        self._stall_timer = None
        size = self.transport.get_write_buffer_size() if self.transport is not None else 0
        if not size:
            return
        checks = checks + 1 if size == before else 1
        if checks > _STALL_CHECKS:
            self.edge.client_stalled()
            self.reset()
            return
        self._stall_timer = self._loop.call_later(self.stall_s / _STALL_CHECKS, self._check_stall, size, checks)

    def _make_error_handler(self, err_info: _ErrInfo) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        status, text = _status_of(err_info.exc, self.edge.limits)

        async def handler(_request: web.BaseRequest) -> web.StreamResponse:
            self.send(answer_bytes(status, text, keep_alive=False))
            return cast("web.StreamResponse", Sent(keep_alive=False))

        return handler


class EdgeServer(web.Server):
    """Accepts clients; `handler` is cancelled when its client goes."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[Sent]], limits: EdgeLimits) -> None:
        super().__init__(
            cast("Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", handler),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.keep_alive_s,
            lingering_time=limits.lingering_s,
            max_line_size=limits.line_bytes,
            max_field_size=limits.field_bytes,
            max_headers=limits.fields,
            read_bufsize=_REQUEST_BUFFER_BYTES,
        )
        self.limits = limits
        self.stalled = 0
        self.draining = False
        """Whether connections end with the response that is under way."""

    def __call__(self) -> RequestHandler:
        """Make the protocol of a new connection."""
        return ClientConnection(self, loop=self._loop, **self._kwargs)

    @property
    def full(self) -> bool:
        """Whether there are more connections than there may be."""
        return len(self._connections) > self.limits.connections

    def client_stalled(self) -> None:
        """Count a client that took nothing for too long."""
        self.stalled += 1


def answer_bytes(status: int, text: str, *, keep_alive: bool, added: bytes = b"", without_body: bool = False) -> bytes:
    """Write a whole response of our own; `added` are whole header lines."""
    body = f"{text}\n".encode()
    return b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        HTTPStatus(status).phrase.encode(),
        len(body),
        added,
        b"" if keep_alive else b"Connection: close\r\n",
        b"" if without_body else body,
    )


def _status_of(error: BaseException, limits: EdgeLimits) -> tuple[int, str]:
    if isinstance(error, LineTooLong):
        if str(limits.line_bytes) in map(str, error.args):
            return HTTPStatus.REQUEST_URI_TOO_LONG, "the request line is too long"
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "a header is too long"
    if "Too many headers" in str(error):
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many headers"
    return HTTPStatus.BAD_REQUEST, "this is not HTTP/1.1 as RFC 9112 has it"
