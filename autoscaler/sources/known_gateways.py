"""Which series in Prometheus count: those of gateways that are known now, or were known recently. No I/O."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from autoscaler.sources.prometheus_response import ScrapedInstance

LOOK_BACK_S = 300.0
"""For this time Prometheus gives the last sample of a series that has no newer one and was not marked stale."""


def believed_claims(
    claims: Collection[ScrapedInstance], scraped: Collection[ScrapedInstance], names: Mapping[str, str]
) -> frozenset[ScrapedInstance]:
    """Give the instances that are believed to be the gateway's pod in their label.

    An instance is believed if it alone claims the pod, and no instance is scraped under that gateway's own address.

    Args:
        claims: instances that are scraped under an address that no gateway has, and claim to be the pod of one.
        scraped: instances that are scraped under the address or name of a gateway.
        names: all names of gateways, with their addresses.
    """
    directly_scraped = {names[each.instance] for each in scraped if each.instance in names}
    claimed = Counter(claim.pod for claim in claims)
    return frozenset(claim for claim in claims if claimed[claim.pod] == 1 and names[claim.pod] not in directly_scraped)


_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def _spellings(address: str) -> Iterable[str]:
    """Give the ways to write an address; the loopback address has several."""
    host, _, port = address.rpartition(":")
    return [f"{each}:{port}" for each in _LOOPBACK] if host in _LOOPBACK else [address]


class KnownGateways:
    """The addresses and pods of gateways, by which their series may name them.

    A gateway that is gone is remembered for Prometheus' look-back: during a rolling update its series and those of its
    replacement overlap.

    Args:
        now: gives the controller's time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._here: Mapping[str, str] = {}
        self._gone: dict[str, tuple[str, float]] = {}

    def set(self, addresses: Iterable[str], pods: Mapping[str, str] = MappingProxyType({})) -> None:
        """Set all gateways: plain addresses, and the addresses of pods by name."""
        own = {each: address for address in (*addresses, *pods.values()) for each in _spellings(address)}
        before, self._here = self._here, {**own, **pods}
        now_s = self._now()
        self._gone |= {name: (address, now_s) for name, address in before.items() if name not in self._here}

    def names(self) -> Mapping[str, str]:
        """Give every name that a counted series may have, with the address of its gateway."""
        since_s = self._now() - LOOK_BACK_S
        self._gone = {name: (address, gone_s) for name, (address, gone_s) in self._gone.items() if gone_s >= since_s}
        return {**{name: address for name, (address, _) in self._gone.items()}, **self._here}
