"""For how long each replica of a service has been idle, or busy, as the controller has observed it."""

from autoscaler.ports import Fleet


class Activity:
    """Remembers when each replica was first observed idle or busy as it is now.

    A replica that was idle or busy at the first observation may have been so for longer.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[bool, float]] = {}

    def noted(self, fleet: Fleet, now_s: float) -> Fleet:
        """Give the fleet with the time for which each replica has been as it is now; forget replicas that are gone."""
        before = self._since
        self._since = {
            name: known if (known := before.get(name)) and known[0] == bool(running) else (bool(running), now_s)
            for name, _, running, *_ in fleet.replicas
        }
        replicas = (each._replace(unchanged_s=now_s - self._since[each.name][1]) for each in fleet.replicas)
        return fleet._replace(replicas=tuple(replicas))
