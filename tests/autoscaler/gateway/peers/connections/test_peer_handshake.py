"""Two gateways meet if both prove one key and have the names that were meant; nobody else gets further."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.peers.connections import handshake
from autoscaler.gateway.peers.connections.handshake import (
    CROSSED,
    CrossedError,
    HandshakeError,
    Met,
    Side,
    accept,
    dial,
)

KEY, NEW_KEY = b"k" * 32, b"n" * 40
A, B = Side("a", "life-a", "1" * 32), Side("b", "life-b", "2" * 32)


def anybody(_name):
    return ""


class Meeting:
    """A dialler and an acceptor; `change` is given each line on its way, with who wrote it."""

    def __init__(self, dialler, acceptor, change=lambda _who, line: line):
        self.steps = {"dialler": dialler, "acceptor": acceptor}
        self.change = change
        self.met = {}
        self.wrong = {}
        self.written = []

    def run(self):
        waiting = {"dialler": [], "acceptor": []}
        for who in ("acceptor", "dialler"):
            self._pass_on(who, next(self.steps[who]), waiting)
        while (who := next((who for who in waiting if waiting[who]), None)) is not None:
            line = waiting[who].pop(0)
            if who in self.met or who in self.wrong:
                continue
            try:
                self._pass_on(who, self.steps[who].send(line), waiting)
            except StopIteration as done:
                self.met[who], last = done.value
                self._pass_on(who, last, waiting)
            except HandshakeError as error:
                self.wrong[who] = error
                self._pass_on(who, error.answer, waiting)
        return self

    def _pass_on(self, who, data, waiting):
        other = "acceptor" if who == "dialler" else "dialler"
        for line in data.split(b"\n")[:-1]:
            self.written.append(line)
            waiting[other].append(self.change(who, line))


def meeting(*, dialler=A, acceptor=B, keys=((KEY,), (KEY,)), admit=(anybody, anybody), name="b", **options):
    dialling = dial(dialler, keys[0], name, admit[0])
    return Meeting(dialling, accept(acceptor, keys[1], admit[1]), **options).run()


def replaced(who, field, value):
    """Change a field of what a side says."""

    def change(writer, line):
        if writer != who or b'"' + field.encode() + b'"' not in line:
            return line
        return json.dumps(json.loads(line) | {field: value}).encode()

    return change


def test_two_gateways_with_one_key_meet():
    met = meeting()
    assert met.met == {"acceptor": Met("a", "life-a", 1), "dialler": Met("b", "life-b", 1)}


def test_without_a_key_on_both_sides_they_meet():
    assert meeting(keys=((), ())).met.keys() == {"acceptor", "dialler"}


@pytest.mark.parametrize("keys", [((KEY,), (NEW_KEY,)), ((), (KEY,)), ((KEY,), ())])
def test_different_keys_do_not_meet_and_both_say_why(keys):
    found = meeting(keys=keys)
    assert found.met == {}
    assert "does not prove our --peer-key" in str(found.wrong["acceptor"])
    assert "it refuses us: 'the proof is not by a key of mine'" in str(found.wrong["dialler"])


def test_an_acceptor_without_the_key_learns_nothing_that_opens_another():
    """It may let a dialler in, and cannot prove the key itself, not even with the dialler's own proof."""
    for mac in ("", "0" * 64, None, "é"):
        found = meeting(change=replaced("acceptor", "mac", mac))
        assert "does not prove our --peer-key" in str(found.wrong["dialler"])

    proofs = []

    def sent_back(who, line):
        if who == "dialler" and b'"mac"' in line:
            proofs.append(line)
        return proofs[0] if who == "acceptor" and b'"mac"' in line else line

    assert "does not prove our --peer-key" in str(meeting(change=sent_back).wrong["dialler"])


def test_a_proof_is_good_for_one_connection_only():
    proof = next(line for line in meeting().written if b'"mac"' in line)
    again = meeting(acceptor=B._replace(nonce="3" * 32), change=lambda _who, line: proof if b'"mac"' in line else line)
    assert again.met == {}
    assert "does not prove" in str(again.wrong["acceptor"])


@pytest.mark.parametrize("who", ["dialler", "acceptor"])
@pytest.mark.parametrize(
    ("field", "value"), [("life", "another"), ("nonce", "4" * 32), ("v", [1, 2]), ("more", "than was signed")]
)
def test_no_word_of_a_hello_can_be_changed_on_its_way(who, field, value):
    def change(writer, line):
        if writer == who and b'"hello"' in line:
            return json.dumps(json.loads(line) | {field: value}).encode()
        return line

    assert meeting(change=change).met == {}


def test_while_a_key_is_changed_each_meets_each():
    before, first, then, after = (KEY,), (KEY, NEW_KEY), (NEW_KEY, KEY), (NEW_KEY,)
    for one, two in ((before, first), (first, then), (then, after), (first, first), (then, then)):
        assert len(meeting(keys=(one, two)).met) == 2
        assert len(meeting(keys=(two, one)).met) == 2
    assert meeting(keys=(before, after)).met == {}


def test_another_gateway_at_the_address_is_not_taken_for_the_one_that_was_dialled():
    found = meeting(name="c")
    assert str(found.wrong["dialler"]) == "the gateway there is b"
    assert found.met == {}


def test_another_gateway_with_our_name_is_refused_by_both():
    found = meeting(dialler=Side("b", "life-b2", "5" * 32))
    assert str(found.wrong["dialler"]) == "another gateway has our name, b"
    found = meeting(dialler=A, change=replaced("dialler", "name", "b"))
    assert str(found.wrong["acceptor"]) == "another gateway has our name, b"
    assert str(found.wrong["dialler"]) == "it refuses us: 'my name is b too'"


