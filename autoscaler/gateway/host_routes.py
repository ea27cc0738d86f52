"""Which service a request belongs to, by its Host."""

from collections.abc import Collection, Mapping

from autoscaler.gateway.config import GatewayService
from autoscaler.host_claims import LONGEST_HOST, normal, patterns


class Routes:
    """Finds the service of a host: the exact name first, then the longest wildcard, then `*`.

    Each host has one owner before it comes here. If two services still name one, the first by name has it, whatever
    their order.

    Args:
        services: what is served, by `namespace/name`.
        reserved: hosts that nobody is served, though a wildcard may be above them.
    """

    def __init__(self, services: Mapping[str, GatewayService], reserved: Collection[str] = ()) -> None:
        self._owners: dict[str, str | None] = dict.fromkeys(reserved)
        for name in sorted(services):
            for host in services[name].hosts:
                self._owners.setdefault(normal(host), name)

    def find(self, host: str) -> str | None:
        """Give the service's name, None for a host that nobody has."""
        if host in self._owners or len(host) > LONGEST_HOST:
            return self._owners.get(host)
        return next((self._owners[each] for each in patterns(host) if each in self._owners), None)
