import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.gateway_protocol import IDLE, LineSplitter, MalformedLineError, parse_line

GOOD = {"queued": 2, "running": 5, "seconds_total": 12.5, "pods": {"p": 5}, "holding_pass": 1, "passed_total": 7}


def line(count=GOOD, **changes):
    return json.dumps({"gateway": "g", "started": 1.5, "services": {"ns/a": count}} | changes).encode()


def test_a_line_says_who_counts_what():
    parsed = parse_line(line())
    assert (parsed.gateway, parsed.started_s) == ("g", 1.5)
    assert parsed.services["ns/a"].inflight == 7
    assert parsed.services["ns/a"].pods == {"p": 5}


def test_a_gateway_may_leave_out_pods_and_uncounted_requests():
    count = parse_line(line({"queued": 0, "running": 0, "seconds_total": 0})).services["ns/a"]
    assert (count.pods, count.holding_pass, count.passed_total) == ({}, 0, 0)


def test_a_gateway_names_the_pods_that_it_sends_nothing_more_and_one_of_0_1_0_names_none():
    assert parse_line(line(GOOD | {"draining": ["p", "q"]})).services["ns/a"].draining == ("p", "q")
    assert parse_line(line(GOOD)).services["ns/a"].draining == ()


def test_services_that_never_had_a_request_are_one_object():
    at_rest = {"queued": 0, "running": 0, "seconds_total": 0.0, "pods": {}, "holding_pass": 0, "passed_total": 0}
    assert parse_line(line(at_rest)).services["ns/a"] is IDLE
    for key in at_rest.keys() - {"pods"}:
        assert parse_line(line(at_rest | {key: 1})).services["ns/a"] is not IDLE
    assert parse_line(line(at_rest | {"draining": []})).services["ns/a"] is IDLE
    assert parse_line(line(at_rest | {"draining": ["p"]})).services["ns/a"] is not IDLE
    assert parse_line(line(at_rest | {"pods": {"p": 0}})).services["ns/a"].pods == {"p": 0}


def test_keys_of_a_newer_gateway_are_passed_over():
    assert parse_line(line(GOOD | {"mood": "calm"}, version=2)).services["ns/a"].queued == 2


def test_a_line_without_services_says_that_the_gateway_lives():
    assert parse_line(line(services={})).services == {}


@pytest.mark.parametrize(
    "count",
    [
        GOOD | {"queued": -1},
        GOOD | {"queued": 1.5},
        GOOD | {"queued": True},
        GOOD | {"queued": None},
        GOOD | {"running": "5"},
        GOOD | {"running": 10**400},
        GOOD | {"seconds_total": float("nan")},
        GOOD | {"seconds_total": float("inf")},
        GOOD | {"seconds_total": -0.1},
        GOOD | {"pods": {"p": -1}},
        GOOD | {"pods": ["p"]},
        GOOD | {"draining": "p"},
        GOOD | {"draining": {"p": True}},
        GOOD | {"draining": [1]},
        GOOD | {"draining": None},
        GOOD | {"holding_pass": "0"},
        GOOD | {"passed_total": -1},
        {"queued": 1, "running": 1},
        [1, 2],
        None,
    ],
    ids=str,
)
def test_a_count_that_is_none_is_garbled(count):
    with pytest.raises(MalformedLineError):
        parse_line(line(count))


@pytest.mark.parametrize(
    "garbled",
    [
        b"",
        b"<html>",
        b"[]",
        b"7",
        b"null",
        b'{"gateway": "g", "started": 1, "services"',
        b"\xff\xfe",
        b"[" * 100_000,
        line(gateway=""),
        line(gateway=7),
        line(started="today"),
        line(started=float("nan")),
        line(services=[]),
        b'{"started": 1, "services": {}}',
    ],
    ids=lambda garbled: repr(garbled[:30]),
)
def test_what_is_no_line_is_garbled(garbled):
    with pytest.raises(MalformedLineError):
        parse_line(garbled)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_bytes_do_more_than_be_garbled(garbled):
    with pytest.raises(MalformedLineError):
        parse_line(garbled)


@given(lines=st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=5), data=st.data())
def test_lines_are_the_same_however_they_arrive(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter = LineSplitter(max_bytes=20)
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [line for chunk in chunks for line in splitter.feed(chunk)] == lines


@pytest.mark.parametrize("chunks", [[b"12345"], [b"12345\n"], [b"123", b"45"], [b"1\n", b"23456", b"\n"]], ids=repr)
def test_a_line_without_end_is_not_kept(chunks):
    splitter = LineSplitter(max_bytes=4)
    with pytest.raises(MalformedLineError, match="longer than 4 bytes"):
        [splitter.feed(chunk) for chunk in chunks]
