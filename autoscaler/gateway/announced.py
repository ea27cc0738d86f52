"""The hints of one service at run time: whose they are, and when they begin and cease to count."""

import asyncio
from collections.abc import Callable, Sequence
from math import inf

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.dispatch.hints import Announced, HintLimits, Hints
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.turn_rules import Asking, Fairness, Identity, TurnRules
from autoscaler.gateway.dispatch.types import SlotUse

_BY_ADDRESS = Fairness(Identity.ADDRESS)


class ServiceHints:
    """Tells the hints of a service what arrives, and others when another number counts.

    Args:
        config: the service; it has `hints`.
        keys: the cookie keys, of which the first also hides what stands for a client.
        loop: has the time of the hints.
        changed: called when another number counts.
    """

    def __init__(
        self,
        config: GatewayService,
        keys: Sequence[bytes],
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None
        self.hints = Hints(_limits(config))
        self.apply(config, keys)

    def apply(self, config: GatewayService, keys: Sequence[bytes]) -> None:
        """Use another configuration, or other keys; the hints stay."""
        self.hints.limit(_limits(config))
        self._clients = TurnRules(config.name, (), config.fairness or _BY_ADDRESS, keys[0])

    def client(self, asking: Asking) -> str:
        """Return what stands for the client of a request, as in `traffic.fairness`; by its address without that."""
        return self._clients.turn(asking).client

    def came(self, client: str, rule: PathRule) -> None:
        """Note a request: it announces what its path does, or uses up a hint if it takes a slot."""
        if rule.hint is not None:
            self.hints.opened(client, rule.hint, self._loop.time())
            self._note()
        elif rule.kind is SlotUse.COUNT and self.hints.arrived(client, self._loop.time()):
            self._note()

    def announce(self, sender: str, requests: int, *, in_s: float, for_s: float) -> int:
        """Keep what a program announces; return how many of the requests are kept."""
        kept = self.hints.announce(("program", sender), requests, self._loop.time(), in_s=in_s, for_s=for_s)
        self._note()
        return kept

    def at(self, now_s: float) -> Announced:
        """Return what counts at a time."""
        return self.hints.at(now_s)

    def close(self) -> None:
        """Wait for no more changes."""
        if self._timer is not None:
            self._timer.cancel()

    def _note(self) -> None:
        now_s = self._loop.time()
        self.hints.expire(now_s)
        self._changed()
        self.close()
        next_s = self.hints.next_change_s(now_s)
        self._timer = self._loop.call_at(next_s, self._note) if next_s < inf else None


def _limits(config: GatewayService) -> HintLimits:
    if config.hints is None:
        raise ValueError(f"{config.name} takes no hints")
    return config.hints
