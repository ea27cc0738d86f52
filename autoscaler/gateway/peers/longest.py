"""The longest service time of the last hour: how long a lost gateway's requests may still run."""

_HOUR_S = 3600.0
LEAST_GRACE_S = 10.0


class LongestServiceTime:
    """Of one service; what other gateways tell counts, too. It remembers for one to two hours.

    Attributes:
        request_timeout_s: the longest time that a request may take.
    """

    def __init__(self) -> None:
        self.request_timeout_s = 300.0
        self._since_s = 0.0
        self._now, self._before = 0.0, 0.0

    def observe(self, seconds: float, now_s: float) -> None:
        """Note a request's service time."""
        self._turn(now_s)
        self._now = max(self._now, seconds)

    def seconds(self, now_s: float) -> float:
        """Return the longest; 0 if none is known."""
        self._turn(now_s)
        return max(self._now, self._before)

    def grace_s(self, now_s: float) -> float:
        """Return how long a request may still run: the timeout if no service time is known."""
        longest = self.seconds(now_s)
        return min(max(longest, LEAST_GRACE_S), self.request_timeout_s) if longest else self.request_timeout_s

    def _turn(self, now_s: float) -> None:
        hours = (now_s - self._since_s) // _HOUR_S
        if hours >= 1:
            self._before, self._now = (self._now if hours < 2 else 0.0), 0.0  # noqa: PLR2004
            self._since_s = now_s
