"""The time that a user asks about: a date with a time, or a time of the day."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import NamedTuple

LEGAL = "legal are 14:35, 14:35:02 and 2026-12-01T14:35:02+01:00"


class Moment(NamedTuple):
    """A time as it was typed."""

    text: str
    at: datetime | time

    def unix_s(self, now_s: float, zone: tzinfo | None) -> float:
        """Give it in Unix time; a time of the day is the last one before now."""
        if isinstance(self.at, datetime):
            found = self.at if self.at.tzinfo else self.at.replace(tzinfo=zone)
            return found.timestamp()
        now = datetime.fromtimestamp(now_s, UTC).astimezone(zone)
        today = datetime.combine(now.date(), self.at, now.tzinfo)
        return (today if today <= now else today - timedelta(days=1)).timestamp()


def moment(text: str) -> Moment:
    """Read a time.

    Raises:
        ValueError: it is none.
    """
    for kind in (time, datetime):
        try:
            return Moment(text, kind.fromisoformat(text))
        except ValueError:
            continue
    raise ValueError(f"{text!r}: {LEGAL}")
