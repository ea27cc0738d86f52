"""Reads numbers, booleans and durations as Go's standard library does, so that Knative's settings mean the same here.

Infinities, NaN and hexadecimal numbers are refused although Go reads them, because no scale can be set with them.
"""

import re
from math import isfinite

SECOND_NS = 10**9

_UNIT_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # micro sign
    "μs": 10**3,  # Greek mu
    "ms": 10**6,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_DURATION_PART = rf"([0-9]*)(?:\.([0-9]*))?({'|'.join(_UNIT_NS)})"
_DURATION = re.compile(rf"[+-]?(?:(?=\.?[0-9]){_DURATION_PART})+")
_DIGITS = "[0-9](?:_?[0-9])*"
_NUMBER = re.compile(rf"[+-]?(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def number(text: str) -> float:
    """Read a number (strconv.ParseFloat); raises ValueError."""
    if not _NUMBER.fullmatch(text) or not isfinite(float(text)):
        raise ValueError(f"not a number: {text!r}")
    return float(text)


def int32(text: str) -> int:
    """Read a whole number of 32 bits (strconv.ParseInt); raises ValueError."""
    if not _INTEGER.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise ValueError(f"not a whole number of 32 bits: {text!r}")
    return int(text)


def boolean(text: str) -> bool:
    """Read a truth value (strconv.ParseBool); raises ValueError."""
    if text not in _BOOLEANS:
        raise ValueError(f"neither true nor false: {text!r}")
    return _BOOLEANS[text]


def duration_ns(text: str) -> int:
    """Read a duration such as 1h30m or 1.5s, in nanoseconds (time.ParseDuration); raises ValueError."""
    if text in {"0", "+0", "-0"}:
        return 0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"not a duration: {text!r}")
    total_ns = 0
    for whole, fraction, unit in re.findall(_DURATION_PART, text):
        unit_ns = _UNIT_NS[unit]
        total_ns += int(whole or 0) * unit_ns + int(int(fraction or 0) * (unit_ns / 10 ** len(fraction)))
    if total_ns >= 2**63:
        raise ValueError(f"longer than 292 years: {text!r}")
    return -total_ns if text.startswith("-") else total_ns
