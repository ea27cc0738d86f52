"""A service with pools of GPUs: what is requested of each, what is recorded and kept, and what ends an idle time."""

import asyncio
import io
import json

from algorithms.observation import Observation, PoolState
from autoscaler.controller.budgets import Budgets
from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.recorders import DecisionLog, log_changes
from autoscaler.controller.replay import Replay
from autoscaler.controller.services import PolicyEntry, ServiceRegistry, service_of
from autoscaler.controller.step import step
from autoscaler.ports import Fleet, Outcome, Record, Replica
from autoscaler.runtime.clock import SystemClock
from autoscaler.testing import FakeStreams, budget, policy, running

SERVICE = "default/sd"
POOLS = [{"name": "p100"}, {"name": "p4"}]
SPEC = {"algorithm": {"mpa": {}}, "scaleDown": {"toZeroDelay": "0s"}}


def pooled(pools=POOLS, **spec):
    return policy(SERVICE, pools=pools, **SPEC | spec)


class Cluster:
    """The pools of one service; a replica is ready as soon as its pool has a GPU for it."""

    def __init__(self, **stock):
        self.stock = stock
        self.asked = dict.fromkeys(stock, 0)
        self.running = set()

    def fleet(self):
        replicas = [
            Replica(f"{pool}-{number}", ready=True, running=f"{pool}-{number}" in self.running, age_s=9.0, pool=pool)
            for pool, asked in self.asked.items()
            for number in range(min(asked, self.stock[pool]))
        ]
        return Fleet(sum(self.asked.values()), tuple(replicas), pools=tuple(map(self._state, self.asked)))

    def _state(self, pool):
        ready = min(self.asked[pool], self.stock[pool])
        busy = sum(name.startswith(f"{pool}-") for name in self.running)
        unplaced = self.asked[pool] - ready
        return PoolState(pool, self.asked[pool], ready, busy, unplaced, why="no node has room" if unplaced else "")


class World:
    """One service that is decided on each second, and logged."""

    def __init__(self, cluster, entry=None, budgets=()):
        self.cluster, self.now_s = cluster, 1000.0
        self.log = DecisionLog(file := io.StringIO())
        self.file = file
        self.registry = ServiceRegistry(on_policy=self._begin)
        self.registry.put(PolicyEntry(entry or pooled()))
        self.budgets = Budgets(self.registry.services, lambda _service: None)
        self.budgets.set(budgets)

    def _begin(self, entry, service):
        self.log.begin(entry.service, entry.model_dump(mode="json", exclude_unset=True), service.export)

    def see(self, count, seconds=1):
        for _ in range(seconds):
            self.now_s += 1.0
            fleet = self.cluster.fleet()
            seen = Observation(self.now_s, self.now_s - 1, count, fleet.asked, fleet.ready, pools=fleet.pools)
            (taken,) = step(self.registry.services, {SERVICE: (seen, fleet)}, self.budgets)
            if taken.request is not None:
                self.cluster.asked = dict(taken.request.pools)
            outcome = Outcome(SERVICE) if taken.request else None
            self.log(Record(SERVICE, taken.observation, taken.decision, outcome))
        return taken

    def lines(self):
        return [json.loads(line) for line in self.file.getvalue().splitlines()]


def test_a_request_says_how_many_of_each_pool_and_their_sum():
    taken = World(Cluster(p100=9, p4=9), pooled([{"name": "p100", "maxReplicas": 2}, {"name": "p4"}])).see(3.0)
    assert (taken.request.replicas, taken.request.pools) == (3, {"p100": 2, "p4": 1})
    assert [tuple(reason) for reason in taken.decision.reasons] == [
        ("pools", 3, 3, "2 in p100, 1 in p4; p100 has its maximum of 2")
    ]


def test_a_split_that_changes_is_written_although_the_number_does_not(caplog):
    caplog.set_level("INFO")
    world = World(Cluster(p100=1, p4=9))
    world.see(3.0, seconds=61)
    assert world.cluster.asked == {"p100": 3, "p4": 0}
    taken = world.see(3.0)
    assert (taken.request.replicas, taken.request.pools) == (3, {"p100": 1, "p4": 2})
    assert taken.observation.replicas == taken.decision.desired == 3
    log_changes(Record(SERVICE, taken.observation, taken.decision, Outcome(SERVICE)))
    assert "3 -> 3" in caplog.text
    assert "p100 has no room for more until" in caplog.text


def test_nothing_is_written_if_number_and_split_stay():
    world = World(Cluster(p100=9, p4=9))
    assert world.see(3.0).request is not None
    assert world.see(3.0).request is None


def test_replicas_are_named_for_removal_in_the_pool_that_shrinks():
    world = World(Cluster(p100=2, p4=9))
    world.see(4.0, seconds=63)
    world.cluster.running = {"p4-0", "p100-0", "p100-1"}
    taken = world.see(3.0)
    assert (taken.request.pools, taken.request.remove) == ({"p100": 2, "p4": 1}, ("p4-1",))


