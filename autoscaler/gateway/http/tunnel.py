"""An upgraded connection: bytes pass in both directions unchanged, until both sides have ended.

When one side has ended, the other has a limited time to end, because a client that has disconnected looks the same.

Frames are not parsed, except to know where one of the pod's ends: between two frames the gateway can
say that it is going away (1001).
"""

import asyncio
from collections.abc import Callable

from autoscaler.gateway.http.client_connection import ClientConnection
from autoscaler.gateway.http.pod_connection import Failure, PodConnection

GOING_AWAY = b"\x88\x02\x03\xe9"
_SHORT_LENGTH = 125
_LENGTH_BYTES = {126: 2, 127: 8}


class FrameBoundary:
    """Follows a stream of WebSocket frames, and knows whether it is between two frames."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    @property
    def between(self) -> bool:
        """Whether the last frame is complete and no other has begun."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """Follow the stream."""
        position = 0
        while position < len(data):
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
            else:
                self._head += data[position : position + 1]
                position += 1
                self._left = self._payload()

    def _payload(self) -> int:
        """The length of the payload once the frame's head is complete, 0 before."""
        if len(self._head) < 2:  # noqa: PLR2004
            return 0
        length, masked = self._head[1] & 0x7F, self._head[1] >> 7
        extended = _LENGTH_BYTES.get(length, 0)
        if len(self._head) < 2 + extended + 4 * masked:
            return 0
        size = length if length <= _SHORT_LENGTH else int.from_bytes(self._head[2 : 2 + extended], "big")
        self._head = b""
        return size


class Tunnel:
    """Both ends of an upgraded connection; `closed` is set when both have ended, or one is lost."""

    def __init__(self, client: ClientConnection, connection: PodConnection, idle_s: float, ending_s: float) -> None:
        """Connect both sides.

        Args:
            client: the client's side.
            connection: the pod's side.
            idle_s: how long both sides may be silent.
            ending_s: how long the second side may take to end after the first one.
        """
        self._client = client
        self._connection = connection
        self._idle_s = idle_s
        self._ending_s = ending_s
        self._loop = asyncio.get_running_loop()
        self._last_data_s = self._loop.time()
        self._boundary = FrameBoundary()
        self._ended = {"client": False, "pod": False}
        self._timer = self._loop.call_later(idle_s, self._check_idle)
        self._last_timer: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def open(self, early: bytes) -> None:
        """Start with what the pod has already sent and what followed the client's request."""
        self._client.listener = self
        self._connection.forward(self)
        if early:
            self.from_pod(early)
        self._client.take_over(self)

    def go_away(self) -> None:
        """Send a close frame if the stream is between two frames, and close both sides."""
        if self._boundary.between and not self._ended["pod"]:  # nothing may follow the end of the pod's side
            self._client.send(GOING_AWAY)
        self.close()

    def failed(self, _failure: Failure) -> None:
        """Note that the pod is gone, even if its connection does not know it yet."""
        self.go_away()

    def close(self) -> None:
        """Close both sides; what has been written is still sent."""
        self._timer.cancel()
        if self._last_timer is not None:
            self._last_timer.cancel()
        self._client.listener = None
        self._connection.hang_up()
        if self._client.transport is not None:
            self._client.transport.close()
        if not self.closed.done():
            self.closed.set_result(None)

    # The client's side.

    def from_client(self, data: bytes) -> None:
        """Pass on data of the client."""
        self._last_data_s = self._loop.time()
        self._connection.write(data)

    def client_lost(self) -> None:
        """Close the pod's side."""
        self.close()

    def client_eof(self) -> bool:
        """Pass on that the client has closed its sending side."""
        self._end("client", self._connection.write_eof)
        return True

    def client_paused(self) -> None:
        """Stop reading from the pod."""
        self._connection.pause_reading()

    def client_resumed(self) -> None:
        """Read from the pod again."""
        self._connection.resume_reading()

    # The pod's side.

    def from_pod(self, data: bytes) -> None:
        """Pass on data of the pod."""
        self._last_data_s = self._loop.time()
        self._boundary.feed(data)
        self._client.send(data)

    def pod_eof(self) -> None:
        """Pass on that the pod has closed its sending side."""
        self._end("pod", self._client.send_eof)

    def pod_paused(self) -> None:
        """Stop reading from the client."""
        self._client.pause_reading()

    def pod_resumed(self) -> None:
        """Read from the client again."""
        self._client.resume_reading()

    def pod_lost(self) -> None:
        """Close the client's side."""
        self.close()

    def _end(self, side: str, pass_on: Callable[[], None]) -> None:
        self._ended[side] = True
        if all(self._ended.values()):
            self.close()
        else:
            self._last_timer = self._loop.call_later(self._ending_s, self.go_away)
            pass_on()

    def _check_idle(self) -> None:
        quiet_s = self._loop.time() - self._last_data_s
        if quiet_s >= self._idle_s:
            self.go_away()
        else:
            self._timer = self._loop.call_later(self._idle_s - quiet_s, self._check_idle)
