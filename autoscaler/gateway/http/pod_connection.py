"""One connection to a pod: one request at a time, and its response is passed on as it arrives.

Rules:
1. It is always known whether a byte of a request was written to the pod: only if not, the request is sent again.
2. Data that no request asked for, and data that is not valid HTTP, ends the connection.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from enum import Enum
from typing import Protocol, cast

from autoscaler.gateway.http.deadline import Deadline
from autoscaler.gateway.http.headers import ResponseHead
from autoscaler.gateway.http.response_parser import BrokenResponseError, ResponseParser

_log = logging.getLogger(__name__)

_REQUEST_BUFFER_BYTES = 64 * 1024
_NOTICE_A_LOST_NODE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000),
)
"""A lost node is noticed within 25 s, even if it sends no reset."""


class Failure(Enum):
    """Why a pod gave no complete response."""

    UNREADY = "unready"
    """The pod answered that it is not ready, and has done nothing for the request."""
    STALE = "stale"
    """The pod closed an idle connection while the request was written to it; no byte of a response arrived."""
    RESET = "upstream_reset"
    INVALID = "invalid_response"
    TIMEOUT = "upstream_timeout"
    ERROR = "error"
    """The gateway could not pass the response on; its log says why."""


class ResponseHandler(Protocol):
    """Receives a response; `ended` or `failed` is called exactly once, and nothing after it."""

    def responded(self, head: ResponseHead) -> None:
        """Receive the head of the final response."""

    def received(self, data: bytes) -> None:
        """Receive a part of the body."""

    def flush(self) -> None:
        """Note that all data that has arrived is passed on."""

    def switched(self, head: ResponseHead, early: bytes) -> None:
        """Take over the connection: the pod speaks another protocol from now on, and has already sent `early`."""

    def ended(self) -> None:
        """Note that the response is complete."""

    def failed(self, failure: Failure) -> None:
        """Note that the response failed."""

    def writable(self) -> None:
        """Note that the pod reads again after a pause."""


class TunnelEnd(Protocol):
    """Receives the data of a pod's upgraded connection."""

    def from_pod(self, data: bytes) -> None:
        """Receive bytes."""

    def pod_eof(self) -> None:
        """Note that the pod closed its sending side."""

    def pod_paused(self) -> None:
        """Note that the pod does not keep up."""

    def pod_resumed(self) -> None:
        """Note that the pod keeps up again."""

    def pod_lost(self) -> None:
        """Note that the connection is lost."""


