"""The side of the clients: connections on which requests are served one after the other, whatever else happens on them.

Rules:
1. One request of a connection is served at a time, in the order in which they came.
2. When the client has gone, whoever serves it is cancelled.
3. Every state in which a client could dawdle has an end: a head, an idle connection, a response that it does not take.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple, Protocol, cast

from autoscaler.gateway.http.deadline import Deadline
from autoscaler.gateway.http.framing import HeadLimits
from autoscaler.gateway.http.memory_budget import Budget
from autoscaler.gateway.http.request_parser import (
    BrokenRequestError,
    IncomingRequest,
    RequestParser,
)
from autoscaler.gateway.http.response_backlog import OWN_BYTES, Backlog

_log = logging.getLogger(__name__)

GATEWAY_FAILED = "the gateway failed; its log says why"
BACKLOGS_BYTES = 64 << 20
"""What all slow clients together may leave in our memory unless the gateway is given another budget."""
_STALL_CHECKS = 4
_MOST_PIPELINED = 64
"""Requests that may wait behind the one that is served; then nothing more is parsed, and nothing read."""
_MOST_AHEAD_BYTES = 1 << 16
"""What may have been parsed of them, beside the last piece: their heads can be large."""
_EARLY_BYTES = 1 << 12
"""What is kept of what follows an upgrade before it is answered, beside the last read; nobody has to send anything."""
_PARSED_AT_A_TIME = 1 << 14
"""Bytes; one read may hold thousands of requests."""
_NO_LINGER = struct.pack("ii", 1, 0)


class EdgeLimits(NamedTuple):
    """What any client may take."""

    head: HeadLimits = HeadLimits()
    head_timeout_s: float = 10.0
    """For a request's head, from its first byte, or from the connection."""
    keep_alive_s: float = 620.0
    """For an idle connection: longer than load balancers keep theirs, of which the longest is 600 s."""
    lingering_s: float = 2.0
    """How long the rest of an unwanted body is read, so that the answer is not lost in a reset."""
    connections: int = 20_000


class ClientListener(Protocol):
    """Who wants to know how a client keeps up with its response."""

    def client_paused(self) -> None:
        """Take note that the client's buffer is full."""

    def client_resumed(self) -> None:
        """Take note that there is room again."""

    def client_eof(self) -> bool:
        """Take note that the client closed its sending side; True if the connection is to stay open."""


class ClientTunnel(Protocol):
    """Takes what a switched connection brings."""

    def from_client(self, data: bytes) -> None:
        """Take bytes."""

    def client_lost(self) -> None:
        """Take note that the connection has ended."""


Handler = Callable[["ClientConnection", IncomingRequest], Awaitable[bool]]
"""Serves a request; the response has been written when it returns, and it says whether the connection may go on."""


