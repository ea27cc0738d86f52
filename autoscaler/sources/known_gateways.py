"""Whose series count: those of gateways that are known now, or were so lately. No I/O."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from autoscaler.sources.prometheus_response import Other

LOOK_BACK_S = 300.0
"""As long as Prometheus goes on giving the last sample of a series that nobody ended."""


def claims_believed(
    claims: Collection[Other], scraped: Collection[Other], names: Mapping[str, str]
) -> frozenset[Other]:
    """Say who is believed to be the pod that he says he is.

    That is one alone who says so of a pod, and none of a gateway that is scraped under its own address.

    Args:
        claims: those who are scraped under an address that no gateway has, and say that they are the pod of one.
        scraped: who is scraped under the address or name of a gateway.
        names: all names of gateways, with their addresses.
    """
    at_home = {names[other.instance] for other in scraped if other.instance in names}
    said = Counter(claim.pod for claim in claims)
    return frozenset(claim for claim in claims if said[claim.pod] == 1 and names[claim.pod] not in at_home)


_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def _spellings(address: str) -> Iterable[str]:
    """Give the ways to write an address; this machine has several."""
    host, _, port = address.rpartition(":")
    return [f"{each}:{port}" for each in _LOOPBACK] if host in _LOOPBACK else [address]


class KnownGateways:
    """The addresses and pods of gateways, as their series may name them.

    One that has gone is remembered for Prometheus' look-back: during a rolling update its series and those of the one
    in its place overlap.

    Args:
        now: gives the controller's time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._here: Mapping[str, str] = {}
        self._gone: dict[str, tuple[str, float]] = {}

    def set(self, addresses: Iterable[str], pods: Mapping[str, str] = MappingProxyType({})) -> None:
        """Take these for all gateways from now on; of pods the address is told too."""
        own = {each: address for address in (*addresses, *pods.values()) for each in _spellings(address)}
        before, self._here = self._here, {**own, **pods}
        now_s = self._now()
        self._gone |= {name: (address, now_s) for name, address in before.items() if name not in self._here}

    def names(self) -> Mapping[str, str]:
        """Give every name that may stand in a series that counts, with the address of its gateway."""
        since_s = self._now() - LOOK_BACK_S
        self._gone = {name: (address, gone_s) for name, (address, gone_s) in self._gone.items() if gone_s >= since_s}
        return {**{name: address for name, (address, _) in self._gone.items()}, **self._here}