def test_a_gateway_that_dials_itself_says_so():
    assert str(meeting(dialler=B).wrong["dialler"]) == "it is this gateway itself"


def test_a_peer_that_is_not_admitted_gets_the_reason():
    assert "it refuses us: 'I have enough'" in str(
        meeting(admit=(anybody, lambda _name: "I have enough")).wrong["dialler"]
    )


def test_a_crossed_connection_ends_as_such_on_both_sides():
    found = meeting(admit=(anybody, lambda name: CROSSED if name == "a" else ""))
    assert {type(error) for error in found.wrong.values()} == {CrossedError}
    assert isinstance(meeting(admit=(lambda _name: CROSSED, anybody)).wrong["dialler"], CrossedError)


@pytest.mark.parametrize(
    ("theirs", "ours", "version"), [([1, 1], (1, 3), 1), ([1, 3], (1, 1), 1), ([2, 5], (1, 3), 3), ([3, 3], (3, 9), 3)]
)
def test_the_highest_version_is_used_that_both_know(theirs, ours, version, monkeypatch):
    monkeypatch.setattr(handshake, "VERSIONS", ours)
    steps = dial(A, (KEY,), "b", anybody)
    for line in (None, b"HTTP/1.1 101 Switching Protocols", b""):
        steps.send(line)
    steps.send(json.dumps({"t": "hello", "v": theirs, "name": "b", "life": "x", "nonce": "7" * 32}).encode())
    assert steps.gi_frame.f_locals["them"].version == version


@pytest.mark.parametrize("versions", [[2, 3], [7, 9]])
def test_releases_without_a_common_version_do_not_meet(versions):
    found = meeting(change=replaced("dialler", "v", versions))
    assert str(found.wrong["acceptor"]) == "it does not know versions 1 to 1 of the messages"
    assert "I know versions 1 to 1 of the messages" in str(found.wrong["dialler"])


@pytest.mark.parametrize(
    "versions", [None, 1, [1], [1, 1, 1], [2, 1], [True, 1], ["1", "1"], [0, 1], [1, 10**30], [1.5, 2]]
)
def test_a_hello_without_its_versions_is_refused(versions):
    assert "which versions" in str(meeting(change=replaced("dialler", "v", versions)).wrong["acceptor"])


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", ".a", "a\n", "é", "x" * 254, 7, None, ["a"]])
def test_a_name_that_could_be_no_file_and_no_pod_is_refused(name):
    assert "its name is not legal" in str(meeting(change=replaced("dialler", "name", name)).wrong["acceptor"])


@pytest.mark.parametrize("life", ["", "a b", "é", "x" * 201, 7, None])
def test_a_life_that_is_no_short_word_is_refused(life):
    assert "its life is not legal" in str(meeting(change=replaced("dialler", "life", life)).wrong["acceptor"])


@pytest.mark.parametrize(
    "lines",
    [
        [b"GET /metrics HTTP/1.1"],
        [b"GET /v1/peer HTTP/1.0"],
        [b"POST /v1/peer HTTP/1.1"],
        [b""],
        [b"GET /v1/peer HTTP/1.1\r", b"Host: x\r", b"\r"],
        [b"GET /v1/peer HTTP/1.1\r", *(b"X-%d: x\r" % number for number in range(100))],
    ],
)
def test_what_is_no_peer_gets_a_404_and_learns_neither_name_nor_nonce(lines):
    steps = accept(B, (KEY,), anybody)
    written = [next(steps)]
    with pytest.raises(HandshakeError) as refused:
        written += [steps.send(line) for line in lines]
    assert not b"".join(written)
    head, _, body = refused.value.answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("line", [b"SSH-2.0-OpenSSH_9.2", b"HTTP/1.1 200 OK", b""])
def test_what_answers_otherwise_is_no_peer_port(line):
    steps = dial(A, (KEY,), "b", anybody)
    next(steps)
    with pytest.raises(HandshakeError, match="no peer port"):
        steps.send(line)


@given(st.sampled_from(["dialler", "acceptor"]), st.integers(0, 8), st.binary(max_size=200))
def test_nonsense_in_the_place_of_any_line_opens_nothing_and_raises_nothing_else(who, place, nonsense):
    said = {"dialler": 0, "acceptor": 0}
    changed = []

    def change(writer, line):
        said[writer] += 1
        if writer == who and said[writer] == place + 1 and nonsense != line:
            changed.append(line)
            return nonsense.replace(b"\n", b" ")
        return line

    found = meeting(change=change)
    matters = [line for line in changed if b'"' in line]
    if matters:
        assert len(found.met) < 2


DEEP = b"[" * 4000


def test_json_that_is_nested_deeply_is_refused():
    steps = accept(B, (KEY,), anybody)
    for line in (None, b"GET /v1/peer HTTP/1.1", b"Upgrade: inflight-peer", b""):
        steps.send(line)
    with pytest.raises(HandshakeError, match="no JSON object"):
        steps.send(DEEP)


def test_no_error_shows_the_key_or_a_proof():
    found = meeting(keys=((KEY,), (NEW_KEY,)))
    macs = [json.loads(line)["mac"] for line in found.written if b'"mac"' in line]
    assert macs
    for error in found.wrong.values():
        text = f"{error} {error.answer!r}"
        assert not [secret for secret in (*macs, KEY.decode(), NEW_KEY.decode()) if secret in text]
