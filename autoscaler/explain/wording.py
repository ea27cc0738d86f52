"""How numbers, durations and times are written, on the page, in the terminal and in the status.

Rules:
1. A number has what explains it: three digits, and two decimals where rounding would cross a whole number of replicas
   (4.39, not 4). What even two decimals would hide is "over 5" or "under 0.01".
2. A duration up to 60 s is in s, below an hour in min and s, else in h and min. Two that are compared have one unit.
3. A time of the day is local, with a date if it is not today.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from math import ceil, floor

_MINUTE_S, _HOUR_S = 60, 3600
_COMPARED_IN_SECONDS_S = 120
_ROUNDING = 6
"""Decimals of a mean that count: `replicas_for` has the same."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def count(value: float) -> str:
    """Write a number of requests."""
    return _trimmed(value, 0 if value >= 100 or value == floor(value) else 1 if value >= 10 else 2)  # noqa: PLR2004


def average(value: float, per_replica: float | None = None) -> str:
    """Write an average so that it explains the replicas that it needs (rule 1)."""
    plain = count(value)
    per = per_replica or 1.0
    needed = _replicas(value, per)
    if _replicas(float(plain), per) == needed:
        return plain
    finer = _trimmed(value, 2)
    if _replicas(float(finer), per) == needed:
        return finer
    return f"over {finer}" if float(finer) else "under 0.01"


def _replicas(value: float, per_replica: float) -> int:
    return ceil(round(value / per_replica, _ROUNDING))


def _trimmed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def number_of(number: float, one: str, many: str = "") -> str:
    """Write a number with its noun."""
    return f"{count(number)} {one if number == 1 else many or f'{one}s'}"


def replicas(number: int) -> str:
    """Write a number of replicas."""
    return number_of(number, "replica")


def duration(seconds: float) -> str:
    """Write a duration (rule 2)."""
    if 0 < seconds < 1:
        return "under 1 s"
    whole = floor(seconds + 0.5)
    if whole <= _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        minutes, rest = divmod(whole, _MINUTE_S)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(floor(seconds / _MINUTE_S + 0.5), _MINUTE_S)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def compared(first_s: float, then_s: float) -> tuple[str, str]:
    """Write two durations that are compared: in one unit, up to two minutes."""
    if first_s <= _MINUTE_S and then_s <= _COMPARED_IN_SECONDS_S:
        return duration(first_s), f"{floor(then_s + 0.5)} s" if then_s >= 1 else duration(then_s)
    return duration(first_s), duration(then_s)


def span(seconds: float) -> str:
    """Write the length of a window or a delay as it is set: whole minutes from 2 min on, else seconds."""
    if seconds >= _COMPARED_IN_SECONDS_S and seconds == floor(seconds):
        return duration(seconds)
    return f"{seconds:g} s"


def clock(at_s: float, now_s: float, zone: tzinfo | None = UTC) -> str:
    """Write a time of the day, with the date if it is not today (rule 3)."""
    at, now = _local(at_s, zone), _local(now_s, zone)
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at.day} {at:%b}{year}, {at:%H:%M}"


def appointed(at_s: float, now_s: float, zone: tzinfo | None = UTC) -> str:
    """Write a time that a person has set: with its zone, and without seconds if there are none."""
    at, now = _local(at_s, zone), _local(now_s, zone)
    day = "" if at.date() == now.date() else f"{at.day} {at:%b}, "
    return f"{day}{at:%H:%M:%S}".removesuffix(":00") + f" {at:%Z}"


def zone_of(now_s: float, zone: tzinfo | None = UTC) -> tuple[str, int]:
    """Give the name of the zone at a time, and its offset from UTC in seconds."""
    at = _local(now_s, zone)
    offset = at.utcoffset()
    return at.tzname() or "", 0 if offset is None else int(offset.total_seconds())


def _local(at_s: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone)


def ordinal(place: int) -> str:
    """Write a place in an order, which begins with 1."""
    return _ORDINALS[place - 1] if place <= len(_ORDINALS) else f"number {place}"


def listed(parts: Sequence[str]) -> str:
    """Join parts of a sentence."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 2 else " and ".join(parts)  # noqa: PLR2004


def sentence(text: str) -> str:
    """Make a text a sentence: with a capital letter and a full stop."""
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""
