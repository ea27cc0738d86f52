"""The heads of messages: hop-by-hop headers are removed, and those that a proxy has to add are added.

Rules:
1. Names, values, order and number of the other headers stay as they are; nothing is folded, quoted or decoded.
2. How a body ends is written from what was parsed, never copied from a header that `Connection` could name.
3. The gateway's headers are added after hop-by-hop headers are removed, so that a client cannot remove them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from autoscaler.host_claims import normal

Headers = Sequence[tuple[bytes, bytes]]
Values = Mapping[bytes, Sequence[bytes]]
"""The values of each header, by its name in lower case."""

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
STREAMS = frozenset(
    {
        b"text/event-stream",
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/x-jsonl",
        b"application/jsonlines",
        b"application/x-jsonlines",
        b"application/json-seq",
        b"application/stream+json",
        b"multipart/x-mixed-replace",
    }
)
"""Content types of streams: events, lines of JSON, frames of a camera."""
_OURS_IN_REQUESTS = frozenset(
    {b"expect", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id", b"cookie"}
)
_APART = _HOP_BY_HOP | _OURS_IN_REQUESTS
"""Request headers that are not passed on unchanged."""
_NEVER_NAMED = frozenset({b"", b"host", b"content-length", b"close", b"keep-alive", b"upgrade"})
"""What `Connection` cannot remove."""
_NO_CONTENT_HAS_NOT = _HOP_BY_HOP | {b"content-length"}
"""Headers that are not passed on with a 204 (RFC 9110, 8.6)."""
_NO_CONTENT, _UNAVAILABLE = 204, 503
_NO_HOST = (b"",)
_LONGEST_REQUEST_ID = 128
_line = b"%b: %b\r\n".__mod__
"""Returns the line of a header."""
_FORWARDED_LINES = (
    b"X-Forwarded-For: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\nX-Request-Id: %b\r\nCDN-Loop: %b\r\n"
)
_LABEL = rb"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rb"((?:%b(?:\.%b)*\.?)?|\[[0-9a-f:.]{2,45}\])(?::([0-9]{0,5}))?" % (_LABEL, _LABEL), re.IGNORECASE)
_LONGEST_NAME = 253
_LONGEST_HOST = _LONGEST_NAME + len(".:65535")
_LAST_PORT = 65535


class BadRequestError(ValueError):
    """The client's request cannot be passed on; the message says why."""


class RequestHead(NamedTuple):
    """What the gateway needs to know of a request."""

    method: bytes
    target: bytes
    host: str
    """In lower case, without port and trailing dot."""
    lines: Sequence[bytes]
    """The headers that are passed on unchanged, each as a line."""
    values: Values
    expect: bytes
    upgrade: bytes
    """The protocol that the client wants to switch to, in lower case; empty for none."""
    content_length: int | None

    @property
    def cookies(self) -> Sequence[bytes]:
        """The values of its `Cookie` headers."""
        return self.values.get(b"cookie", ())

    @property
    def user_agents(self) -> Sequence[bytes]:
        """The values of its `User-Agent` headers."""
        return self.values.get(b"user-agent", ())

    @property
    def request_id(self) -> bytes:
        """The client's request id, if it can be kept; empty if not."""
        came_id = self.values.get(b"x-request-id")
        return came_id[0] if came_id and len(came_id) == 1 and len(came_id[0]) <= _LONGEST_REQUEST_ID else b""

    @property
    def chunked(self) -> bool:
        """Whether its body is chunked."""
        return b"transfer-encoding" in self.values

    @property
    def is_https(self) -> bool:
        """Whether the client used https, as proxies in front say: the first value of their list is the client's."""
        return b",".join(self.values.get(b"x-forwarded-proto", ())).partition(b",")[0].strip().lower() == b"https"

    def passed_through(self, gateway: bytes) -> bool:
        """Return whether the request has passed through this gateway before (RFC 8586)."""
        if b"cdn-loop" not in self.values:
            return False
        return gateway in map(bytes.strip, b",".join(self.values[b"cdn-loop"]).split(b","))


class ResponseHead(NamedTuple):
    """The start of a response."""

    status: int
    reason: bytes
    headers: Headers
    """Names and values, as the pod wrote them."""
    values: Values
    lines: Sequence[bytes]
    """The headers that are passed on to the client, each as a line."""
    has_body: bool
    has_length: bool
    chunked: bool
    closes: bool
    """Whether the pod closes the connection after it."""
    is_stream: bool
    """Whether its content type is that of a stream."""
    asks_to_retry_later: bool
    """Whether it is a 503 with Retry-After."""


class Forwarded(NamedTuple):
    """What a proxy says about the hop before it."""

    peer: bytes
    trusted: bool
    """Whether the peer is a trusted proxy, whose X-Forwarded headers are used."""
    gateway: bytes
    """This gateway's name in `CDN-Loop`."""


def values_by_name(headers: Headers) -> dict[bytes, list[bytes]]:
    """Return the values of each header."""
    values = {name.lower(): [value] for name, value in headers}
    if len(values) < len(headers):  # a header is there twice
        for several in values.values():
            several.clear()
        for name, value in headers:
            values[name.lower()].append(value)
    return values


