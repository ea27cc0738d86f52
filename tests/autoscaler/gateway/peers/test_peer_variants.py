"""Protocols that look right and are not break a promise where the shipped one does not: the walks would see it."""

from dataclasses import replace

import pytest
from peer_explorer import at_rest, walk
from peer_states import GRANTED, RUNS, TIMES, WAITS, Scope
from peer_variants import VARIANTS
from peer_world import World

pytestmark = pytest.mark.slow

WALKS, STEPS, FAULT_RATE = 300, 80, 0.1


def finding(variant, walks):
    """Return how the code as it is now breaks a promise in the scope of a variant, None if it does not."""
    return next(filter(None, (walk(variant.scope, seed, STEPS, FAULT_RATE).finding for seed in range(walks))), None)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.sentence)
def test_a_protocol_that_looks_right_breaks_a_promise(variant):
    with variant.shipped():
        assert finding(variant, WALKS)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.sentence)
def test_the_shipped_protocol_keeps_its_promises_where_a_variant_breaks_them(variant):
    found = finding(variant, WALKS // 10)
    assert not found, str(found)


@pytest.mark.parametrize(("clock_error", "status"), [(1.0, GRANTED), (1.1, WAITS)])
def test_a_slot_is_free_too_soon_if_it_is_held_for_exactly_one_permit_and_a_clock_is_slow(clock_error, status):
    times = TIMES._replace(permit_s=28, clock_error=clock_error, low_permit_s=0)
    faults = ("refusal", "pause", "slow")
    scope = Scope("slow", service="ns/app", times=times, faults=faults, budget=3, ticks=9, lost=2.8)
    world = World(replace(scope, service_time=21.0, grace=21.0))
    state = world.first()
    for action in [("arrive", "r0"), ("arrive", "r1"), ("tick",)]:
        state = at_rest(world, world.after(state, action))
    state = world.after(state, ("break, refused", "a", "b"))
    for action in [("pause", "a"), ("slow tick", "a"), ("tick",), ("tick",)]:
        state = at_rest(world, world.after(state, action))
    state = world.after(world.after(state, ("resume", "a")), ("start", "r0"))
    for action in [("tick",), ("tick",)]:
        state = at_rest(world, world.after(at_rest(world, state), action))
    assert state.requests[0].status == RUNS
    assert state.requests[1].status == status
