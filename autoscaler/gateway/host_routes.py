"""Which service a request belongs to, by its Host."""

from collections.abc import Collection, Mapping

from autoscaler.gateway.config import GatewayService
from autoscaler.host_claims import LONGEST_HOST, normal, patterns


class Routes:
    """Finds the service of a host: the exact name first, then the longest wildcard, then `*`.

    Hosts are claimed before, so each has one owner. If two services still name the same host, the first by name gets
    it.

    Args:
        services: the services by `namespace/name`.
        reserved: hosts without a service, even if a wildcard covers them.
    """

    def __init__(self, services: Mapping[str, GatewayService], reserved: Collection[str] = ()) -> None:
        self._owners: dict[str, str | None] = dict.fromkeys(reserved)
        for name in sorted(services):
            for host in services[name].hosts:
                self._owners.setdefault(normal(host), name)

    def find(self, host: str) -> str | None:
        """Return the service's name, None if no service has the host."""
        if host in self._owners or len(host) > LONGEST_HOST:
            return self._owners.get(host)
        return next((self._owners[each] for each in patterns(host) if each in self._owners), None)
