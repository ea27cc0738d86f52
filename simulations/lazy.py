"""A fleet that is told when it is asked for: most decisions change nothing, and need the replicas' numbers only."""

from collections.abc import Callable

from autoscaler.ports import Fleet, Replica


class LazyFleet(Fleet):
    """What `Fleet` is, with its replicas in the hands of an engine."""

    ready: int = 0
    _tell: Callable[[], tuple[Replica, ...]]

    @classmethod
    def of(cls, asked: int, ready: int, tell: Callable[[], tuple[Replica, ...]]) -> "LazyFleet":
        """Give a fleet of which `tell` knows the replicas."""
        fleet = cls(asked, ())
        fleet.ready, fleet._tell = ready, tell
        return fleet

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All that stay."""
        return self._tell()
