"""Requests that are announced to one gateway for one service. No I/O, no clock.

Rules:
1. A hint is some requests that are to come from one time to another. It counts from `lead_s` before the first, and
   never after the second.
2. A gateway keeps no more requests than `most`, and of one sender no more than `most_per_sender`; what is above is
   refused, and counted as refused.
3. A request that arrives uses up one announced request: the oldest of its own client, and if that has none, the oldest
   of those that no client announced. It uses up none that another client announced.
4. A client that asks for a path with a hint again has announced the same requests once more: they replace the others.
5. Each request that was announced ends in exactly one way, or is still kept.
"""

from collections.abc import Hashable
from enum import Enum
from math import inf
from typing import NamedTuple


class HintLimits(NamedTuple):
    """What a gateway keeps for a service."""

    most: int
    """Requests in all."""
    most_per_sender: int
    lead_s: float
    """How long before its requests a hint begins to count."""


class PathHint(NamedTuple):
    """What a request to a path announces."""

    requests: int
    within_s: float


class HintEnd(Enum):
    """How an announced request ended."""

    ARRIVED = "arrived"
    EXPIRED = "expired"
    """It did not arrive in its time."""
    REPLACED = "replaced"
    """Its client announced it anew."""
    REFUSED = "refused"
    """Too many were announced."""

    __hash__ = object.__hash__


class Announced(NamedTuple):
    """What counts at a time."""

    requests: int
    until_s: float
    """When the last of them ends; the time itself if there is none."""


class _Hint:
    __slots__ = ("from_s", "is_of_client", "requests", "sender", "until_s")

    def __init__(self, requests: int, from_s: float, until_s: float, sender: Hashable, *, is_of_client: bool) -> None:
        self.requests = requests
        self.from_s = from_s
        self.until_s = until_s
        self.sender = sender
        self.is_of_client = is_of_client


class Hints:
    """The announced requests of one service.

    Attributes:
        announced_total: requests that were ever announced, refused ones included.
        ends: how many of them ended in which way.
    """

    def __init__(self, limits: HintLimits) -> None:
        self.limits = limits
        self.announced_total = 0
        self.ends = dict.fromkeys(HintEnd, 0)
        self._hints: list[_Hint] = []
        """In the order in which they were announced."""

    @property
    def kept(self) -> int:
        """Requests that are kept, those included that do not count yet."""
        return sum(each.requests for each in self._hints)

    def announce(self, sender: Hashable, requests: int, now_s: float, *, in_s: float, for_s: float) -> int:
        """Keep requests that a program announces for the time from `in_s` to `in_s + for_s`; give how many are kept."""
        return self._keep(sender, requests, now_s, in_s, for_s, is_of_client=False)

    def opened(self, client: Hashable, hint: PathHint, now_s: float) -> int:
        """Keep what a client announces that asks for a path with a hint; give how many requests are kept."""
        self._forget([each for each in self._hints if each.is_of_client and each.sender == client], HintEnd.REPLACED)
        return self._keep(client, hint.requests, now_s, 0.0, hint.within_s, is_of_client=True)

    def _keep(
        self, sender: Hashable, requests: int, now_s: float, in_s: float, for_s: float, *, is_of_client: bool
    ) -> int:
        self.expire(now_s)
        of_sender = sum(each.requests for each in self._hints if each.sender == sender)
        room = min(self.limits.most - self.kept, self.limits.most_per_sender - of_sender)
        kept = max(min(requests, room), 0)
        self.announced_total += requests
        self.ends[HintEnd.REFUSED] += requests - kept
        if kept:
            from_s = max(now_s, now_s + in_s - self.limits.lead_s)
            self._hints.append(_Hint(kept, from_s, now_s + in_s + for_s, sender, is_of_client=is_of_client))
        return kept

    def arrived(self, client: Hashable, now_s: float) -> bool:
        """Use up one announced request for one of a client that arrives; tell whether there was one."""
        if not self._hints:
            return False
        self.expire(now_s)
        own = (each for each in self._hints if each.is_of_client and each.sender == client)
        found = next(own, None) or next((each for each in self._hints if not each.is_of_client), None)
        if found is None:
            return False
        self.ends[HintEnd.ARRIVED] += 1
        found.requests -= 1
        if not found.requests:
            self._hints.remove(found)
        return True

    def expire(self, now_s: float) -> None:
        """Forget what was to come until now."""
        self._forget([each for each in self._hints if each.until_s <= now_s], HintEnd.EXPIRED)

    def at(self, now_s: float) -> Announced:
        """Give what counts at a time."""
        count = [each for each in self._hints if each.from_s <= now_s < each.until_s]
        return Announced(sum(each.requests for each in count), max((each.until_s for each in count), default=now_s))

    def next_change_s(self, now_s: float) -> float:
        """Give the next time at which another number counts, if nothing happens before; infinite if there is none."""
        times = (time_s for each in self._hints for time_s in (each.from_s, each.until_s))
        return min((time_s for time_s in times if time_s > now_s), default=inf)

    def limit(self, limits: HintLimits) -> None:
        """Use other limits; what is kept stays, though no more may be added."""
        self.limits = limits

    def _forget(self, gone: list[_Hint], end: HintEnd) -> None:
        for each in gone:
            self.ends[end] += each.requests
            self._hints.remove(each)