def moving():
    """Give a world in which one replica is about to move from p4 back to p100."""
    world = World(Cluster(p100=0, p4=9))
    world.see(2.0, seconds=120)
    world.cluster.stock["p100"] = 9
    return world


def test_the_replica_of_a_move_is_asked_for_and_does_not_raise_the_number():
    world = moving()
    world.cluster.running = {"p4-0", "p4-1"}
    taken = world.see(2.0, seconds=5)
    assert world.cluster.asked == {"p100": 1, "p4": 2}
    assert (taken.observation.replicas, taken.request) == (3, None)
    assert [tuple(reason)[:3] for reason in taken.decision.reasons] == [("pools", 2, 3)]
    taken = world.see(None)  # a hold keeps the two
    assert (taken.observation.replicas, taken.decision.desired) == (3, 3)
    assert taken.decision.reasons[0].before == 2
    world.cluster.running = {"p4-0"}
    taken = world.see(2.0)
    assert taken.request.remove == ("p4-1",)
    assert (taken.decision.desired, taken.request.pools) == (2, {"p100": 1, "p4": 1})


def test_nothing_moves_while_a_budget_has_no_room_for_one_more():
    world = moving()
    world.budgets.set([budget(gpus=2)])
    taken = world.see(2.0, seconds=100)
    assert world.cluster.asked == {"p100": 0, "p4": 2}
    assert [tuple(reason)[:3] for reason in taken.decision.reasons] == [("budget", 2, 2), ("pools", 2, 2)]
    assert not any(each.differs for each in Replay().lines(world.lines()))
    world.budgets.set([budget(gpus=3)])
    world.see(2.0, seconds=300)
    assert world.cluster.asked == {"p100": 2, "p4": 0}


def test_the_log_of_a_service_with_pools_replays_to_the_same_decisions():
    world = moving()
    for count in (2.0, 5.0, None, 4.0, 1.0, 0.0):
        world.see(count, seconds=40)
    world.cluster.stock["p100"] = 1
    world.see(6.0, seconds=200)
    replayed = list(Replay().lines(world.lines()))
    assert len(replayed) == 560
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]
    assert any(reason.after > reason.before for each in replayed for reason in each.decision.reasons)


def test_a_log_can_be_replayed_from_a_policy_that_changes_in_the_middle():
    world = World(Cluster(p100=0, p4=9))
    world.see(2.0, seconds=70)
    world.registry.put(PolicyEntry(pooled(spillAfter="30s")))
    world.see(2.0, seconds=200)
    assert not any(each.differs for each in Replay().lines(world.lines()))


def test_a_closed_pool_stays_closed_if_its_policy_changes():
    world = World(Cluster(p100=0, p4=9))
    world.see(2.0, seconds=70)
    world.registry.put(PolicyEntry(pooled([*POOLS, {"name": "t4"}], maxReplicas=20)))
    assert world.see(4.0).request.pools == {"p100": 0, "p4": 4, "t4": 0}


def test_reserves_hold_whatever_the_algorithm_recommends():
    with_reserve = [{"name": "p100"}, {"name": "p4", "minReplicas": 2}]
    for algorithm in ({"mpa": {}}, {"concurrency": {}}, {"kpa": {}}, {"keda": {}}):
        taken = World(Cluster(p100=9, p4=9), pooled(with_reserve, algorithm=algorithm)).see(0.0)
        assert taken.request.pools == {"p100": 0, "p4": 2}


class Target:
    """The pools of one service as a port."""

    def __init__(self, cluster):
        self.cluster = cluster

    async def observe(self, services):
        return {service: self.cluster.fleet() for service in services}

    async def scale(self, requests):
        for request in requests:
            self.cluster.asked = dict(request.pools)
        return [Outcome(request.service) for request in requests]


async def test_an_idle_service_is_woken_by_its_pools_and_looks_when_one_of_them_opens_again():
    clock, records, wake_ups = SystemClock(1000.0), [], WakeUps()
    cluster, streams = Cluster(p100=0, p4=9), FakeStreams([SERVICE])
    controller = Controller(
        {SERVICE: service_of(pooled())},
        clock=clock,
        target=Target(cluster),
        tick_s=2.0,
        streams=streams,
        wake_ups=wake_ups,
        idle=IdleServices(),
        recorders=[records.append],
    )
    async with running(controller):
        streams.counts[SERVICE] = 1.0
        wake_ups.add(SERVICE)
        await asyncio.sleep(70)
        assert cluster.asked == {"p100": 0, "p4": 1}
        streams.counts[SERVICE] = 0.0
        wake_ups.add(SERVICE)
        await asyncio.sleep(10)
        records.clear()
        await asyncio.sleep(21)
        assert records == []  # it is idle
        wake_ups.add(SERVICE)  # a target that sees a change of a pool does this
        await asyncio.sleep(0.1)
        assert records
        opened_s = 1000.0 + 62 + 60
        records.clear()
        await asyncio.sleep(opened_s - clock.now() + 3.0)
        assert [record.observation.now_s for record in records if record.observation.now_s >= opened_s]
        assert "p100 is on trial" in records[-1].decision.reasons[-1].why
