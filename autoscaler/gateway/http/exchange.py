"""One request at one pod: the response goes to the client as it arrives; the slot is free when the pod has finished.

Rules:
1. The pod's slot is free once the pod has sent its last byte, whether or not the client has read it.
2. Nothing is added to a response that has begun: if the pod breaks off, the client's connection is cut.
3. Reading from the pod pauses while the client leaves too much unread: see `response_backlog`.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from autoscaler.gateway.http.client_connection import ClientConnection
from autoscaler.gateway.http.headers import ResponseHead, response_bytes
from autoscaler.gateway.http.pod_connection import Failure, PodConnection
from autoscaler.gateway.http.pod_pool import Pod

_ALLOWED_ORIGIN = b"access-control-allow-origin"


class ResponseOptions(NamedTuple):
    """How a response is written to this client."""

    http10: bool
    bodiless: bool
    keep_alive: bool
    added: bytes
    """The gateway's own header lines, such as a cookie."""
    half_close: bool = False
    upgrade: bool = False
    """Whether the client asked for another protocol."""
    cors: bytes = b""
    """Header lines that let a page of another origin read the response, if the pod does not set them."""
    at_start: Callable[[], bytes] = bytes
    """Returns more header lines, when the response begins."""


class Exchange:
    """Receives a pod's response and passes it on; once it is `over`, `failure` says why, None for success."""

    __slots__ = (
        "_chunked",
        "_client",
        "_connection",
        "_drained",
        "_is_stream",
        "_options",
        "_out",
        "_release",
        "_starts_first",
        "_stream_idle_s",
        "_until_eof",
        "_until_s",
        "_waiter",
        "began",
        "can_be_repeated",
        "failure",
        "keep_alive",
        "on_over",
        "over",
        "pod",
        "status",
        "switch",
    )

    def __init__(
        self,
        client: ClientConnection,
        pod: Pod,
        connection: PodConnection,
        options: ResponseOptions,
        release: Callable[[], None],
    ) -> None:
        self._client: ClientConnection | None = client
        self.pod = pod
        self._connection = connection
        self._options = options
        self._release = release
        self._out: list[bytes] = []
        self._chunked = False
        self._until_eof = False
        self._is_stream = False
        self._drained: asyncio.Future[None] | None = None
        self.began = False
        """Whether any of the response has been sent to the client."""
        self.can_be_repeated = False
        """Whether the whole request is in memory, so that it can be sent again."""
        self.keep_alive = options.keep_alive
        self.status = 0
        self.switch: tuple[ResponseHead, bytes] | None = None
        self.over = False
        self.failure: Failure | None = None
        self.on_over: Callable[[], object] | None = None
        self._waiter: asyncio.Future[None] | None = None
        pod.open.add(self)
        connection.on_outcome = pod.on_outcome
        client.listener = self

    @property
    def added_lines(self) -> list[bytes]:
        """The gateway's own header lines of the response."""
        return [self._options.added] if self._options.added else []

    def limit(self, granted_s: float, start_s: float, total_s: float, stream_idle_s: float) -> None:
        """Limit the time from the grant to the first byte and to the end, and for a stream the time without data."""
        self._until_s = granted_s + total_s
        self._starts_first = start_s < total_s
        self._stream_idle_s = stream_idle_s
        self._connection.deadline.at(granted_s + min(start_s, total_s))

    def until_over(self) -> asyncio.Future[None]:
        """Return what to wait for while it is not over; cancelling the wait changes nothing."""
        self._waiter = self._connection.loop.create_future()
        return self._waiter

    async def until_writable(self) -> None:
        """Wait until the pod reads more of the request's body."""
        if self._connection.writing_paused and not self.over:
            self._drained = self._connection.loop.create_future()
            await self._drained

    def detach_client(self) -> None:
        """Continue without the client: the rest of the response is dropped, and a stream gets no longer than others."""
        self._client = None
        self._connection.resume_reading()
        if self._is_stream:
            self._is_stream = False
            self._connection.deadline.at(self._until_s)

    def cancel(self) -> None:
        """Break off the request."""
        self._end(Failure.RESET)
        self._connection.close()

    # ResponseHandler

    def responded(self, head: ResponseHead) -> None:
        """Write the head of the response."""
        self.pod.has_answered = True
        if self.pod.may_be_unready and self.can_be_repeated and head.asks_to_retry_later:
            self.failed(Failure.UNREADY)
            return
        self.pod.may_be_unready = False
        self._go_on_until(head)
        self.status = head.status
        options = self._options
        added = [each for each in (options.added, options.at_start()) if each]
        if options.cors and _ALLOWED_ORIGIN not in head.values:
            added.append(options.cors)
        if head.has_body and not head.has_length:
            self._until_eof = options.http10
            self._chunked = not options.http10
            if self._chunked:
                added.append(b"Transfer-Encoding: chunked\r\n")
        if self._client is None or self._client.closing or self._until_eof or not self._connection.request_done:
            self.keep_alive = False
        if not self.keep_alive:
            added.append(b"Connection: close\r\n")
        elif options.http10:
            added.append(b"Connection: keep-alive\r\n")
        self._out.append(response_bytes(head, added))

    def received(self, data: bytes) -> None:
        """Write a part of the body."""
        if self._is_stream:
            self._connection.deadline.within(self._stream_idle_s)
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def flush(self) -> None:
        """Send the client what has arrived."""
        if self._out:
            if self._client is not None:
                self._client.send(b"".join(self._out))
                self.began = True
            self._out.clear()

    def switched(self, head: ResponseHead, early: bytes) -> None:
        """Leave the connection to the tunnel, if the client asked for another protocol."""
        if not self._options.upgrade:
            self.failed(Failure.INVALID)
            return
        if self._client is None:
            self.cancel()  # the client is gone
            return
        self.switch = (head, early)
        self.status = head.status
        self._stop(None)

    def ended(self) -> None:
        """Send the rest, and free the slot."""
        if self._chunked:
            self._out.append(b"0\r\n\r\n")
        self.flush()
        self._end(None)
        self.pod.give_back(self._connection)

    def failed(self, failure: Failure) -> None:
        """Free the slot; a response that has begun is cut."""
        if failure in {Failure.STALE, Failure.UNREADY} and self._client is not None:  # it is sent again
            self._stop(failure)
            self._connection.close()
            return
        self._end(failure)
        self._connection.close()
        if self.began and self._client is not None:
            self.keep_alive = False
            if self._until_eof:
                self._client.reset()
            else:
                self._client.break_off()

    def writable(self) -> None:
        """Continue with the request's body."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # ClientListener

    def client_paused(self) -> None:
        """Stop reading from the pod."""
        self._connection.pause_reading()

    def client_resumed(self) -> None:
        """Read from the pod again."""
        self._connection.resume_reading()

    def client_eof(self) -> bool:
        """End the connection when the client closes its sending side, unless the service allows that."""
        self.keep_alive = False
        return self._options.half_close

    # Ends.

    def _end(self, failure: Failure | None) -> None:
        if not self.over:
            self._stop(failure)
            self._release()

    def _stop(self, failure: Failure | None) -> None:
        if self.over:
            return
        self.over = True
        self.failure = failure
        if self._client is not None:
            self._client.listener = None
        self.pod.open.discard(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.on_over is not None:
            self.on_over()

    def _go_on_until(self, head: ResponseHead) -> None:
        """Set the deadline that holds from the pod's first byte on."""
        if head.is_stream and self._client is not None:
            self._is_stream = True
            self._connection.deadline.within(self._stream_idle_s)
        elif self._starts_first:
            self._connection.deadline.at(self._until_s)
