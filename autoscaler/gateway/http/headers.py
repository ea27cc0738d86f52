"""Heads of messages on their way through: what a hop keeps for itself is taken off, what it owes is added.

Rules:
1. Resolver, values, their order and their number stay as they came; nothing is folded, quoted or decoded.
2. How a body ends is said by us from what was parsed, never copied from a header that `Connection` could name.
3. Our own headers are added after the hop-by-hop ones are taken off, so that a client cannot have them taken off.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from autoscaler.host_claims import normal

Headers = Sequence[tuple[bytes, bytes]]

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
"""Types of responses that come part by part for as long as it takes: events, lines of JSON, pictures of a camera."""
_READ_IN_RESPONSES = frozenset(
    {b"connection", b"content-length", b"content-type", b"retry-after", b"transfer-encoding"}
)
_OURS_IN_REQUESTS = frozenset(
    {b"expect", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id", b"cookie"}
)
_APART = _HOP_BY_HOP | _OURS_IN_REQUESTS
"""What a pod is not sent as it came."""
_KNOWN = _APART | {b"cdn-loop", b"host", b"content-length", b"user-agent", b"origin", b"access-control-request-method"}
_NEVER_NAMED = frozenset({b"", b"host", b"content-length", b"close", b"keep-alive", b"upgrade"})
"""What `Connection` cannot take off, whatever it says."""
_UNAVAILABLE = 503
_LONGEST_REQUEST_ID = 128
_HTTP = (b"http",)
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
    """The headers that go on as they came, each as a line."""
    known: Mapping[bytes, Sequence[bytes]]
    """The values of those that mean something here, by their names in lower case."""
    expect: bytes
    upgrade: bytes
    """The protocol that the client would switch to, in lower case; empty for none."""
    content_length: int | None

    @property
    def cookies(self) -> Sequence[bytes]:
        """The values of its `Cookie` headers."""
        return self.known.get(b"cookie", ())

    @property
    def user_agents(self) -> Sequence[bytes]:
        """What the client says that it is."""
        return self.known.get(b"user-agent", ())

    @property
    def request_id(self) -> bytes:
        """The id that the client gave it, if it is one that can be kept; empty if not."""
        came_id = self.known.get(b"x-request-id", ())
        return came_id[0] if len(came_id) == 1 and len(came_id[0]) <= _LONGEST_REQUEST_ID else b""

    @property
    def chunked(self) -> bool:
        """Whether its body comes in chunks, which is the only coding that the parser lets through."""
        return b"transfer-encoding" in self.known

    @property
    def is_https(self) -> bool:
        """Whether the hops before say that the client did: theirs is a list, in which the first is the client's."""
        return b",".join(self.known.get(b"x-forwarded-proto", ())).partition(b",")[0].strip().lower() == b"https"

    def passed_through(self, gateway: bytes) -> bool:
        """Say whether the request has been at this gateway before (RFC 8586)."""
        return gateway in map(bytes.strip, b",".join(self.known.get(b"cdn-loop", ())).split(b","))


class ResponseHead(NamedTuple):
    """The start of a response."""

    status: int
    reason: bytes
    headers: Headers
    """Names and values as the pod wrote them."""
    lines: Sequence[bytes]
    """Those that go on to the client, each as a line."""
    has_body: bool
    has_length: bool
    chunked: bool
    closes: bool
    """Whether the pod says that the connection ends with this."""
    is_stream: bool
    """Whether its type says that it comes part by part, and that there is no end to wait for."""
    asks_to_retry_later: bool
    """Whether it is a 503 with Retry-After."""


class Forwarded(NamedTuple):
    """What a hop says of the one before."""

    peer: bytes
    trusted: bool
    """Whether the peer is a proxy of ours, whose own X-Forwarded headers are believed."""
    gateway: bytes
    """What this gateway calls itself in `CDN-Loop`."""


def read_request(method: bytes, target: bytes, headers: Headers, *, http10: bool = False) -> RequestHead:
    """Look at a request's head once; one of HTTP/1.0 may have no Host, which is then empty.

    Raises:
        BadRequestError: no or two hosts, one that is no name or address, a host that contradicts the target, or a
            target of no known form.
    """
    known: dict[bytes, list[bytes]] = {}
    lines = []
    for name, value in headers:
        lower = name.lower()
        if lower in _KNOWN:
            known.setdefault(lower, []).append(value)
        if lower not in _APART:
            lines.append(b"%b: %b\r\n" % (name, value))
    if named := _named(known.get(b"connection", ())):
        apart = _APART | named
        lines = [b"%b: %b\r\n" % field for field in headers if field[0].lower() not in apart]
    hosts = known.get(b"host", ())
    if len(hosts) > 1 or not (hosts or http10):
        raise BadRequestError("exactly one Host is needed")
    host = hosts[0] if hosts else b""
    if not hosts:
        lines.append(b"Host:\r\n")  # the pod is asked by HTTP/1.1
    return RequestHead(
        method,
        target if target.startswith(b"/") else _origin_form(method, target, host),
        _host_name(host),
        lines,
        known,
        b",".join(known[b"expect"]).lower() if b"expect" in known else b"",
        _upgrade(known),
        _length(known.get(b"content-length", ())),
    )


