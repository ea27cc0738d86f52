"""Finds the starts that are over and that no earlier observation had. No clock, no I/O."""

from algorithms.observation import ColdStart
from autoscaler.ports import Fleet


class NewStarts:
    """The starts of one service's replicas: each is given once, when its replica is first seen to be ready.

    The length of a start is the target's (`Replica.start`); one of unknown length is left out. So the first observation
    has the starts of all replicas that run already.
    """

    def __init__(self) -> None:
        self._seen = (-1, -1)
        self._ready = frozenset[str]()

    def __call__(self, fleet: Fleet) -> tuple[ColdStart, ...]:
        """Give the starts that are new in a fleet.

        While neither the replicas asked for nor the ready ones change in number, the replicas are not listed.
        """
        seen = (fleet.asked, fleet.ready)
        if seen == self._seen:
            return ()
        self._seen = seen
        ready = [replica for replica in fleet.replicas if replica.ready]
        new = [replica for replica in ready if replica.name not in self._ready]
        self._ready = frozenset(replica.name for replica in ready)
        return tuple(ColdStart(each.start.total_s, each.pool) for each in new if each.start.total_s is not None)
