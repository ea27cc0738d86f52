"""Whatever legal policy, whatever anybody tells: nothing raises, each number is within bounds, nobody else notices."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from legal_policies import legal_policies, observations

from autoscaler.controller.records import from_json, to_json
from autoscaler.controller.replay import Replay
from autoscaler.controller.services import service_of
from autoscaler.controller.step import Service, step
from autoscaler.policy.decider_factory import ALGORITHMS, decider, lookback_s
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Fleet, Outcome, Record

pytestmark = pytest.mark.slow

WEB, NEIGHBOUR = "default/web", "default/neighbour"


def is_decided(decision, policy):
    """Tell whether a number can be asked for: whole, and never more than the policy says."""
    return type(decision.desired) is int and 0 <= decision.desired <= policy.spec.highest_max_replicas


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
def test_no_decider_raises_and_each_decision_is_within_the_bounds(algorithm, data):
    policy = data.draw(legal_policies(algorithm, least_fields=True))
    decides = decider(policy)
    for observation in data.draw(observations()):
        assert is_decided(decides.decide(observation), policy)
        held = decides.decide_after_failure(observation, "why")
        assert observation.replicas <= held.desired <= max(observation.replicas, policy.spec.highest_max_replicas)


@pytest.mark.parametrize("algorithm", ["concurrency", "mpa"])
@given(data=st.data())
def test_each_decision_is_within_the_bounds_of_its_time(algorithm, data):
    policy = data.draw(legal_policies(algorithm, least_fields=True))
    decides = decider(policy)
    for observation in data.draw(observations()):
        least, most = policy.spec.replica_range(observation.now_s)
        desired = decides.decide(observation).desired
        started = observation.ready + (policy.spec.max_cold or most)
        assert min(least, max(observation.replicas, started)) <= desired <= most


TIMES = st.one_of(st.floats(), st.sampled_from([0.0, 1.7e9, 1.7e9 + 2, 1e18, 1e308, -1e308]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
def test_no_decider_raises_whatever_clock_it_is_shown(algorithm, data):
    policy = data.draw(legal_policies(algorithm, least_fields=True))
    decides = decider(policy)
    for observation in data.draw(observations()):
        anyhow = observation._replace(now_s=data.draw(TIMES), since_s=data.draw(TIMES))
        assert is_decided(decides.decide(anyhow), policy)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
def test_an_observation_at_no_time_changes_nothing(algorithm, data):
    policy = data.draw(legal_policies(algorithm, least_fields=True))
    shown, spared = decider(policy), decider(policy)
    for observation in data.draw(observations()):
        shown.decide(observation._replace(now_s=data.draw(st.sampled_from([math.inf, -math.inf, math.nan, 1e18]))))
        assert shown.decide(observation) == spared.decide(observation)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
def test_what_is_remembered_can_be_carried_over_at_any_moment(algorithm, data):
    policy = data.draw(legal_policies(algorithm, least_fields=True))
    drawn = data.draw(observations())
    cut = data.draw(st.integers(0, len(drawn)))
    goes_on, before = decider(policy), decider(policy)
    for observation in drawn[:cut]:
        goes_on.decide(observation)
        before.decide(observation)
    carried = decider(policy)
    carried.restore(json.loads(json.dumps(before.export(), allow_nan=False)))
    assert [carried.decide(observation).desired for observation in drawn[cut:]] == [
        goes_on.decide(observation).desired for observation in drawn[cut:]
    ]


@given(st.data())
@settings(max_examples=50)
def test_a_neighbour_is_decided_on_as_if_it_were_alone(data):
    policy, other = data.draw(legal_policies(least_fields=True)), data.draw(legal_policies(least_fields=True))
    both = {WEB: Service(decider(policy)), NEIGHBOUR: Service(decider(other))}
    alone = {NEIGHBOUR: Service(decider(other))}
    drawn, others = data.draw(observations()), data.draw(observations())
    for observation, seen in zip(drawn, others, strict=False):
        fleet = Fleet(seen.replicas, ())
        _, taken = step(both, {WEB: (observation, Fleet(observation.replicas, ())), NEIGHBOUR: (seen, fleet)})
        assert taken.failure is None
        assert taken.decision == step(alone, {NEIGHBOUR: (seen, fleet)})[0].decision


@given(st.data())
@settings(max_examples=50)
def test_the_log_of_any_policy_replays_to_the_same_decisions(data):
    policy = data.draw(legal_policies())
    service = service_of(policy)
    lines = [{"service": WEB, "policy": policy.model_dump(mode="json", exclude_unset=True), "state": service.export()}]
    # A controller's looks have no numbers that cannot be true, and JSON has none either.
    for observation in data.draw(observations()):
        counts = {"inflight": observation.inflight, "latest": observation.latest}
        sane = observation._replace(
            **{key: 3.0 if count and not 0 <= count < 1e9 else count for key, count in counts.items()},
            passing=max(observation.passing, 0),
        )
        (taken,) = step({WEB: service}, {WEB: (sane, Fleet(sane.replicas, ()))})
        record = Record(WEB, sane, taken.decision, Outcome(WEB), candidates=taken.candidates)
        lines.append(json.loads(json.dumps(to_json(record), allow_nan=False)))
    assert not any(each.differs for each in Replay().lines(lines))
    assert [from_json(dict(line)) for line in lines[1:]]


@given(legal_policies())
def test_any_policy_is_read_again_as_the_same_one_and_reaches_back_so_far(policy):
    again = ScalingPolicy.model_validate(json.loads(json.dumps(policy.model_dump(mode="json"), allow_nan=False)))
    assert again == policy
    assert 0 <= lookback_s(policy) < 1e6


@given(legal_policies("kpa", least_fields=True))
def test_no_least_scale_of_knatives_is_above_the_most_of_the_policy(policy):
    options = policy.spec.kpa_options()
    assert options is not None
    assert options.min_scale <= policy.spec.max_replicas
