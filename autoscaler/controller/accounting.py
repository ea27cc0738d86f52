"""Keeps account of what each service uses: GPU time by state, cost, and cold starts by stage. No I/O, no clock.

Rules:
1. A replica that has a place holds its GPUs: until it is ready it is starting, then busy or idle, and draining once it
   is being removed. What was seen holds until the next observation.
2. After a minute without an observation, or three ticks if that is longer, nobody knows what ran: that time is unknown,
   and nothing is counted for it. A service of which nothing ran is not observed for minutes: it is idle, and watched.
3. A cold start is measured if the replica was seen from its creation on: it was created after the observation before
   the one that saw it first. What ran before this controller looked has a start of unknown length.
4. A day begins at the local midnight. Counters of metrics do not begin again with it.
5. Nothing is kept of a service that is gone.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from algorithms.observation import Observation
from autoscaler.accounts import BUSY, DRAINING, IDLE, STARTING, STATES, Account, Start, Starts
from autoscaler.controller.step import Service
from autoscaler.policy.cost import Prices
from autoscaler.ports import Fleet, Replica, ServiceName

TOTAL = "total"
"""The whole of a cold start, beside its stages."""
BOUNDS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""The upper ends of the histograms of cold starts."""
KEPT_STARTS = 50
_HOUR_S = 3600.0
_LONGEST_GAP_S, _LONGEST_GAP_TICKS = 60.0, 3
_CLOCKS_DIFFER_S = 5.0
"""How far the clock that dates a replica's creation may be from the controller's."""


class Histogram(NamedTuple):
    """How long one stage of the cold starts of a service took."""

    counts: list[int]
    """How many were within each of `BOUNDS_S` and above the one before it, and last those above all."""
    sums: list[float]
    """One number: their sum."""

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sums[0] += seconds


class Usage(NamedTuple):
    """What a fleet uses, as long as it stays as it is."""

    gpus: Mapping[str, int]
    """GPUs by state; states without any are left out."""
    currency: str = ""
    """Empty if there is no price."""
    per_hour: float = 0.0
    peak_per_hour: float = 0.0
    """Without the replicas that drain."""
    replicas: int = 0
    """Those that hold GPUs, without those that drain."""
    gpus_assumed: bool = False


_NOTHING = Usage({})
_NONE: frozenset[str] = frozenset()
"""Shared: each empty set would take 216 bytes."""


def usage(fleet: Fleet, prices: Prices | None, gpus_of: Mapping[str, int]) -> Usage:
    """Give what a fleet uses (rule 1).

    Args:
        fleet: what was observed.
        prices: what its replicas cost; None if that is not known.
        gpus_of: the GPUs of a replica of each pool, as last seen, for those that leave.
    """
    gpus: dict[str, int] = {}
    placed, per_hour, assumed = 0, 0.0, False
    for replica in fleet.replicas:
        if replica.placed:
            state = STARTING if not replica.ready else BUSY if replica.running else IDLE
            gpus[state] = gpus.get(state, 0) + (replica.gpus or 1)
            placed += 1
            assumed |= replica.gpus is None
            per_hour += prices.of(replica.pool) if prices else 0.0
    peak_per_hour = per_hour
    if fleet.leaving:
        leaving = fleet.leaving_from or {"": fleet.leaving}
        gpus[DRAINING] = sum(number * gpus_of.get(pool, 1) for pool, number in leaving.items())
        assumed |= any(number and pool not in gpus_of for pool, number in leaving.items())
        per_hour += sum(number * prices.of(pool) for pool, number in leaving.items()) if prices else 0.0
    return Usage(gpus, prices.currency if prices else "", per_hour, peak_per_hour, placed, assumed)


class _Day:
    """The account of one service and one day."""

    __slots__ = (
        "cost",
        "currency",
        "gpu_seconds",
        "gpus_assumed",
        "known_s",
        "peak_per_hour",
        "peak_replicas",
        "since_s",
    )

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.known_s = 0.0
        self.gpu_seconds = dict.fromkeys(STATES, 0.0)
        self.currency = ""
        self.cost = self.peak_per_hour = 0.0
        self.peak_replicas = 0
        self.gpus_assumed = False

    def add(self, used: Usage, seconds: float) -> None:
        """Count the use of a time."""
        self.known_s += seconds
        if self.currency != used.currency:
            # Amounts of two currencies have no sum: the day's cost begins again.
            self.currency, self.cost, self.peak_per_hour = used.currency, 0.0, 0.0
        for state, gpus in used.gpus.items():
            self.gpu_seconds[state] += gpus * seconds
        self.cost += used.per_hour * seconds / _HOUR_S
        self.peak_per_hour = max(self.peak_per_hour, used.peak_per_hour)
        self.peak_replicas = max(self.peak_replicas, used.replicas)
        self.gpus_assumed |= used.gpus_assumed

    def account(self, until_s: float) -> Account:
        priced = bool(self.currency)
        return Account(
            since_s=self.since_s,
            until_s=until_s,
            gpu_seconds=dict(self.gpu_seconds),
            unknown_s=max(until_s - self.since_s - self.known_s, 0.0),
            currency=self.currency or None,
            cost=self.cost if priced else None,
            peak_cost=self.peak_per_hour * self.known_s / _HOUR_S if priced else None,
            peak_replicas=self.peak_replicas,
            gpus_assumed=self.gpus_assumed,
        )


