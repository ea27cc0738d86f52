"""The fleet of the reference engine: the placement of replicas on GPUs, their cold starts, and how they use their time.

A replica takes a GPU of the first pool that has one, or, if the policy has pools, of the pool in which it was asked
for. If there is none, it is pending until another replica is gone, or the stock grows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan

import numpy as np

from algorithms.distributions import Uniform
from algorithms.observation import PoolState
from autoscaler.accounts import NOT_YET, StartTimes
from autoscaler.ports import Fleet, Replica
from simulations.model.history import Replicas
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Pool

CHANCE = Uniform(0.0, 1.0)
MAX_STAGES = 100
"""More than any pool has: a pool's number times this, plus the stage, numbers the random stream."""


class SimulatedReplica:
    """One replica. Times are in seconds; a time that has not come is NaN, which compares as false."""

    __slots__ = (
        "asked_s",
        "busy_s",
        "changed_s",
        "draining_s",
        "gone_s",
        "leaving_s",
        "name",
        "number",
        "passing",
        "placed_s",
        "pool",
        "ready_s",
        "serving",
        "wanted",
    )

    def __init__(self, number: int, asked_s: float, wanted: int | None = None) -> None:
        self.number = number
        self.wanted = wanted
        """The pool in which it was asked for; None is any."""
        self.name = f"replica-{number}"
        self.asked_s = self.changed_s = asked_s
        self.placed_s = self.ready_s = self.leaving_s = self.gone_s = nan
        self.busy_s = self.draining_s = 0.0
        self.pool: int | None = None
        self.serving: set[int] = set()
        self.passing: set[int] = set()
        """Requests that take no slot."""

    @property
    def ready(self) -> bool:
        """Whether it is ready."""
        return self.ready_s >= 0

    @property
    def start(self) -> StartTimes:
        """How it has started so far."""
        return StartTimes((), self.ready_s - self.asked_s) if self.ready else NOT_YET

    @property
    def leaving(self) -> bool:
        """Whether it drains: it gets no new request."""
        return self.leaving_s >= 0

    @property
    def gone(self) -> bool:
        """Whether it was removed."""
        return self.gone_s >= 0

    def begin(self, request: int, now_s: float, *, counts: bool = True) -> None:
        """Start a request; only requests that take a slot make the replica busy."""
        self.account_time(now_s)
        (self.serving if counts else self.passing).add(request)

    def end(self, request: int, now_s: float) -> None:
        """End a request."""
        self.account_time(now_s)
        self.serving.discard(request)
        self.passing.discard(request)

    def account_time(self, now_s: float) -> None:
        """Add the time since the last call to the busy and draining time."""
        if self.serving:
            self.busy_s += now_s - self.changed_s
            self.draining_s += now_s - self.changed_s if self.leaving else 0.0
        self.changed_s = now_s


