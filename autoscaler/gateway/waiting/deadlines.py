"""Until when a client wants to wait: `Prefer: wait=N` (RFC 7240) and `X-Request-Deadline`.

What cannot be read of `Prefer` is ignored, as its RFC says. A deadline that cannot be read is an error, because its
client relies on it.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from autoscaler.gateway.http.headers import Values

DEADLINE = b"x-request-deadline"
LEGAL = "X-Request-Deadline must be Unix seconds such as 1764100000.5, or a time such as 2026-11-25T20:00:00Z"
_PREFER = b"prefer"
_LONGEST = 256
"""Bytes of `Prefer` that are read, and of a deadline."""
_PREFERENCE = re.compile(
    rb'\s*(?P<name>[^\s=;,"]+)\s*(?:=\s*(?P<value>"[^"]*"|[^\s;,"]*))?(?P<rest>(?:[^,"]|"[^"]*")*)(?:,|$)'
)
_SECONDS = re.compile(rb"[0-9]{1,9}")
_UNIX_S = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,9})?")


class MalformedDeadlineError(ValueError):
    """The deadline cannot be read."""


class Patience(NamedTuple):
    """How long a client wants to wait for a grant."""

    seconds: float
    applied: bytes
    """The line that says that its preference was applied; empty if it has none."""


def patience(values: Values, unix_s: float) -> Patience | None:
    """Return how long the client of a request that arrives now wants to wait; None if it does not say.

    Raises:
        MalformedDeadlineError: its deadline cannot be read.
    """
    wait_s, deadline_s = _wait(values.get(_PREFER, ())), _deadline(values.get(DEADLINE, ()))
    left_s = None if deadline_s is None else max(0.0, deadline_s - unix_s)
    applied = b"" if wait_s is None else b"Preference-Applied: wait=%d\r\n" % wait_s
    given = [each for each in (wait_s, left_s) if each is not None]
    return Patience(min(given), applied) if given else None


def _wait(values: Sequence[bytes]) -> int | None:
    """Return the first preference `wait`, whole seconds; None if it is missing or is no number."""
    joined = b",".join(values)
    if len(joined) > _LONGEST:
        return None
    found = next((value for name, value in _preferences(joined) if name == b"wait"), b"")
    return int(found) if _SECONDS.fullmatch(found) else None


def _preferences(joined: bytes) -> Iterator[tuple[bytes, bytes]]:
    for preference in _PREFERENCE.finditer(joined):
        yield preference["name"].lower(), (preference["value"] or b"").strip(b'"')


def _deadline(values: Sequence[bytes]) -> float | None:
    if not values:
        return None
    text = values[0].strip()
    if len(values) == 1 and len(text) <= _LONGEST:
        if _UNIX_S.fullmatch(text):
            return float(text)
        try:
            when = datetime.fromisoformat(text.decode("ascii"))
            return when.timestamp() if when.tzinfo is not None else _malformed()
        except (ValueError, OverflowError):
            pass
    return _malformed()


def _malformed() -> float:
    raise MalformedDeadlineError(LEGAL)
