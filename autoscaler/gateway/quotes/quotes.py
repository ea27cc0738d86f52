"""How long each request of a service will wait, and whether what was said first came true.

Rules:
1. A quote says how long a request still waits in half and in nine tenths of the futures; see `forward`.
2. There is a quote only if it follows from what was measured, or, before a start was measured, from `coldStart` of the
   policy's pools. So there is none while no pod is ready or starting.
3. One run forward serves all requests for `FRESH_S`, unless the pods change.
4. The first quote of a request is a promise. It is kept if the request starts no later than the P90. A request that
   gives up before that is neither kept nor missed; one that gives up later is missed.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from autoscaler.gateway.dispatch.outlook import Outlook, WaitingRequest
from autoscaler.gateway.quotes.forward import LONGEST_QUEUE, Forward, Measured
from autoscaler.gateway.quotes.measured import Durations

FRESH_S = 1.0
_STARTS_KEPT = 64


class Basis(Enum):
    """What a quote follows from."""

    MEASURED = "measured"
    CONFIGURED = "configured"
    """No start was measured yet, so that `coldStart` of the policy's pools stands for one."""


class Quote(NamedTuple):
    """How long a request that waits still waits."""

    position: int
    """Its place among those that may go before it; 1 is the next."""
    p50_s: float
    """It starts within this time in half of the futures."""
    p90_s: float
    """It starts within this time in nine tenths of the futures."""
    basis: Basis

    def after(self, elapsed_s: float) -> "Quote":
        """Return what is left of it later."""
        return self._replace(p50_s=max(0.0, self.p50_s - elapsed_s), p90_s=max(0.0, self.p90_s - elapsed_s))


class Grade(NamedTuple):
    """How many promises were kept."""

    kept: int = 0
    missed: int = 0


class Quotes:
    """The quotes of one service.

    Args:
        outlook: gives what the dispatcher has.
        cold_starts_s: how long pods take to start according to the policy.

    Attributes:
        starting: since when each pod starts that is not ready yet.
        grade: of all promises so far.
    """

    def __init__(self, outlook: Callable[[], Outlook], cold_starts_s: Sequence[float] = ()) -> None:
        self.cold_starts_s = cold_starts_s
        self.starting: dict[str, float] = {}
        self.grade = Grade()
        self._outlook = outlook
        self._starts: deque[float] = deque(maxlen=_STARTS_KEPT)
        self._promises: dict[Hashable, float] = {}
        """Until when each request is to start."""
        self._run: _Run | None = None

    # Pods.

    def pod_starting(self, name: str, since_s: float) -> None:
        """Note a pod that exists and gets no requests yet."""
        if name not in self.starting:
            self.starting[name] = since_s
            self.pods_changed()

    def pod_ready(self, name: str, now_s: float) -> None:
        """Note that a pod gets requests; how long it took counts if it was seen to start."""
        since_s = self.starting.pop(name, None)
        if since_s is not None:
            self._starts.append(now_s - since_s)
        self.pods_changed()

    def pod_not_starting(self, name: str) -> None:
        """Note that a pod is gone, drains, or cannot start."""
        self.starting.pop(name, None)
        self.pods_changed()

    def pods_changed(self) -> None:
        """Note that what was run forward no longer holds."""
        self._run = None

    # Quotes.

    def quote(self, request: Hashable, now_s: float, *, takes_slot: bool = True) -> Quote | None:
        """Return the quote of a request that waits, and promise it; None if nothing can be said."""
        quote = self.estimate(request, now_s, takes_slot=takes_slot)
        if quote is not None:
            self.promise(request, now_s + quote.p90_s)
        return quote

    def promise(self, request: Hashable, until_s: float) -> None:
        """Note until when a request is to start, unless it has a promise."""
        self._promises.setdefault(request, until_s)

    def estimate(self, request: Hashable, now_s: float, *, takes_slot: bool = True) -> Quote | None:
        """Return the quote of a request that waits, without a promise."""
        run = self._fresh_run(now_s)
        if request not in run.quotes:
            run.add(request, now_s, takes_slot=takes_slot)
        quote = run.quotes[request]
        return None if quote is None else quote.after(now_s - run.at_s)

    def next(self, now_s: float) -> Quote | None:
        """Return the quote of a counted request that would arrive now, without a promise."""
        run = self._fresh_run(now_s)
        quote = run.next(now_s)
        return None if quote is None else quote.after(now_s - run.at_s)

    def _fresh_run(self, now_s: float) -> "_Run":
        if self._run is None or now_s - self._run.at_s >= FRESH_S:
            starts = Durations(self._starts or self.cold_starts_s)
            basis = Basis.MEASURED if self._starts or not self.starting else Basis.CONFIGURED
            self._run = _Run(self._outlook(), self.starting, starts, basis, now_s)
        return self._run

    # Grading.

    def started(self, request: Hashable, now_s: float) -> None:
        """Grade the promise to a request that starts, if it got one."""
        until_s = self._promises.pop(request, None)
        if until_s is not None:
            self._count(kept=now_s <= until_s)

    def gave_up(self, request: Hashable, now_s: float) -> None:
        """Grade the promise to a request that ends without having started."""
        until_s = self._promises.pop(request, None)
        if until_s is not None and now_s > until_s:
            self._count(kept=False)

    def _count(self, *, kept: bool) -> None:
        self.grade = Grade(self.grade.kept + kept, self.grade.missed + (not kept))


