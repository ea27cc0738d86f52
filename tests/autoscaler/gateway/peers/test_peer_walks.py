"""Random schedules of two, three and four gateways keep the promises, with faults of all kinds, joins and leaves."""

import pytest
from peer_explorer import at_rest, ends_well, shortened, walk
from peer_scopes import WALKS
from peer_states import ORPHANED, WAITS, Scope
from peer_world import World

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scope", WALKS, ids=lambda scope: scope.name)
@pytest.mark.parametrize("fault_rate", [0.01, 0.04, 0.1])
def test_gateways_keep_their_promises_on_random_walks(scope, fault_rate):
    for seed in range(3):
        walked = walk(scope, seed, 1000, fault_rate)
        assert not walked.finding, f"seed {seed}: {shortened(scope, walked.finding)}"


def test_a_gateway_goes_on_alone_when_one_died_before_it_knew_that_another_had_died():
    world = World(
        Scope("one by one", service="ns/app", gateways=("a", "b", "c"), requests=("b",), faults=("crash",), budget=2)
    )
    state = world.first()
    both_notice = [("deliver", "c", "a"), ("deliver", "c", "b"), ("deliver", "a", "b")]
    for action in [("crash", "c"), *both_notice, ("store", "b"), ("crash", "a"), ("arrive", "r0")]:
        assert action in world.everything(state)
        state = world.after(state, action)
    assert not ends_well(world, state)


def test_a_request_that_ended_while_its_gateway_was_stopped_hides_no_request_of_a_lost_owner():
    world = World(Scope("a stop and a crash", requests=("a", "b", "a"), faults=("pause", "crash"), budget=2, ticks=20))
    state = at_rest(world, world.after(world.first(), ("arrive", "r0")))
    for action in [("start", "r0"), ("arrive", "r1"), ("pause", "a"), *[("tick",)] * 8]:
        state = at_rest(world, world.after(state, action))
    for action in [("start", "r1"), ("crash", "b"), ("resume", "a"), ("arrive", "r2")]:
        state = world.after(state, action)
    assert state.requests[1].status == ORPHANED
    state = at_rest(world, state)
    assert state.members[0].out.owns
    assert state.requests[2].status == WAITS
