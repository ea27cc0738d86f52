"""Comments to a client that waits for an event stream, and what becomes of a response whose status was sent before it.

The first comment fixes the status 200. A pod's event stream follows the comments. Any other response of the pod, and an
error of the gateway, becomes an event `error`, because a status can be sent once only.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from autoscaler.gateway.error_responses import error_document
from autoscaler.gateway.http.exchange import Exchange
from autoscaler.gateway.http.headers import RequestHead, ResponseHead
from autoscaler.gateway.waiting.estimate import Estimate

_LONGEST_BODY = 16_384
"""Bytes of a pod's other response that an event repeats."""
_STREAM = b"text/event-stream"
_METHODS = frozenset({b"GET", b"POST"})
END = b"0\r\n\r\n"
START = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
    b"Transfer-Encoding: chunked\r\n"
)
"""The head of the response, without the lines that differ; proxies such as nginx buffer nothing of it."""


def wants_events(head: RequestHead, *, http10: bool) -> bool:
    """Return whether the client of a request reads an event stream."""
    accepts = b",".join(head.values.get(b"accept", ())).lower().split(b",")
    return (
        not http10 and head.method in _METHODS and any(each.partition(b";")[0].strip() == _STREAM for each in accepts)
    )


def unencoded(head: RequestHead) -> RequestHead:
    """Return what a pod gets if its response must have no coding, because the head of the response was sent."""
    return head._replace(lines=[line for line in head.lines if not line.lower().startswith(b"accept-encoding:")])


def comment(estimate: Estimate | None) -> bytes:
    """Return a comment as a chunk; clients skip it."""
    if estimate is None:
        return _chunk(b": waiting\n\n")
    said = (estimate.position, estimate.p50_s, estimate.p90_s)
    return _chunk(b": waiting position=%d estimate=%.1f p90=%.1f\n\n" % said)


def error_event(status: HTTPStatus, detail: str, code: str, target: bytes, members: Mapping[str, Any]) -> bytes:
    """Return an error as an event in a chunk."""
    return _event(error_document(status, code, detail, target, members).text)


def _event(data: str) -> bytes:
    return _chunk(f"event: error\ndata: {data}\n\n".encode())


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class CommittedExchange(Exchange):
    """One request at one pod whose client has the head of a response already."""

    __slots__ = ("_other", "_status", "target")

    target: bytes
    """Of the request; set it before the response."""

    def responded(self, head: ResponseHead) -> None:
        """Let an event stream follow the comments, and collect any other response."""
        super().responded(head)
        self._other: bytearray | None = None
        if self.over:
            return
        self._out.clear()
        self._chunked = True
        encodings = head.values.get(b"content-encoding", ())
        kinds = b",".join(head.values.get(b"content-type", ())).partition(b";")[0].strip().lower()
        if not (head.status == HTTPStatus.OK and kinds == _STREAM and not any(encodings)):
            self._other, self._status = bytearray(), head.status

    def received(self, data: bytes) -> None:
        """Write a part of the stream, or keep a part of the other response."""
        if self._other is None:
            super().received(data)
        else:
            self._other += data[: _LONGEST_BODY - len(self._other)]

    def ended(self) -> None:
        """Say what the other response was, and end."""
        if self._other is not None:
            self._out.append(self._error_of(self._other.decode("utf-8", "replace")))
        super().ended()

    def _error_of(self, body: str) -> bytes:
        """Return the event for another response: its JSON if it is an object, else its text."""
        try:
            read = json.loads(body)
        except (ValueError, RecursionError):
            read = None
        if isinstance(read, dict):
            return _event(json.dumps(read))
        known = {each.value for each in HTTPStatus}
        status = HTTPStatus(self._status) if self._status in known else HTTPStatus.BAD_GATEWAY
        return error_event(status, body.strip() or status.phrase, "no_event_stream", self.target, {})
