"""Sends a pod a request of the gateway itself, such as a check, and reads a short response."""

import asyncio
from typing import NamedTuple

from autoscaler.gateway.http.headers import ResponseHead
from autoscaler.gateway.http.pod_connection import Failure
from autoscaler.gateway.http.pod_pool import Pod, PodRefusedError

_MOST_BYTES = 1 << 20
"""A longer response is an error: it is only searched for a few numbers."""


class PodAnswer(NamedTuple):
    """A pod's response to the gateway."""

    status: int
    body: bytes


class PodCallError(Exception):
    """There is no usable response; the text says why."""

    def __init__(self, why: str, *, refused: bool = False, was_sent: bool = True) -> None:
        super().__init__(why)
        self.was_sent = was_sent
        """Whether the pod may have seen the request."""
        self.refused = refused
        """Whether the connection was refused, so that no process listens there."""


class _Answer:
    """Collects a response, or only its status."""

    def __init__(self, *, keep_body: bool) -> None:
        self._keep_body = keep_body
        self.done: asyncio.Future[PodAnswer] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._parts: list[bytes] = []
        self._bytes = 0

    def responded(self, head: ResponseHead) -> None:
        self._status = head.status

    def received(self, data: bytes) -> None:
        if not self._keep_body:
            return
        self._bytes += len(data)
        if self._bytes > _MOST_BYTES:
            self._parts.clear()
            self._end(PodCallError(f"the answer is longer than {_MOST_BYTES} bytes"))
        else:
            self._parts.append(data)

    def flush(self) -> None: ...

    def writable(self) -> None: ...

    def switched(self, head: ResponseHead, _early: bytes) -> None:
        self._end(PodAnswer(head.status, b""))

    def ended(self) -> None:
        self._end(PodAnswer(self._status, b"".join(self._parts)))

    def failed(self, failure: Failure) -> None:
        self._end(PodCallError(failure.value))

    def _end(self, outcome: PodAnswer | PodCallError) -> None:
        if self.done.done():
            return
        if isinstance(outcome, PodAnswer):
            self.done.set_result(outcome)
        else:
            self.done.set_exception(outcome)


async def call_pod(
    pod: Pod,
    request: str,
    host: str,
    *,
    connect_s: float,
    answer_s: float,
    body: bytes = b"",
    keep_body: bool = True,
) -> PodAnswer:
    """Send a request, such as `GET /health`, over a new connection.

    Args:
        pod: the pod.
        request: method and path.
        host: the Host header.
        body: JSON to send; empty for none.
        keep_body: whether the response's body is read; without it, the response may have any length.
        connect_s: time for the connection.
        answer_s: time from then on for the whole response.

    Raises:
        PodCallError: no connection, no whole response in time, or one longer than 1 MiB.
    """
    try:
        connection = await pod.connect(connect_s, answer_s)
    except PodRefusedError as error:
        refused = isinstance(error.__cause__, ConnectionRefusedError)
        raise PodCallError(str(error), refused=refused, was_sent=False) from error
    try:
        answer = _Answer(keep_body=keep_body)
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"{request} HTTP/1.1\r\nHost: {host}\r\n{kind}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.begin(answer, head.encode("latin-1") + body, bodiless=False, complete=True)
        async with asyncio.timeout(answer_s):
            await answer.done
    except TimeoutError as error:
        raise PodCallError(f"no answer within {answer_s:g} s") from error
    finally:
        connection.close()
    pod.has_answered = True
    return answer.done.result()