def read_request(
    method: bytes, target: bytes, headers: Headers, values: Values, *, http10: bool = False
) -> RequestHead:
    """Read a request's head; a request of HTTP/1.0 may have no Host, which is then empty.

    Raises:
        BadRequestError: no Host or two, an invalid one, one that contradicts the target, or an invalid target.
    """
    lines = _lines(headers, values, _APART)
    hosts = values.get(b"host", ())
    if len(hosts) > 1 or not (hosts or http10):
        raise BadRequestError("the request needs exactly one Host header")
    host = hosts[0] if hosts else b""
    if not hosts:
        lines.append(b"Host:\r\n")  # the request to the pod is HTTP/1.1
    return RequestHead(
        method,
        target if target.startswith(b"/") else _origin_form(method, target, host),
        _host_name(host),
        lines,
        values,
        b",".join(values[b"expect"]).lower() if b"expect" in values else b"",
        _upgrade(values) if b"upgrade" in values else b"",
        _length(values[b"content-length"]) if b"content-length" in values else None,
    )


def _lines(headers: Headers, values: Values, apart: frozenset[bytes]) -> list[bytes]:
    """Return the headers that are passed on, each as a line: all but these, and but those that `Connection` names."""
    if b"connection" in values:
        apart |= _named(values[b"connection"])
    if apart.isdisjoint(values):
        return list(map(_line, headers))
    return [_line(field) for field in headers if field[0].lower() not in apart]


def _upgrade(values: Values) -> bytes:
    """The protocol that is asked for, if the gateway can tunnel it."""
    tokens = b",".join(values.get(b"connection", ())).lower().split(b",")
    wanted = b",".join(values[b"upgrade"]).lower()
    return wanted if wanted == b"websocket" and b"upgrade" in map(bytes.strip, tokens) else b""


def _length(values: Sequence[bytes]) -> int:
    if len(values) > 1 or not values[0].isdigit():
        raise BadRequestError("Content-Length is not one number")
    return int(values[0])


def _origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
    if target == b"*" and method == b"OPTIONS":
        return target
    for scheme in (b"http://", b"https://"):
        if target[: len(scheme)].lower() == scheme:
            authority, slash, path = target[len(scheme) :].partition(b"/")
            authority, question, query = authority.partition(b"?")
            if authority.lower() != host.lower():
                raise BadRequestError("the host of the request target differs from the Host header")
            return slash + path if slash and not question else b"/" + question + query + slash + path
    raise BadRequestError("the request target is neither a path nor a URL")


@lru_cache(maxsize=1024)
def _host_name(host: bytes) -> str:
    found = _HOST.fullmatch(host) if len(host) <= _LONGEST_HOST else None
    name = found[1].decode("ascii").lower().rstrip(".") if found is not None else ""
    if found is None or len(name) > _LONGEST_NAME or int(found[2] or 0) > _LAST_PORT:
        raise BadRequestError("the Host header is not a valid host")
    return normal(name) if name.startswith("[") else name


def request_bytes(head: RequestHead, cookies: Sequence[bytes], forwarded: Forwarded, request_id: bytes) -> bytes:
    """Return the head that the pod gets; `cookies` are the client's without the gateway's own."""
    start = b"%b %b HTTP/1.1\r\n" % (head.method, head.target)
    sent_cookies = [b"Cookie: %b\r\n" % cookie for cookie in cookies] if cookies else ()
    ours = _forwarded_lines(head.values, forwarded, request_id)
    coding = b"Transfer-Encoding: chunked\r\n" if head.chunked else b""
    upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.values[b"upgrade"][0] if head.upgrade else b""
    return b"".join((start, *head.lines, *sent_cookies, ours, coding, upgrade, b"\r\n"))


def _forwarded_lines(values: Values, by: Forwarded, request_id: bytes) -> bytes:
    (host,) = values.get(b"host", _NO_HOST)
    if not by.trusted:
        return _FORWARDED_LINES % (by.peer, host, b"http", request_id, by.gateway)
    return _FORWARDED_LINES % (
        b", ".join([*values.get(b"x-forwarded-for", ()), by.peer]),
        b", ".join(values.get(b"x-forwarded-host", (host,))),
        b", ".join(values.get(b"x-forwarded-proto", (b"http",))),
        request_id,
        by.gateway,
    )


def read_response(status: int, reason: bytes, headers: Headers, *, has_body: bool) -> ResponseHead:
    """Read a response's head."""
    values = values_by_name(headers)
    return ResponseHead(
        status,
        reason,
        headers,
        values,
        _lines(headers, values, _HOP_BY_HOP if status != _NO_CONTENT else _NO_CONTENT_HAS_NOT),
        has_body,
        b"content-length" in values,
        b"transfer-encoding" in values,
        b"connection" in values and b"close" in b",".join(values[b"connection"]).lower(),
        b"content-type" in values and _is_stream(values[b"content-type"]),
        status == _UNAVAILABLE and b"retry-after" in values,
    )


def _is_stream(content_types: Sequence[bytes]) -> bool:
    return b",".join(content_types).partition(b";")[0].strip().lower() in STREAMS


def response_bytes(head: ResponseHead, added: Iterable[bytes]) -> bytes:
    """Return the head that the client gets; `added` are whole lines, with those that say how the body ends."""
    return b"".join([b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason), *head.lines, *added, b"\r\n"])


def switching_bytes(head: ResponseHead, added: Iterable[bytes]) -> bytes:
    """Return the head of a 101, which keeps its `Connection` and `Upgrade`."""
    lines = (b"%b: %b\r\n" % field for field in head.headers)
    return b"".join([b"HTTP/1.1 101 %b\r\n" % head.reason, *lines, *added, b"\r\n"])


def _named(connections: Sequence[bytes]) -> frozenset[bytes]:
    """The headers that `Connection` names as hop-by-hop."""
    return frozenset(map(bytes.strip, b",".join(connections).lower().split(b","))) - _NEVER_NAMED
