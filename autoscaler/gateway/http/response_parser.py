"""What a pod sends: responses with their heads whole and their bodies as they come, read by llhttp.

Rules:
1. What two parsers could read in two ways is an error, and nothing behind it is read, as for requests.
2. A response and the interim ones before it have the same limits as a request, for all that is no body.
3. What comes in one read is handed over as one part: a pod's small chunks cost the client no more than large ones.
"""

import re
from http import HTTPStatus
from typing import Protocol

import httptools

from autoscaler.gateway.http.framing import HTTP_VERSIONS, HeadLimits, Overhead, reason_of, refused_coding
from autoscaler.gateway.http.headers import ResponseHead, read_response

_FIRST_FINAL = 200
_LEGAL = range(100, 600)
_NO_TEXT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BrokenResponseError(Exception):
    """What a pod sends is no response that was asked for, or a part of it is too large."""


class Receiver(Protocol):
    """Takes a response."""

    def responded(self, head: ResponseHead) -> None:
        """Take the head of the final response."""

    def received(self, data: bytes) -> None:
        """Take a part of the body."""

    def ended(self) -> None:
        """Take note that the response is complete."""


class ResponseParser:
    """Reads the responses of one connection, one for each that was asked for."""

    __slots__ = (
        "_awaited",
        "_bodiless",
        "_codings",
        "_fields",
        "_head",
        "_limits",
        "_overhead",
        "_parser",
        "_parts",
        "_reason",
        "_receiver",
        "unasked",
        "until_eof",
    )

    def __init__(self, receiver: Receiver, limits: HeadLimits | None = None) -> None:
        self._receiver = receiver
        self._limits = limits or HeadLimits()
        self._parser = httptools.HttpResponseParser(self)
        self._overhead = Overhead(self._limits.head_bytes)
        self._awaited = False
        self._bodiless = False
        self._head: ResponseHead | None = None
        self._reason = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._codings: list[bytes] = []
        self._parts: list[bytes] = []
        self.until_eof = False
        """Whether the body that is coming in ends with the connection."""
        self.unasked = False
        """Whether something came for which nobody had asked."""

    def expect(self, *, bodiless: bool) -> None:
        """Await one response; `bodiless` tells of HEAD."""
        self._awaited = True
        self._bodiless = bodiless

    def feed(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Read on; give the head of a 101 with what came behind it, None if there was none.

        Raises:
            BrokenResponseError: it cannot be read, and nothing more must be fed.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._switched(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            raise reason_of(error, BrokenResponseError()) from error
        self._hand_over()
        if not self._overhead.read(len(data)):
            raise BrokenResponseError
        return None

    @property
    def status(self) -> int:
        """The status of the latest response, interim ones among them."""
        return int(self._parser.get_status_code())

    @property
    def keeps_alive(self) -> bool:
        """Whether the response that has just ended lets another follow it."""
        if self._bodiless:
            return self._head is not None and not self._head.closes
        return bool(self._parser.should_keep_alive())

    def close(self) -> None:
        """Let go of whoever holds on to this."""
        del self._parser, self._receiver

    def _switched(self, early: bytes) -> tuple[ResponseHead, bytes]:
        if not self._awaited or self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            raise BrokenResponseError
        self._awaited = False
        return read_response(HTTPStatus.SWITCHING_PROTOCOLS, self._reason, self._fields, has_body=False), early

    def _hand_over(self) -> None:
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._receiver.received(data)

    def _end(self) -> None:
        self._hand_over()
        self._awaited = False
        self._overhead.restart()
        self._receiver.ended()
        self._head = None
        self._fields = []  # those of the head are its own

    # httptools

    def on_message_begin(self) -> None:
        """Begin a response, or take note of one that nobody asked for."""
        self._reason = b""
        self._fields = []
        self._codings = []
        self.unasked = self.unasked or not self._awaited

    def on_status(self, reason: bytes) -> None:
        """Collect the reason phrase."""
        self._reason += reason
        if len(self._reason) > self._limits.line_bytes or _NO_TEXT.search(reason):
            raise BrokenResponseError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; a trailer is dropped."""
        if len(name) + len(value) > self._limits.field_bytes:
            raise BrokenResponseError
        if self._head is not None:
            return
        self._fields.append((name, value))
        if len(self._fields) > self._limits.fields:
            raise BrokenResponseError
        if name.lower() == b"transfer-encoding":
            self._codings.append(value)

    def on_headers_complete(self) -> None:
        """Hand over the head of a final response."""
        status = self.status
        http10 = HTTP_VERSIONS.get(self._parser.get_http_version())
        if http10 is None or status not in _LEGAL or refused_coding(self._codings, http10=http10):
            raise BrokenResponseError
        if not self._awaited or status < _FIRST_FINAL:
            return
        empty = self._bodiless or status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        head = self._head = read_response(status, self._reason, self._fields, has_body=not empty)
        self.until_eof = not (empty or head.has_length or head.chunked)
        self._receiver.responded(head)
        if self._bodiless:
            self._end()
            # The parser would wait for a body that a response to HEAD announces and never has.
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body until all of a read is there."""
        if self._head is None:
            self.unasked = True
        else:
            self._parts.append(data)
            self._overhead.body(len(data))

    def on_message_complete(self) -> None:
        """End a final response."""
        if self._head is not None:
            self._end()
