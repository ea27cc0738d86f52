"""A fleet that is told when it is asked for: most decisions change nothing, and need the replicas' numbers only."""

from typing import Protocol

from autoscaler.ports import Fleet, Replica


class ReplicaSource(Protocol):
    """Whose replicas they are."""

    def replicas(self, now_s: float) -> tuple[Replica, ...]:
        """Give all that stay."""
        ...

    def to_remove(self, now_s: float, staying: int) -> tuple[str, ...]:
        """Do what `Fleet.to_remove` does."""
        ...


class LazyFleet(Fleet):
    """What `Fleet` is, with its replicas in the hands of an engine."""

    ready: int = 0
    _engine: ReplicaSource
    _now_s: float

    @classmethod
    def of(cls, asked: int, ready: int, engine: ReplicaSource, now_s: float) -> "LazyFleet":
        """Give an engine's fleet as it is now."""
        fleet = cls(asked, ())
        fleet.ready, fleet._engine, fleet._now_s = ready, engine, now_s
        return fleet

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All that stay."""
        return self._engine.replicas(self._now_s)

    def to_remove(self, staying: int) -> tuple[str, ...]:
        """Name those that should go."""
        return self._engine.to_remove(self._now_s, staying)
