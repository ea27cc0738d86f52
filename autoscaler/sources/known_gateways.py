"""Whose series count: those of gateways that are known now, or were so lately. No I/O."""

from collections.abc import Callable, Iterable

LOOK_BACK_S = 300.0
"""As long as Prometheus goes on giving the last sample of a series that nobody ended."""


class KnownGateways:
    """The addresses and pods of gateways, as their series may name them.

    One that has gone is remembered for Prometheus' look-back: during a rolling update its series and those of the one
    in its place overlap.

    Args:
        now: gives the controller's time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._here: frozenset[str] = frozenset()
        self._gone_s: dict[str, float] = {}

    def set(self, names: Iterable[str]) -> None:
        """Take these for the names of all gateways from now on."""
        before, self._here = self._here, frozenset(names)
        self._gone_s |= dict.fromkeys(before - self._here, self._now())

    def names(self) -> frozenset[str]:
        """Give all names that may stand in a series that counts."""
        since_s = self._now() - LOOK_BACK_S
        self._gone_s = {name: gone_s for name, gone_s in self._gone_s.items() if gone_s >= since_s}
        return self._here | self._gone_s.keys()
