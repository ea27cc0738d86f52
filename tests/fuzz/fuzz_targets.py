"""What is fuzzed, and what must hold for every input: each target takes any bytes and fails where something does not.

A target has no event loop, no socket and no clock, so that a fuzzer can try thousands of inputs in a second.
"""

import random
import re
from collections.abc import Callable
from urllib.parse import unquote

from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.globs import Glob
from autoscaler.gateway.dispatch.path_rules import PathRule, PathRules
from autoscaler.gateway.http.framing import HeadLimits
from autoscaler.gateway.http.headers import (
    BadRequestError,
    Forwarded,
    read_request,
    request_bytes,
    response_bytes,
    values_by_name,
)
from autoscaler.gateway.http.request_parser import BrokenRequestError, RequestParser
from autoscaler.gateway.http.response_parser import BrokenResponseError, ResponseParser

SHORT = 200
"""Bytes that are read one by one; more would be slow."""
SMALL = HeadLimits(line_bytes=64, field_bytes=64, fields=4)
FORWARDED = Forwarded(b"192.0.2.1", trusted=True, gateway=b"inflight-fuzz")


class Source:
    """A client's connection that is never held back."""

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def pieces(data, seed):
    """Cut data in a way that the seed chooses."""
    rng = random.Random(seed)  # noqa: S311
    while data:
        size = rng.choice((1, 1, 2, 3, 7, 40, 300))
        yield data[:size]
        data = data[size:]


# Requests.


def requests_of(parts, limits=HeadLimits()):  # noqa: B008 - immutable
    """Parse requests; give them as plain values, what ended the parsing, and what came behind a WebSocket's."""
    found, bodies = [], []
    parser = RequestParser(Source(), limits, lambda request: (found.append(request), bodies.append(bytearray())))
    ended, behind = None, None
    for part in parts:
        if behind is not None:
            behind += part
            continue
        try:
            behind = parser.feed(part)
        except BrokenRequestError as error:
            ended = int(error.status)
        for request, body in zip(found, bodies, strict=True):
            if request.body is not None and request.body.size:
                body.extend(request.body.take())
        if ended is not None:
            break
    plain = [
        (each.method, each.target, tuple(each.headers), each.http10, each.keep_alive, bytes(body), each.complete)
        for each, body in zip(found, bodies, strict=True)
    ]
    return plain, ended, behind


def request_parser(data: bytes) -> None:
    """However a stream is cut, the same requests come out of it, and no more than the limit is taken without a word."""
    if not data:
        return
    seed, stream = data[0], data[1:]
    whole = requests_of([stream])
    assert requests_of(pieces(stream, seed)) == whole
    assert requests_of(bytes([byte]) for byte in stream[:SHORT]) == requests_of([stream[:SHORT]])
    bounded(stream, seed)


def bounded(stream, seed):
    """Between two things that come out of it, a parser takes in no more than its limit and one piece."""
    events = []
    parser = RequestParser(Source(), SMALL, events.append)
    silent = 0
    before = 0
    for piece in pieces(stream, seed):
        try:
            if parser.feed(piece) is not None:
                return
        except BrokenRequestError:
            return
        bodies = sum(request.body.size for request in events if request.body is not None)
        done = len(events) + bodies + sum(request.complete for request in events)
        over = bool(events) and events[-1].complete and not events[-1].keep_alive
        silent = 0 if done != before or over else silent + len(piece)
        before = done
        assert silent <= SMALL.head_bytes + 300, "a parser takes in what it does not count"


# Responses.


class Responses:
    """Takes one response."""

    def __init__(self):
        self.head = None
        self.body = bytearray()
        self.complete = False

    def responded(self, head):
        assert self.head is None
        self.head = head

    def received(self, data):
        assert self.head is not None
        assert not self.complete
        self.body += data

    def ended(self):
        assert not self.complete
        self.complete = True


def response_of(parts, *, bodiless, limits=None):
    """Parse one response and the end of its connection; give it, and whether it was refused."""
    taken = Responses()
    parser = ResponseParser(taken, limits)
    parser.expect(bodiless=bodiless)
    for part in parts:
        try:
            switched = parser.feed(part)
        except BrokenResponseError:
            return (taken, not taken.complete)
        if switched is not None:
            taken.head, taken.complete = switched[0], True
        if taken.complete:
            return (taken, False)
    taken.complete = taken.head is not None and parser.until_eof
    return (taken, False)


def response_parser(data: bytes) -> None:
    """However a response is cut, the same comes out of it, and it has a length, chunks, an end or no body."""
    if not data:
        return
    seed, stream = data[0], data[1:]
    bodiless = bool(seed & 1)
    whole, refused = response_of([stream], bodiless=bodiless)
    for cut in (pieces(stream, seed), pieces(stream, seed + 1)):
        taken, also_refused = response_of(cut, bodiless=bodiless)
        assert also_refused == refused
        if not refused:
            assert (taken.head, taken.body, taken.complete) == (whole.head, whole.body, whole.complete)
    bounded_response(stream, seed, bodiless=bodiless)
    if whole.head is not None:
        assert 100 <= whole.head.status < 600
        assert whole.head.has_body or not whole.body
        written_alike(whole.head, bodiless=bodiless)


