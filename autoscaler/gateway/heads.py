"""Heads of messages on their way through: what a hop keeps for itself is taken off, what it owes is added.

Rules:
1. Names, values, their order and their number stay as they came; nothing is folded, quoted or decoded.
2. How a body ends is said by us from what was parsed, never copied from a header that `Connection` could name.
3. Our own headers are added after the hop-by-hop ones are taken off, so that a client cannot have them taken off.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

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
_OURS_IN_REQUESTS = frozenset(
    {b"expect", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id", b"cookie"}
)
_DROPPED_IN_REQUESTS = _HOP_BY_HOP | _OURS_IN_REQUESTS
_NEVER_NAMED = frozenset({b"", b"host", b"content-length", b"close", b"keep-alive", b"upgrade"})
"""What `Connection` cannot take off, whatever it says."""
_LONGEST_REQUEST_ID = 128
_CONTENT_LENGTH = b"content-length"
_LOOKED_AT = frozenset({b"host", b"cookie", b"connection", b"upgrade", b"expect", b"user-agent", _CONTENT_LENGTH})
_PROBES = (b"kube-probe/", b"googlehc/", b"elb-healthchecker/")


class BadRequestError(ValueError):
    """The client's request cannot be passed on; the message says why."""


class RequestHead(NamedTuple):
    """What the gateway needs to know of a request."""

    method: bytes
    target: bytes
    host: str
    """In lower case, without port and trailing dot."""
    headers: Headers
    cookies: tuple[bytes, ...]
    expect: bytes
    upgrade: bytes
    """The protocol that the client would switch to, in lower case; empty for none."""
    content_length: int | None
    named: frozenset[bytes]
    """The headers that its `Connection` says are for this hop only."""
    is_probe: bool
    """Whether it asks only if somebody is there, which must not start a pod."""


class Forwarded(NamedTuple):
    """What a hop says of the one before."""

    peer: bytes
    trusted: bool
    """Whether the peer is a proxy of ours, whose own X-Forwarded headers are believed."""


def read_request(method: str, target: str, headers: Headers) -> RequestHead:
    """Look at a request's head once.

    Raises:
        BadRequestError: no or two hosts, a host that contradicts the target, or a target of no known form.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _LOOKED_AT:
            found.setdefault(lower, []).append(value)
    host, *others = found.get(b"host", (b"", b""))
    if others:
        raise BadRequestError("exactly one Host is needed")
    raw = target.encode("utf-8", "surrogateescape")
    if not raw.startswith(b"/"):
        raw = _origin_form(method, raw, host)
    return RequestHead(
        method.encode(),
        raw,
        _host_name(host),
        headers,
        tuple(found.get(b"cookie", ())),
        b",".join(found.get(b"expect", ())).lower(),
        _upgrade(found),
        _length(found.get(_CONTENT_LENGTH, ())),
        _named(found.get(b"connection", ())),
        any(value.lower().startswith(_PROBES) for value in found.get(b"user-agent", ())),
    )


def _upgrade(found: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """The protocol that is asked for; of others than `websocket` aiohttp loses what is sent behind the request."""
    tokens = b",".join(found.get(b"connection", ())).lower().split(b",")
    wanted = b",".join(found.get(b"upgrade", ())).lower()
    return wanted if wanted == b"websocket" and b"upgrade" in map(bytes.strip, tokens) else b""


def _length(values: Sequence[bytes]) -> int | None:
    if not values:
        return None
    if len(values) > 1 or not values[0].isdigit():
        raise BadRequestError("Content-Length is not one number")
    return int(values[0])


def _origin_form(method: str, target: bytes, host: bytes) -> bytes:
    if target == b"*" and method == "OPTIONS":
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
    text = host.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    if colon and (port.isdigit() or not port) and (":" not in name or name.endswith("]")):
        text = name
    return text.rstrip(".")


def request_bytes(
    head: RequestHead, cookies: Iterable[bytes], forwarded: Forwarded, request_id: bytes, *, chunked: bool
) -> bytes:
    """Write the head that the pod gets; `cookies` are the client's without ours."""
    dropped = _DROPPED_IN_REQUESTS | head.named if head.named else _DROPPED_IN_REQUESTS
    came: dict[bytes, bytes] = {}
    lines = [b"%b %b HTTP/1.1\r\n" % (head.method, head.target)]
    for name, value in head.headers:
        lower = name.lower()
        if lower not in dropped:
            lines.append(b"%b: %b\r\n" % (name, value))
        else:
            came[lower] = b"%b, %b" % (came[lower], value) if lower in came else value
    lines.extend(b"Cookie: %b\r\n" % cookie for cookie in cookies)
    lines.append(_forwarded_lines(came, forwarded, _value(head.headers, b"host"), request_id))
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if head.upgrade:
        lines.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % came[b"upgrade"])
    lines.append(b"\r\n")
    return b"".join(lines)


def _forwarded_lines(came: Mapping[bytes, bytes], by: Forwarded, host: bytes, request_id: bytes) -> bytes:
    believed = came if by.trusted else {}
    came_for = believed.get(b"x-forwarded-for")
    came_id = came.get(b"x-request-id", b"")
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\nX-Request-Id: %b\r\n" % (
        b"%b, %b" % (came_for, by.peer) if came_for else by.peer,
        believed.get(b"x-forwarded-host", host),
        believed.get(b"x-forwarded-proto", b"http"),
        came_id if 0 < len(came_id) <= _LONGEST_REQUEST_ID else request_id,
    )


def response_bytes(status: int, reason: bytes, headers: Headers, added: Iterable[bytes]) -> bytes:
    """Write the head that the client gets; `added` are whole lines, how the body ends among them."""
    named = _named([value for name, value in headers if name.lower() == b"connection"])
    dropped = _HOP_BY_HOP | named if named else _HOP_BY_HOP
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    lines.extend(b"%b: %b\r\n" % (name, value) for name, value in headers if name.lower() not in dropped)
    lines.extend(added)
    lines.append(b"\r\n")
    return b"".join(lines)


def switching_bytes(reason: bytes, headers: Headers, added: Iterable[bytes]) -> bytes:
    """Write the head of a 101, which keeps its `Connection` and `Upgrade`."""
    lines = [b"HTTP/1.1 101 %b\r\n" % reason]
    lines.extend(b"%b: %b\r\n" % (name, value) for name, value in headers)
    lines.extend(added)
    lines.append(b"\r\n")
    return b"".join(lines)


def has(headers: Headers, name: bytes) -> bool:
    """Say whether there is a header of this name, given in lower case."""
    return any(found.lower() == name for found, _ in headers)


def is_event_stream(headers: Headers) -> bool:
    """Say whether a response is a stream of events, which has no end to wait for."""
    return _value(headers, b"content-type").lower().startswith(b"text/event-stream")


def _named(connections: Sequence[bytes]) -> frozenset[bytes]:
    """The headers that `Connection` says are for this hop only."""
    if not connections:
        return frozenset()
    return frozenset(map(bytes.strip, b",".join(connections).lower().split(b","))) - _NEVER_NAMED


def _value(headers: Headers, name: bytes) -> bytes:
    return next((value for found, value in headers if found.lower() == name), b"")
