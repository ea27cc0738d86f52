"""One decision: the recommendation, the rules in order, the bounds; what is unknown is held."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.bounds import fixed_bounds, replica_bounds
from algorithms.decider import Decider
from algorithms.good_time import GoodTimeClock
from algorithms.mpa import Mpa
from algorithms.observation import Observation
from algorithms.safety_rules import MaxCold, Passing, ToZeroDelay
from algorithms.standby import Standby
from algorithms.state import Stateless
from algorithms.types import Average, Decision, Reason, Recommendation

BOUNDS = ("maxReplicas", "minReplicas")
START_S = 1_700_000_000.0


class Wishing(Stateless):
    """An algorithm that wishes for what a test says, and keeps what it was shown."""

    def __init__(self, *replicas):
        self._replicas = list(replicas)
        self.shown = []

    def recommend(self, observation):
        self.shown.append(observation)
        return Recommendation(self._replicas.pop(0) if len(self._replicas) > 1 else self._replicas[0], "as told")


class Adding(Stateless):
    """A rule that adds a number."""

    def __init__(self, rule, number):
        self.rule = rule
        self._number = number

    def __call__(self, _observation, recommendation):
        return recommendation + self._number

    def why(self, _observation):
        return f"{self._number} more"


def observe(at_s=2.0, inflight=3.0, *, replicas=4, ready=4, **more):
    return Observation(START_S + at_s, START_S + at_s - 2, inflight, replicas, ready, **more)


def decider(algorithm, *rules, low=0, high=10, **options):
    return Decider(algorithm, rules=rules, bounds=fixed_bounds(low, high), **options)


def test_without_rules_it_is_the_algorithm_alone():
    assert decider(Wishing(3)).decide(observe()) == Decision(3, Recommendation(3, "as told"), (), BOUNDS)


def test_rules_come_in_their_order_and_each_is_given_what_the_one_before_made():
    decision = decider(Wishing(1), Adding("a", 2), Adding("b", 3)).decide(observe())
    assert decision == Decision(
        6, Recommendation(1, "as told"), (Reason("a", 1, 3, "2 more"), Reason("b", 3, 6, "3 more")), BOUNDS
    )


def test_a_rule_that_changes_nothing_is_no_reason_and_is_named():
    decision = decider(Wishing(1), Adding("a", 0), Adding("b", 1), ramp=Adding("c", 0)).decide(observe())
    assert [reason.rule for reason in decision.reasons] == ["b"]
    assert decision.unchanged == ("a", *BOUNDS, "c")


@pytest.mark.parametrize(
    ("recommendation", "desired", "reasons"),
    [
        (1, 2, (Reason("minReplicas", 1, 2, "at least 2"),)),
        (2, 2, ()),
        (5, 5, ()),
        (6, 5, (Reason("maxReplicas", 6, 5, "at most 5"),)),
    ],
)
def test_bounds_are_kept_and_told(recommendation, desired, reasons):
    assert decider(Wishing(recommendation), low=2, high=5).decide(observe()) == Decision(
        desired,
        Recommendation(recommendation, "as told"),
        reasons,
        tuple(rule for rule in BOUNDS if rule not in {reason.rule for reason in reasons}),
    )


def test_where_bounds_cross_the_lower_one_wins():
    assert decider(Wishing(9), low=5, high=3).decide(observe()).desired == 5


def test_no_recommendation_holds_the_number_within_the_bounds_and_past_the_rules():
    decision = decider(Wishing(None), Adding("a", 1), high=3).decide(observe(replicas=4))
    assert decision == Decision(
        3, Recommendation(None, "as told"), (Reason("maxReplicas", 4, 3, "at most 3"),), ("minReplicas",)
    )


def test_an_unknown_count_is_not_shown_to_an_algorithm_in_good_time():
    algorithm = Wishing(1)
    decision = decider(algorithm, Adding("a", 1), good_time=GoodTimeClock()).decide(
        observe(inflight=None, problem="down")
    )
    assert decision == Decision(4, Recommendation(None, "down"), (), BOUNDS)
    assert algorithm.shown == []


def test_without_good_time_the_algorithm_is_shown_what_is_unknown_too():
    algorithm, unknown = Wishing(1), observe(inflight=None, problem="down")
    assert decider(algorithm).decide(unknown).desired == 1
    assert algorithm.shown == [unknown]


def test_time_in_which_nothing_is_known_does_not_pass_for_algorithm_and_rules():
    algorithm = Wishing(0)
    rule = ToZeroDelay(delay_s=10.0)
    made = decider(algorithm, rule, good_time=GoodTimeClock())
    numbers = [
        made.decide(observe(at_s, inflight=None if 4 < at_s < 100 else 0.0)).desired for at_s in range(2, 114, 2)
    ]
    assert algorithm.shown[-1].now_s - algorithm.shown[0].now_s == len(algorithm.shown) * 2 - 2
    known = [number for at_s, number in zip(range(2, 114, 2), numbers, strict=True) if not 4 < at_s < 100]
    assert known == [1, 1, 1, 1, 1, 0, 0, 0, 0]


# A service that is idle.


def idle(at_s, **more):
    return observe(at_s, 0.0, replicas=0, ready=0, **more)


def test_a_second_idle_observation_is_decided_as_the_first():
    made = decider(Mpa(target=1.0), Passing(), good_time=GoodTimeClock())
    decisions = [made.decide(idle(at_s)) for at_s in (2, 4, 6)]
    recommendation = Recommendation(0, "0 in flight / 1", (Average("latest", 0.0, 0.0, 0.0),), 1.0)
    assert decisions == [Decision(0, recommendation, (), ("passing", *BOUNDS))] * 3


@pytest.mark.parametrize(
    ("seen", "desired"),
    [
        (observe(8, 3.0, replicas=0, ready=0), 3),
        (idle(8, latest=3.0), 3),
        (idle(8, passing=1), 1),
        (observe(8, 0.0, replicas=2, ready=2), 1),
        (idle(8, problem="silent"), 0),
        (observe(8, None, replicas=0, ready=0), 0),
    ],
)
def test_after_idle_observations_nothing_else_is_missed(seen, desired):
    rules = (Passing(), ToZeroDelay(delay_s=30.0))
    made = decider(Mpa(target=1.0), *rules, good_time=GoodTimeClock())
    for at_s in (2, 4, 6):
        made.decide(idle(at_s))
    # Zero has been recommended for 6 of 30 s: two replicas that somebody else asked for go down to the last.
    assert made.decide(seen).desired == desired


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.0, 1.0, None]), st.integers(0, 2)), max_size=20))
def test_skipping_idle_observations_changes_no_decision(rows):
    sparing = decider(Mpa(target=1.0), Passing(), ToZeroDelay(delay_s=6.0), good_time=GoodTimeClock())
    plain = decider(Mpa(target=1.0), Passing(), ToZeroDelay(delay_s=6.0), good_time=GoodTimeClock())
    for number, (inflight, replicas) in enumerate(rows):
        seen = observe(2.0 * number, inflight, replicas=replicas, ready=replicas)
        plain._idle = None
        assert sparing.decide(seen) == plain.decide(seen)


# State.


def full():
    return decider(Mpa(target=1.0), Passing(), ToZeroDelay(delay_s=10.0), good_time=GoodTimeClock())


def test_its_state_is_that_of_every_part_as_json():
    made = full()
    made.decide(observe(2, 0.0))
    state = json.loads(json.dumps(made.export()))
    assert set(state) == {"version", "algorithm", "stabilisers", "good_time"}
    assert list(state["stabilisers"]) == ["passing", "scaleDown.toZeroDelay"]
    assert state["stabilisers"]["scaleDown.toZeroDelay"]["zero_since_s"] == START_S + 2
    assert state["good_time"]["seen_s"] == START_S + 2


def test_a_restored_one_goes_on_with_its_delay():
    made, restored = full(), full()
    made.decide(observe(2, 0.0))
    restored.restore(made.export())
    assert [restored.decide(observe(at_s, 0.0)).desired for at_s in (4, 6, 8, 10, 12)] == [1, 1, 1, 1, 0]


def test_the_time_between_two_processes_did_not_pass():
    made, restored = full(), full()
    made.decide(observe(2, 0.0))
    restored.restore(made.export())
    assert [restored.decide(observe(at_s, 0.0)).desired for at_s in (3600, 3602, 3604, 3606, 3608)] == [1, 1, 1, 1, 0]


def test_restored_over_an_idle_service_it_decides_anew():
    used, other = full(), full()
    used.decide(idle(2))
    other.decide(observe(2, 3.0))
    used.restore(other.export())
    seen = [idle(4), *(observe(at_s, 0.0, replicas=2) for at_s in (6, 8, 10, 12, 14))]
    assert [used.decide(one) for one in seen] == [other.decide(one) for one in seen]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "Decider: version 99 is not 1"),
        ({"stabilisers": {}}, "another|other rules"),
        ({"good_time": None}, "another clock"),
    ],
)
def test_a_state_that_is_not_its_own_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        full().restore({**full().export(), **change})


def test_a_state_with_a_clock_is_refused_where_there_is_none():
    without = decider(Mpa(target=1.0), Passing(), ToZeroDelay(delay_s=10.0))
    with pytest.raises(ValueError, match="another clock"):
        without.restore(full().export())


NIGHT_S = START_S + 100.0


def by_day_and_night(now_s):
    return replica_bounds(0, 5, NIGHT_S) if now_s < NIGHT_S else replica_bounds(2, 20, least_by=" by night")


def bounded_by_time(algorithm, **options):
    return Decider(algorithm, bounds=by_day_and_night, **options)


def test_the_bounds_are_those_of_the_time_and_the_reason_says_what_set_them():
    decides = bounded_by_time(Wishing(9, 1))
    assert decides.decide(observe(98.0)).desired == 5
    assert decides.next_change_s(START_S + 98.0) == NIGHT_S
    assert decides.decide(observe(100.0)).reasons == (Reason("minReplicas", 1, 2, "at least 2 by night"),)


def test_an_idle_service_is_decided_on_again_when_its_bounds_change():
    decides = bounded_by_time(Mpa(target=1.0), good_time=GoodTimeClock())
    at_rest = {"inflight": 0.0, "replicas": 0, "ready": 0}
    assert decides.decide(observe(2.0, **at_rest)).desired == 0
    assert decides.is_settled
    assert decides.decide(observe(98.0, **at_rest)).desired == 0
    assert decides.decide(observe(100.0, **at_rest)).desired == 2


def test_unknown_time_that_is_left_out_of_windows_counts_for_the_bounds():
    decides = bounded_by_time(Mpa(target=1.0), good_time=GoodTimeClock())
    decides.decide(observe(2.0, 0.0, replicas=0, ready=0))
    assert decides.decide(observe(98.0, None, replicas=0, ready=0)).desired == 0
    assert decides.decide(observe(100.0, None, replicas=0, ready=0)).desired == 2


@pytest.mark.parametrize(
    ("replicas", "ready", "low", "desired"),
    [(0, 0, 10, 3), (3, 1, 10, 4), (5, 1, 10, 5), (3, 3, 10, 6), (9, 9, 10, 10), (0, 0, 0, 0)],
)
def test_a_ramp_comes_after_the_bounds_and_never_lowers_the_number(replicas, ready, low, desired):
    decides = decider(Wishing(0), low=low, ramp=MaxCold(most=3))
    assert decides.decide(observe(replicas=replicas, ready=ready)).desired == desired


def test_a_ramp_is_a_reason():
    decision = decider(Wishing(9), ramp=MaxCold(most=2)).decide(observe(replicas=4, ready=3))
    assert decision.reasons == (Reason("maxCold", 9, 5, "3 are ready, and at most 2 may start at once"),)


def test_a_ramp_holds_after_a_failure_too():
    decides = decider(Wishing(9), ramp=MaxCold(most=2), last_resort=Mpa(target=1.0))
    assert decides.decide_after_failure(observe(inflight=9.0, replicas=0, ready=0), "why").desired == 2


def test_a_rule_without_state_may_be_added_to_a_decider_that_goes_on():
    before = decider(Wishing(1), Passing(), ToZeroDelay(delay_s=30.0))
    before.decide(observe())
    after = decider(Wishing(1), Standby(replicas=1), ToZeroDelay(delay_s=30.0))
    after.restore(json.loads(json.dumps(before.export())))
    assert after.decide(observe(4.0)).desired == 2
