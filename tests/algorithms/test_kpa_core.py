"""Decisions of the KPA as stories: at this time, this load, expect this."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kpa_cases import DECISION as OPTIONS
from kpa_cases import START_S, decide_at

from algorithms.kpa_core import INVALID, KpaCore, KpaDecider
from algorithms.observation import Observation


def decider(ready=0, **changed):
    return KpaDecider(replace(OPTIONS, **changed), START_S, ready)


def desired(decider, at_s, ready, stable, panic=None):
    return decider.decide(START_S + at_s, ready, stable, stable if panic is None else panic).desired


def test_one_request_at_zero_asks_for_one_replica_without_panic():
    kpa = decider()
    assert desired(kpa, 2, 0, 1.0) == 1
    assert not kpa.panicking


def test_two_requests_at_zero_are_panic():
    kpa = decider()
    assert desired(kpa, 2, 0, 2.0) == 2
    assert kpa.panicking
    assert kpa.max_panic == 2


def test_any_load_at_all_keeps_one_replica():
    assert desired(decider(), 2, 1, 0.000001) == 1


def test_no_load_asks_for_none():
    assert desired(decider(), 2, 1, 0.0) == 0


def test_growth_is_limited_by_a_rate_relative_to_ready_replicas():
    assert desired(decider(max_scale_up_rate=1.1), 2, 5, 9.0) == 6


def test_growth_is_never_less_than_one_replica():
    assert desired(decider(max_scale_up_rate=1.1), 2, 0, 9.0) == 2


def test_a_fall_is_limited_to_half_of_the_ready_replicas():
    assert desired(decider(), 2, 9, 1.0) == 4


def test_an_unreachable_revision_falls_at_any_rate():
    assert desired(decider(reachable=False), 2, 9, 1.0) == 1


def test_any_demand_asks_for_the_activation_scale_even_beyond_the_rate():
    kpa = decider(activation_scale=5, max_scale_up_rate=1.1)
    assert desired(kpa, 2, 0, 0.5) == 5


def test_the_activation_scale_holds_at_any_scale_above_zero():
    assert desired(decider(activation_scale=5), 2, 2, 1.0) == 5


def test_no_demand_asks_for_no_activation_scale():
    assert desired(decider(activation_scale=5), 2, 1, 0.0) == 0


def test_panic_begins_exactly_at_the_threshold():
    kpa = decider()
    desired(kpa, 2, 2, 2.0, panic=3.0)
    assert not kpa.panicking
    desired(kpa, 4, 2, 2.0, panic=4.0)
    assert kpa.panicking


def test_the_threshold_is_compared_with_the_whole_count_before_the_rate_limit():
    kpa = decider(max_scale_up_rate=1.1)
    assert desired(kpa, 2, 10, 1.0, panic=19.5) == 11
    assert kpa.panicking


def test_nothing_falls_in_panic():
    kpa = decider()
    assert desired(kpa, 2, 2, 1.0, panic=8.0) == 8
    assert desired(kpa, 4, 8, 1.0) == 8
    assert desired(kpa, 6, 8, 10.0) == 10
    assert desired(kpa, 8, 8, 1.0) == 10


def test_panic_counts_the_stable_window_too():
    assert desired(decider(), 2, 1, 9.0, panic=4.0) == 9


def test_panic_ends_strictly_later_than_a_stable_window_after_the_last_burst():
    kpa = decider()
    desired(kpa, 2, 2, 4.0)
    desired(kpa, 10, 2, 4.0)
    assert desired(kpa, 70, 4, 1.0) == 4
    assert kpa.panicking
    assert desired(kpa, 70.001, 4, 1.0) == 2
    assert not kpa.panicking
    assert kpa.max_panic == 0


@pytest.mark.parametrize("unknown", [(None, 1.0, 1.0), (1, None, 1.0), (1, 1.0, None)])
def test_without_data_nothing_is_decided_and_nothing_remembered(unknown):
    kpa = decider()
    desired(kpa, 2, 1, 4.0)
    before = kpa.export()
    assert kpa.decide(START_S + 1000, *unknown) == INVALID
    assert kpa.export() == before


def test_after_a_restart_with_several_replicas_nothing_falls_for_a_stable_window():
    kpa = decider(ready=9)
    assert kpa.panicking
    assert desired(kpa, 60, 9, 1.0) == 9
    assert desired(kpa, 60.001, 9, 1.0) == 4


@pytest.mark.parametrize("ready", [0, 1])
def test_a_start_with_one_replica_or_none_is_no_panic(ready):
    kpa = decider(ready=ready)
    assert not kpa.panicking
    assert kpa.max_panic == ready


def test_a_delay_holds_the_highest_number_of_its_slots():
    kpa = decider(ready=4, scale_down_delay_s=5, stable_window_s=6)
    assert desired(kpa, 8, 4, 4.0) == 4
    assert desired(kpa, 10, 4, 2.0) == 4
    assert desired(kpa, 12, 4, 2.0) == 4
    assert desired(kpa, 14, 4, 2.0) == 2


def test_a_delay_never_holds_back_growth():
    kpa = decider(scale_down_delay_s=60)
    assert desired(kpa, 2, 1, 1.0) == 1
    assert desired(kpa, 4, 4, 5.0) == 5


def test_an_unreachable_revision_is_not_delayed():
    kpa = decider(scale_down_delay_s=60)
    assert desired(kpa, 2, 2, 3.0) == 3
    kpa.update(replace(OPTIONS, reachable=False))
    assert desired(kpa, 4, 3, 1.0) == 1


def test_a_recommendation_while_unreachable_delays_nothing_later():
    kpa = decider(scale_down_delay_s=60, reachable=False)
    assert desired(kpa, 2, 9, 9.0) == 9
    kpa.update(replace(OPTIONS, scale_down_delay_s=60))
    assert desired(kpa, 4, 9, 1.0) == 4


def test_a_delay_holds_what_panic_held():
    kpa = decider(scale_down_delay_s=30, stable_window_s=6)
    assert desired(kpa, 2, 1, 1.0, panic=8.0) == 8
    assert desired(kpa, 10, 8, 1.0) == 8
    assert not kpa.panicking
    assert desired(kpa, 40, 8, 1.0) == 4


def test_the_delay_stays_as_it_was_made_whatever_the_options_become():
    kpa = decider(scale_down_delay_s=4)
    kpa.update(replace(OPTIONS, scale_down_delay_s=600))
    assert desired(kpa, 2, 2, 3.0) == 3
    assert desired(kpa, 6, 3, 2.0) == 2
    undelayed = decider()
    undelayed.update(replace(OPTIONS, scale_down_delay_s=600))
    assert desired(undelayed, 2, 2, 3.0) == 3
    assert desired(undelayed, 4, 3, 2.0) == 2


@pytest.mark.parametrize(
    ("burst", "ready", "panic", "excess"),
    [(0.0, 5, 3.0, 0), (-1.0, 5, 3.0, -1), (10.0, 5, 3.5, 36), (211.0, 0, 0.0, -211), (10.5, 1, 0.0, -1)],
)
def test_excess_burst_capacity_is_what_is_left_over_of_the_ready_replicas(burst, ready, panic, excess):
    kpa = decider(target_burst_capacity=burst, total=10.0)
    assert kpa.decide(START_S, ready, 0.0, panic).excess_burst_capacity == excess


def core(**changed):
    return KpaCore(replace(OPTIONS, **changed), START_S, 0)


def test_a_burst_shows_in_the_panic_window_first():
    kpa = core()
    for second in range(60):
        kpa.record(int(START_S) + second, 1.0 if second < 54 else 11.0)
    assert kpa.averages(START_S + 59.5) == (2.0, 11.0)
    assert decide_at(kpa, START_S + 59.5, 2).desired == 11


def test_a_stable_window_without_data_is_no_decision():
    kpa = core()
    assert decide_at(kpa, START_S, 1) == INVALID
    kpa.record(int(START_S), 3.0)
    assert decide_at(kpa, START_S + 60, 1).desired == 0
    assert decide_at(kpa, START_S + 61, 1) == INVALID


def test_where_nothing_is_scraped_no_data_is_no_load():
    assert decide_at(core(target_burst_capacity=-1.0), START_S, 1).desired == 0


def test_an_update_resizes_both_windows():
    kpa = core()
    for second in range(60):
        kpa.record(int(START_S) + second, 1.0 if second < 50 else 4.0)
    kpa.update(replace(OPTIONS, stable_window_s=20, panic_window_s=2), START_S + 59)
    assert kpa.averages(START_S + 59) == (2.5, 4.0)


def test_an_observation_is_put_into_its_seconds_and_its_newest_count_into_the_one_in_progress():
    fed, recorded = core(), core()
    fed.feed(Observation(START_S + 3.5, START_S + 1.5, 2.0, replicas=1, ready=1, latest=8.0))
    fed.feed(Observation(START_S + 5.5, START_S + 3.5, None, replicas=1, ready=1))
    for second, value in ((1, 2.0), (2, 2.0), (3, 8.0)):
        recorded.record(int(START_S) + second, value)
    assert fed.export() == recorded.export()


def test_observations_within_one_second_replace_each_other():
    kpa = core()
    for hundredth in range(3):
        kpa.feed(Observation(START_S + (hundredth + 1) / 100, START_S + hundredth / 100, 3.0, replicas=1, ready=1))
    assert kpa.averages(START_S) == (3.0, 3.0)


def test_weighted_windows_follow_the_newest_seconds():
    kpa = core(aggregation="weighted-exponential")
    for second in range(120):
        kpa.record(int(START_S) + second, 0.0 if second < 110 else 10.0)
    stable, panic = kpa.averages(START_S + 119)
    assert stable == pytest.approx(10 * (1 - 0.8**10))
    assert panic == pytest.approx(10 * 0.9999)


def test_a_state_of_another_version_is_refused():
    kpa = core(scale_down_delay_s=6)
    with pytest.raises(ValueError, match="KpaCore: version 2 "):
        kpa.restore({**kpa.export(), "version": 2})
    with pytest.raises(ValueError, match="KpaDecider: version 2 "):
        kpa.decider.restore({**kpa.decider.export(), "version": 2})


loads = st.floats(0, 30, allow_nan=False)
steps = st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0, 2.0, 9.0, 70.0]), st.integers(0, 20), loads), max_size=30)
variants = st.builds(
    replace,
    st.just(OPTIONS),
    aggregation=st.sampled_from(["linear", "weighted-exponential"]),
    scale_down_delay_s=st.sampled_from([0, 3, 30]),
    activation_scale=st.sampled_from([0, 4]),
    target=st.sampled_from([0.7, 1.0, 70.0]),
)


def run(kpa, played, now_s):
    decisions = []
    for later_s, ready, load in played:
        now_s += later_s
        kpa.replace(int(now_s), load)
        decisions.append((decide_at(kpa, now_s, ready), kpa.decider.panicking, kpa.decider.max_panic))
    return decisions, now_s


@given(options=variants, changed=variants, ready=st.integers(0, 5), before=steps, after=steps)
def test_a_restored_core_continues_decision_for_decision(options, changed, ready, before, after):
    kpa = KpaCore(options, START_S, ready)
    _, now_s = run(kpa, before, START_S)
    final = replace(changed, aggregation=options.aggregation)
    kpa.update(final, now_s)
    restored = KpaCore(final, now_s, 0)
    restored.restore(json.loads(json.dumps(kpa.export())))
    assert run(restored, after, now_s) == run(kpa, after, now_s)


@given(options=variants, played=steps)
def test_the_number_never_falls_in_panic(options, played):
    """A delay aside, which may hold a higher number from before a panic and then let it go."""
    kpa = KpaCore(replace(options, scale_down_delay_s=0.0), START_S, 3)
    last = 0
    for decision, panicking, _ in run(kpa, played, START_S)[0]:
        assert not panicking or decision.desired >= last
        last = decision.desired if panicking else 0


def test_an_activation_scale_of_two_is_one():
    assert desired(decider(activation_scale=2), 2, 1, 1.0) == 2


def test_a_load_is_shared_out_over_replicas_of_the_target_each():
    assert desired(decider(target=2.0), 2, 3, 7.0) == 4
    assert desired(decider(target=2.0), 2, 1, 1.0, panic=9.0) == 5


def test_an_unreachable_revision_without_load_falls_to_none():
    assert desired(decider(reachable=False), 2, 9, 0.0) == 0


def test_a_delay_shorter_than_a_slot_holds_within_the_slot():
    kpa = decider(scale_down_delay_s=1)
    assert desired(kpa, 2, 2, 3.0) == 3
    assert desired(kpa, 3, 3, 1.0) == 3


def test_a_start_with_two_replicas_is_panic():
    assert decider(ready=2).panicking


def test_a_target_burst_of_one_is_a_burst():
    kpa = decider(target_burst_capacity=1.0, total=10.0)
    assert kpa.decide(START_S, 5, 0.0, 3.0).excess_burst_capacity == 46


def test_an_updated_core_decides_by_its_new_options():
    kpa = core()
    kpa.record(int(START_S), 6.0)
    kpa.update(replace(OPTIONS, target=3.0), START_S)
    assert decide_at(kpa, START_S, 1).desired == 2
