"""A fleet that is listed lazily: most decisions change nothing, and need only the number of replicas."""

from typing import Protocol

from autoscaler.accounts import NOT_YET, StartTimes
from autoscaler.ports import Fleet, Replica


class ReplicaSource(Protocol):
    """An engine that can list its replicas."""

    def replicas(self, now_s: float) -> tuple[Replica, ...]:
        """Give the replicas that are not draining."""
        ...

    def to_remove(self, now_s: float, staying: int) -> tuple[str, ...]:
        """Name the replicas to remove so that `staying` are left, as `Fleet.to_remove`."""
        ...


class LazyFleet(Fleet):
    """A `Fleet` that lists its replicas when they are first needed."""

    ready: int = 0
    _engine: ReplicaSource
    _now_s: float

    @classmethod
    def of(cls, asked: int, ready: int, engine: ReplicaSource, now_s: float) -> "LazyFleet":
        """Give the fleet of an engine at this time."""
        fleet = cls(asked, ())
        fleet.ready, fleet._engine, fleet._now_s = ready, engine, now_s
        return fleet

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The replicas that are not draining."""
        return self._engine.replicas(self._now_s)

    def to_remove(self, staying: int) -> tuple[str, ...]:
        """Name the replicas to remove so that `staying` are left."""
        return self._engine.to_remove(self._now_s, staying)


def listed(name: str, now_s: float, asked_s: float, ready_s: float, *, busy: int) -> Replica:
    """Give a replica as a target reports it; one that is not ready serves nothing, whatever `busy` says."""
    if ready_s <= now_s:
        return Replica(name, ready=True, running=busy, age_s=now_s - asked_s, start=StartTimes((), ready_s - asked_s))
    return Replica(name, ready=False, running=0, age_s=now_s - asked_s, start=NOT_YET)
