"""Times of day as cron has them, without a zone: minute, hour, day of the month, month, day of the week.

The texts are those of a Kubernetes CronJob and of KEDA's cron trigger: `*`, numbers, ranges, steps, lists, and the
names JAN to DEC and SUN to SAT. If both days are restricted, either may match, as in every cron. A range may go over
its end: `FRI-MON`, and 7 is Sunday too.

Both directions are needed, and no clock changes: `schedule` maps these times to a zone.
"""

import re
from bisect import bisect_left, bisect_right
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_STEP = "(/[1-9][0-9]?)?"
_FURTHEST = timedelta(days=8 * 366)
"""A 29 February is at most eight years away."""


class _Field(NamedTuple):
    least: int
    most: int
    value: str
    """The pattern of one value."""
    names: tuple[str, ...] = ()
    """Names of the values, from the least on."""

    @property
    def pattern(self) -> str:
        item = rf"(\*|{self.value}(-{self.value})?){_STEP}"
        return f"{item}(,{item})*"

    def values(self, text: str) -> frozenset[int]:
        """Give the values that a text of this field names."""
        return frozenset(value for item in text.split(",") for value in self._item(item))

    def _item(self, text: str) -> list[int]:
        which, _, step = text.partition("/")
        low, _, high = which.partition("-")
        if low == "*":
            first, last = self.least, self.most
        else:
            first = self._number(low)
            last = self._number(high) if high else (self.most if step else first)
        # A range over the end: FRI-MON, or 22-2.
        span = last - first if last >= first else last - first + self.most - self.least + 1
        return [
            self.least + (first - self.least + more) % (self.most - self.least + 1)
            for more in range(0, span + 1, int(step or 1))
        ]

    def _number(self, text: str) -> int:
        return self.least + self.names.index(text) if text in self.names else int(text)


_MINUTE = _Field(0, 59, "[0-5]?[0-9]")
_HOUR = _Field(0, 23, "([01]?[0-9]|2[0-3])")
_DAY = _Field(1, 31, "(0?[1-9]|[12][0-9]|3[01])")
_MONTH = _Field(1, 12, f"(0?[1-9]|1[0-2]|{'|'.join(_MONTHS)})", _MONTHS)
_WEEKDAY = _Field(0, 6, f"([0-7]|{'|'.join(_WEEKDAYS)})", _WEEKDAYS)
_FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
PATTERN = " ".join(field.pattern for field in _FIELDS)
"""What a whole text must match."""


class Cron(NamedTuple):
    """The times that a text names."""

    minutes: tuple[int, ...]
    """Minutes of the day, in order."""
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either_day: bool
    """Whether the day of the month or of the week is enough; else both must match."""

    def after(self, moment: datetime) -> datetime | None:
        """Give the first time after a moment; None if there is none in eight years."""
        day, minute = moment.date(), moment.hour * 60 + moment.minute
        at = bisect_right(self.minutes, minute)
        if at < len(self.minutes) and self._has(day):
            return _at(day, self.minutes[at])
        found = self._day(day, timedelta(days=1))
        return None if found is None else _at(found, self.minutes[0])

    def until(self, moment: datetime) -> datetime | None:
        """Give the last time that is not after a moment; None if there was none in eight years."""
        day, minute = moment.date(), moment.hour * 60 + moment.minute
        at = bisect_left(self.minutes, minute + 1)
        if at and self._has(day):
            return _at(day, self.minutes[at - 1])
        found = self._day(day, timedelta(days=-1))
        return None if found is None else _at(found, self.minutes[-1])

    def _day(self, day: date, step: timedelta) -> date | None:
        """Give the nearest matching day in one direction; other months are passed over in one step."""
        first = day
        while abs(day - first) < _FURTHEST:
            day += step
            if self._has(day):
                return day
            if day.month not in self.months:
                day = _last_of_month(day) if step > timedelta(0) else day.replace(day=1)
        return None

    def _has(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either_day else by_month and by_week


def _last_of_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _at(day: date, minute: int) -> datetime:
    return datetime.combine(day, time(minute // 60, minute % 60))


@lru_cache(maxsize=1024)
def read_cron(text: str) -> Cron:
    """Read a text.

    Raises:
        ValueError: it is no cron text.
    """
    if re.fullmatch(PATTERN, text) is None:
        raise ValueError("must be minute, hour, day of the month, month and day of the week, such as 30 7 * * MON-FRI")
    minutes, hours, days, months, weekdays = (
        field.values(part) for field, part in zip(_FIELDS, text.split(" "), strict=True)
    )
    _, _, day, _, weekday = (part.split(",") for part in text.split(" "))
    return Cron(
        minutes=tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes)),
        days=days,
        months=months,
        weekdays=weekdays,
        either_day="*" not in day and "*" not in weekday,
    )
