"""How two gateways meet on a new connection: `GET /v1/peer` with an upgrade, then who each is, and a proof of it.

It is pure: a generator for each side is sent the lines that came, yields the bytes to write, and returns the peer.

```
dialler                                          acceptor
GET /v1/peer HTTP/1.1, Upgrade: inflight-peer
                                                 HTTP/1.1 101, hello
hello, proof
                                                 proof, or refused
```

1. A proof is the HMAC-SHA256 over the side that gives it and both hellos as they were sent, so over versions, names,
   lives and nonces. No proof can be used again, nor sent back to the one who gave it.
2. The dialler proves first: the acceptor computes nothing for a stranger.
3. Without a key the same is done with an empty one; `links` then accepts loopback only.
4. Both use the highest version that both know.

What a stranger learns: our name, our life and which versions we know. What one with the key can do: hold up slots,
learn the names of services and pods, and be written into the roster under any name. It never sees a request. The lines
after the proofs are neither encrypted nor signed: whoever can change packets between two gateways can do the same.
"""

import hmac
import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import msgspec

from autoscaler.gateway.peers.names import LEGAL_NAME, NAME

VERSIONS = (1, 1)
"""The oldest and the newest version of the messages that we know."""
CROSSED = "crossed"
"""Why a connection is refused that is not needed, because the other side has made one or is about to."""
REQUEST = (
    b"GET /v1/peer HTTP/1.1\r\nHost: inflight-peer\r\nUser-Agent: inflight\r\n"
    b"Connection: Upgrade\r\nUpgrade: inflight-peer\r\n\r\n"
)
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: inflight-peer\r\n\r\n"
_NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 52\r\n\r\n"
    b"this port is for other gateways: GET /v1/peer only.\n"
)
_LIFE = re.compile(r"[\x21-\x7e]{1,200}")
_NONCE = re.compile(r"[\x21-\x7e]{16,200}")
_MOST_HEADERS = 64
_QUOTED = 100
_MOST_VERSION = 10**6

Steps = Generator[bytes, bytes, tuple["Met", bytes]]
"""It ends with the peer, and the last bytes to write."""


class Side(NamedTuple):
    """One side of a connection."""

    name: str
    life: str
    nonce: str


class Met(NamedTuple):
    """Who is at the other end."""

    name: str
    life: str
    version: int


class HandshakeError(ValueError):
    """The other side is not a peer of ours; the message says why, without a secret or a text of the other side's.

    Attributes:
        answer: what to write to it before the connection is closed.
    """

    def __init__(self, why: str, answer: bytes = b"") -> None:
        super().__init__(why)
        self.answer = answer


class CrossedError(HandshakeError):
    """The connection is not needed: there is another."""


Admit = Callable[[str], str]
"""Tells why a name is not admitted now; an empty text admits it."""


def accept(me: Side, keys: Sequence[bytes], admit: Admit) -> Steps:
    """Meet a gateway that connects to us."""
    request = yield b""
    if request.rstrip() != b"GET /v1/peer HTTP/1.1":
        raise HandshakeError("it does not ask for /v1/peer", _NOT_FOUND)
    headers = yield from _headers()
    if b"upgrade: inflight-peer" not in headers:
        raise HandshakeError("it does not ask for an upgrade to inflight-peer", _NOT_FOUND)
    mine = _hello(me)
    their_line = yield _SWITCHED + mine + b"\n"
    them = _read_hello(their_line, me)
    proof = yield b""
    if not _proves(proof, keys, b"dialler", their_line, mine):
        why = "it does not prove our --peer-key"
        raise HandshakeError(why, _refused("the proof is not by a key of mine"))
    if why := admit(them.name):
        raise (CrossedError if why == CROSSED else HandshakeError)(why, _refused(why))
    return them, _proof(keys, b"acceptor", their_line, mine) + b"\n"


