"""What a peer may send: anything, cut anywhere. Messages are delivered in order, up to the first line that is none."""

import asyncio
import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.peers.connections.connection import Connection, Limits
from autoscaler.gateway.peers.connections.handshake import Met

PEER = Met("b", "life-b", 1)
LONGEST = 2000

messages = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20) | st.none(), max_size=3)


def is_message(line):
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


nonsense = st.binary(max_size=300).map(lambda line: line.replace(b"\n", b"")).filter(lambda line: not is_message(line))


class Wire:
    """A transport in memory."""

    def __init__(self):
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name):
        return self if name == "socket" else None

    def setsockopt(self, *_option):
        pass

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return 0

    def close(self):
        self.is_closed = True

    abort = close


class Received:
    def __init__(self):
        self.messages = []

    def met(self, _connection, peer):
        self.peer = peer

    def received(self, _connection, message):
        self.messages.append(message)

    def ended(self, _connection, problem):
        self.problem = problem


def known():
    """Meet without a word."""
    yield b""
    return PEER, b""


def delivered(data, cuts):
    """Give what is delivered of these bytes, cut at these places, and whether the connection was closed."""

    async def run():
        owner, wire = Received(), Wire()
        connection = Connection(known(), owner, Limits(longest_line=LONGEST))
        connection.connection_made(wire)
        places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
        for start, end in pairwise(places):
            connection.data_received(data[start:end])
        connection.connection_lost(None)
        return owner.messages, wire.is_closed

    return asyncio.run(run())


def lines(parts):
    return b"".join(part + b"\n" for part in parts)


@given(st.lists(messages, max_size=8), st.lists(st.integers(0, 5000)))
def test_messages_are_delivered_in_order_however_they_are_cut(sent, cuts):
    texts = [json.dumps(message).encode() for message in sent]
    counted = [part for number, text in enumerate(texts) for part in (str(number).encode(), text)]

    assert delivered(lines([b"", *counted]), cuts) == (sent, False)


@given(st.lists(messages, max_size=5), nonsense, st.lists(messages, max_size=5), st.lists(st.integers(0, 5000)))
def test_nothing_is_delivered_after_a_line_that_is_no_message(sent, wrong, more, cuts):
    data = lines([b"", *(json.dumps(each).encode() for each in sent), wrong])
    if wrong == str(len(sent)).encode():
        return  # the right number of messages

    found, closed = delivered(data + lines(json.dumps(each).encode() for each in more), cuts)

    assert closed
    assert found == sent


@given(st.lists(messages, min_size=2, max_size=6), st.data())
def test_lines_that_are_lost_between_the_two_are_missed_at_the_next_number(sent, data):
    lost = data.draw(st.integers(0, len(sent) - 1))
    texts = [json.dumps(each).encode() for each in sent]

    found, closed = delivered(lines([b"", *texts[:lost], *texts[lost + 1 :], str(len(sent)).encode(), b"{}"]), [])

    assert closed
    assert found == sent[:lost] + sent[lost + 1 :]


@given(st.binary(max_size=1000), st.lists(st.integers(0, 5000)))
def test_no_bytes_raise_anything(data, cuts):
    delivered(data, cuts)