class SimulatedFleet:
    """All replicas of one service, also those that are gone."""

    def __init__(self, pools: Sequence[Pool], random_streams: RandomStreams, in_use: list[int] | None = None) -> None:
        """Begin without replicas.

        Args:
            pools: where replicas run.
            random_streams: the draws of cold starts, lifetimes and failures.
            in_use: how many GPUs of each pool are in use, shared with the fleets of other services.
        """
        self._pools = pools
        self._random_streams = random_streams
        self._in_use = [0] * len(pools) if in_use is None else in_use
        self._stock = [pool.stock for pool in pools]
        self._all: dict[str, SimulatedReplica] = {}
        self._pending: list[SimulatedReplica] = []
        self.staying: dict[str, SimulatedReplica] = {}
        """Replicas that do not drain, by name."""
        self.staying_in = Counter[int | None]()
        """Their number, by the pool in which they were asked for."""
        self.alive = 0
        """The number of replicas that are not gone."""

    def __getitem__(self, name: str) -> SimulatedReplica:
        return self._all[name]

    def observe_pools(self, asked: Mapping[int, int], now_s: float) -> Fleet:
        """Give the fleet of a service whose policy has pools; `asked` has the replicas asked for in each of them."""
        fleet = self.observe(sum(asked.values()), now_s)
        pairs = zip(fleet.replicas, self.staying.values(), strict=True)
        replicas = tuple(replica._replace(pool=self._pools[each.wanted or 0].name) for replica, each in pairs)
        in_pool: dict[int, list[SimulatedReplica]] = {pool: [] for pool in asked}
        for replica in self.staying.values():
            in_pool[replica.wanted or 0].append(replica)
        pools = tuple(self._state(pool, number, in_pool[pool]) for pool, number in asked.items())
        return fleet._replace(replicas=replicas, pools=pools)

    def _state(self, pool: int, asked: int, replicas: Sequence[SimulatedReplica]) -> PoolState:
        ready = [each for each in replicas if each.ready]
        unplaced = sum(each.pool is None for each in replicas)
        return PoolState(
            self._pools[pool].name,
            asked,
            len(ready),
            sum(bool(each.serving) for each in ready),
            unplaced,
            why="it is out of stock" if unplaced else "",
        )

    def observe(self, asked: int, now_s: float) -> Fleet:
        """Give the fleet as a target reports it."""
        replicas = self.staying.values()
        seen = (Replica(r.name, r.ready, len(r.serving), now_s - r.asked_s, start=r.start) for r in replicas)
        return Fleet(asked, tuple(seen), leaving=self.alive - len(replicas))

    def free(self, asked: Mapping[int, int]) -> int | None:
        """Give the first pool whose stock is above the replicas asked for, else the first; None without pools."""
        return next((pool for pool, number in asked.items() if number < self._stock[pool]), next(iter(asked), None))

    def set_stock(self, pool: int, stock: float) -> None:
        """Set how many replicas a pool has room for; those that run stay."""
        self._stock[pool] = stock

    def add(self, now_s: float, pool: int | None = None) -> SimulatedReplica:
        """Add a replica, in a pool or in any; it starts when `place_pending` gives it."""
        replica = SimulatedReplica(len(self._all), now_s, pool)
        self._all[replica.name] = self.staying[replica.name] = replica
        self.staying_in[pool] += 1
        self._pending.append(replica)
        self.alive += 1
        return replica

    def place_pending(self, now_s: float) -> Iterator[SimulatedReplica]:
        """Place pending replicas on GPUs, the oldest first, and give those that begin their cold start now."""
        for replica in list(self._pending):
            pool = next((each for each in self._pools_for(replica) if self._in_use[each] < self._stock[each]), None)
            if pool is not None:
                self._pending.remove(replica)
                replica.pool, replica.placed_s = pool, now_s
                self._in_use[pool] += 1
                yield replica

    def _pools_for(self, replica: SimulatedReplica) -> Iterable[int]:
        return range(len(self._pools)) if replica.wanted is None else (replica.wanted,)

    def cold_start_s(self, replica: SimulatedReplica) -> float:
        """Draw the duration of a replica's cold start, in seconds."""
        number, pool = self._pool_of(replica)
        stages = enumerate(pool.cold_start, start=MAX_STAGES * number)
        return sum(self._random_streams.draw("cold start", stage, which) for which, stage in stages)

    def lifetime_s(self, replica: SimulatedReplica) -> float:
        """Draw how long a replica lives after it is ready, in seconds."""
        number, pool = self._pool_of(replica)
        return float("inf") if pool.lifetime is None else self._random_streams.draw("lifetime", pool.lifetime, number)

    def fails_to_start(self, replica: SimulatedReplica) -> bool:
        """Draw whether a replica dies at the end of its cold start."""
        number, pool = self._pool_of(replica)
        return (
            pool.start_failure > 0 and self._random_streams.draw("start failure", CHANCE, number) < pool.start_failure
        )

    def service_s(self, replica: SimulatedReplica, asked_s: float) -> float:
        """Give how long a replica works on a request; `asked_s` is the time on a replica of speed 1."""
        number, pool = self._pool_of(replica)
        return (
            asked_s if pool.service is None else self._random_streams.draw("pool service", pool.service, number)
        ) / pool.speed

    def _pool_of(self, replica: SimulatedReplica) -> tuple[int, Pool]:
        number = replica.pool or 0
        return number, self._pools[number]

    def leave(self, replica: SimulatedReplica, now_s: float) -> None:
        """Start to drain a replica."""
        replica.account_time(now_s)
        replica.leaving_s = now_s
        del self.staying[replica.name]
        self.staying_in[replica.wanted] -= 1

    def remove(self, replica: SimulatedReplica, now_s: float) -> None:
        """Remove a replica, and free its GPU."""
        if self.staying.pop(replica.name, None) is not None:
            self.staying_in[replica.wanted] -= 1
        self.alive -= 1
        replica.gone_s = now_s
        if replica.pool is None:
            self._pending.remove(replica)
        else:
            self._in_use[replica.pool] -= 1

    def columns(self, end_s: float) -> Replicas:
        """Give all replicas as arrays, at the end of the run."""
        replicas = list(self._all.values())
        for replica in replicas:
            replica.account_time(end_s)
        names = ("asked_s", "placed_s", "ready_s", "leaving_s", "gone_s", "busy_s", "draining_s")
        times = {name: np.array([getattr(replica, name) for replica in replicas], dtype=float) for name in names}
        pools = [-1 if replica.pool is None else replica.pool for replica in replicas]
        return Replicas(**times, pool=np.array(pools, dtype=np.int64))
