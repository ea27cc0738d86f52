"""One client's connection: it serves requests one after the other.

Rules:
1. One request of a connection is served at a time, in the order of arrival.
2. If the client disconnects, the task that serves it is cancelled.
3. Each state in which a client could be slow has a limit: a head, an idle connection, a response that it does not read.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol, cast

from autoscaler.gateway.http.clients import Clients
from autoscaler.gateway.http.deadline import Deadline
from autoscaler.gateway.http.own_response import GATEWAY_FAILED, own_response
from autoscaler.gateway.http.pipeline import Pipeline
from autoscaler.gateway.http.request_parser import BrokenRequestError, IncomingRequest
from autoscaler.gateway.http.response_backlog import OWN_BYTES, ResponseBacklog

_log = logging.getLogger(__name__)

_STALL_CHECKS = 4
_EARLY_BYTES = 1 << 12
"""Bytes kept that follow an upgrade before it is answered, in addition to the last read. A client need not send any."""
_NO_LINGER = struct.pack("ii", 1, 0)


class ClientListener(Protocol):
    """Is notified how a client keeps up with its response."""

    def client_paused(self) -> None:
        """Note that the client's buffer is full."""

    def client_resumed(self) -> None:
        """Note that there is room again."""

    def client_eof(self) -> bool:
        """Note that the client closed its sending side; return True if the connection is to stay open."""


class ClientTunnel(Protocol):
    """Receives the data of a client's upgraded connection."""

    def from_client(self, data: bytes) -> None:
        """Receive bytes."""

    def client_lost(self) -> None:
        """Note that the connection is lost."""


Handler = Callable[["ClientConnection", IncomingRequest], Awaitable[bool]]
"""Serves a request; returns when the response is written, and whether the connection may serve another request."""


