"""One connection between two gateways: it meets the peer, then carries messages, one line of JSON each.

Rules:
1. All messages of one `send` leave in one write. Before them stands a line with a number: how many messages this side
   has sent on this connection before. If it is not what has come, something between the two has lost lines, and the
   connection is closed; a message that is lost in silence would leave a slot taken for ever.
2. A line has at most `longest_line` bytes. A peer that does not read is disconnected when `most_unread` bytes wait.
3. After `drop`, and after a problem, nothing more is delivered and nothing more is sent.
4. Without a proof in time the connection is closed.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from autoscaler.gateway.peers.connections.handshake import HandshakeError, Met, Steps
from autoscaler.gateway.peers.connections.lines import LineReader

_LONGEST_HANDSHAKE_LINE = 4096
_NOTICE_A_LOST_NODE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000),
)
"""A lost node, or a cut network, ends the connection within some 10 s, so that a new one is tried every second."""

_ENCODER = msgspec.json.Encoder()

Message = dict[str, Any]


class Limits(NamedTuple):
    """What a connection may take."""

    handshake_s: float = 2.0
    """How long it may take to meet, from the first packet to the proof."""
    longest_line: int = 2**20
    most_unread: int = 8 * 2**20
    """Bytes that wait for a peer that does not read."""
    most_strangers: int = 32
    """Connections without a proof yet; a new one replaces the oldest."""
    most_peers: int = 64
    """Names that are connected or dialled."""


class Owner(Protocol):
    """What a connection tells; the calls of one connection come in this order."""

    def met(self, connection: "Connection", peer: Met) -> None:
        """Note who is at the other end; messages can be sent."""

    def received(self, connection: "Connection", message: Message) -> None:
        """Take a message; raises ValueError for one that is malformed."""

    def ended(self, connection: "Connection", problem: Exception | None) -> None:
        """Note that it has ended; the problem is None if it was closed at either side."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        steps: how it meets.
        owner: receives what happens.
        limits: what it may take.

    Attributes:
        peer: who is at the other end; None until it has proved it.
    """

    def __init__(self, steps: Steps, owner: Owner, limits: Limits) -> None:
        self.peer: Met | None = None
        self._steps = steps
        self._owner = owner
        self._limits = limits
        self._lines = LineReader(_LONGEST_HANDSHAKE_LINE)
        self._loop = asyncio.get_running_loop()
        self._met_s = float("inf")
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._over = False
        self._problem: Exception | None = None
        self._sent = 0
        self._received = 0
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when its socket is closed."""

    @property
    def usable(self) -> bool:
        """Whether messages can be sent."""
        return self.peer is not None and not self._over

    @property
    def address(self) -> str:
        """The address of the other end."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return str(name[0]) if name else "unknown"

    def lasted_s(self) -> float:
        """Give for how long it has been known who is at the other end."""
        return max(0.0, self._loop.time() - self._met_s)

    def send(self, messages: Sequence[Message]) -> None:
        """Write messages in one write.

        Raises:
            ValueError: one is longer than a line may be; nothing is sent.
        """
        if not self.usable or not messages:
            return
        text = _ENCODER.encode_lines(messages)
        if len(text) > self._limits.longest_line:
            self._check_lengths(text)
        transport = self._open_transport()
        transport.write(b"%d\n%b" % (self._sent, text))
        self._sent += len(messages)
        if transport.get_write_buffer_size() > self._limits.most_unread:
            self._fail(ValueError(f"it does not read: {self._limits.most_unread} bytes wait for it"))

    def close(self) -> None:
        """End it when what was sent has been written; nothing more is delivered."""
        self._over = True
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """End it at once; nothing more is delivered."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    # The event loop's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to meet."""
        self._transport = cast("asyncio.Transport", transport)
        if self._over:
            self._transport.abort()
            return
        with suppress(OSError):  # the peer has reset it already
            for option in _NOTICE_A_LOST_NODE:
                transport.get_extra_info("socket").setsockopt(*option)
        self._deadline = self._loop.call_later(self._limits.handshake_s, self._too_late)
        self._transport.write(next(self._steps))

    def data_received(self, data: bytes) -> None:
        """Take what came, line by line."""
        try:
            for line in self._lines.feed(data):
                if self._over:
                    return
                if self.peer is None:
                    self._meet(line)
                else:
                    self._take(line)
        except HandshakeError as error:
            self._open_transport().write(error.answer)
            self._end(error)
        except (ValueError, RecursionError) as error:
            self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the owner."""
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._steps.close()
        if not self.ended.done():
            self.ended.set_result(None)
        self._owner.ended(self, self._problem or error)

    def _meet(self, line: bytes) -> None:
        try:
            self._open_transport().write(self._steps.send(line))
        except StopIteration as done:
            peer, last = done.value
            self._lines.longest = self._limits.longest_line
            self._open_transport().write(last)
            if self._deadline is not None:
                self._deadline.cancel()
            self._met_s = self._loop.time()
            self.peer = peer
            self._owner.met(self, peer)

    def _take(self, line: bytes) -> None:
        message = msgspec.json.decode(line)
        if isinstance(message, dict):
            self._received += 1
            self._owner.received(self, message)
        elif message != self._received or type(message) is not int:
            raise ValueError("lines are missing, or what came is no message")

    def _check_lengths(self, text: bytes) -> None:
        if (longest := max(map(len, text.split(b"\n")))) > self._limits.longest_line:
            raise ValueError(f"a message has {longest} bytes; {self._limits.longest_line} are legal")

    def _too_late(self) -> None:
        self._end(HandshakeError(f"it does not prove who it is within {self._limits.handshake_s:g} s"))

    def _fail(self, error: Exception) -> None:
        """End it at once because of the peer."""
        self._problem = self._problem or error
        self.drop()

    def _end(self, error: Exception) -> None:
        """End it because of the peer, when it has read the answer, or soon."""
        self._problem = error
        self.close()
        self._loop.call_later(self._limits.handshake_s, self.drop)

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("the connection has not been made")
        return self._transport
