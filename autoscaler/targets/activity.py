"""For how long each replica of a service has been idle, or busy, as the controller has observed it."""

from collections.abc import Mapping


class Activity:
    """Remembers when each replica was first observed idle or busy as it is now.

    A replica that was idle or busy at the first observation may have been so for longer.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[bool, float]] = {}

    def unchanged_s(self, running: Mapping[str, int], now_s: float) -> dict[str, float]:
        """Give for how long each replica has been as it is now; replicas that are gone are forgotten.

        Args:
            running: the running requests of each replica.
            now_s: the time of this observation.
        """
        before = self._since
        self._since = {
            name: known if (known := before.get(name)) and known[0] == bool(requests) else (bool(requests), now_s)
            for name, requests in running.items()
        }
        return {name: now_s - since_s for name, (_, since_s) in self._since.items()}
