"""The same bytes go to our readers, to h11 and to Go's net/http: all see the same messages, or one refuses."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from readers import NetHttp, net_http_program, of_h11, ours

pytestmark = [pytest.mark.program, pytest.mark.real_time]

HERE = Path(__file__).parent
EXAMPLES = settings(max_examples=1500)


@pytest.fixture(scope="module")
def net_http():
    program = NetHttp(net_http_program())
    yield program
    program.close()


def agree(kind, wire, others):
    mine = ours(kind, wire)
    for name, other in others.items():
        theirs = other(kind, wire)
        both = min(len(mine.bodies), len(theirs.bodies))
        told = f"{name}: {theirs}, ours: {mine}, of {wire!r}"
        assert mine.bodies[:both] == theirs.bodies[:both], told
        # Who refused, or takes the connection for closed, need not see what comes behind; everybody else must.
        assert len(theirs.bodies) == both or mine.ended != "incomplete", told
        assert len(mine.bodies) == both or theirs.ended != "incomplete", told


FRAMING = [
    *(b"Content-Length: 0", b"Content-Length: 3", b"content-length:3", b"Content-Length: 10", b"Content-Length:  3 "),
    *(
        b"Content-Length: +3",
        b"Content-Length: 3, 3",
        b"Content-Length: 0x3",
        b"Content-Length: 03",
        b"Content-Length:",
    ),
    *(b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED", b"Transfer-Encoding: gzip, chunked"),
    *(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: , chunked"),
    *(
        b"Transfer-Encoding:\tchunked",
        b"Transfer-Encoding: chunked ",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:",
    ),
    *(b"Content_Length: 3", b"Transfer-Encoding: chunked;x", b"Transfer-Encoding: \x0bchunked", b"X: 1\r\n folded"),
]
PLAIN = [
    b"X: 1",
    b"X:",
    b"X: \xff",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: x, close",
    b"X: a\tb ",
]
ODD = [b"X : 1", b": 1", b"X", b"X: \x00", b"X: a\rb", b"X\x00: 1", b"Host: other", b"\tX: 1"]
HEADERS = st.lists(
    st.one_of(st.sampled_from(FRAMING), st.sampled_from(FRAMING), st.sampled_from(PLAIN), st.sampled_from(ODD)),
    max_size=3,
)
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r\r\n", b"\r"])
CHUNK = st.sampled_from(
    [
        *[b"3\r\nabc\r\n", b"1\r\nx\r\n", b"03\r\nabc\r\n", b"3;a=b\r\nabc\r\n", b"A\r\n0123456789\r\n"] * 8,
        *(
            b"3 \r\nabc\r\n",
            b"+3\r\nabc\r\n",
            b"0x3\r\nabc\r\n",
            b"3\nabc\n",
            b"3\r\nabcd\r\n",
            b"3;\nabc\r\n",
            b"3\r\nabc",
            b"-1\r\n",
        ),
        *(b'3;a="b\r\n"\r\nabc\r\n', b"3\t;a\r\nabc\r\n", b"10000000000000003\r\nabc\r\n", b"3\r\nabc\n"),
    ]
)
LAST = st.sampled_from(
    [b"0\r\n\r\n"] * 6
    + [
        b"0\r\nX: 1\r\n\r\n",
        b"00\r\n\r\n",
        b"0;x\r\n\r\n",
        b"0\r\n",
        b"0\n\n",
        b"0\r\nContent-Length: 3\r\n\r\n",
        b"",
        b"0\r\nX\r\n\r\n",
    ]
)
REQUEST_LINES = st.sampled_from(
    [
        *[b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"HEAD / HTTP/1.1", b"PUT /b?c HTTP/1.1"] * 6,
        *(b"POST / HTTP/1.0", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1", b"GET http://h/ HTTP/1.1", b"GET  / HTTP/1.1"),
        *(b"GET / HTTP/2.0", b"GET /", b"get / HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET / http/1.1"),
    ]
)
STATUS_LINES = st.sampled_from(
    [
        *[b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 200 ", b"HTTP/1.1 500 x"] * 6,
        *(
            b"HTTP/1.0 200 OK",
            b"HTTP/1.1 204 No Content",
            b"HTTP/1.1 304 Not Modified",
            b"HTTP/1.1 200",
            b"HTTP/1.1 20 x",
        ),
        *(
            b"HTTP/1.1 999 x",
            b"HTTP/2.0 200 OK",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1 2000 OK",
            b"ICY 200 OK",
            b"HTTP/1.1 205 x",
        ),
    ]
)
INTERIM = st.sampled_from(
    [b""] * 5 + [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)


CHUNKED = st.builds(lambda chunks, last: b"".join(chunks) + last, st.lists(CHUNK, max_size=3), LAST)
ANY_BODY = st.one_of(
    st.sampled_from([b"", b"abc", b"0123456789", b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"]), CHUNKED
)
WELL_FRAMED = st.one_of(
    st.just((b"X: y", b"")),
    st.binary(max_size=20).map(lambda body: (b"Content-Length: %d" % len(body), body)),
    CHUNKED.map(lambda body: (b"Transfer-Encoding: chunked", body)),
)
"""A field and a body that fit, unless a chunk is odd."""


@st.composite
def messages(draw, lines, common=()):
    field, body = draw(WELL_FRAMED)
    fields = [*common, field, *draw(st.lists(st.sampled_from(PLAIN), max_size=2))]
    if draw(st.integers(0, 3)) == 0:
        fields = [*common, *draw(HEADERS)]
        body = draw(ANY_BODY)
    ends = [draw(ENDS) if draw(st.integers(0, 9)) == 0 else b"\r\n" for _ in range(len(fields) + 2)]
    head = [line + end for line, end in zip([draw(lines), *fields], ends, strict=False)]
    return b"".join([*head, ends[-1], body])


STREAMS = st.lists(messages(REQUEST_LINES, (b"Host: h",)), min_size=1, max_size=3).map(b"".join)
RESPONSES = st.builds(lambda interim, final: interim + final, INTERIM, messages(STATUS_LINES))


@EXAMPLES
@given(STREAMS)
@example(b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
def test_requests_are_read_alike_by_all_or_refused(net_http, wire):
    agree(b"Q", wire, {"h11": of_h11, "net/http": net_http})


@EXAMPLES
@given(st.sampled_from([b"S", b"S", b"H"]), RESPONSES)
def test_responses_are_read_alike_by_all_or_refused(net_http, kind, wire):
    agree(kind, wire, {"h11": of_h11, "net/http": net_http})


@pytest.mark.parametrize(
    ("kind", "folder"), [(b"Q", "request_parser"), (b"S", "response_parser"), (b"H", "response_parser")]
)
def test_what_the_fuzzer_begins_with_is_read_alike(net_http, kind, folder):
    for seed in sorted((HERE / "corpus" / folder).iterdir()):
        agree(kind, seed.read_bytes()[1:], {"h11": of_h11, "net/http": net_http})


def test_a_difference_would_be_noticed(net_http):
    wire = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    with pytest.raises(AssertionError, match="other"):
        agree(b"Q", wire, {"other": lambda kind, wire: net_http(kind, wire.replace(b"abc", b"abd"))})
    with pytest.raises(AssertionError, match="other"):
        agree(b"Q", wire, {"other": lambda kind, wire: net_http(kind, wire * 2)})
