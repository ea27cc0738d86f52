"""Random schedules of two, three and four gateways keep the promises, with faults of all kinds, joins and leaves."""

import pytest
from peer_explorer import ends_well, shortened, walk
from peer_scopes import WALKS
from peer_states import Scope
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