def _upgrade(known: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """The protocol that is asked for, if it is one that we can be a tunnel for."""
    if b"upgrade" not in known:
        return b""
    tokens = b",".join(known.get(b"connection", ())).lower().split(b",")
    wanted = b",".join(known[b"upgrade"]).lower()
    return wanted if wanted == b"websocket" and b"upgrade" in map(bytes.strip, tokens) else b""


def _length(values: Sequence[bytes]) -> int | None:
    if not values:
        return None
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
                raise BadRequestError("the target names another host than Host")
            return slash + path if slash and not question else b"/" + question + query + slash + path
    raise BadRequestError("the target is neither a path nor an address")


def _host_name(host: bytes) -> str:
    found = _HOST.fullmatch(host) if len(host) <= _LONGEST_HOST else None
    name = found[1].decode("ascii").lower().rstrip(".") if found is not None else ""
    if found is None or len(name) > _LONGEST_NAME or int(found[2] or 0) > _LAST_PORT:
        raise BadRequestError("Host is no host")
    return normal(name) if name.startswith("[") else name


def request_bytes(head: RequestHead, cookies: Sequence[bytes], forwarded: Forwarded, request_id: bytes) -> bytes:
    """Write the head that the pod gets; `cookies` are the client's without ours."""
    parts = [b"%b %b HTTP/1.1\r\n" % (head.method, head.target), *head.lines]
    if cookies:
        parts.extend(b"Cookie: %b\r\n" % cookie for cookie in cookies)
    parts.append(_forwarded_lines(head.known, forwarded, request_id))
    if head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    if head.upgrade:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.known[b"upgrade"][0])
    parts.append(b"\r\n")
    return b"".join(parts)


def _forwarded_lines(known: Mapping[bytes, Sequence[bytes]], by: Forwarded, request_id: bytes) -> bytes:
    believed: Mapping[bytes, Sequence[bytes]] = known if by.trusted else {}
    return _FORWARDED_LINES % (
        b", ".join([*believed.get(b"x-forwarded-for", ()), by.peer]) if by.trusted else by.peer,
        b", ".join(believed.get(b"x-forwarded-host") or known.get(b"host", ())),
        b", ".join(believed.get(b"x-forwarded-proto", _HTTP)),
        request_id,
        by.gateway,
    )


def read_response(status: int, reason: bytes, headers: Headers, *, has_body: bool) -> ResponseHead:
    """Look at a response's head once."""
    known: dict[bytes, bytes] = {}
    lines = []
    for name, value in headers:
        lower = name.lower()
        if lower in _READ_IN_RESPONSES:
            known[lower] = b"%b,%b" % (known[lower], value) if lower in known else value
        if lower not in _HOP_BY_HOP:
            lines.append(b"%b: %b\r\n" % (name, value))
    connection = known.get(b"connection", b"")
    named = _named((connection,)) if connection else frozenset()
    if status == HTTPStatus.NO_CONTENT:
        named |= {b"content-length"}  # RFC 9110, 8.6
    if named:
        lines = [b"%b: %b\r\n" % field for field in headers if field[0].lower() not in _HOP_BY_HOP | named]
    return ResponseHead(
        status,
        reason,
        headers,
        lines,
        has_body,
        b"content-length" in known,
        b"transfer-encoding" in known,
        b"close" in connection.lower(),
        known.get(b"content-type", b"").partition(b";")[0].strip().lower() in STREAMS,
        status == _UNAVAILABLE and b"retry-after" in known,
    )


def response_bytes(head: ResponseHead, added: Iterable[bytes]) -> bytes:
    """Write the head that the client gets; `added` are whole lines, how the body ends among them."""
    return b"".join([b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason), *head.lines, *added, b"\r\n"])


def switching_bytes(head: ResponseHead, added: Iterable[bytes]) -> bytes:
    """Write the head of a 101, which keeps its `Connection` and `Upgrade`."""
    lines = (b"%b: %b\r\n" % field for field in head.headers)
    return b"".join([b"HTTP/1.1 101 %b\r\n" % head.reason, *lines, *added, b"\r\n"])


def _named(connections: Sequence[bytes]) -> frozenset[bytes]:
    """The headers that `Connection` says are for this hop only."""
    if not connections:
        return frozenset()
    return frozenset(map(bytes.strip, b",".join(connections).lower().split(b","))) - _NEVER_NAMED
