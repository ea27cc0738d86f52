"""KEDA's own loop between zero and one, its fallback, and how it shares a Deployment with its HPA."""

import json
from dataclasses import replace

import pytest
from hpa_cases import FREE, keda_options, observe
from hypothesis import given
from hypothesis import strategies as st

from algorithms.keda import (
    Action,
    Activity,
    Fallback,
    FallbackBehavior,
    Keda,
    Poll,
    Ready,
    ScaleLoop,
    Switches,
    Trigger,
    hpa_options,
    switches_of,
)
from algorithms.types import Average, Recommendation

ACTIVE, INACTIVE, COOLDOWN = Activity.ACTIVE, Activity.INACTIVE, Activity.COOLDOWN
TO_FOUR = Fallback(failure_threshold=3, replicas=4, behavior=FallbackBehavior.STATIC)


def switched(**names):
    return switches_of({f"autoscaling.keda.sh/{name.replace('_', '-')}": text for name, text in names.items()})


def loop(*, last_active_s=None, created_s=0.0, **options):
    """Give a loop that saw activity last at some time."""
    new = ScaleLoop(keda_options(**options))
    new.last_active_s, new.created_s = last_active_s, created_s
    return new


def replay(keda, observations, replicas):
    """Give KEDA looks as pairs of time and count, and let every wish come true; return the replicas after each."""
    numbers = []
    for now_s, inflight in observations:
        recommendation = keda.recommend(observe(now_s, inflight, replicas))
        replicas = replicas if recommendation.replicas is None else recommendation.replicas
        numbers.append(replicas)
    return numbers


# --- One poll


@pytest.mark.parametrize(("minimum", "replicas"), [(0, 1), (1, 1), (3, 3)])
def test_activity_at_zero_starts_the_minimum_and_at_least_one_whatever_the_load(minimum, replicas):
    poll = loop(min_replica_count=minimum).poll(60.345, 0, 90_000)
    assert poll == Poll(replicas, ACTIVE, action=Action.ACTIVATE)


def test_the_last_activity_is_kept_in_whole_seconds():
    polled = loop()
    polled.poll(60.945, 1, 500)
    assert polled.last_active_s == 60


def test_a_value_must_be_above_the_activation_threshold_even_where_the_target_is_lower():
    polled = loop(activation_threshold_milli=2500, last_active_s=0)
    assert polled.poll(400, 0, 2500) == Poll(0, INACTIVE)
    assert polled.poll(400, 4, 2500) == Poll(0, INACTIVE, action=Action.DEACTIVATE)
    assert polled.poll(400, 0, 2500.1) == Poll(1, ACTIVE, action=Action.ACTIVATE)


@pytest.mark.parametrize(
    ("now_s", "poll"), [(300.0, Poll(7, COOLDOWN)), (300.5, Poll(0, INACTIVE, action=Action.DEACTIVATE))]
)
def test_after_the_cooldown_all_replicas_go_at_once(now_s, poll):
    assert loop(last_active_s=0).poll(now_s, 7, 0) == poll


@pytest.mark.parametrize(("now_s", "replicas"), [(110.0, 2), (111.0, 0)])
def test_an_object_that_never_was_active_waits_for_the_initial_cooldown(now_s, replicas):
    assert loop(initial_cooldown_period_s=60.0, created_s=50.0).poll(now_s, 2, 0).replicas == replicas


def test_an_object_is_as_old_as_its_first_poll_where_nobody_says_otherwise():
    polled = loop(initial_cooldown_period_s=60.0, created_s=None)
    assert [polled.poll(now_s, 2, 0).replicas for now_s in (1000, 1060, 1061)] == [2, 2, 0]


def test_with_a_minimum_an_inactive_object_is_left_to_the_hpa():
    polled = loop(min_replica_count=2, last_active_s=0)
    assert polled.poll(900, 5, 0) == Poll(5, INACTIVE)
    assert polled.poll(900, 1, 0) == Poll(2, INACTIVE, action=Action.RAISE_TO_MIN)


def test_an_idle_count_lies_below_the_minimum():
    polled = loop(min_replica_count=3, idle_replica_count=1, last_active_s=0)
    assert polled.poll(900, 5, 0) == Poll(1, INACTIVE, action=Action.DEACTIVATE)
    assert polled.poll(930, 1, 0) == Poll(1, INACTIVE)
    assert polled.poll(960, 0, 0) == Poll(0, INACTIVE)
    assert polled.poll(990, 2, 500) == Poll(3, ACTIVE, action=Action.ACTIVATE)
    assert polled.poll(991, 3, 500) == Poll(3, ACTIVE)


def test_an_error_without_fallback_changes_nothing():
    polled = loop(last_active_s=0)
    assert polled.poll(900, 5, None) == Poll(5, INACTIVE, Ready.ERROR)
    assert polled.poll(930, 0, None) == Poll(0, INACTIVE, Ready.ERROR)


