"""The hints of the reference engine: the gateway's own books, told what the clients of a scenario announce."""

from collections.abc import Iterable
from math import inf

from autoscaler.gateway.dispatch.hints import Announced, HintLimits, Hints, PathHint
from simulations.model.run_inputs import Announcement, Arrival

NOTHING = Announced(0, 0.0)


class SimulatedHints:
    """What is announced in one run.

    Args:
        limits: those of the policy; None hears no announcement.
        announcements: in order of time.
    """

    def __init__(self, limits: HintLimits | None, announcements: Iterable[Announcement]) -> None:
        self._hints = None if limits is None else Hints(limits)
        self._announcements = iter(announcements)
        self._next = None if limits is None else next(self._announcements, None)

    def next_change_s(self, now_s: float) -> float:
        """Give when the next hint comes or ends; infinite if none does."""
        if self._hints is None:
            return inf
        return min(inf if self._next is None else self._next.t_s, self._hints.next_change_s(now_s))

    def advance(self, now_s: float) -> None:
        """Hear what is announced until now, and forget what has ended."""
        if self._hints is None:
            return
        self._hints.expire(now_s)
        while self._next is not None and self._next.t_s <= now_s:
            self._hints.opened(self._next.request, PathHint(1, self._next.within_s), now_s)
            self._next = next(self._announcements, None)

    def arrived(self, arrival: Arrival, now_s: float, *, counts: bool) -> None:
        """Use up the hint of a request that takes a slot, if it was announced."""
        if counts and self._hints is not None:
            self._hints.arrived((arrival.source, arrival.t_s), now_s)

    def at(self, now_s: float) -> Announced:
        """Give what counts at a time."""
        return NOTHING if self._hints is None else self._hints.at(now_s)
