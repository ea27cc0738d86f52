"""Services with pools over a target of their members, beyond the contract that all targets keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.observation import PoolState
from algorithms.types import Reason
from autoscaler.ports import Outcome, Override, ScaleRequest
from autoscaler.targets.pooled import PooledTarget
from autoscaler.testing import FakeScaleTarget, VirtualTimeLoop

SERVICE, PLAIN = "default/sd", "default/plain"
POOLS = ("a10", "l20", "p100")
A10, L20, P100 = (f"{SERVICE}#{pool}" for pool in POOLS)


class Members(FakeScaleTarget):
    """The objects of the members, and each request in its order."""

    def __init__(self):
        super().__init__([A10, L20, P100, PLAIN], lambda: 0.0)
        self.requests, self.problems, self.overrides, self.drains = [], {}, {}, {}

    async def observe(self, services):
        fleets = await super().observe(services)
        return {name: fleet._replace(override=self.overrides.get(name)) for name, fleet in fleets.items()}

    async def scale(self, orders):
        self.requests += [(order.service, order.replicas) for order in orders]
        return [each._replace(drain=self.drains.get(each.service, ())) for each in await super().scale(orders)]

    def problem(self, service):
        return self.problems.get(service, "")

    def shared_problem(self):
        return ""

    async def quiet(self):
        pass


class Objects:
    def __init__(self):
        self.problems, self.refusals = {}, {}

    def problem(self, member):
        return self.problems.get(member, "")

    def refusal(self, member):
        return self.refusals.get(member, "")


class World:
    def __init__(self):
        self.members, self.objects = Members(), Objects()
        self.target = PooledTarget(self.members, self.objects)
        self.target.set_pools({SERVICE: POOLS})

    async def fleet(self, service=SERVICE):
        return (await self.target.observe([service])).get(service)

    async def order(self, *asked, remove=()):
        """Ask for replicas of the pools, in their order; gives the error."""
        (outcome,) = await self.target.scale(
            [ScaleRequest(SERVICE, sum(asked), remove, dict(zip(POOLS, asked, strict=True)))]
        )
        assert outcome.service == SERVICE
        return outcome.error

    async def asked(self):
        return tuple(pool.asked for pool in (await self.fleet()).pools)


@pytest.fixture
def world():
    return World()


async def test_the_fleet_has_each_pool_in_order_and_each_replica_knows_its_pool(world):
    await world.order(1, 0, 2)
    first = (await world.fleet()).replicas[0].name
    world.members.running[first] = 1

    fleet = await world.fleet()

    assert fleet.asked == 3
    assert [replica.pool for replica in fleet.replicas] == ["a10", "p100", "p100"]
    assert fleet.pools == (
        PoolState("a10", 1, ready=1, busy=1),
        PoolState("l20", 0),
        PoolState("p100", 2, ready=2),
    )


async def test_a_service_without_pools_is_passed_on_as_it_is(world):
    (outcome,) = await world.target.scale([ScaleRequest(PLAIN, 2, ())])

    assert outcome == Outcome(PLAIN)
    fleets = await world.target.observe([PLAIN, SERVICE])
    assert (fleets[PLAIN].asked, fleets[PLAIN].pools) == (2, ())
    assert list(fleets) == [PLAIN, SERVICE]


async def test_pools_that_grow_come_before_those_that_shrink_and_the_rest_is_left_alone(world):
    await world.order(0, 3, 1)
    world.members.requests.clear()

    assert await world.order(2, 1, 1) == ""

    assert world.members.requests == [(A10, 2), (L20, 1)]


async def test_while_one_pool_cannot_grow_none_shrinks_and_the_error_names_the_pool(world):
    await world.order(0, 3, 0)
    world.members.errors[A10] = "the API server is away"

    assert await world.order(3, 0, 0) == "pool a10: the API server is away"
    assert await world.asked() == (0, 3, 0)

    world.members.errors.clear()
    assert await world.order(3, 0, 0) == ""
    assert await world.asked() == (3, 0, 0)


async def test_replicas_to_remove_are_named_to_the_pool_in_which_they_run(world):
    await world.order(2, 2, 0)
    good, better, bad, worse = [replica.name for replica in (await world.fleet()).replicas]

    await world.order(1, 1, 0, remove=(bad, good))

    assert [replica.name for replica in (await world.fleet()).replicas] == [better, worse]


async def test_while_one_member_is_unknown_the_service_is_unknown_and_the_problem_names_the_pool(world):
    await world.order(1, 1, 0)
    world.members.unseen.add(L20)
    world.members.problems[L20] = "Deployment default/sd-l20 does not exist"

    assert await world.fleet() is None
    assert world.target.problem(SERVICE) == "pool l20: Deployment default/sd-l20 does not exist"
    assert world.target.problem(PLAIN) == ""


async def test_a_pool_whose_object_cannot_be_made_is_a_pool_without_room(world):
    await world.order(1, 0, 0)
    world.members.unseen.add(L20)
    world.objects.refusals[L20] = world.objects.problems[L20] = "forbidden"

    assert await world.order(1, 2, 0) == ""

    fleet = await world.fleet()
    assert fleet.asked == 3
    assert fleet.pools == (
        PoolState("a10", 1, ready=1),
        PoolState("l20", 2, unplaced=2, refused=True, why="forbidden"),
        PoolState("p100", 0),
    )
    assert world.target.problem(SERVICE) == "pool l20: forbidden"

    assert await world.order(1, 0, 2) == ""
    assert await world.asked() == (1, 0, 2)


async def test_an_object_that_is_not_made_on_purpose_is_no_problem(world):
    world.members.unseen.add(L20)
    world.members.problems[L20] = "Deployment default/sd-l20 does not exist"
    world.objects.refusals[L20] = "in DryRun no copies are made"
    assert world.target.problem(SERVICE) == ""
    assert await world.asked() == (0, 0, 0)


async def test_a_pool_whose_object_is_made_after_all_has_what_is_asked_of_it_then(world):
    world.members.unseen.add(L20)
    world.objects.refusals[L20] = "forbidden"
    await world.order(1, 2, 0)

    world.objects.refusals.clear()
    assert await world.fleet() is None
    world.members.unseen.clear()

    assert await world.asked() == (1, 0, 0)


async def test_what_holds_one_member_holds_the_service_and_names_the_pool(world):
    world.members.overrides[L20] = Override("foreignWriter", 300.0, "kubectl has written 5", yields_to_load=True)

    override = (await world.fleet()).override

    assert override == Override("foreignWriter", 300.0, "pool l20: kubectl has written 5", yields_to_load=True)


@pytest.mark.parametrize(
    ("pools", "error"),
    [
        ({}, "default/sd has pools, and the request for 2 replicas names none"),
        ({"a10": 1, "b200": 1, "h100": 0}, "default/sd has no pool b200, h100"),
    ],
)
async def test_a_request_that_does_not_fit_the_pools_changes_nothing(world, pools, error):
    (outcome,) = await world.target.scale([ScaleRequest(SERVICE, 2, (), pools)])

    assert outcome.error == error
    assert world.members.requests == []


async def test_how_drains_of_members_went_is_told_in_numbers_of_the_service(world):
    await world.order(3, 2, 2)
    kept = {A10: Reason("podsBusy", 1, 2, "one became busy"), P100: Reason("drainCancelled", 0, 2, "woken")}
    world.members.drains = {member: (reason,) for member, reason in kept.items()}
    asked = {"a10": 1, "l20": 2, "p100": 0}

    (outcome,) = await world.target.scale([ScaleRequest(SERVICE, 3, (), asked)])

    assert outcome.drain == (
        Reason("podsBusy", 3, 4, "pool a10: one became busy"),
        Reason("drainCancelled", 4, 6, "pool p100: woken"),
    )


numbers = st.tuples(*[st.integers(0, 4)] * len(POOLS))


@given(before=numbers, after=numbers, failing=st.sets(st.sampled_from([A10, L20, P100])))
def test_no_order_of_failures_leaves_fewer_replicas_than_before_or_than_asked_for(before, after, failing):
    async def story():
        world = World()
        await world.order(*before)
        world.members.errors = dict.fromkeys(failing, "away")
        error = await world.order(*after)
        found = await world.asked()
        assert sum(found) >= min(sum(before), sum(after))
        assert (error == "") == (found == after)
        assert all(number in (was, now) for number, was, now in zip(found, before, after, strict=True))

    with_loop(story())


def with_loop(story):
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(story)
    finally:
        loop.close()