def test_past_the_threshold_the_fallback_counts_as_activity_and_wakes_from_zero():
    polled = loop(fallback=TO_FOUR)
    polls = [polled.poll(30 * turn, 0, None) for turn in range(4)]
    assert polls == [Poll(0, INACTIVE)] * 3 + [Poll(1, ACTIVE, action=Action.ACTIVATE)]


def test_before_the_threshold_a_fallback_holds_past_the_cooldown_too():
    assert loop(fallback=TO_FOUR, last_active_s=0).poll(900, 5, None) == Poll(5, INACTIVE)


def test_a_fallback_to_zero_replicas_lets_the_cooldown_run_before_the_threshold():
    to_zero = replace(TO_FOUR, replicas=0)
    polled = loop(fallback=to_zero, last_active_s=0)
    assert polled.poll(301, 5, None) == Poll(0, INACTIVE, action=Action.DEACTIVATE)


def test_one_good_read_forgets_all_failures():
    polled = loop(fallback=TO_FOUR)
    reads = [polled.read(value, 2) for value in (None, None, None, 500, None, None, None, None)]
    assert reads == [Trigger(None)] * 3 + [Trigger(500)] + [Trigger(None)] * 3 + [Trigger(4000, fallback=True)]


@pytest.mark.parametrize(
    ("behavior", "at_two", "at_six"),
    [
        (FallbackBehavior.STATIC, 4, 4),
        (FallbackBehavior.CURRENT, 2, 6),
        (FallbackBehavior.CURRENT_IF_HIGHER, 4, 6),
        (FallbackBehavior.CURRENT_IF_LOWER, 2, 4),
    ],
)
def test_a_fallback_stands_for_its_own_replicas_or_the_current_ones(behavior, at_two, at_six):
    polled = loop(fallback=Fallback(0, 4, behavior), threshold_milli=1500)
    assert [polled.read(None, replicas).value_milli for replicas in (2, 6)] == [1500 * at_two, 1500 * at_six]


# --- Annotations


@pytest.mark.parametrize(
    ("text", "on"), [("true", True), ("false", False), ("0", False), ("yes please", True), ("", True)]
)
def test_a_text_that_is_no_boolean_switches_on(text, on):
    assert switched(paused=text, force_activation=text) == Switches(
        paused=on, paused_replicas=None, paused_scale_in=False, paused_scale_out=False, force_activation=on
    )


def test_a_number_of_paused_replicas_pauses():
    assert switched(paused_replicas="3", paused="false") == replace(switched(paused="true"), paused_replicas=3)
    assert switched(paused_replicas="three").paused


def test_forced_activation_starts_without_any_value():
    polled = loop(switches=switched(force_activation="true"))
    assert polled.poll(60, 0, 0) == Poll(1, ACTIVE, action=Action.ACTIVATE)
    assert polled.poll(90, 1, None) == Poll(1, ACTIVE, Ready.PARTIAL)
    assert polled.last_active_s == 60


def test_paused_scale_in_keeps_the_replicas_past_the_cooldown():
    polled = loop(switches=switched(paused_scale_in="true"), last_active_s=0)
    assert polled.poll(900, 5, 0) == Poll(5, INACTIVE)


def test_paused_scale_out_stays_at_zero_and_notes_no_activity():
    polled = loop(switches=switched(paused_scale_out="true"))
    assert polled.poll(900, 0, 5000) == Poll(0, ACTIVE)
    assert polled.last_active_s is None


def test_a_paused_loop_does_not_even_read():
    polled = loop(switches=switched(paused="true"), fallback=replace(TO_FOUR, failure_threshold=0))
    assert polled.poll(900, 5, None) == Poll(5, Activity.PAUSED)
    assert polled.read(None, 5).fallback, "the first failure that is counted"


# --- Together with its HPA


def test_the_hpa_never_goes_below_one():
    assert [hpa_options(keda_options(min_replica_count=minimum)).min_replicas for minimum in (0, 1, 3)] == [1, 1, 3]


def test_a_burst_waits_for_the_poll_and_then_climbs_at_the_syncs():
    keda = Keda(keda_options())
    loads = [(float(second), 10 if second > 1 else 0) for second in range(80)]
    numbers = replay(keda, loads, 0)
    assert [second for second in range(1, 80) if numbers[second] != numbers[second - 1]] == [30, 45, 60]
    assert sorted(set(numbers)) == [0, 4, 8, 10]


def test_the_poll_and_the_sync_are_told_apart_where_they_do_not_meet():
    keda = Keda(keda_options(polling_interval_s=20.0))
    assert replay(keda, [(0, 0), (15, 0), (20, 5), (30, 5)], 0) == [0, 0, 1, 4]


