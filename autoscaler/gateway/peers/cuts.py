"""Links between two members that are cut, while others hear both.

A gateway gives slots only when it has the reports of all members, and its grants must reach those that claim. So
neither end of a cut link owns services, if there is a member that hears all others and is heard by them: it can own
them all. If there is none, only the end with the lower name gives way, so that somebody owns. Who has given way owns
again when its links have been good for a while, because each change moves services.
"""

import math
from collections.abc import Mapping

from autoscaler.gateway.peers.times import Times

Heard = Mapping[str, frozenset[str]]
"""The members that are heard, each with those that it says it hears."""


class Cuts:
    """The cut links of one member.

    Args:
        name: its name.
        times: the durations.
    """

    def __init__(self, name: str, times: Times) -> None:
        self._name = name
        self._times = times
        self._since: dict[str, float] = {}
        """Members that do not hear this one, or are not heard, although somebody hears them."""
        self._has_witness = False
        """Whether some member hears all others, and is heard by them."""
        self._good_s = -math.inf
        """Until when links have to be good before this member owns again."""

    def note(self, others: list[str], heard: Heard, now_s: float) -> None:
        """Take in who hears whom."""
        cut = [name for name in others if self._is_cut(name, heard)]
        self._since = {name: self._since.get(name, now_s) for name in cut}
        self._has_witness = any(_is_witness(name, {*others, self._name}, heard) for name in heard)
        if self._must_give_way(now_s):
            self._good_s = now_s + self._times.good_s

    def gives_way(self, now_s: float) -> bool:
        """Tell whether this member should own nothing."""
        return now_s < self._good_s

    def lasting(self, now_s: float) -> dict[str, float]:
        """Return the members at the other ends of links that are cut for good, with since when."""
        return {name: since for name, since in self._since.items() if since <= now_s - self._times.silent_s}

    def _is_cut(self, name: str, heard: Heard) -> bool:
        if name in heard:
            return self._name not in heard[name]
        return any(name in theirs for theirs in heard.values())

    def _must_give_way(self, now_s: float) -> bool:
        return any(self._has_witness or name > self._name for name in self.lasting(now_s))


def _is_witness(name: str, members: set[str], heard: Heard) -> bool:
    is_heard = all(name in theirs for other, theirs in heard.items() if other != name)
    return is_heard and members - {name} <= heard[name]
