"""Announced requests raise the number before they arrive, never lower it, and hold nothing after their time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from legal_policies import legal_policies, observations

from algorithms.observation import Observation
from autoscaler.policy.decider_factory import decider
from autoscaler.testing import policy

START_S = 1_700_000_000.0
TRAFFIC = {"hosts": ["sd.example.com"]}
SLOW = {"delay": "10m", "toZeroDelay": "10m"}


class Service:
    """Replicas are as asked for and ready at once."""

    def __init__(self, **spec):
        self.decider = decider(policy(traffic=TRAFFIC, **{"hints": {}, "maxReplicas": 10, **spec}))
        self.now_s, self.replicas, self.decision = START_S, 0, None

    def observe(self, inflight=0.0, *, hinted=0, within_s=60.0):
        since_s, self.now_s = self.now_s, self.now_s + 2.0
        hints = {"hinted": float(hinted), "hinted_s": within_s} if hinted else {}
        seen = Observation(self.now_s, since_s, inflight, self.replicas, self.replicas, latest=inflight, **hints)
        self.decision = self.decider.decide(seen)
        self.replicas = self.decision.desired
        return self.replicas


def quiet(**spec):
    service = Service(**spec)
    for _ in range(400):
        service.observe()
    return service


def test_two_announced_requests_start_two_replicas_and_the_decision_says_so():
    service = quiet()
    assert service.observe(hinted=2) == 2
    (reason,) = service.decision.reasons
    assert (reason.rule, reason.why) == ("hints", "2 announced within 60 s")


@pytest.mark.parametrize("algorithm", ["concurrency", "mpa"])
@pytest.mark.parametrize("announced", [1, 2, 5])
def test_no_delay_holds_a_replica_after_the_time_of_its_hint(algorithm, announced):
    service = quiet(algorithm={algorithm: {}}, scaleDown=SLOW, hints={"max": 5})
    assert [service.observe(hinted=announced) for _ in range(30)] == [announced] * 30
    assert service.observe() == 0
    assert service.observe() == 0


def test_an_announced_request_needs_a_replica_beside_those_that_are_busy():
    service = quiet()
    for _ in range(60):
        service.observe(3.0)
    assert service.observe(3.0, hinted=1) == 4


def test_replicas_that_are_free_are_enough_for_what_is_announced():
    service = quiet(minReplicas=3)
    assert service.observe(1.0, hinted=2) == 3


def test_no_number_of_hints_goes_beyond_their_maximum_or_that_of_the_policy():
    assert quiet(hints={"max": 3}).observe(hinted=1000) == 3
    assert quiet(hints={"max": 30}, maxReplicas=4).observe(hinted=1000) == 4


def test_at_most_so_many_start_at_once_also_for_hints():
    assert quiet(maxCold=1).observe(hinted=2) == 1


def test_a_policy_without_hints_starts_nothing_for_one():
    assert quiet(hints=None).observe(hinted=2) == 0


def test_a_decider_goes_on_with_the_replicas_that_are_there_for_hints():
    service, other = quiet(hints={"max": 4}, scaleDown=SLOW), quiet(hints={"max": 4}, scaleDown=SLOW)
    assert service.observe(hinted=4) == 4
    other.decider.restore(service.decider.export())
    other.now_s, other.replicas = service.now_s, service.replicas
    assert other.observe() == service.observe() == 0


HINTED = st.sampled_from([0.0, 1.0, 3.0, 1000.0, float("nan"), -1.0, 1e308])


@given(given_policy=legal_policies(), seen=observations(), data=st.data())
def test_a_hint_never_lowers_the_number_of_any_policy(given_policy, seen, data):
    plain, told = decider(given_policy), decider(given_policy)
    most = given_policy.spec.hints.max if given_policy.spec.hints else 0
    for each in seen:
        hinted = data.draw(HINTED)
        without = plain.decide(each)
        # The state before this decision is the same in both: a hint is no part of what rules remember.
        told_now = told.decide(each._replace(hinted=hinted, hinted_s=60.0))
        assert told_now.desired >= without.desired
        if not most:
            assert told_now == without
        told.restore(plain.export())
