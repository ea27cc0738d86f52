"""When a service cannot wait for the next tick: one rule for the gateway, the controller and every engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.wake_up import NO_DEMAND, Demand, needs_wake_up, starts_holding
from simulations.engines import compiled_kernel, compiled_stream

DEMANDS = st.builds(Demand, *(st.integers(0, 3) for _ in Demand._fields))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (Demand(2, 5, 0), Demand(3, 6, 0)),
        (NO_DEMAND, Demand(0, 1, 0)),
        (Demand(0, 4, 0), Demand(0, 4, 1)),
    ],
)
def test_a_longer_queue_a_first_request_and_a_first_held_pass_request_wake_the_controller(before, now):
    assert needs_wake_up(before, now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (NO_DEMAND, NO_DEMAND),
        (Demand(3, 6, 0), Demand(2, 6, 0)),
        (Demand(0, 1, 0), Demand(0, 5, 0)),
        (Demand(0, 4, 1), Demand(0, 4, 2)),
        (Demand(1, 4, 1), NO_DEMAND),
    ],
)
def test_more_running_requests_and_anything_that_ends_wait_for_the_next_tick(before, now):
    assert not needs_wake_up(before, now)


@pytest.mark.parametrize("now", [Demand(1, 1, 0), Demand(0, 0, 1)])
def test_the_first_request_that_is_held_is_sent_at_once_and_the_second_is_not(now):
    assert starts_holding(NO_DEMAND, now)
    assert not starts_holding(now, Demand(now.queued + 1, now.inflight + 1, now.holding_pass))


@pytest.mark.slow
@given(before=DEMANDS, now=DEMANDS)
def test_the_compiled_engine_follows_the_same_rules(before, now):
    assert compiled_stream.needs_wake_up(before, now) == needs_wake_up(before, now)
    assert compiled_kernel.starts_holding(before, now) == starts_holding(before, now)