class ClientConnection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_ahead_bytes",
        "_backlog",
        "_backs_up",
        "_behind",
        "_deadline",
        "_deaf",
        "_edge",
        "_held_back",
        "_loop",
        "_parser",
        "_reader_waits",
        "_stall_timer",
        "_task",
        "_tunnel",
        "_unparsed",
        "_waiting",
        "answered",
        "at_eof",
        "half_close",
        "listener",
        "peername",
        "sent_bytes",
        "stall_s",
        "status",
        "transport",
    )

    def __init__(self, edge: "EdgeServer") -> None:
        self._edge = edge
        self._loop = edge.loop
        self._parser = RequestParser(self, edge.limits.head, self._found)
        self._waiting: list[IncomingRequest | BrokenRequestError] = []
        self._task: asyncio.Task[None] | None = None
        self._tunnel: ClientTunnel | None = None
        self._behind: bytearray | None = None
        """What came behind a request for a WebSocket that has not been answered yet."""
        self._unparsed = b""
        """What came behind more requests than may wait."""
        self._ahead_bytes = 0
        """What has been parsed while somebody waited."""
        self._held_back = False
        """Whether nothing is read because of those that wait."""
        self._reader_waits = False
        """Whether nothing is read because whoever takes what comes has enough."""
        self._backlog = Backlog(edge.backlogs)
        self._backs_up = False
        """Whether the client has left more lying than the transport takes without a word."""
        self._deaf = False
        """Whether nothing that comes matters any more."""
        self._deadline = Deadline(self._loop, self.break_off)
        self._stall_timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.peername = ""
        """The client's address, without its port."""
        self.answered = False
        """Whether the client has been sent any of a final response to the request that is served."""
        self.at_eof = False
        """Whether the client has closed its sending side."""
        self.half_close = False
        """Whether the end of the client's sending is not taken for its going while its request is held."""
        self.status: int | None = None
        """Of the response that is being sent; None before it."""
        self.sent_bytes = 0
        """Of that response, with its head."""
        self.listener: ClientListener | None = None
        self.stall_s = 60.0

    @property
    def going(self) -> bool:
        """Whether the connection is to end with the response that is under way."""
        return self.at_eof or self._edge.draining

    @property
    def owes_nothing(self) -> bool:
        """Whether the client has been sent all of its responses."""
        return self.transport is None or not self.transport.get_write_buffer_size()

    # What is written.

    def send(self, data: bytes) -> None:
        """Write to the client, if it is still there."""
        self.answered = True
        self.send_interim(data)

    def send_interim(self, data: bytes) -> None:
        """Write what is no final response yet."""
        if self.transport is not None:
            self.transport.write(data)
            if self._backs_up:
                self._grew()
            if self.status is None and data:
                self.status = _final_status(data)
            self.sent_bytes += len(data)

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

    # What is read.

    def pause_reading(self) -> None:
        """Let the client wait."""
        self._reader_waits = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Let the client go on."""
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
        """Give a tunnel what the client sends from now on, and what it has sent behind its request."""
        self._tunnel = tunnel
        behind, self._behind = self._behind, None
        if behind:
            tunnel.from_client(bytes(behind))
        self.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head, unless there are too many connections."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(OWN_BYTES, OWN_BYTES // 2)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = self.transport.get_extra_info("peername")
        self.peername = peer[0] if isinstance(peer, tuple) else "unknown"
        self._edge.came(self)
        self._deadline.within(self._edge.limits.head_timeout_s)

    def connection_lost(self, _exc: BaseException | None) -> None:
        """End: whoever serves the client is cancelled."""
        self.transport = None
        self._backlog.drained()
        self._edge.went(self)
        self._deadline.close()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._deaf = True
        self._waiting.clear()
        self._parser.close()
        del self._parser
        if self._tunnel is not None:
            self._tunnel.client_lost()
        elif self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse, or forward."""
        if self._tunnel is not None:
            self._tunnel.from_client(data)
        elif self._behind is not None:
            self._behind += data
            if len(self._behind) > _EARLY_BYTES:
                self.pause_reading()
        elif not self._deaf:
            self._parse(data)

    def eof_received(self) -> bool:
        """Ask whoever is served whether half a connection is enough."""
        self.at_eof = True
        return self.listener.client_eof() if self.listener is not None else self.half_close

    def pause_writing(self) -> None:
        """Take note that the client does not keep up."""
        self._backs_up = True
        self.watch_stall()
        self._grew()

    def resume_writing(self) -> None:
        """Pass on that it does again, if it was told."""
        self._backs_up = False
        if self._backlog.drained() and self.listener is not None:
            self.listener.client_resumed()

    def _grew(self) -> None:
        """Pass on that the client does not keep up, once there is no room for what it leaves lying."""
        if self.transport is None or not self._backlog.grew(self.transport.get_write_buffer_size()):
            return
        if self.listener is not None:
            self.listener.client_paused()

    # Requests.

    def _parse(self, data: bytes) -> None:
        was_in_head = self._parser.in_head
        self._unparsed = self._parse_some(self._unparsed + data)
        if self._unparsed or self._is_ahead():
            self._hold_back(held_back=True)
        if self._task is None:
            self._go_on()
            if self._parser.in_head and not was_in_head and self._task is None:
                self._deadline.within(self._edge.limits.head_timeout_s)

    def _parse_some(self, data: bytes) -> bytes:
        """Parse as long as requests may wait, and give the rest."""
        for start in range(0, len(data), _PARSED_AT_A_TIME):
            if self._is_ahead():
                return data[start:]
            end = start + _PARSED_AT_A_TIME
            try:
                behind = self._parser.feed(data[start:end])
            except BrokenRequestError as broken:
                self._read_no_more(broken)
                break
            except Exception:  # noqa: BLE001 - one connection must not end the others
                _log.exception("what a client sends could not be read")
                self._read_no_more(BrokenRequestError(HTTPStatus.INTERNAL_SERVER_ERROR, GATEWAY_FAILED))
                break
            if behind is not None:
                self._behind = bytearray(behind + data[end:])
                break
            if self._waiting:
                self._ahead_bytes += min(_PARSED_AT_A_TIME, len(data) - start)
        return b""

    def _is_ahead(self) -> bool:
        """Tell whether enough has been parsed of what waits."""
        return len(self._waiting) > _MOST_PIPELINED or self._ahead_bytes > _MOST_AHEAD_BYTES

    def _read_on(self) -> None:
        """Parse and read what was left for those that waited, as far as it may wait now."""
        if self._unparsed and not self._is_ahead():
            self._parse(b"")
        if self._held_back and not self._unparsed and not self._is_ahead():
            self._hold_back(held_back=False)

    def _read_no_more(self, broken: BrokenRequestError) -> None:
        self._deaf = True
        if not self._parser.break_body(broken.status):
            self._waiting.append(broken)

    def _found(self, request: IncomingRequest) -> None:
        self._waiting.append(request)

    def _go_on(self) -> None:
        """Serve who comes next, if anybody does."""
        if not self._waiting or self._task is not None:
            return
        request = self._waiting.pop(0)
        if isinstance(request, BrokenRequestError):
            self.send(answer_bytes(request.status, str(request), keep_alive=False))
            self._end(whole=False)
            return
        self._deadline.never()
        self._edge.busy(self)
        self.answered = False
        self._task = self._loop.create_task(self._serve(request))
        if not self._waiting:
            self._ahead_bytes = 0
        self._read_on()

    async def _serve(self, request: IncomingRequest) -> None:
        goes_on = False
        self.status, self.sent_bytes = None, 0
        try:
            goes_on = await self._edge.handler(self, request)
        except Exception:  # noqa: BLE001 - one request must not end the others
            _log.exception("a request ended with an error of ours")
            if not self.answered:
                self.send(answer_bytes(HTTPStatus.INTERNAL_SERVER_ERROR, GATEWAY_FAILED, keep_alive=False))
        finally:
            self._task = None
        if self.transport is None or self._tunnel is not None:
            return
        if goes_on and request.complete and not self.transport.is_closing():
            self._next()
        else:
            self._end(whole=request.complete)

    def _next(self) -> None:
        """Serve who comes next, or wait for somebody."""
        limits = self._edge.limits
        behind, self._behind = self._behind, None
        if behind is not None:
            self._parser.close()
            self._parser = RequestParser(self, limits.head, self._found)
            self._parse(bytes(behind))
            self.resume_reading()
        self._read_on()
        self._go_on()
        if self._task is None:
            self._edge.spare(self)
            self._deadline.within(limits.head_timeout_s if self._parser.in_head else limits.keep_alive_s)

    def _end(self, *, whole: bool) -> None:
        """Close; first let the client finish what nobody wants, or the answer would be lost in a reset."""
        self._deaf = True
        self._waiting.clear()
        if self.transport is None:
            return
        if whole and not self._behind:
            self.transport.close()
            return
        self.send_eof()
        self._held_back, self._unparsed = False, b""
        self.resume_reading()
        self._edge.spare(self)
        self._deadline.within(self._edge.limits.lingering_s)

    def retire(self) -> None:
        """Close if nobody is served."""
        if self._task is None and self.transport is not None:
            self.transport.close()

    def abandon(self) -> asyncio.Task[None] | None:
        """Close, and give the task that is cancelled by it."""
        if self.transport is not None:
            self.transport.close()
        if self._task is not None:
            self._task.cancel()
        return self._task

    @property
    def task(self) -> asyncio.Task[None] | None:
        """Who serves it."""
        return self._task

    # Time.

    def _check_stall(self, before: int, checks: int) -> None:
        self._stall_timer = None
        size = self.transport.get_write_buffer_size() if self.transport is not None else 0
        if not size:
            return
        checks = checks + 1 if size == before else 1
        if checks > _STALL_CHECKS:
            self._edge.stalled += 1
            self.reset()
            return
        self._stall_timer = self._loop.call_later(self.stall_s / _STALL_CHECKS, self._check_stall, size, checks)


