"""What a client sends: complete heads, and bodies as they arrive, parsed by llhttp.

Rules:
1. What two parsers could read in two ways is an error, and nothing after it is read (llhttp's strict mode).
2. A head has limits for each part and in total. A body has none here: reading pauses while it is not taken.
3. What lies between the parts of a body and after it counts towards the limit of the head.
4. What follows a request for another protocol is kept apart until that request is answered.
"""

from collections.abc import Callable
from http import HTTPStatus

import httptools

from autoscaler.gateway.http.framing import HTTP_VERSIONS, HeadLimits, Overhead, reason_of, refused_coding
from autoscaler.gateway.http.headers import Values, values_by_name
from autoscaler.gateway.http.incoming_body import IncomingBody, Source

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_NO_HTTP = "the request is not valid HTTP/1.1 (RFC 9112)"
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_TOO_MANY = "there are too many headers"
TOO_MUCH_OVERHEAD = "headers, chunk sizes and trailers are too large"


class BrokenRequestError(Exception):
    """What the client sends is not a valid request, or a part of it is too large."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class IncomingRequest:
    """A request as it was sent."""

    __slots__ = ("body", "complete", "headers", "http10", "keep_alive", "method", "target", "values")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        values: Values,
        *,
        http10: bool,
        keep_alive: bool,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.values = values
        self.http10 = http10
        self.keep_alive = keep_alive
        self.body: IncomingBody | None = None
        """None for a request without one."""
        self.complete = False
        """Whether its last byte has arrived."""


class RequestParser:
    """Parses one client's requests, and passes on each request when its head is complete."""

    __slots__ = (
        "_fields",
        "_found",
        "_last",
        "_limits",
        "_overhead",
        "_parser",
        "_request",
        "_resumed",
        "_small_bytes",
        "_source",
        "_target",
        "_unlimited",
        "in_head",
    )

    def __init__(self, source: Source, limits: HeadLimits, found: Callable[[IncomingRequest], None]) -> None:
        self._source = source
        self._limits = limits
        self._found = found
        self._parser = httptools.HttpRequestParser(self)
        self._request: IncomingRequest | None = None
        """The request whose body is arriving."""
        self._last: IncomingRequest | None = None
        self._resumed = False
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._overhead = Overhead(limits.head_bytes)
        self._small_bytes = min(limits.line_bytes, limits.field_bytes)
        """No part of a head that arrives in one read of this size is too long."""
        self._unlimited = False
        """Whether parts of the arriving head may be too long."""
        self.in_head = False
        """Whether a head has begun and is not complete."""

    def feed(self, data: bytes) -> bytes | None:
        """Parse data; return what follows a request for a WebSocket, None if there was no such request.

        Raises:
            BrokenRequestError: it is malformed, and nothing more may be fed. If a body was arriving, tell its reader by
                `break_body`; otherwise answer the client.
        """
        while True:
            rest = self._parse(data)
            if rest is None or self._last is None or is_websocket(self._last):
                return rest
            self._resume(self._last)
            data = rest

    def _parse(self, data: bytes) -> bytes | None:
        """Parse data up to the end of a request for another protocol, and return what follows that."""
        rest: bytes | None = None
        self._unlimited = self.in_head or len(data) > self._small_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if self._last is not None and self._last.complete and not self._last.keep_alive:
                return None  # what follows the last request of a connection does not matter
            raise reason_of(error, BrokenRequestError(HTTPStatus.BAD_REQUEST, _NO_HTTP)) from error
        if self._request is not None and self._request.body is None:
            self._request.body = IncomingBody(self._source)
        if not self._overhead.read(len(data) - len(rest or b"")):
            raise BrokenRequestError(_TOO_LARGE, TOO_MUCH_OVERHEAD)
        return rest

    def _resume(self, request: IncomingRequest) -> None:
        """Parse the body of a request for an unknown protocol, which httptools would take for data of that protocol."""
        self._request, self._resumed = request, True
        request.complete = False
        self._parser = httptools.HttpRequestParser(self)
        head = [
            b"POST / HTTP/1.1\r\n",
            *(b"%b: %b\r\n" % field for field in request.headers if field[0].lower() in _FRAMING),
        ]
        self._parser.feed_data(b"".join([*head, b"\r\n"]))

    def break_body(self, status: HTTPStatus) -> bool:
        """Report to the reader of the arriving body that it is malformed; return False if no body is arriving."""
        if self._request is None:
            return False
        if self._request.body is None:
            self._request.body = IncomingBody(self._source)
        self._request.body.end(status)
        return True

    def close(self) -> None:
        """Drop all references: no request may wait for the garbage collector."""
        del self._parser, self._found, self._source

    # httptools

    def on_message_begin(self) -> None:
        """Start a head."""
        self.in_head = True
        self._target = b""
        self._fields = []

    def on_url(self, part: bytes) -> None:
        """Collect the target."""
        self._target += part
        if self._unlimited and len(self._target) > self._limits.line_bytes:
            raise BrokenRequestError(HTTPStatus.REQUEST_URI_TOO_LONG, "the request line is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; a trailer is dropped."""
        if self._unlimited:
            self._check_size(name, value)
        if self.in_head and (b"_" not in name or self._limits.underscores):
            self._fields.append((name, value.rstrip(b" \t")))
            if len(self._fields) > self._limits.fields:
                raise BrokenRequestError(_TOO_LARGE, _TOO_MANY)

    def _check_size(self, name: bytes, value: bytes) -> None:
        if len(name) + len(value) > self._limits.field_bytes:
            raise BrokenRequestError(_TOO_LARGE, "a header is too long")

    def on_headers_complete(self) -> None:
        """Pass on the request; it has a body once one arrives, or once the data ends without its end."""
        self.in_head = False
        if self._resumed:
            self._resumed = False
            return
        parser, fields = self._parser, self._fields
        http10 = HTTP_VERSIONS.get(parser.get_http_version())
        if http10 is None:
            raise BrokenRequestError(HTTPStatus.BAD_REQUEST, "the gateway speaks HTTP/1.1 and HTTP/1.0 only")
        values = values_by_name(fields)
        codings = values.get(b"transfer-encoding")
        if codings is not None and (refused := refused_coding(codings, http10=http10)):
            raise BrokenRequestError(refused, "chunked is the only supported transfer coding")
        self._request = self._last = IncomingRequest(
            parser.get_method(),
            self._target,
            fields,
            values,
            http10=http10,
            keep_alive=parser.should_keep_alive(),
        )
        self._found(self._request)

    def on_body(self, data: bytes) -> None:
        """Pass on a part of the body."""
        request = self._request
        self._overhead.body(len(data))
        if request is not None:
            if request.body is None:
                request.body = IncomingBody(self._source)
            request.body.arrived(data)

    def on_message_complete(self) -> None:
        """End the request."""
        request, self._request = self._request, None
        self._overhead.restarted = True
        if request is not None:
            request.complete = True
            if request.body is not None:
                request.body.end()


def is_websocket(request: IncomingRequest) -> bool:
    """Return whether a request asks for a WebSocket and has no body."""
    wanted = request.values.get(b"upgrade", (b"",))
    return wanted[-1].lower() == b"websocket" and _FRAMING.isdisjoint(request.values)
