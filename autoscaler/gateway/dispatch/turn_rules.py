"""Whose turn a request is: its priority class, and its client.

Rules:
1. The first class with a condition that holds wins. The one class without conditions has all other requests.
2. A header decides only if a trusted proxy sent the request, and if it is there once: clients can write it themselves,
   and a proxy that adds its own does not remove theirs.
3. Servers read paths in more than one way (see `path_rules`). If the readings of a path have different classes, the
   request is in the lowest of them, so that no spelling of a path has a higher class than the path.
4. A client is what `Fairness` says. A request that does not say it is of the client with its address, and all addresses
   of an IPv6 network of 64 bits are one, because each customer has at least that many.
5. What stands for a client is a keyed hash, so that another gateway may know it.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from autoscaler.gateway.dispatch.path_rules import PathGlobs, Reading, readings
from autoscaler.gateway.dispatch.types import ANY_TURN, Turn
from autoscaler.host_claims import normal, patterns

_DIGEST_BYTES = 8
_HOST_BITS = 64
_ANY_PATH = Reading("", plain=False)


class ClassMatch(NamedTuple):
    """Conditions for a class; all that are given must hold."""

    header: tuple[str, str] | None = None
    """Its name and its value."""
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class PriorityClass(NamedTuple):
    """Requests of equal rank."""

    name: str
    match: tuple[ClassMatch, ...] = ()
    """One of these must hold; empty for the class of all other requests."""


class Identity(Enum):
    """What tells clients apart."""

    COOKIE = "cookie"
    HEADER = "header"
    ADDRESS = "address"


class Fairness(NamedTuple):
    """How to tell clients apart that take turns."""

    by: Identity
    name: str = ""
    """Of the cookie or the header."""


class Asking(NamedTuple):
    """What is known of a request."""

    host: str
    """In lower case, without port."""
    target: str
    values: Mapping[bytes, Sequence[bytes]]
    """The values of its headers, by their names in lower case."""
    address: str
    """Its client's."""
    trusted: bool
    """Whether a trusted proxy sent it."""


class TurnRules:
    """Finds the turn of a request.

    Args:
        service: `namespace/name`; the same client is another one at another service.
        classes: the priority classes from the highest; empty for one class.
        fairness: what tells clients apart; None if they take no turns.
        key: of the hashes; gateways that share a service have the same.
    """

    def __init__(self, service: str, classes: Sequence[PriorityClass], fairness: Fairness | None, key: bytes) -> None:
        self._classes = [[_Condition(match) for match in each.match] for each in classes]
        self._others = next((level for level, each in enumerate(classes) if not each.match), 0)
        self._by_path = any(match.paths for each in classes for match in each.match)
        self._client = None if fairness is None else _identity(fairness)
        self._hash = blake2b(
            service.encode(), digest_size=_DIGEST_BYTES, key=key[: blake2b.MAX_KEY_SIZE], person=b"turn"
        )

    @property
    def needs_client(self) -> bool:
        """Whether a turn depends on the client."""
        return self._client is not None

    def turn(self, asking: Asking) -> Turn:
        """Return the turn of a request."""
        if self._client is None:
            return Turn(self._level(asking)) if self._classes else ANY_TURN
        hashed = self._hash.copy()
        hashed.update(self._client(asking))
        return Turn(self._level(asking), hashed.hexdigest())

    def _level(self, asking: Asking) -> int:
        read = readings(asking.target) if self._by_path else [_ANY_PATH]
        return max(self._level_by(asking, reading) for reading in read)

    def _level_by(self, asking: Asking, reading: Reading) -> int:
        for level, conditions in enumerate(self._classes):
            if any(condition.holds(asking, reading) for condition in conditions):
                return level
        return self._others


class _Condition:
    """A `ClassMatch`, ready to be checked."""

    def __init__(self, match: ClassMatch) -> None:
        self._header = None if match.header is None else _Header(*match.header)
        self._paths = PathGlobs(match.paths) if match.paths else None
        self._hosts = frozenset(map(normal, match.hosts))

    def holds(self, asking: Asking, reading: Reading) -> bool:
        return (
            (self._header is None or self._header.value(asking) == self._header.wanted)
            and (self._paths is None or self._paths.match(reading))
            and (not self._hosts or not self._hosts.isdisjoint((asking.host, *patterns(asking.host))))
        )


class _Header:
    """A header that a trusted proxy sets."""

    def __init__(self, name: str, wanted: str = "") -> None:
        self._name = name.lower().encode()
        self.wanted = wanted.encode()

    def value(self, asking: Asking) -> bytes | None:
        """Return its value; None if there is none that is believed."""
        values = asking.values.get(self._name, ()) if asking.trusted else ()
        return values[0].strip() if len(values) == 1 else None


def _identity(fairness: Fairness) -> Callable[[Asking], bytes]:
    """Return what tells the client of a request."""
    if fairness.by is Identity.COOKIE:
        name = fairness.name.encode()
        return lambda asking: _cookie(asking, name) or _address(asking)
    if fairness.by is Identity.HEADER:
        header = _Header(fairness.name)
        return lambda asking: _marked(b"header", header.value(asking)) or _address(asking)
    return _address


def _cookie(asking: Asking, wanted: bytes) -> bytes | None:
    for cookies in asking.values.get(b"cookie", ()):
        for pair in cookies.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name == wanted:
                return _marked(b"cookie", value)
    return None


def _marked(kind: bytes, value: bytes | None) -> bytes | None:
    """Return what a client says with its kind, so that no cookie stands for an address; None if it says nothing."""
    return b"%b=%b" % (kind, value) if value else None


def _address(asking: Asking) -> bytes:
    try:
        address = ip_address(asking.address)
    except ValueError:
        return b"address=" + asking.address.encode()  # what a proxy says need not be an address
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS)
    return b"address=%b" % address.packed