class ClientConnection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_backlog",
        "_clients",
        "_deadline",
        "_handler",
        "_head_began",
        "_held_back",
        "_pipeline",
        "_reader_waits",
        "_stall_timer",
        "_task",
        "_tunnel",
        "_writing_paused",
        "answered",
        "at_eof",
        "half_close",
        "listener",
        "loop",
        "peername",
        "sent_bytes",
        "stall_s",
        "status",
        "transport",
    )

    def __init__(self, clients: Clients, handler: Handler) -> None:
        self._clients = clients
        self._handler = handler
        self.loop = asyncio.get_running_loop()
        self._pipeline = Pipeline(self, clients.limits.head)
        self._task: asyncio.Task[None] | None = None
        self._tunnel: ClientTunnel | None = None
        self._head_began = False
        """Whether the deadline is that of a head."""
        self._held_back = False
        """Whether reading is paused because enough requests wait."""
        self._reader_waits = False
        """Whether reading is paused because the reader of the body has enough."""
        self._backlog = ResponseBacklog(clients.backlog_budget)
        self._writing_paused = False
        """Whether the transport has said that its buffer is full."""
        self._deadline = Deadline(self.loop, self.break_off)
        self._stall_timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.peername = ""
        """The client's address, without its port."""
        self.answered = False
        """Whether any of a final response to the current request has been sent."""
        self.at_eof = False
        """Whether the client has closed its sending side."""
        self.half_close = False
        """Whether a client may close its sending side while its request is held, and still counts as connected."""
        self.status: int | None = None
        """Status of the current response; None before it."""
        self.sent_bytes = 0
        """Bytes of the current response, with its head."""
        self.listener: ClientListener | None = None
        self.stall_s = 60.0

    @property
    def closing(self) -> bool:
        """Whether the connection ends with the current response."""
        return self.at_eof or self._clients.draining

    @property
    def connected(self) -> bool:
        """Whether the client is still there."""
        return self.transport is not None

    @property
    def is_flushed(self) -> bool:
        """Whether all responses have been sent."""
        return self.transport is None or not self.transport.get_write_buffer_size()

    # Writing.

    def send(self, data: bytes) -> None:
        """Write a part of the final response, or of what follows an upgrade, if the client is still connected."""
        self.answered = True
        if self.transport is not None:
            if self.status is None:
                self.status = int(data[9:12])
            self._write(self.transport, data)

    def send_interim(self, data: bytes) -> None:
        """Write something before the final response."""
        if self.transport is not None:
            self._write(self.transport, data)

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        transport.write(data)
        self.sent_bytes += len(data)
        if self._writing_paused:
            self._note_backlog()

    def send_eof(self) -> None:
        """Close the sending side."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def break_off(self) -> None:
        """Close the connection after what has been written; the client notices that this is less than was announced."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Reset the connection, so that the client cannot take a partial response for a whole one."""
        if self.transport is not None:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def watch_stall(self) -> None:
        """Reset the connection if the client reads none of its response for `stall_s`."""
        if self._stall_timer is None and self.transport is not None:
            size = self.transport.get_write_buffer_size()
            if size:
                self._stall_timer = self.loop.call_later(self.stall_s / _STALL_CHECKS, self._check_stall, size, 1)

    # Reading.

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        self._reader_waits = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Read from the client again."""
        self._reader_waits = False
        self._read_or_not()

    def _hold_back(self, *, held_back: bool) -> None:
        self._held_back = held_back
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._reader_waits or self._held_back:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def take_over(self, tunnel: ClientTunnel) -> None:
        """Pass to a tunnel what the client sends from now on, and what followed its request."""
        self._tunnel = tunnel
        if behind := self._pipeline.take_behind_upgrade():
            tunnel.from_client(behind)
        self.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for a head, unless there are too many connections."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(OWN_BYTES, OWN_BYTES // 2)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = self.transport.get_extra_info("peername")
        self.peername = peer[0] if isinstance(peer, tuple) else "unknown"
        self._clients.opened(self)
        self._deadline.within(self._clients.limits.head_timeout_s)

    def connection_lost(self, _exc: BaseException | None) -> None:
        """End: the task that serves the client is cancelled."""
        self.transport = None
        self._backlog.drained()
        self._clients.closed(self)
        self._deadline.close()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._pipeline.close()
        if self._tunnel is not None:
            self._tunnel.client_lost()
        elif self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse the data, or forward it to the tunnel."""
        if self._tunnel is not None:
            self._tunnel.from_client(data)
        elif self._pipeline.behind_upgrade is not None:
            self._pipeline.behind_upgrade += data
            if len(self._pipeline.behind_upgrade) > _EARLY_BYTES:
                self.pause_reading()
        elif not self._pipeline.stopped:
            self._parse(data)

    def eof_received(self) -> bool:
        """Ask the listener whether the connection stays open."""
        self.at_eof = True
        return self.listener.client_eof() if self.listener is not None else self.half_close

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        self._writing_paused = True
        self.watch_stall()
        self._note_backlog()

    def resume_writing(self) -> None:
        """Pass on that the client keeps up again, if the listener was paused."""
        self._writing_paused = False
        if self._backlog.drained() and self.listener is not None:
            self.listener.client_resumed()

    def _note_backlog(self) -> None:
        """Pause the listener if there is no room for what the client has not read."""
        if self.transport is None or not self._backlog.grew(self.transport.get_write_buffer_size()):
            return
        if self.listener is not None:
            self.listener.client_paused()

    # Requests.

    def _parse(self, data: bytes) -> None:
        if self._pipeline.feed(data):
            self._hold_back(held_back=True)
        if self._task is None:
            self._go_on()
            if self._task is None and not self._head_began and self._pipeline.in_head:
                self._wait_for_head()

    def _wait_for_head(self) -> None:
        """Limit the time for a head that has begun."""
        self._head_began = True
        self._deadline.within(self._clients.limits.head_timeout_s)

    def _read_on(self) -> None:
        """Parse and read what was left while too many requests waited."""
        if not self._pipeline.read_on():
            self._hold_back(held_back=False)

    def _go_on(self) -> None:
        """Serve the next request, if there is one."""
        request = self._pipeline.next()
        if request is None:
            return
        if isinstance(request, BrokenRequestError):
            self.send(own_response(request.status, str(request), keep_alive=False))
            self._end(whole=False)
            return
        self._deadline.never()
        self._clients.serving(self)
        self._head_began = self.answered = False
        self.status, self.sent_bytes = None, 0
        self._task = self.loop.create_task(self._serve(request))
        if self._held_back:
            self._read_on()

    async def _serve(self, request: IncomingRequest) -> None:
        goes_on = False
        try:
            goes_on = await self._handler(self, request)
        except Exception:  # noqa: BLE001 - one request must not end the others
            _log.exception("a request ended with an internal error")
            if not self.answered:
                self.send(own_response(HTTPStatus.INTERNAL_SERVER_ERROR, GATEWAY_FAILED, keep_alive=False))
        finally:
            self._task = None
        if self.transport is None or self._tunnel is not None:
            return
        if goes_on and request.complete and not self.transport.is_closing():
            self._next()
        else:
            self._end(whole=request.complete)

    def _next(self) -> None:
        """Serve the next request, or wait for one."""
        if self._pipeline.behind_upgrade is not None:
            self._parse(self._pipeline.decline_upgrade())
            self.resume_reading()
        if self._held_back:
            self._read_on()
        if self._task is None:
            self._go_on()
        if self._task is not None:
            return
        self._clients.idle(self)
        if self._pipeline.in_head:
            self._wait_for_head()
        else:
            self._deadline.within(self._clients.limits.keep_alive_s)

    def _end(self, *, whole: bool) -> None:
        """Close; first read what the client still sends, because a reset would lose the response."""
        self._pipeline.stop()
        if self.transport is None:
            return
        if whole and not self._pipeline.behind_upgrade:
            self.transport.close()
            return
        self.send_eof()
        self._held_back = False
        self.resume_reading()
        self._clients.idle(self)
        self._deadline.within(self._clients.limits.lingering_s)

    def close_if_idle(self) -> None:
        """Close if no request is being served."""
        if self._task is None and self.transport is not None:
            self.transport.close()

    def cancel(self) -> asyncio.Task[None] | None:
        """Close, and return the task that is cancelled by it."""
        if self.transport is not None:
            self.transport.close()
        if self._task is not None:
            self._task.cancel()
        return self._task

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that serves the current request."""
        return self._task

    # Time.

    def _check_stall(self, before: int, checks: int) -> None:
        self._stall_timer = None
        size = self.transport.get_write_buffer_size() if self.transport is not None else 0
        if not size:
            return
        checks = checks + 1 if size == before else 1
        if checks > _STALL_CHECKS:
            self._clients.stalled += 1
            self.reset()
            return
        self._stall_timer = self.loop.call_later(self.stall_s / _STALL_CHECKS, self._check_stall, size, checks)