def dial(me: Side, keys: Sequence[bytes], name: str, admit: Admit) -> Steps:
    """Meet the gateway of this name, to whose address we have connected."""
    status = yield REQUEST
    if not status.startswith(b"HTTP/1.1 101 "):
        raise HandshakeError("what answers there is no peer port of a gateway")
    yield from _headers()
    their_line = yield b""
    them = _read_hello(their_line, me)
    if them.name != name:
        raise HandshakeError(f"the gateway there is {them.name}")
    if why := admit(name):
        raise CrossedError(why)
    mine = _hello(me)
    answer = yield mine + b"\n" + _proof(keys, b"dialler", mine, their_line) + b"\n"
    _check_refusal(answer)
    if not _proves(answer, keys, b"acceptor", mine, their_line):
        raise HandshakeError("it does not prove our --peer-key")
    return them, b""


def _headers() -> Generator[bytes, bytes, set[bytes]]:
    found = set[bytes]()
    while line := (yield b"").strip():
        found.add(line.lower())
        if len(found) > _MOST_HEADERS:
            raise HandshakeError("it has too many headers", _NOT_FOUND)
    return found


def _hello(me: Side) -> bytes:
    return msgspec.json.encode({"t": "hello", "v": VERSIONS, "name": me.name, "life": me.life, "nonce": me.nonce})


def _read_hello(line: bytes, me: Side) -> Met:
    hello = _object(line)
    if hello.get("t") != "hello" or not _match(_NONCE, hello.get("nonce")):
        raise HandshakeError("it says no hello")
    name, life = hello.get("name"), hello.get("life")
    if not _match(NAME, name):
        raise HandshakeError(f"its name is not legal: {LEGAL_NAME}")
    if not _match(_LIFE, life):
        raise HandshakeError("its life is not legal: 1 to 200 ASCII characters without spaces")
    if name == me.name:
        own = "it is this gateway itself" if life == me.life else f"another gateway has our name, {name}"
        raise HandshakeError(own, _refused(f"my name is {name} too"))
    return Met(str(name), str(life), _common_version(hello.get("v")))


def _common_version(theirs: Any) -> int:
    """Give the highest version that both know."""
    known = msgspec.convert(theirs, tuple[int, int]) if _is_range(theirs) else None
    if known is None:
        raise HandshakeError("it does not say which versions it knows")
    highest = min(known[1], VERSIONS[1])
    if highest < max(known[0], VERSIONS[0]):
        ours = "{} to {}".format(*VERSIONS)
        why = f"versions {ours} of the messages"
        raise HandshakeError(f"it does not know {why}", _refused(f"I know {why}"))
    return highest


def _is_range(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != len(VERSIONS):
        return False
    return all(type(each) is int and 0 < each < _MOST_VERSION for each in value) and value[0] <= value[1]


def _proof(keys: Sequence[bytes], role: bytes, dialler: bytes, acceptor: bytes) -> bytes:
    return msgspec.json.encode({"t": "proof", "mac": _mac(_given(keys)[0], role, dialler, acceptor)})


def _proves(line: bytes, keys: Sequence[bytes], role: bytes, dialler: bytes, acceptor: bytes) -> bool:
    """Tell whether a proof is by one of the keys; each is compared, in constant time."""
    proof = _object(line)
    given = str(proof.get("mac")).encode(errors="replace") if proof.get("t") == "proof" else b""
    macs = [_mac(key, role, dialler, acceptor).encode() for key in _given(keys)]
    return any([hmac.compare_digest(given, mac) for mac in macs])  # noqa: C419 - a generator would end at the first


def _given(keys: Sequence[bytes]) -> Sequence[bytes]:
    return keys or (b"",)


def _mac(key: bytes, role: bytes, dialler: bytes, acceptor: bytes) -> str:
    parts = (b"inflight-peer", role, dialler, acceptor)
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.new(key, text, "sha256").hexdigest()


def _refused(why: str) -> bytes:
    return msgspec.json.encode({"t": "refused", "why": why}) + b"\n"


def _check_refusal(line: bytes) -> None:
    answer = _object(line)
    if answer.get("t") != "refused":
        return
    why = str(answer.get("why"))
    if why == CROSSED:
        raise CrossedError(why)
    raise HandshakeError(f"it refuses us: {why[:_QUOTED]!r}")


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HandshakeError("it says no JSON object")
    return found


def _match(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