class EdgeServer:
    """Makes the protocol of each new connection; made inside the event loop that it belongs to."""

    def __init__(self, handler: Handler, limits: EdgeLimits, backlogs: Budget | None = None) -> None:
        self.handler = handler
        self.limits = limits
        self.backlogs = backlogs or Budget(BACKLOGS_BYTES)
        """For what clients leave lying of their responses."""
        self.loop = asyncio.get_running_loop()
        self.connections: set[ClientConnection] = set()
        self._spare: dict[ClientConnection, None] = {}
        """Those that serve nobody, the one that has done so for longest first."""
        self.shed = 0
        """Connections that were closed to make room for others."""
        self.stalled = 0
        """Clients that took nothing of their response for too long."""
        self.draining = False
        """Whether connections end with the response that is under way."""

    def __call__(self) -> ClientConnection:
        """Make the protocol of a new connection."""
        return ClientConnection(self)

    # Which connections there may be: one that serves a request is never closed for another.

    def came(self, connection: ClientConnection) -> None:
        """Take a connection in; if there are too many now, close the one that has served nobody for longest."""
        self.connections.add(connection)
        self.spare(connection)
        while len(self.connections) > self.limits.connections and self._spare:
            oldest = next((each for each in self._spare if each.owes_nothing), connection)
            self.went(oldest)
            self.shed += 1
            oldest.break_off()

    def spare(self, connection: ClientConnection) -> None:
        """Take note that a connection serves nobody from now on."""
        self._spare.pop(connection, None)
        self._spare[connection] = None

    def busy(self, connection: ClientConnection) -> None:
        """Take note that a connection serves a request from now on."""
        self._spare.pop(connection, None)

    def went(self, connection: ClientConnection) -> None:
        """Take note that a connection is there no more."""
        self.connections.discard(connection)
        self._spare.pop(connection, None)

    async def shutdown(self, patience_s: float) -> None:
        """Close all connections; those that are served may take so long for their end."""
        for connection in list(self.connections):
            connection.retire()
        served = {connection.task for connection in self.connections if connection.task is not None}
        if served:
            await asyncio.wait(served, timeout=patience_s)
        cancelled = [task for connection in list(self.connections) if (task := connection.abandon()) is not None]
        await asyncio.gather(*cancelled, return_exceptions=True)


def _final_status(data: bytes) -> int | None:
    """Read the status of a response that begins, None for one that another follows, such as 100."""
    status = int(data[9:12])
    return None if status < HTTPStatus.OK and status != HTTPStatus.SWITCHING_PROTOCOLS else status


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
