"""Gateways come and go; their names outlive them by the look-back, and no longer."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.known_gateways import LOOK_BACK_S, KnownGateways, believed_claims
from autoscaler.sources.prometheus_response import ScrapedInstance

updates = st.tuples(st.floats(0, 2 * LOOK_BACK_S), st.sets(st.sampled_from("abc")))


@given(st.lists(updates, max_size=20), st.floats(0, 2 * LOOK_BACK_S))
def test_those_are_known_that_were_here_within_the_look_back(history, later_s):
    now_s, here, last_here_s = 0.0, set(), {}
    known = KnownGateways(lambda: now_s)
    for passed_s, names in history:
        now_s += passed_s
        last_here_s |= dict.fromkeys(here, now_s)
        here = names
        known.set(names)
    now_s += later_s
    lately = {name for name, at_s in last_here_s.items() if at_s >= now_s - LOOK_BACK_S}
    assert known.names() == {name: name for name in here | lately}


def test_a_pod_has_the_address_of_its_gateway_and_both_go_together():
    now_s = 0.0
    known = KnownGateways(lambda: now_s)
    known.set(["outside:9090"], {"gateway-a": "10.0.0.1:9090"})
    here = {"outside:9090": "outside:9090", "gateway-a": "10.0.0.1:9090", "10.0.0.1:9090": "10.0.0.1:9090"}
    assert known.names() == here
    known.set([])
    assert known.names() == here
    now_s = LOOK_BACK_S + 1
    assert known.names() == {}


def test_this_machine_is_the_same_however_it_is_called():
    known = KnownGateways(lambda: 0.0)
    known.set(["localhost:9090"])
    assert known.names() == dict.fromkeys(["localhost:9090", "127.0.0.1:9090", "[::1]:9090"], "localhost:9090")


NAMES = {"gateway-a": "10.0.0.1:9090", "10.0.0.1:9090": "10.0.0.1:9090", "gateway-b": "10.0.0.2:9090"}
ELSEWHERE, THIEF = ScrapedInstance("localhost:1", "gateway-a"), ScrapedInstance("thief:9090", "gateway-a")


def test_one_alone_is_believed_to_be_a_pod_that_is_not_scraped_under_its_own_address():
    assert believed_claims({ELSEWHERE}, (), NAMES) == {ELSEWHERE}
    assert believed_claims({ELSEWHERE}, {ScrapedInstance("gateway-b", "")}, NAMES) == {ELSEWHERE}


def test_nobody_is_believed_to_be_a_pod_that_is_scraped_under_its_own_address_or_name():
    for at_home in (
        ScrapedInstance("10.0.0.1:9090", "gateway-a"),
        ScrapedInstance("10.0.0.1:9090", ""),
        ScrapedInstance("gateway-a", ""),
    ):
        assert believed_claims({THIEF}, {at_home}, NAMES) == frozenset()


def test_of_two_who_say_that_they_are_the_same_pod_neither_is_believed():
    other = ScrapedInstance("localhost:2", "gateway-b")
    assert believed_claims({ELSEWHERE, THIEF, other}, (), NAMES) == {other}
