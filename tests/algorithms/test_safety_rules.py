"""Each rule by itself: what it changes, what it leaves alone, what it says, and that it goes on where it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.observation import Observation
from algorithms.safety_rules import (
    FirstWindow,
    FromZero,
    MaxCold,
    PartialCount,
    Passing,
    ScaleDownDelay,
    ToZeroDelay,
)
from algorithms.standby import Standby

START_S = 1_700_000_000.0


def observe(at_s=0.0, inflight=0.0, *, replicas=3, ready=3, since_s=None, **more):
    now_s = START_S + at_s
    return Observation(now_s, now_s - 2 if since_s is None else START_S + since_s, inflight, replicas, ready, **more)


# From zero.


@pytest.mark.parametrize(
    ("seen", "recommendation", "after"),
    [
        (observe(inflight=5.0, ready=0), 1, 5),
        (observe(inflight=0.4, latest=5.0, ready=0), 1, 5),
        (observe(inflight=5.0, ready=0), 8, 8),
        (observe(inflight=0.0, ready=0), 0, 0),
        (observe(inflight=5.0, ready=1), 1, 1),
    ],
)
def test_while_nobody_is_ready_what_is_held_now_is_asked_for(seen, recommendation, after):
    assert FromZero(target=1.0)(seen, recommendation) == after


def test_from_zero_asks_for_what_the_target_says():
    assert FromZero(target=2.5)(observe(inflight=6.0, ready=0), 0) == 3


def test_from_zero_names_the_count():
    assert FromZero(target=1.0).why(observe(inflight=0.4, latest=5.0, ready=0)) == (
        "no replica is ready and 5 requests are in flight"
    )


# Passing requests.


@pytest.mark.parametrize(
    ("passing", "recommendation", "after"), [(0, 0, 0), (1, 0, 1), (40, 0, 1), (40, 1, 1), (40, 3, 3)]
)
def test_uncounted_requests_need_one_replica_whatever_their_number(passing, recommendation, after):
    assert Passing()(observe(passing=passing), recommendation) == after


def test_passing_names_their_number():
    assert Passing().why(observe(passing=40)) == "40 uncounted requests need a replica"


# A part of the whole.


@pytest.mark.parametrize(
    ("problem", "recommendation", "after"),
    [("", 1, 1), ("silent", 1, 3), ("silent", 0, 3), ("silent", 3, 3), ("silent", 9, 9)],
)
def test_a_part_may_raise_and_never_lowers(problem, recommendation, after):
    assert PartialCount()(observe(replicas=3, problem=problem), recommendation) == after


def test_a_part_says_what_is_missing():
    assert PartialCount().why(observe(problem="one of two gateways is silent")) == "one of two gateways is silent"


# The delay of a fall.


def wishes(rule, *told):
    return [rule(observe(at_s), recommendation) for at_s, recommendation in told]


def test_the_number_falls_to_the_highest_recommendation_of_the_delay():
    rule = ScaleDownDelay(delay_s=10.0)
    told = [(0, 5), (2, 3), (4, 4), (6, 1), (8, 1), (10, 1), (12, 1), (14, 1), (16, 1)]
    assert wishes(rule, *told)[:5] == [5, 5, 5, 5, 5]
    assert wishes(ScaleDownDelay(delay_s=10.0), *told)[-1] < 5


def test_a_rise_is_never_delayed():
    assert wishes(ScaleDownDelay(delay_s=10.0), (0, 1), (2, 5), (4, 9)) == [1, 5, 9]


@given(st.lists(st.tuples(st.floats(0.1, 20), st.integers(0, 9)), min_size=1, max_size=40), st.integers(1, 30))
def test_a_delayed_number_is_a_recommendation_of_the_delay_and_none_was_higher(steps, delay_s):
    rule, now_s, told = ScaleDownDelay(delay_s=float(delay_s)), 0.0, []
    for step_s, recommendation in steps:
        now_s += step_s
        told.append((now_s, recommendation))
        after = rule(observe(now_s), recommendation)
        # As in Knative the window is of slots of two seconds, the current one included: it may be so much shorter.
        within = [w for at_s, w in told if at_s > now_s - delay_s + 2]
        around = [w for at_s, w in told if at_s > now_s - delay_s - 2]
        assert max(within, default=recommendation) <= after <= max(around)
        assert after in around


def test_the_delay_names_itself():
    assert ScaleDownDelay(delay_s=10.0).why(observe()) == "the highest recommendation within the last 10 s"


# The delay of the last replica.


def test_the_last_replica_goes_when_zero_was_recommended_without_a_break():
    rule = ToZeroDelay(delay_s=10.0)
    assert wishes(rule, (0, 0), (5, 0), (9.9, 0), (10, 0)) == [1, 1, 1, 0]


def test_any_other_recommendation_restarts_the_delay():
    rule = ToZeroDelay(delay_s=10.0)
    assert wishes(rule, (0, 0), (9, 0), (9.5, 2), (12, 0), (21, 0), (22, 0)) == [1, 1, 2, 1, 1, 0]


def test_all_but_the_last_go_at_once():
    assert ToZeroDelay(delay_s=10.0)(observe(replicas=5), 0) == 1


def test_where_nothing_is_nothing_is_asked_for():
    assert ToZeroDelay(delay_s=10.0)(observe(replicas=0), 0) == 0


def test_without_a_delay_the_last_replica_goes_at_once():
    assert ToZeroDelay(delay_s=0.0)(observe(), 0) == 0


def test_the_delay_says_how_far_it_has_run():
    rule = ToZeroDelay(delay_s=30.0)
    assert rule.why(observe()) == "zero has been recommended for 0.0 of 30 s"
    wishes(rule, (0, 0), (12.34, 0))
    assert rule.why(observe(12.34)) == "zero has been recommended for 12.3 of 30 s"


# The first window.


def test_nothing_is_lowered_before_one_window_is_known():
    rule = FirstWindow(window_s=10.0)
    assert rule(observe(0, replicas=5, since_s=0), 1) == 5
    assert [rule(observe(at_s, replicas=5), 1) for at_s in (4, 9.9, 10, 12)] == [5, 5, 1, 1]


def test_the_first_window_raises_nothing_above_the_recommendation():
    rule = FirstWindow(window_s=10.0)
    assert [rule(observe(2, replicas=5), recommendation) for recommendation in (5, 7)] == [5, 7]


def test_the_window_begins_with_the_time_that_the_first_observation_covers():
    rule = FirstWindow(window_s=10.0)
    assert rule(observe(10, replicas=5, since_s=0), 1) == 1


def test_without_a_window_nothing_is_held():
    assert FirstWindow(window_s=0.0)(observe(replicas=5), 1) == 1


def test_the_first_window_says_how_much_of_it_is_known():
    rule = FirstWindow(window_s=60.0)
    rule(observe(4, replicas=5, since_s=0), 1)
    assert rule.why(observe(4)) == "4.0 of 60 s are known since the start"


# All of them.


RULES = {
    "fromZero": lambda: FromZero(target=1.0),
    "passing": Passing,
    "scaleDown.delay": lambda: ScaleDownDelay(delay_s=20.0),
    "scaleDown.toZeroDelay": lambda: ToZeroDelay(delay_s=20.0),
    "partialCount": PartialCount,
    "firstWindow": lambda: FirstWindow(window_s=60.0),
}
LOOKS = st.lists(
    st.tuples(
        st.floats(0.1, 30), st.floats(0, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from(["", "silent"])
    ),
    min_size=1,
    max_size=30,
)


def looks_of(rows):
    now_s = 0.0
    for step_s, inflight, replicas, recommendation, problem in rows:
        now_s += step_s
        seen = observe(now_s, inflight, replicas=replicas, ready=replicas % 3, since_s=now_s - step_s, problem=problem)
        yield seen, recommendation


@pytest.mark.parametrize("name", RULES)
def test_a_rule_stands_under_its_name(name):
    assert RULES[name]().rule == name


@pytest.mark.parametrize("name", RULES)
@given(rows=LOOKS)
def test_no_rule_lowers_a_recommendation_or_gives_more_than_was_recommended_held_or_there(name, rows):
    rule, seen_wishes = RULES[name](), [0]
    for seen, recommendation in looks_of(rows):
        seen_wishes.append(recommendation)
        after = rule(seen, recommendation)
        assert recommendation <= after <= max(*seen_wishes, seen.replicas, 1, round(seen.inflight + 0.5))
        assert rule.why(seen) or name == "partialCount"


def test_a_delay_goes_on_from_a_state_that_release_0_1_0_wrote():
    before, after = ScaleDownDelay(delay_s=10.0), ScaleDownDelay(delay_s=10.0)
    before(observe(1.0), 5)
    state = before.export()
    after.restore({"version": 1, "wishes": state["recommendations"]})
    assert (after(observe(2.0), 1), after.export()["version"]) == (5, 2)
    with pytest.raises(ValueError, match="ScaleDownDelay: version 3 is not 1 or 2"):
        after.restore(state | {"version": 3})


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
@given(rows=LOOKS, cut=st.integers(0, 30))
def test_a_restored_rule_goes_on_where_it_was(name, rows, cut):
    before, after = RULES[name](), RULES[name]()
    for number, (seen, recommendation) in enumerate(looks_of(rows)):
        if number == min(cut, len(rows) - 1):
            after.restore(json.loads(json.dumps(before.export())))
        answer = before(seen, recommendation), before.why(seen)
        if number >= min(cut, len(rows) - 1):
            assert (after(seen, recommendation), after.why(seen)) == answer


@pytest.mark.parametrize("name", RULES)
def test_a_state_of_an_unknown_version_is_refused(name):
    rule = RULES[name]()
    with pytest.raises(ValueError, match="version"):
        rule.restore({**rule.export(), "version": 99})


# Spare replicas, and how many start at once.


@pytest.mark.parametrize(("recommendation", "after"), [(0, 0), (1, 3), (7, 9)])
def test_spare_replicas_stand_by_while_there_is_load_and_none_at_rest(recommendation, after):
    assert Standby(replicas=2)(observe(), recommendation) == after


def test_standby_names_its_number():
    assert Standby(replicas=2).why(observe()) == "2 spare while there is load"


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 40), st.integers(1, 9))
def test_no_more_start_at_once_than_may_and_the_number_is_never_lowered(replicas, ready, recommendation, most):
    after = MaxCold(most=most)(observe(replicas=replicas, ready=ready), recommendation)
    assert after <= recommendation
    assert after - ready <= most or after <= replicas
    assert after == recommendation or after >= replicas