class PodConnection(asyncio.Protocol):
    """One connection; it parses responses and knows whether it can be used again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = ResponseParser(self)
        self._handler: ResponseHandler | None = None
        self._tunnel: TunnelEnd | None = None
        self._answered = False
        self._spoiled = False
        self.deadline = Deadline(loop, self._overdue)
        """When the request fails with a timeout."""
        self.on_outcome: Callable[[int, Failure | None], None] | None = None
        """Is given the result of each request, just before the handler: the status, or how it failed."""
        self.request_done = False
        """Whether the whole request has been written."""
        self.requests = 0
        self.idle_since_s = 0.0
        self.writing_paused = False
        self._watched: asyncio.Future[None] | None = None

    # The request.

    async def stays_open(self, seconds: float) -> bool:
        """Watch for some seconds, before anything is sent, whether the pod closes the connection or sends data."""
        self._watched = self.loop.create_future()
        await asyncio.wait((self._watched,), timeout=seconds)
        return self.reusable

    def begin(self, handler: ResponseHandler, head: bytes, *, bodiless: bool, complete: bool) -> None:
        """Send the head of a request; `bodiless` is set for HEAD, `complete` if no body follows."""
        self._handler = handler
        self._parser.expect(bodiless=bodiless)
        self.request_done = complete
        self._answered = False
        self.requests += 1
        self.write(head)

    def write(self, data: bytes) -> None:
        """Send a part of the body."""
        if self._transport is not None:
            self._transport.write(data)

    def complete(self) -> None:
        """Note that the whole body has been sent."""
        self.request_done = True

    def write_eof(self) -> None:
        """Close the sending side of an upgraded connection."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def pause_reading(self) -> None:
        """Stop reading from the pod."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the pod again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def forward(self, tunnel: TunnelEnd) -> None:
        """Pass the data of an upgraded connection to a tunnel."""
        self._tunnel = tunnel

    def hang_up(self) -> None:
        """Close an upgraded connection when everything written to it has been sent."""
        self._tunnel = None
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """Close the connection without a call of the handler."""
        self._handler = None
        self._tunnel = None
        if self._transport is not None:
            self._transport.abort()

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        transport = self._transport
        return not (transport is None or self._spoiled or self._parser.unasked or transport.is_closing())

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Configure the socket."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_REQUEST_BUFFER_BYTES)
        found = self._transport.get_extra_info("socket")
        for level, option, value in _NOTICE_A_LOST_NODE:
            found.setsockopt(level, option, value)

    def pause_writing(self) -> None:
        """Note that the pod does not keep up with the body."""
        self.writing_paused = True
        if self._tunnel is not None:
            self._tunnel.pod_paused()

    def resume_writing(self) -> None:
        """Note that the pod keeps up again."""
        self.writing_paused = False
        if self._handler is not None:
            self._handler.writable()
        elif self._tunnel is not None:
            self._tunnel.pod_resumed()

    def data_received(self, data: bytes) -> None:
        """Parse the data, or pass it to the tunnel."""
        if self._tunnel is not None:
            self._tunnel.from_pod(data)
            return
        handler = self._handler
        if handler is None:
            self.close()
            return
        self._answered = True
        try:
            self._read(handler, data)
        except Exception:  # noqa: BLE001 - one response must not end the others
            _log.exception("a response could not be passed on")
            self._spoiled = True
            self.close()
            handler.failed(Failure.ERROR)

    def _read(self, handler: ResponseHandler, data: bytes) -> None:
        try:
            switched = self._parser.feed(data)
        except BrokenResponseError:
            self._fail(Failure.INVALID)
            return
        if switched is not None:
            self._switch(*switched)
        else:
            handler.flush()

    def eof_received(self) -> bool:
        """Keep the sending side of an upgraded connection open."""
        if self._tunnel is None:
            return False
        self._tunnel.pod_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the handler or the tunnel."""
        self._transport = None
        if self._watched is not None and not self._watched.done():
            self._watched.set_result(None)
        self.deadline.close()
        self._lost(exc)
        self._parser.close()

    def _lost(self, exc: Exception | None) -> None:
        handler, tunnel = self._handler, self._tunnel
        if tunnel is not None:
            self._tunnel = None
            tunnel.pod_lost()
        if handler is None:
            return
        if self._parser.until_eof and exc is None:
            self.ended()
            handler.flush()
        else:
            self._fail(Failure.STALE if self.requests > 1 and not self._answered else Failure.RESET)

    # Receiver

    def responded(self, head: ResponseHead) -> None:
        """Pass on the head of a final response."""
        if self._handler is not None:
            self._handler.responded(head)

    def received(self, data: bytes) -> None:
        """Pass on a part of the body."""
        if self._handler is not None:
            self._handler.received(data)

    def ended(self) -> None:
        """End a final response."""
        handler, self._handler = self._handler, None
        self.deadline.never()
        if handler is None:
            return
        parser = self._parser
        if parser.until_eof or not self.request_done or not parser.keeps_alive:
            self._spoiled = True
        self._report(parser.status, None)
        handler.ended()

    # Ends.

    def _fail(self, failure: Failure) -> None:
        handler = self._handler
        self._spoiled = True
        self.close()
        if handler is None:
            return
        # A body that the client did not send in time, or an idle connection that closes, says nothing about the pod.
        if failure is not Failure.STALE and (failure is not Failure.TIMEOUT or self.request_done):
            self._report(0, failure)
        handler.failed(failure)

    def _report(self, status: int, failure: Failure | None) -> None:
        if self.on_outcome is not None:
            self.on_outcome(status, failure)

    def _overdue(self) -> None:
        self._fail(Failure.TIMEOUT)

    def _switch(self, head: ResponseHead, early: bytes) -> None:
        handler, self._handler = self._handler, None
        self.deadline.never()
        self._spoiled = True
        self._report(head.status, None)
        if handler is not None:
            handler.switched(head, early)
