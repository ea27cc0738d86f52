"""Path rules: which requests cost a slot, which pass, and which may start a pod.

Rules:
1. The first rule that matches wins. A path without a rule counts, because a slot too many is safer than one too few.
2. `*` stands for any characters, also `/`; nothing else is special.
3. A pattern is matched against the path as it arrived, without query and fragment. An encoded letter, digit, `-`, `.`,
   `_` or `~` is that character (RFC 3986, 6.2.2.2); `%2f` is `%2F`, which is not `/`.
4. Servers read paths in more ways. So a path is also matched in its plain form: every character decoded, a backslash as
   `/`, without `;parameters`, one slash for several, in lower case. The stricter of the two rules applies: one that
   counts before one that does not, then the one with fewer requests per pod, then the one that starts no pod.
5. Servers do not agree on dot segments, and clients resolve them before they send. So a path with dot segments counts
   if it could count with any of its segments removed.
6. A slash at the end makes another path.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from string import ascii_letters, digits
from typing import NamedTuple

from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.globs import Glob
from autoscaler.gateway.dispatch.hints import PathHint


class PathRule(NamedTuple):
    """What applies to the paths that match one of the patterns."""

    match: tuple[str, ...]
    kind: SlotUse = SlotUse.COUNT
    wake: bool = True
    """Whether a request may be held at zero pods, and so start one."""
    max_per_pod: int = 0
    """Pass requests that one pod may have open at a time; 0 is no limit."""
    request_timeout_s: float | None = None
    """From the grant to the response's last byte, for these paths; None is the service's value."""
    hint: PathHint | None = None
    """What a request to these paths announces; None is nothing."""


EVERYTHING_COUNTS = PathRule(("*",))
THE_SERVER_ITSELF = PathRule(("*",), SlotUse.PASS, wake=False, max_per_pod=64)
"""The rule of `OPTIONS *`, which asks about the server and costs it nothing."""

_ALL_PATHS = frozenset({"*", "/*"})
_UNRESERVED = frozenset(ascii_letters + digits + "-._~")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_READ_IN_MANY_WAYS = re.compile(r"[%;\\#A-Z]|//|/\.")
_DOT_SEGMENT = re.compile(r"/\.\.?(?:/|$)")
_PARAMETERS = re.compile(r";[^/]*")
_SLASHES = re.compile(r"//+")


_REMEMBERED, _REMEMBERED_LENGTH = 64, 256
"""How many paths of a service are remembered with their rules, and how long each may be."""


class PathRules:
    """Finds the rule of a path."""

    def __init__(self, rules: Sequence[PathRule]) -> None:
        used = [*rules, EVERYTHING_COUNTS]
        last = next(number for number, rule in enumerate(used) if not _ALL_PATHS.isdisjoint(rule.match))
        used = used[: last + 1]
        self._as_it_came = _Table(used, _as_it_came)
        self._plain = _Table(used, _plain)
        self._with_dots = _Table((rule for rule in used if rule.kind is SlotUse.COUNT), _plain, loose=True)
        self._remembered = lru_cache(_REMEMBERED)(self._find)

    def find(self, target: str) -> PathRule:
        """Return the rule of a request target, with or without a query."""
        if target == "*":
            return THE_SERVER_ITSELF
        path = target.partition("?")[0]
        return self._remembered(path) if len(path) <= _REMEMBERED_LENGTH else self._find(path)

    def _find(self, path: str) -> PathRule:
        found = self._as_it_came.find(_as_it_came(path.partition("#")[0])) or EVERYTHING_COUNTS
        if found.kind is SlotUse.COUNT or not _READ_IN_MANY_WAYS.search(path):
            return found
        others = (self._in_plain(reading) for reading in _plain_readings(path))
        return max([found, *filter(None, others)], key=_strictness)

    def _in_plain(self, path: str) -> PathRule | None:
        return (self._with_dots if _DOT_SEGMENT.search(path) else self._plain).find(path)


class _Table:
    """Rules with their patterns in one form, to match paths in the same form."""

    def __init__(self, rules: Iterable[PathRule], form: Callable[[str], str], *, loose: bool = False) -> None:
        self._rules = list(rules)
        self._exact: dict[str, int] = {}
        self._globs: list[tuple[int, Glob]] = []
        for number, rule in enumerate(self._rules):
            for pattern in rule.match:
                parts = _parts(pattern, form)
                glob = Glob.of(_loose(parts) if loose else parts)
                if glob.last is None:
                    self._exact.setdefault(glob.first, number)
                else:
                    self._globs.append((number, glob))

    def find(self, path: str) -> PathRule | None:
        """Return the first rule that matches."""
        exact = self._exact.get(path, len(self._rules))
        for number, glob in self._globs:
            if number >= exact:
                break
            if glob.matches(path):
                return self._rules[number]
        return self._rules[exact] if exact < len(self._rules) else None


class Reading(NamedTuple):
    """One way to read a path."""

    path: str
    plain: bool
    """Whether it is in the plain form."""


def readings(target: str) -> list[Reading]:
    """Return every way in which a server may read the path of a request target, as it arrived first."""
    path = target.partition("?")[0]
    found = [Reading(_as_it_came(path.partition("#")[0]), plain=False)]
    if _READ_IN_MANY_WAYS.search(path):
        for plain in _plain_readings(path):
            found += [Reading(plain, plain=True), Reading(_without_dots(plain), plain=True)]
    return found


class PathGlobs:
    """Patterns of paths, matched against each way to read a path."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._as_it_came = [Glob.of(_parts(pattern, _as_it_came)) for pattern in patterns]
        self._plain = [Glob.of(_parts(pattern, _plain)) for pattern in patterns]

    def match(self, reading: Reading) -> bool:
        """Return whether one of the patterns matches."""
        return any(glob.matches(reading.path) for glob in (self._plain if reading.plain else self._as_it_came))


def _parts(pattern: str, form: Callable[[str], str]) -> list[str]:
    return [form(_ascii(part)) for part in pattern.split("*")]


def _as_it_came(path: str) -> str:
    return _ENCODED.sub(_if_unreserved, path) if "%" in path else path


def _if_unreserved(found: re.Match[str]) -> str:
    character = _decoded(found)
    return character if character in _UNRESERVED else found[0].upper()


def _plain(path: str) -> str:
    path = _ENCODED.sub(_decoded, path).replace("\\", "/").lower()
    return _SLASHES.sub("/", _PARAMETERS.sub("", path))


def _plain_readings(path: str) -> set[str]:
    """Return the plain forms of a path: servers differ in what `#` ends, what `;` hides, and which of them is first."""
    cut, bare = path.partition("#")[0], _PARAMETERS.sub("", path)
    return {_plain(reading) for reading in (path, cut, bare, bare.partition("#")[0], _PARAMETERS.sub("", cut))}


def _without_dots(path: str) -> str:
    """Resolve dot segments (RFC 3986, 5.2.4)."""
    root, *segments = path.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/".join([root, *kept, *([""] if path.endswith(("/.", "/..")) else [])])


def _decoded(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _ascii(pattern: str) -> str:
    """Encode the characters that a URL cannot contain."""
    return _NOT_ASCII.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), pattern)


def _loose(parts: Sequence[str]) -> list[str]:
    """Allow other segments between those of a pattern, before and after them."""
    return ["", *(piece for part in parts for piece in re.split(r"(?=/)", part)), ""]


def _strictness(rule: PathRule) -> tuple[bool, float, bool]:
    return rule.kind is SlotUse.COUNT, -(rule.max_per_pod or float("inf")), not rule.wake