class ServiceAccount:
    """What is kept of one service. The counters begin with this process and never fall."""

    __slots__ = (
        "_counted_s",
        "_day",
        "_gpus_of",
        "_known",
        "_observed_s",
        "_used",
        "_watched",
        "cost",
        "gpu_seconds",
        "stages",
        "starts",
    )

    def __init__(self, fleet: Fleet, now_s: float) -> None:
        self.gpu_seconds = dict.fromkeys(STATES, 0.0)
        self.cost: dict[str, float] = {}
        """By currency."""
        self.starts: deque[Start] | None = None
        """The newest; None before the first, as for most of ten thousand services."""
        self.stages: dict[str, Histogram] = {}
        """By stage, and `TOTAL`."""
        self._day = _Day(now_s)
        self._observed_s = self._counted_s = now_s
        self._used = _NOTHING
        self._gpus_of: dict[str, int] = {}
        self._known = {replica.name for replica in fleet.replicas} or _NONE
        """The replicas that were seen last."""
        self._watched: AbstractSet[str] = _NONE
        """Those of them that were seen from their creation on and are not ready yet."""

    def observed(self, fleet: Fleet, now_s: float, prices: Prices | None) -> None:
        """Take in what runs now; what ran until now has been counted."""
        self._watch(fleet, now_s)
        self._observed_s = now_s
        if prices is not None and prices.currency not in self.cost:
            self.cost[prices.currency] = 0.0
        if not fleet.replicas and not fleet.leaving:
            self._used = _NOTHING if prices is None else Usage({}, prices.currency)
            return
        for replica in fleet.replicas:
            if replica.gpus is not None:
                self._gpus_of[replica.pool] = replica.gpus
        self._used = usage(fleet, prices, self._gpus_of)

    def count(self, now_s: float, midnight_s: float, longest_gap_s: float) -> None:
        """Count what was used until now, in the day that it belongs to."""
        is_known = not self._used.gpus or now_s - self._observed_s <= longest_gap_s
        if self._counted_s < midnight_s:
            self._add(midnight_s, is_known=is_known)
            self._day = _Day(midnight_s)
        self._add(now_s, is_known=is_known)

    def _add(self, until_s: float, *, is_known: bool) -> None:
        used, seconds = self._used, max(until_s - self._counted_s, 0.0)
        self._counted_s = max(until_s, self._counted_s)
        if not is_known:
            return
        self._day.add(used, seconds)
        for state, gpus in used.gpus.items():
            self.gpu_seconds[state] += gpus * seconds
        if used.currency:
            self.cost[used.currency] += used.per_hour * seconds / _HOUR_S

    def account(self) -> Account:
        """Give the account of the day, as far as it is counted."""
        return self._day.account(self._counted_s)

    def _watch(self, fleet: Fleet, now_s: float) -> None:
        """Measure the starts that are over (rule 3)."""
        names = {replica.name for replica in fleet.replicas}
        if not self._watched and names == self._known:
            return
        since_s = now_s - self._observed_s + _CLOCKS_DIFFER_S
        new = {each.name for each in fleet.replicas if each.name not in self._known and each.age_s <= since_s}
        watched = (self._watched | new) & names
        over = [replica for replica in fleet.replicas if replica.ready and replica.name in watched]
        for replica in over:
            self._measure(replica, now_s)
        self._known, self._watched = names or _NONE, watched - {replica.name for replica in over} or _NONE

    def _measure(self, replica: Replica, now_s: float) -> None:
        stages, total_s = replica.start
        if total_s is None:
            return
        self.starts = self.starts or deque(maxlen=KEPT_STARTS)
        self.starts.append(Start(replica.name, now_s - replica.age_s + total_s, stages, total_s))
        for stage, seconds in (*stages, (TOTAL, total_s)):
            if stage not in self.stages:
                self.stages[stage] = Histogram([0] * (len(BOUNDS_S) + 1), [0.0])
            self.stages[stage].add(seconds)


class Accounting:
    """The accounts of all services, from the observations that decisions are based on.

    Args:
        services: all services, with their prices.
        midnight: gives when the local day of a time began.
        tick_s: the time between two observations.
    """

    def __init__(
        self,
        services: Mapping[ServiceName, Service],
        midnight: Callable[[float], float],
        *,
        tick_s: float,
    ) -> None:
        self._services = services
        self._midnight = midnight
        self._longest_gap_s = max(_LONGEST_GAP_S, _LONGEST_GAP_TICKS * tick_s)
        self._minute = self._midnight_s = float("-inf")
        self._accounts: dict[ServiceName, ServiceAccount] = {}

    def saw(self, observations: Mapping[ServiceName, tuple[Observation, Fleet]]) -> None:
        """Take in observations of services."""
        for name, (observation, fleet) in observations.items():
            account = self._accounts.get(name)
            if account is None:
                account = self._accounts[name] = ServiceAccount(fleet, observation.now_s)
            else:
                account.count(observation.now_s, self._today_s(observation.now_s), self._longest_gap_s)
            account.observed(fleet, observation.now_s, self._services[name].prices)

    def forget(self, service: ServiceName) -> None:
        """Drop what is kept of a service that is gone."""
        self._accounts.pop(service, None)

    def account(self, service: ServiceName, now_s: float) -> Account | None:
        """Give the account of the day of one service; None if it was not observed."""
        found = self._accounts.get(service)
        if found is None:
            return None
        found.count(now_s, self._today_s(now_s), self._longest_gap_s)
        return found.account()

    def starts(self, service: ServiceName) -> Starts:
        """Give the newest cold starts of a service."""
        found = self._accounts.get(service)
        return Starts(tuple(found.starts)) if found is not None and found.starts else Starts()

    def accounts(self) -> Mapping[ServiceName, ServiceAccount]:
        """Give what is kept of each service that exists."""
        return {name: account for name, account in self._accounts.items() if name in self._services}

    def _today_s(self, now_s: float) -> float:
        """Give the last midnight, which is the same all through a minute."""
        if now_s // 60 != self._minute:
            self._minute, self._midnight_s = now_s // 60, self._midnight(now_s)
        return self._midnight_s
