"""What a pod sends: complete heads, and bodies as they arrive, parsed by llhttp.

Rules:
1. What two parsers could read in two ways is an error, and nothing after it is read, as for requests.
2. A response with the interim ones before it has the same limits as a request, for everything that is not its body.
3. What arrives in one read is passed on as one part: small chunks of a pod cost the client no more than large ones.
"""

import re
from http import HTTPStatus
from typing import Protocol

import httptools

from autoscaler.gateway.http.framing import HTTP_VERSIONS, HeadLimits, Overhead, reason_of, refused_coding
from autoscaler.gateway.http.headers import ResponseHead, read_response

_FIRST_FINAL = 200
_LEGAL = range(100, 600)
_WITHOUT_BODY = frozenset({204, 304})
_NO_TEXT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BrokenResponseError(Exception):
    """What a pod sends is not a response to a request, or it is malformed or too large."""


class Receiver(Protocol):
    """Receives a response."""

    def responded(self, head: ResponseHead) -> None:
        """Receive the head of the final response."""

    def received(self, data: bytes) -> None:
        """Receive a part of the body."""

    def ended(self) -> None:
        """Note that the response is complete."""


class ResponseParser:
    """Parses the responses of one connection, one for each request."""

    __slots__ = (
        "_awaited",
        "_bodiless",
        "_fields",
        "_head",
        "_in_head",
        "_limits",
        "_overhead",
        "_parser",
        "_parts",
        "_reason",
        "_receiver",
        "_small_bytes",
        "_unlimited",
        "status",
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
        self._in_head = False
        self._small_bytes = min(self._limits.line_bytes, self._limits.field_bytes)
        """No part of a head that arrives in one read of this size is too long."""
        self._unlimited = False
        """Whether parts of the arriving head may be too long."""
        self._parts: list[bytes] = []
        self.status = 0
        """Of the latest response, also of an interim one."""
        self.until_eof = False
        """Whether the body that is arriving ends with the connection."""
        self.unasked = False
        """Whether data arrived that no request asked for."""

    def expect(self, *, bodiless: bool) -> None:
        """Expect one response; `bodiless` is set for HEAD."""
        self._awaited = True
        self._bodiless = bodiless

    def feed(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Parse data; return the head of a 101 with what followed it, None if there was none.

        Raises:
            BrokenResponseError: it is malformed, and nothing more may be fed.
        """
        self._unlimited = self._in_head or len(data) > self._small_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._switched(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            raise reason_of(error, BrokenResponseError()) from error
        if self._parts:
            self._hand_over()
        if not self._overhead.read(len(data)):
            raise BrokenResponseError
        return None

    @property
    def keeps_alive(self) -> bool:
        """Whether another response may follow on the connection."""
        if self._bodiless:
            return self._head is not None and not self._head.closes
        return bool(self._parser.should_keep_alive())

    def close(self) -> None:
        """Drop all references."""
        del self._parser, self._receiver

    def _switched(self, early: bytes) -> tuple[ResponseHead, bytes]:
        if not self._awaited or self._parser.get_status_code() != HTTPStatus.SWITCHING_PROTOCOLS:
            raise BrokenResponseError
        self._awaited = False
        return read_response(HTTPStatus.SWITCHING_PROTOCOLS, self._reason, self._fields, has_body=False), early

    def _hand_over(self) -> None:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._receiver.received(data)

    def _end(self) -> None:
        if self._parts:
            self._hand_over()
        self._awaited = False
        self._overhead.restarted = True
        self._receiver.ended()
        self._head = None
        self._fields = []  # the head keeps the list of its own fields

    # httptools

    def on_message_begin(self) -> None:
        """Start a response, or note one that no request asked for."""
        self._reason = b""
        self._fields = []
        self._in_head = True
        self.unasked = self.unasked or not self._awaited

    def on_status(self, reason: bytes) -> None:
        """Collect the reason phrase."""
        self._reason += reason
        if reason != b"OK" and (len(self._reason) > self._limits.line_bytes or _NO_TEXT.search(reason)):
            raise BrokenResponseError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; a trailer is dropped."""
        if self._unlimited:
            self._check_size(name, value)
        if self._in_head:
            self._fields.append((name, value))

    def _check_size(self, name: bytes, value: bytes) -> None:
        if len(name) + len(value) > self._limits.field_bytes or len(self._fields) > self._limits.fields:
            raise BrokenResponseError

    def on_headers_complete(self) -> None:
        """Pass on the head of a final response."""
        self._in_head = False
        fields = self._fields
        self.status = status = self._parser.get_status_code()
        http10 = HTTP_VERSIONS.get(self._parser.get_http_version())
        if http10 is None or status not in _LEGAL or len(fields) > self._limits.fields:
            raise BrokenResponseError
        empty = self._bodiless or status in _WITHOUT_BODY
        head = read_response(status, self._reason, fields, has_body=not empty)
        if head.chunked and refused_coding(head.values[b"transfer-encoding"], http10=http10):
            raise BrokenResponseError
        if not self._awaited or status < _FIRST_FINAL:
            return
        self._head = head
        self.until_eof = not (empty or head.has_length or head.chunked)
        self._receiver.responded(head)
        if self._bodiless:
            self._end()
            # The parser would wait for a body that a response to HEAD announces and never has.
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body until the whole read is parsed."""
        if self._head is None:
            self.unasked = True
        else:
            self._parts.append(data)
            self._overhead.body(len(data))

    def on_message_complete(self) -> None:
        """End a final response."""
        if self._head is not None:
            self._end()
