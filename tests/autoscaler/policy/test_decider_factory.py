"""The decider of a policy, told as stories: at this time, this load, expect this."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.observation import Observation
from autoscaler.policy.algorithm import AlgorithmChoice, Mpa
from autoscaler.policy.decider_factory import ALGORITHMS, check_wiring, decider, lookback_s
from autoscaler.testing import policy

START_S = 1_700_000_000.0
TICK_S = 2.0


class Story:
    """A service whose replicas follow the decisions at once, and are ready when the story says so."""

    def __init__(self, replicas=0, **spec):
        self.decider = decider(policy(**spec))
        self.now_s = START_S
        self.replicas = self.ready = replicas
        self.decision = None

    def observe(self, inflight, *, after_s=TICK_S, **more):
        since_s, self.now_s = self.now_s, self.now_s + after_s
        seen = Observation(self.now_s, since_s, inflight, self.replicas, min(self.ready, self.replicas), **more)
        self.decision = self.decider.decide(seen)
        self.replicas = self.decision.desired
        return self.replicas

    def for_s(self, seconds, inflight, **more):
        """Give the replicas after each tick of some time under a constant load."""
        return [self.observe(inflight, **more) for _ in range(round(seconds / TICK_S))]

    def rules(self):
        return [reason.rule for reason in self.decision.reasons]


def five_busy(**spec):
    """Five replicas that have served five requests for longer than any window."""
    story = Story(5, **spec)
    story.for_s(120, 5.0)
    assert story.replicas == 5
    return story


# From zero.


def test_five_requests_at_zero_are_asked_five_replicas_at_the_fifth():
    story = Story()
    story.for_s(300, 0.0)
    wished = [story.observe(float(n), after_s=0.001, latest=float(n)) for n in (1, 2, 3, 4, 5)]
    assert wished == [1, 2, 3, 4, 5]


def test_a_burst_that_falls_on_two_seconds_is_asked_for_at_once_all_the_same():
    story = Story()
    story.now_s = START_S + 0.9995
    story.observe(1.0, after_s=0.0001, latest=1.0)
    assert story.observe(1.0, after_s=0.001, latest=5.0) == 5


def test_right_after_zero_the_idle_time_before_a_burst_is_not_averaged_in():
    story = five_busy(scaleDown={"toZeroDelay": "0s"})
    while story.replicas:
        story.observe(0.0)
    assert story.observe(3.0, after_s=0.01, latest=3.0) == 3
    assert story.rules() == ["fromZero"]


def test_during_a_long_cold_start_neither_more_nor_fewer_are_asked_for():
    story = Story()
    story.ready = 0
    story.observe(5.0, latest=5.0)
    assert set(story.for_s(600, 5.0, latest=5.0)) == {5}


def test_nothing_is_asked_for_beyond_the_maximum():
    story = Story(maxReplicas=10)
    assert story.observe(40.0, latest=40.0) == 10
    assert story.rules() == ["maxReplicas"]


# Down again.


@pytest.mark.parametrize(
    "algorithm",
    [
        {"kpa": {"maxScale": 0}},
        {"kpa": {"maxScale": 2**31 - 1, "initialScale": 2**31 - 1, "activationScale": 50}},
        {"kpa": {"minScale": 3, "maxScale": 0, "initialScale": 7}},
        {"hpa": {"kubernetes": "1.37"}},
        {"keda": {"fallback": {"failureThreshold": 0, "replicas": 2**31 - 1}}},
        {"mpa": {}},
        {"concurrency": {"safety": {"fromZero": False, "firstWindow": False, "goodTime": False}}},
    ],
)
@pytest.mark.parametrize("counts", [[1e6], [2.0**53], [None], [5.0, None, 1e9]])
@pytest.mark.parametrize("replicas", [0, 1, 3, 2**31 - 1])
def test_whatever_an_algorithm_is_set_to_it_asks_for_no_more_than_the_policys_maximum(algorithm, counts, replicas):
    story = Story(replicas, maxReplicas=3, algorithm=algorithm)
    for count in counts * 60:
        assert 0 <= story.observe(count) <= 3
        if story.decision.recommendation.replicas and story.decision.recommendation.replicas > 3:
            assert story.decision.reasons[-1].rule == "maxReplicas"


def test_after_the_load_the_number_falls_in_steps_and_the_last_replica_waits_for_its_delay():
    story = five_busy()
    numbers = story.for_s(120, 0.0)
    assert sorted(numbers, reverse=True) == numbers
    assert set(numbers) == {5, 4, 3, 2, 1, 0}
    last_window_s = numbers.index(0) * TICK_S
    assert last_window_s == pytest.approx(60 + 30, abs=2 * TICK_S)


def test_a_request_during_the_last_delay_starts_it_anew():
    story = five_busy()
    while story.replicas > 1:
        story.observe(0.0)
    story.for_s(30, 0.0)
    story.observe(1.0)
    assert set(story.for_s(30, 0.0)) == {1}


def test_the_number_stays_at_the_highest_recommendation_of_the_delay():
    story = five_busy(scaleDown={"delay": "5m"})
    assert set(story.for_s(298, 0.0)) == {5}


def test_the_minimum_is_kept_whatever_is_recommended():
    story = five_busy(minReplicas=2)
    assert story.for_s(300, 0.0)[-1] == 2
    assert story.rules()[-1] == "minReplicas"


# Nothing is zero that is not known.


@pytest.mark.parametrize("algorithm", ["concurrency", "mpa"])
def test_an_outage_holds_the_number_and_recovery_does_not_collapse_it(algorithm):
    story = five_busy(algorithm={algorithm: {}})
    assert set(story.for_s(600, None, problem="Prometheus is down")) == {5}
    assert story.decision.recommendation[:2] == (None, "Prometheus is down")
    assert story.observe(5.0) == 5


def test_delays_do_not_run_out_during_an_outage():
    story = five_busy(scaleDown={"toZeroDelay": "2m"})
    while story.decision.recommendation.replicas:
        story.observe(0.0)
    story.for_s(3600, None, problem="Prometheus is down")
    assert set(story.for_s(110, 0.0)) == {1}
    assert story.for_s(12, 0.0)[-1] == 0


def test_at_zero_an_outage_asks_for_nothing_and_a_stream_that_is_heard_wakes():
    story = Story()
    assert set(story.for_s(60, None, problem="Prometheus is down")) == {0}
    assert story.observe(2.0, after_s=0.01, latest=2.0) == 2


def test_a_partial_count_raises_and_never_lowers():
    story = five_busy()
    assert set(story.for_s(300, 1.0, problem="one of two gateways is silent")) == {5}
    assert story.decision.recommendation.why.endswith("only a part is known: one of two gateways is silent")
    assert story.observe(9.0, latest=9.0, problem="one of two gateways is silent") >= 5


def test_without_a_window_to_remember_it_a_rule_holds_what_a_part_would_lower():
    story = five_busy(algorithm={"mpa": {}})
    assert set(story.for_s(300, 1.0, problem="one of two gateways is silent")) == {5}
    assert story.rules() == ["partialCount"]


def test_the_first_whole_count_after_a_partial_one_does_not_collapse_the_number():
    story = Story(8)
    story.for_s(120, 8.0)
    assert set(story.for_s(600, 4.0, problem="one of two gateways is silent")) == {8}
    assert set(story.for_s(120, 8.0)) == {8}
    assert story.for_s(240, 4.0)[-1] == 4


def test_a_partial_count_that_is_higher_is_in_the_windows_afterwards():
    story = five_busy()
    assert story.for_s(600, 7.0, problem="one of two gateways is silent")[-1] == 7
    assert story.observe(9.0) >= 7


def test_the_last_delay_does_not_run_out_while_only_a_part_is_known():
    story = five_busy()
    while story.decision.recommendation.replicas:
        story.observe(0.0)
    assert story.for_s(600, 0.0, problem="one of two gateways is silent")[-1] == 1
    assert set(story.for_s(30, 0.0)) == {1}
    assert story.for_s(4, 0.0)[-1] == 0


def test_after_a_start_nothing_is_lowered_before_one_window_is_known():
    story = Story(5)
    story.ready = 1
    assert set(story.for_s(58, 0.0)) == {5}
    assert story.rules() == ["firstWindow"]
    assert story.for_s(100, 0.0)[-1] < 5


def test_bounds_are_kept_while_the_count_is_unknown():
    story = Story(5, maxReplicas=3)
    assert story.observe(None, problem="Prometheus is down") == 3


# Uncounted traffic.


def test_opening_the_page_at_zero_asks_for_one_replica_whatever_their_number():
    story = Story()
    assert story.observe(0.0, passing=40) == 1
    assert story.rules() == ["passing"]


def test_uncounted_traffic_keeps_the_last_replica_and_no_more():
    story = five_busy()
    assert story.for_s(300, 0.0, passing=3)[-1] == 1
    story.for_s(28, 0.0)
    assert story.replicas == 1


# Reasons and rules.


def test_with_all_rules_off_no_reason_is_ever_ours():
    rules = {"fromZero": False, "goodTime": False, "partialCount": False, "firstWindow": False}
    story = five_busy(algorithm={"concurrency": {"safety": rules}}, scaleDown={"toZeroDelay": "0s"})
    for inflight in (5.0, 1.0, 9.0, 0.0):
        story.for_s(60, inflight, problem="partial")
        assert story.rules() == []


def test_a_reason_tells_before_and_after_and_why():
    story = Story(5)
    story.ready = 1
    story.for_s(20, 0.0)
    reason = story.decision.reasons[-1]
    assert reason.rule == "firstWindow"
    assert reason.before < reason.after == 5
    assert reason.why == "20.0 of 60 s are known since the start"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data())
def test_a_restored_decider_continues_decision_for_decision(algorithm, data):
    built = policy(algorithm={algorithm: {}}, scaleDown={"delay": "20s"})
    counts = st.none() | st.floats(0.0, 20.0)
    observations = st.lists(st.tuples(st.floats(0.01, 20.0), counts, st.integers(0, 10)), min_size=2, max_size=40)
    before, after = decider(built), decider(built)
    now_s, replicas = START_S, 3
    seen = data.draw(observations)
    cut = data.draw(st.integers(0, len(seen)))
    for number, (step_s, inflight, ready) in enumerate(seen):
        observation = Observation(
            now_s + step_s, now_s, inflight, replicas, ready, problem="" if inflight is not None else "gone"
        )
        now_s += step_s
        if number == cut:
            after.restore(json.loads(json.dumps(before.export())))
        decision = before.decide(observation)
        if number >= cut:
            assert after.decide(observation) == decision
        replicas = decision.desired


@pytest.mark.parametrize("algorithm", ["concurrency", "mpa"])
@given(data=st.data())
def test_what_is_spared_on_idle_services_changes_no_decision(algorithm, data):
    built = policy(algorithm={algorithm: {}}, scaleDown={"delay": "20s"})
    sparing, thorough = decider(built), decider(built)
    mostly_nothing = st.sampled_from([0.0, 0.0, 0.0, None, 1.0, 7.0])
    now_s, replicas = START_S, data.draw(st.integers(0, 3))
    for inflight in data.draw(st.lists(mostly_nothing, min_size=2, max_size=60)):
        step_s = data.draw(st.floats(0.01, 30.0))
        passing = data.draw(st.sampled_from([0, 0, 0, 2]))
        observation = Observation(now_s + step_s, now_s, inflight, replicas, replicas, passing=passing)
        now_s += step_s
        thorough._idle = None
        decision = thorough.decide(observation)
        assert sparing.decide(observation) == decision
        replicas = data.draw(st.sampled_from([decision.desired, decision.desired, 0]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_state_of_an_unknown_version_is_refused(algorithm):
    built = decider(policy(algorithm={algorithm: {}}))
    with pytest.raises(ValueError, match="version"):
        built.restore({**built.export(), "version": 99})


def test_a_state_of_other_rules_is_refused():
    state = decider(policy(scaleDown={"delay": "20s"})).export()
    with pytest.raises(ValueError, match="rules"):
        decider(policy()).restore(state)


def test_a_day_of_decisions():
    story = Story()
    loads = [5.0 if 8 * 3600 < second % 86400 < 20 * 3600 else 0.0 for second in range(0, 86400, 2)]
    numbers = [story.observe(load, latest=load) for load in loads]
    assert set(numbers[: 4 * 3600]) == {0}
    assert set(numbers[5 * 3600 : 10 * 3600 - 60]) == {5}
    assert numbers[-1] == 0


# One row for each algorithm.


class WithToy(AlgorithmChoice):
    toy: Mpa | None = None


def test_an_algorithm_that_is_declared_and_has_no_row_is_an_error_that_names_it():
    with pytest.raises(TypeError, match=r"algorithm\.toy has no row in ALGORITHMS of autoscaler/policy/decider_fac"):
        check_wiring(ALGORITHMS, WithToy)


def test_a_row_for_an_algorithm_that_is_not_declared_is_an_error_that_names_it():
    with pytest.raises(TypeError, match=r"algorithm\.toy: AlgorithmChoice in autoscaler/policy/alg.* declares None"):
        check_wiring({**ALGORITHMS, "toy": ALGORITHMS["mpa"]}, AlgorithmChoice)


def test_a_row_with_the_settings_of_another_algorithm_is_an_error_that_names_it():
    with pytest.raises(TypeError, match=r"algorithm\.hpa: .* its row has .*Mpa"):
        check_wiring({**ALGORITHMS, "hpa": ALGORITHMS["mpa"]}, AlgorithmChoice)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_is_one_sentence_of_the_documentation_and_decides_by_itself(algorithm):
    built, row = policy(algorithm={algorithm: {}}), ALGORITHMS[algorithm]
    assert row.summary.endswith(".")
    assert "\n" not in row.summary
    assert type(decider(built)._algorithm).__name__.lower() == algorithm
    assert lookback_s(built) > 0


# By the time of day, with spare replicas, and with few starts at once.


def morning(**window):
    """A window that opens a minute after the story begins, at 22:14 UTC."""
    return [{"name": "w", "timeZone": "UTC", "start": "14 22 * * *", "end": "15 22 * * *", **window}]


OPENS_S = 1_700_000_040.0


def at_the_opening(**spec):
    """Give the replicas just before a window opens, and just after, without any load."""
    story = Story(**spec)
    story.observe(0.0, after_s=OPENS_S - START_S - 1)
    before = story.replicas
    return before, story.observe(0.0), story


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_window_raises_the_number_of_every_algorithm(algorithm):
    before, after, story = at_the_opening(schedule=morning(minReplicas=3), algorithm={algorithm: {}})
    assert before < 3
    assert after == 3
    assert story.decision.reasons[-1].why == "at least 3 by window w until 22:15 UTC"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_window_raises_the_highest_number_of_every_algorithm(algorithm):
    story = Story(2, schedule=morning(maxReplicas=7), maxReplicas=2, algorithm={algorithm: {}})
    story.ready = 99
    story.for_s(OPENS_S - START_S - 2, 50.0)
    assert story.replicas == 2
    story.for_s(58, 50.0)
    assert story.replicas == 7
    story.observe(50.0, after_s=4.0)
    assert story.replicas == 2


def test_spare_replicas_stand_by_under_load_and_none_at_rest():
    story = Story(standby=2, scaleDown={"toZeroDelay": "0s"})
    story.ready = 99
    assert story.observe(3.0, latest=3.0) == 5
    assert "standby" in story.rules()
    assert story.for_s(200, 3.0)[-1] == 5
    assert story.for_s(200, 0.0)[-1] == 0


def test_spare_replicas_do_not_go_beyond_the_maximum_and_do_not_answer_pass_requests():
    assert Story(standby=5, maxReplicas=4).observe(1.0, latest=1.0) == 4
    assert Story(standby=5).observe(0.0, passing=1) == 1


@pytest.mark.parametrize("algorithm", ["kpa", "hpa", "keda"])
def test_an_algorithm_of_another_controller_starts_all_that_it_recommends(algorithm):
    with pytest.raises(ValueError, match=r"scaleUp\.worthAStart: needs concurrency or mpa"):
        policy("web", scaleUp={"worthAStart": "25%"}, algorithm={algorithm: {}})


@pytest.mark.parametrize("algorithm", ["kpa", "hpa", "keda"])
def test_an_algorithm_of_another_controller_has_no_spare_replicas(algorithm):
    with pytest.raises(ValueError, match="standby: needs concurrency or mpa"):
        policy("web", standby=1, algorithm={algorithm: {}})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_few_start_at_once_up_to_the_minimum_too(algorithm):
    before, after, story = at_the_opening(schedule=morning(minReplicas=5), maxCold=2, algorithm={algorithm: {}})
    assert after == before + 2 - before  # none is ready yet
    story.ready = 2
    assert story.observe(0.0) == 4
    assert story.rules()[-1] == "maxCold"
