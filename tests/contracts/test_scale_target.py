"""What every ScaleTarget keeps to, whatever its replicas are."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, contextmanager, nullcontext

import pytest

from autoscaler.ports import Fleet, Outcome, ScaleRequest
from autoscaler.removal_order import replicas_to_remove
from autoscaler.targets.local import LocalProcesses, Router
from autoscaler.targets.local_replica import Lifetimes
from autoscaler.targets.pooled import PooledTarget
from autoscaler.testing import FakeScaleTarget

SERVICE, OTHER = "default/sd", "staging/other"
PATIENCE_S = 30

SERVER = """
import os, socket, sys, time
while os.path.exists(sys.argv[2]):  # it is held
    time.sleep(0.005)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # processes tell nobody
            await asyncio.sleep(0.01)


class World:
    """A target, and what happens around it: requests that are served, replicas that die."""

    def __init__(self):
        self.target = None
        self.running = {}
        self.routed = set()

    async def observe(self, *services):
        """Observe what every target has: pools are only some targets'."""
        fleets = await self.target.observe(services)
        return {
            service: fleet._replace(pools=(), replicas=tuple(each._replace(pool="") for each in fleet.replicas))
            for service, fleet in fleets.items()
        }

    async def fleet(self, service=SERVICE):
        return (await self.observe(service))[service]

    async def runs_nothing(self):
        fleet = await self.fleet()
        return not fleet.asked and not fleet.replicas

    async def leaving(self):
        return (await self.fleet()).leaving

    async def names(self, service=SERVICE):
        return [replica.name for replica in (await self.fleet(service)).replicas]

    async def order(self, replicas, *leaving, service=SERVICE):
        (outcome,) = await self.target.scale([await self.request(service, replicas, leaving)])
        assert outcome == Outcome(service)

    async def request(self, service, replicas, leaving=()):
        return ScaleRequest(service, replicas, leaving)

    async def ready(self, number, service=SERVICE):
        """Wait until as many are ready; give their names."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._ready(service) != number:  # noqa: ASYNC110  # processes tell nobody
                await asyncio.sleep(0.01)
        return await self.names(service)

    async def _ready(self, service):
        return sum(replica.ready for replica in (await self.fleet(service)).replicas)


class FakeWorld(World):
    @asynccontextmanager
    async def open(self, _folder):
        now = asyncio.get_running_loop().time
        self.target = FakeScaleTarget([SERVICE, OTHER], now, cold_start_s=20)
        self.target.running = self.running
        yield self

    def starts_held(self):
        """Let no replica become ready while the block runs: in virtual time none does before somebody waits."""
        return nullcontext()

    def alive(self):
        return [*self.target.alive(SERVICE), *self.target.alive(OTHER)]

    def kill(self, name):
        self.target.kill(name)


class PooledWorld(FakeWorld):
    """Two pools over the fake target: one with room for two, and one for the rest."""

    POOLS = ("good", "rest")
    ROOM = 2

    @asynccontextmanager
    async def open(self, _folder):
        members = [f"{service}#{pool}" for service in (SERVICE, OTHER) for pool in self.POOLS]
        now = asyncio.get_running_loop().time
        self.fake = FakeScaleTarget(members, now, cold_start_s=20)
        self.fake.running = self.running
        self.target = PooledTarget(self.fake, NothingMade())
        self.target.set_pools(dict.fromkeys((SERVICE, OTHER), self.POOLS))
        yield self

    async def request(self, service, replicas, leaving=()):
        """Name the pools as the rules of placement do: room first, and who leaves leaves where it is."""
        fleet = (await self.target.observe([service])).get(service, Fleet(0, ()))
        gone = replicas_to_remove(fleet.replicas, replicas, leaving)
        pools = dict.fromkeys(self.POOLS, 0)
        for replica in fleet.replicas:
            pools[replica.pool] += replica.name not in gone
        more = replicas - sum(pools.values())
        pools["good"] += min(more, max(self.ROOM - pools["good"], 0))
        pools["rest"] += replicas - sum(pools.values())
        return ScaleRequest(service, replicas, gone, pools)

    def alive(self):
        return [
            name for service in (SERVICE, OTHER) for pool in self.POOLS for name in self.fake.alive(f"{service}#{pool}")
        ]

    def kill(self, name):
        self.fake.kill(name)


class NothingMade:
    def problem(self, _member):
        return ""

    refusal = problem


class LocalWorld(World):
    @asynccontextmanager
    async def open(self, folder):
        router = Router(
            running=lambda _service, name: self.running.get(name, 0),
            on_ready=lambda _service, name, _address: self.routed.add(name),
            on_starting=lambda _service, _name: None,
            on_leaving=lambda _service, name: self.routed.discard(name),
            on_gone=lambda _service, name: (self.routed.discard(name), self.running.pop(name, None)),
        )
        self.hold = folder / "hold"
        command = [sys.executable, "-I", "-S", "-c", SERVER, "{port}", str(self.hold)]
        lifetimes = Lifetimes(first_backoff_s=0.1, longest_backoff_s=0.1)
        async with LocalProcesses({SERVICE: command, OTHER: command}, router, folder, lifetimes) as self.target:
            yield self

    @contextmanager
    def starts_held(self):
        """Let no replica become ready while the block runs."""
        self.hold.touch()
        try:
            yield
        finally:
            self.hold.unlink()

    def alive(self):
        return list(self.target.processes())

    def kill(self, name):
        os.kill(self.target.processes()[name], signal.SIGKILL)


@pytest.fixture(params=[FakeWorld, PooledWorld, pytest.param(LocalWorld, marks=pytest.mark.real_time)])
async def world(request, tmp_path):
    async with request.param().open(tmp_path) as opened:
        yield opened


async def test_a_service_starts_with_nothing(world):
    assert await world.observe(SERVICE, OTHER) == {SERVICE: Fleet(0, ()), OTHER: Fleet(0, ())}


async def test_an_unknown_service_is_left_out_of_what_is_observed(world):
    assert await world.observe("default/unheard-of", SERVICE) == {SERVICE: Fleet(0, ())}


async def test_what_is_asked_for_shows_at_once_and_is_ready_after_its_cold_start(world):
    with world.starts_held():
        await world.order(3)

        started = await world.fleet()
        assert started.asked == 3
        assert [replica.ready for replica in started.replicas] == [False] * 3

    names = await world.ready(3)
    assert names == [replica.name for replica in started.replicas]
    assert len(set(names)) == 3


async def test_every_order_gets_its_outcome_in_its_place_and_a_bad_one_stops_no_other(world):
    orders = [
        await world.request(SERVICE, 1),
        ScaleRequest("default/unheard-of", 1, ()),
        await world.request(OTHER, -1),
        await world.request(OTHER, 2),
    ]

    outcomes = await world.target.scale(orders)

    assert [outcome.service for outcome in outcomes] == [order.service for order in orders]
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, True, False]
    assert "default/unheard-of" in outcomes[1].error
    assert "-1" in outcomes[2].error
    assert (await world.fleet()).asked == 1
    assert (await world.fleet(OTHER)).asked == 2


async def test_an_order_for_what_there_is_changes_nothing(world):
    await world.order(2)
    before = await world.names()

    await world.order(2, before[0])

    assert await world.names() == before


async def test_replicas_grow_older(world):
    await world.order(1)
    (young,) = (await world.fleet()).replicas

    await world.ready(1)
    (old,) = (await world.fleet()).replicas

    assert 0 <= young.age_s < old.age_s


async def test_those_named_first_go_first_even_if_others_would_be_better(world):
    await world.order(3)
    one, two, three = await world.ready(3)
    world.running[two] = 1

    await world.order(2, two, one, three)

    assert await world.names() == [one, three]


async def test_names_that_are_not_there_are_passed_over_and_others_take_their_place(world):
    await world.order(3)
    one, two, three = await world.ready(3)
    world.running[one] = world.running[three] = 1

    await world.order(1, "long-gone", three, three)

    assert await world.names() == [one]
    await until(lambda: two not in world.alive())


async def test_without_names_those_go_first_that_are_not_ready_then_the_idle(world):
    await world.order(2)
    one, two = await world.ready(2)
    world.running[one] = 1
    with world.starts_held():
        await world.order(4)

        await world.order(2)
        assert await world.names() == [one, two]

    await world.order(1)
    assert await world.names() == [one]


async def test_a_replica_that_serves_is_out_of_the_fleet_at_once_and_ends_what_it_serves(world):
    await world.order(2)
    one, two = await world.ready(2)
    world.running[two] = 2

    await world.order(0, one, two)

    assert await world.runs_nothing()
    assert not world.routed
    await until(lambda: one not in world.alive())
    world.running[two] = 1
    assert world.alive() == [two]
    assert await world.leaving() == 1
    world.running[two] = 0
    await until(lambda: not world.alive())
    assert await world.leaving() == 0


async def test_a_replica_that_starts_leaves_at_once(world):
    with world.starts_held():
        await world.order(3)
        await world.order(0)

        assert await world.runs_nothing()
        await until(lambda: not world.alive())


async def test_growing_again_starts_new_replicas_and_calls_none_back(world):
    await world.order(1)
    (first,) = await world.ready(1)
    world.running[first] = 1
    await world.order(0)

    with world.starts_held():
        await world.order(1)

        (second,) = await world.names()
        assert second != first
        assert not (await world.fleet()).replicas[0].ready
    world.running[first] = 0
    await until(lambda: first not in world.alive())
    assert await world.ready(1) == [second]


async def test_what_a_replica_serves_is_seen(world):
    await world.order(2)
    one, two = await world.ready(2)
    world.running[two] = 3

    assert [(r.name, r.running) for r in (await world.fleet()).replicas] == [(one, 0), (two, 3)]


async def test_a_replica_that_dies_is_not_ready_and_comes_back(world):
    await world.order(2)
    one, two = await world.ready(2)

    with world.starts_held():
        world.kill(one)

        await world.ready(1)
        assert (await world.fleet()).asked == 2
    assert await world.ready(2) == [one, two]


async def test_services_are_scaled_apart(world):
    await world.order(2)
    await world.order(1, service=OTHER)
    await world.ready(2)
    (other,) = await world.ready(1, OTHER)

    await world.order(0)

    assert await world.runs_nothing()
    assert await world.names(OTHER) == [other]
    assert (await world.fleet(OTHER)).replicas[0].ready


async def test_a_service_asked_for_twice_is_observed_once(world):
    await world.order(1)

    seen = await world.observe(SERVICE, OTHER, SERVICE)

    assert {service: fleet.asked for service, fleet in seen.items()} == {SERVICE: 1, OTHER: 0}
