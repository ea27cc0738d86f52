"""Lines are the same however the network cuts them, and none is longer than it may be."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.peers.connections.lines import LineReader, LineTooLongError

LONGEST = 50


def read(pieces, longest=LONGEST):
    """Give the lines, and whether the reader has refused one that is too long."""
    reader, found = LineReader(longest), []
    try:
        for piece in pieces:
            for line in reader.feed(piece):
                found.append(line)  # noqa: PERF402 - those before a refusal count
    except LineTooLongError:
        return found, True
    return found, False


def pieces(data, cuts):
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@given(st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b""))), st.lists(st.integers(0, 10_000)))
def test_the_lines_are_those_that_were_written_up_to_the_first_that_is_too_long(lines, cuts):
    found, refused = read(pieces(b"".join(line + b"\n" for line in lines), cuts))

    legal = next((number for number, line in enumerate(lines) if len(line) > LONGEST), len(lines))
    assert refused == (legal < len(lines))
    assert found == lines[: len(found)]
    assert len(found) <= legal
    if not refused:
        assert found == lines


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000)))
def test_any_bytes_are_lines_or_refused(data, cuts):
    found, refused = read(pieces(data, cuts))

    assert refused == any(len(line) > LONGEST for line in data.split(b"\n"))
    assert refused or found == data.split(b"\n")[:-1]


def test_a_line_that_never_ends_is_refused_when_it_is_too_long():
    assert read([b"x" * LONGEST]) == ([], False)
    assert read([b"x" * LONGEST, b"x"]) == ([], True)


def test_the_bound_can_grow_between_two_lines_of_one_piece():
    reader = LineReader(3)
    found = []
    for line in reader.feed(b"abc\n" + b"x" * 10 + b"\n"):
        found.append(line)
        reader.longest = 10
    assert found == [b"abc", b"x" * 10]


def test_nothing_is_read_after_a_refusal():
    with pytest.raises(LineTooLongError):
        list(LineReader(1).feed(b"abc\nd\n"))