def test_a_recommendation_says_which_part_made_it():
    keda = Keda(keda_options())
    assert keda.recommend(observe(0, 0, 0)) == Recommendation(0, "ScalerNotActive; ScalingDisabled")
    assert keda.recommend(observe(1, 5, 0)) == Recommendation(0, "between two polls and syncs")
    assert keda.recommend(observe(30, 5, 0)) == Recommendation(
        4, "ScalerActive; the metric asks for 5, ScaleUpLimit 4", (Average("latest", 5.0, 0.0, 0.0),), 1.0
    )


def test_the_cooldown_jumps_to_zero_past_every_rate():
    keda = Keda(keda_options(cooldown_period_s=60.0))
    assert replay(keda, [(0, 8), (30, 0), (60, 0), (90, 0)], 8) == [8, 8, 8, 0]


def test_an_outage_without_fallback_holds_and_at_zero_it_stays_there():
    observations = [(15.0 * turn, None) for turn in range(1, 60)]
    assert set(replay(Keda(keda_options(behavior=FREE)), [(0, 6), *observations], 6)) == {6}
    assert set(replay(Keda(keda_options(behavior=FREE)), observations, 0)) == {0}


def test_after_an_outage_the_cooldown_has_run_out_and_the_first_sample_ends_everything():
    observations = [(0.0, 6), *((15.0 * turn, None) for turn in range(1, 40)), (600.0, 0)]
    assert replay(Keda(keda_options()), observations, 6)[-2:] == [6, 0]


def test_failed_reads_of_both_count_towards_the_fallback():
    keda = Keda(keda_options(fallback=TO_FOUR, behavior=FREE))
    observations = [(0, 1), (15, None), (30, None), (45, None)]
    assert replay(keda, observations, 1) == [1, 1, 1, 4]


def test_at_zero_only_the_polls_count_towards_the_fallback():
    keda = Keda(keda_options(fallback=TO_FOUR))
    observations = [(15.0 * turn, None) for turn in range(8)]
    assert replay(keda, observations, 0) == [0] * 6 + [4] * 2


def test_pausing_forgets_what_the_hpa_remembered():
    keda = Keda(keda_options())
    replay(keda, [(0, 8)], 8)
    remembered = keda.export()["syncs"]
    paused = Keda(keda_options(switches=switched(paused_replicas="2")))
    paused.restore(keda.export())
    assert paused.recommend(observe(1, 8, 8)) == Recommendation(2, "ScaledObjectPaused")
    assert paused.export()["syncs"] == Keda(keda_options()).export()["syncs"] != remembered


def test_a_pause_without_a_number_holds():
    assert Keda(keda_options(switches=switched(paused="true"))).recommend(observe(0, 9, 3)) == Recommendation(
        None, "ScaledObjectPaused"
    )


# --- What holds for any ScaledObject

FALLBACKS = st.none() | st.builds(Fallback, st.integers(0, 3), st.integers(0, 12), st.sampled_from(FallbackBehavior))
LOOKS = st.lists(st.tuples(st.integers(1, 60), st.none() | st.floats(0, 20)), min_size=1, max_size=40)


@given(FALLBACKS, LOOKS, st.sampled_from([0, 2]), st.data())
def test_a_restored_scaled_object_recommends_as_it_would_have(fallback, steps, minimum, data):
    options = keda_options(fallback=fallback, min_replica_count=minimum, cooldown_period_s=90.0)
    cut = data.draw(st.integers(0, len(steps)))
    first, second = Keda(options), Keda(options)
    now_s, replicas = 1.7e9 + 0.1, minimum
    for turn, (seconds, inflight) in enumerate(steps):
        if turn == cut:
            second.restore(json.loads(json.dumps(first.export())))
        now_s += seconds
        seen = observe(now_s, inflight, replicas)
        recommendation = first.recommend(seen)
        if turn >= cut:
            assert second.recommend(seen) == recommendation
        replicas = replicas if recommendation.replicas is None else recommendation.replicas


@given(FALLBACKS, LOOKS, st.sampled_from([0, 2]))
def test_the_number_is_zero_or_in_bounds(fallback, steps, minimum):
    options = keda_options(fallback=fallback, min_replica_count=minimum, max_replica_count=9, cooldown_period_s=0.0)
    observations, now_s = [], 0.0
    for seconds, inflight in steps:
        now_s += seconds
        observations.append((now_s, inflight))
    assert all(minimum <= number <= 9 for number in replay(Keda(options), observations, minimum))


@pytest.mark.parametrize("part", [Keda, ScaleLoop])
def test_a_state_of_another_version_is_refused(part):
    with pytest.raises(ValueError, match="version 7"):
        part(keda_options()).restore({"version": 7})
