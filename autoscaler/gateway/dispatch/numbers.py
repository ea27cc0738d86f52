"""The order of requests: numbers that grow with the time of arrival.

A request that comes from another gateway gets a number by its age, so that it stands where it would stand had it come
here first. Its number is even and those of all others are odd, so that no two requests have the same.
"""

_PER_S = 1_000_000 << 14
"""Numbers for each second: 16,384 for each microsecond."""


class Numbers:
    """Numbers of one service's requests."""

    __slots__ = ("_aged", "_newest")

    def __init__(self) -> None:
        self._newest = -1
        self._aged: set[int] = set()
        """Numbers by age that are in use."""

    def next(self, now_s: float) -> int:
        """Return a number behind all that were given before; it is odd."""
        self._newest = max(self._newest + 2, int(now_s * _PER_S) | 1)
        return self._newest

    def behind_all(self) -> int:
        """Return a number behind all that `next` gave before, for a turn that follows another; it is odd."""
        self._newest += 2
        return self._newest

    def of_age(self, arrived_s: float) -> int:
        """Return a number among those of requests that arrived at the same time; it is even."""
        number = int(arrived_s * _PER_S) & ~1
        while number in self._aged:
            number += 2
        self._aged.add(number)
        self._newest = max(self._newest, number | 1)
        return number

    def ended(self, number: int) -> None:
        """Note that a request has ended."""
        if not number & 1:
            self._aged.discard(number)