class _Run:
    """One run forward, and what it says of each request; those that arrive later stand behind the others."""

    def __init__(
        self, outlook: Outlook, starting: Mapping[str, float], starts: Durations, basis: Basis, now_s: float
    ) -> None:
        self.at_s = now_s
        self._basis = basis
        ages_s = {name: now_s - since_s for name, since_s in starting.items()}
        self._forward = Forward(outlook, ages_s, Measured(starts, Durations(outlook.held_s)), now_s)
        self._behind = len(outlook.waiting)
        granted_s = zip(outlook.waiting, _positions(outlook.waiting), self._forward.granted_s(), strict=False)
        self.quotes: dict[Hashable, Quote | None] = dict.fromkeys(each.request for each in outlook.waiting)
        self.quotes |= {each.request: self._quote(position, times) for each, position, times in granted_s}
        for request in outlook.passing:
            self.quotes[request] = self._quote(1, self._forward.first_ready_s)

    def add(self, request: Hashable, now_s: float, *, takes_slot: bool) -> None:
        """Add a request that has arrived since."""
        if not takes_slot:
            self.quotes[request] = self._quote(1, self._forward.first_ready_s)
            return
        self._behind += 1
        granted_s = self._forward.granted_next_s(self._behind, now_s - self.at_s)
        self.quotes[request] = self._quote(self._behind, granted_s) if self._behind <= LONGEST_QUEUE else None

    def next(self, now_s: float) -> Quote | None:
        """Return the quote of one that would arrive now."""
        if self._behind >= LONGEST_QUEUE:
            return None
        return self._quote(self._behind + 1, self._forward.free_s(now_s - self.at_s))

    def _quote(self, position: int, granted_s: Sequence[float]) -> Quote | None:
        ordered = sorted(granted_s)
        p90_s = quantile(ordered, 0.9)
        return None if p90_s == math.inf else Quote(position, quantile(ordered, 0.5), p90_s, self._basis)


def _positions(waiting: Sequence[WaitingRequest]) -> list[int]:
    """Count for each request those that may go before it: that wait for any pod, or for its own."""
    before: dict[str | None, int] = {}
    positions = []
    for place, each in enumerate(waiting):
        others = place if each.home is None else before.get(None, 0) + before.get(each.home, 0)
        positions.append(others + 1)
        before[each.home] = before.get(each.home, 0) + 1
    return positions


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return what one more value of the same kind does not exceed with this probability."""
    place = share * (len(ordered) + 1) - 1
    below = min(int(place), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    if ordered[above] == math.inf:
        return ordered[above if place > below else below]
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