def bounded_response(stream, seed, *, bodiless):
    """Between two things that come out of it, a parser of a pod takes in no more than its limit and one piece."""
    taken = Responses()
    parser = ResponseParser(taken, SMALL)
    parser.expect(bodiless=bodiless)
    silent, before = 0, 0
    for piece in pieces(stream, seed):
        try:
            if parser.feed(piece) is not None or taken.complete:
                return
        except BrokenResponseError:
            return
        done = (taken.head is not None) + len(taken.body)
        silent = 0 if done != before else silent + len(piece)
        before = done
        assert silent <= SMALL.head_bytes + 300, "a parser takes in what it does not count"


def written_alike(head, *, bodiless):
    """What goes on to the client is one head, with the same status and no length that is none of it."""
    if head.status == 101:
        return
    end = b"" if head.has_length or not head.has_body else b"Transfer-Encoding: chunked\r\n"
    again, refused = response_of([response_bytes(head, [end])], bodiless=True)
    assert not refused
    assert again.head is not None
    assert (again.head.status, again.head.reason) == (head.status, head.reason)
    if head.has_body and not bodiless:
        assert again.head.has_length == head.has_length
        assert again.head.chunked != head.has_length


# Heads.


def heads(data: bytes) -> None:
    """What a pod is sent is one request, the client's: same method, target, host and body, and ours said once."""
    for method, target, fields, http10, _, _, _ in requests_of([data])[0]:
        try:
            head = read_request(method, target, fields, values_by_name(fields), http10=http10)
        except BadRequestError:
            continue
        assert re.fullmatch(r"[a-z0-9_.-]*|\[[0-9a-f:.]+\]", head.host)
        written = request_bytes(head, head.cookies, FORWARDED, b"id")
        (again,), ended, behind = requests_of([written])
        assert ended is None
        assert (again[0], again[1]) == (method, head.target)
        assert behind is None or head.upgrade
        names = [name.lower() for name, _ in again[2]]
        for ours in (b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id"):
            assert names.count(ours) == 1
        assert not {b"te", b"trailer", b"keep-alive", b"proxy-connection", b"expect"} & set(names)
        assert ((b"transfer-encoding" in names) == head.chunked) or head.upgrade
        assert read_request(again[0], again[1], again[2], values_by_name(again[2])).passed_through(b"inflight-fuzz")


# Paths.

REFERENCE = (
    PathRule(("/sdapi/v1/txt2img", "/sdapi/v1/extra-*", "/run/predict")),
    PathRule(("/favicon.ico",), SlotUse.PASS, wake=False),
    PathRule(("/*",), SlotUse.PASS, max_per_pod=64),
)
COUNTED = re.compile(r"/sdapi/v1/txt2img|/sdapi/v1/extra-.*|/run/predict", re.DOTALL)


def _starlette(path: str) -> str:
    return unquote(path.partition("#")[0], "latin-1")


def _werkzeug(path: str) -> str:
    return re.sub("//+", "/", _starlette(path))


def _resolved(path: str) -> str:
    """RFC 3986, 5.2.4."""
    out: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "..":
            out = out[:-1]
        elif segment != ".":
            out.append(segment)
            continue
        if last:
            out.append("")
    return "/" + "/".join(out)


def _nginx(path: str) -> str:
    return _resolved(_werkzeug(path))


def _rfc_then_werkzeug(path: str) -> str:
    unreserved = re.sub(
        "%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)) if chr(int(m[1], 16)) in ".-_~" else m[0], path
    )
    return _werkzeug(_resolved(unreserved))


def _tomcat(path: str) -> str:
    return _nginx(re.sub(";[^/]*", "", path))


def _no_fragment(path: str) -> str:
    return _resolved(unquote(path, "latin-1"))


def _windows(path: str) -> str:
    return _nginx(path.replace("\\", "/")).lower()


SERVERS: tuple[Callable[[str], str], ...] = (
    _starlette,
    _werkzeug,
    _nginx,
    _rfc_then_werkzeug,
    _tomcat,
    _no_fragment,
    _windows,
)
"""How servers read a path: each is a way that one is known to take."""


def paths(data: bytes) -> None:
    """A path that any server reads as a counted one counts, and a glob matches what backtracking would match."""
    text = data.decode("latin-1")
    pattern, _, rest = text.partition("\n")
    if rest and len(pattern) < 20 and len(rest) < 30 and pattern.count("*") < 5:
        slow = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), rest, re.DOTALL)
        assert Glob.of(pattern.split("*")).matches(rest) == (slow is not None)
    target = "/" + text.replace("\n", "")
    path = target.partition("?")[0]
    # New rules for each input: a service's rules remember the paths that they have found.
    rule = PathRules(REFERENCE).find(target)
    if any(COUNTED.fullmatch(server(path)) for server in SERVERS):
        assert rule.kind is SlotUse.COUNT, f"{target!r} is not counted"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "request_parser": request_parser,
    "response_parser": response_parser,
    "heads": heads,
    "paths": paths,
}
