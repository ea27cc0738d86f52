"""The behaviours of a gateway to which another one grants its slots: the tests of a single one, with both."""

import asyncio

import pytest
import test_behaviours_affinity
import test_behaviours_queue
import test_behaviours_retry
import test_behaviours_slots
from conftest import LONGEST_S, cancel_all
from peers_kit import TakerKit

pytestmark = pytest.mark.real_time
MODULES = (test_behaviours_affinity, test_behaviours_queue, test_behaviours_retry, test_behaviours_slots)
OF_ONE_GATEWAY = {
    # With one request at a time no connection to a pod stays open, so that no other gateway has to wait for its end.
    "test_b02_a_pod_that_breaks_off_what_a_client_left_on_a_used_connection_is_free",
    "test_b22_a_get_that_met_an_idle_connection_in_the_moment_of_its_closing_is_sent_again",
    "test_b23_a_request_with_a_body_never_takes_an_idle_connection",
    # Both gateways ask the pod whether it is ready.
    "test_b02_a_pod_that_says_come_later_to_a_client_that_left_is_free",
    # A grant takes a round trip.
    "test_b11_waiters_go_to_a_new_pod_in_the_moment_it_comes",
    "test_b24_a_pod_that_refuses_is_no_black_hole_though_the_other_is_busy",
    # Long, and nearly the same at each gateway.
    "test_b67_an_internal_error_is_500_if_nothing_was_sent_and_frees_the_slot",
}
globals().update(
    {
        name: test
        for module in MODULES
        for name, test in vars(module).items()
        if name.startswith("test_b") and name not in OF_ONE_GATEWAY and not hasattr(test, "hypothesis")
    }
)


@pytest.fixture
async def kit():
    """As everywhere, but its gateways do not own their service."""
    guard = asyncio.get_running_loop().call_later(LONGEST_S, cancel_all)
    made = TakerKit()
    yield made
    guard.cancel()
    await made.close()
