"""Whole reconciles of one HPA, told as what happens to a Deployment."""

import json
from dataclasses import replace

import pytest
from hpa_cases import DEFAULT_BEHAVIOR, FREE, PER_POD, Cluster, hpa_options, percent, pods, rules
from hypothesis import given
from hypothesis import strategies as st

from algorithms.hpa_behavior import Behavior, Limited, SelectPolicy
from algorithms.hpa_metrics import Failure, Metric, MetricKind, TargetType
from algorithms.hpa_reconcile import Able, Active, Cause, Outcome, Reconciler

PODS = Metric(MetricKind.PODS, TargetType.AVERAGE_VALUE, 1000)
OBJECT = Metric(MetricKind.OBJECT, TargetType.AVERAGE_VALUE, 1000)


def ladder(cluster, *inflight, start_s=0):
    """Sync every 15 s on these loads and give the replicas after each."""
    return [cluster.sync(start_s + 15 * turn, load) and cluster.replicas for turn, load in enumerate(inflight)]


def test_without_behavior_a_burst_climbs_by_doubling():
    assert ladder(Cluster(hpa_options(), replicas=1), 10, 10, 10) == [4, 8, 10]


def test_with_the_default_behavior_a_burst_climbs_by_four_or_doubling():
    options = hpa_options(behavior=DEFAULT_BEHAVIOR, max_replicas=31)
    assert ladder(Cluster(options, replicas=1), 31, 31, 31, 31) == [5, 10, 20, 31]


@pytest.mark.parametrize(("behavior", "turns"), [(None, 21), (DEFAULT_BEHAVIOR, 20)], ids=["without", "with"])
def test_the_number_falls_when_the_last_high_recommendation_leaves_the_window(behavior, turns):
    cluster = Cluster(hpa_options(behavior=behavior), replicas=8)
    numbers = ladder(cluster, 8, *[1] * turns)
    assert (numbers[:-1], numbers[-1]) == ([8] * turns, 1)


def test_the_first_reconcile_remembers_what_it_found():
    cluster = Cluster(hpa_options(), replicas=6)
    assert cluster.sync(0, 1.0) == Outcome(
        desired=6,
        able=Able.DOWN_STABILISED,
        active=Active.VALID,
        limited=Limited.WITHIN_RANGE,
        cause=Cause.BELOW_TARGET,
        proposed=1,
        proposer=0,
        stabilised=6,
    )


def test_zero_replicas_switch_the_hpa_off_until_someone_else_starts_one():
    cluster = Cluster(hpa_options(), replicas=0)
    assert cluster.sync(0, 9.0) == Outcome(0, Able.GOT_SCALE, Active.DISABLED)
    cluster.replicas = 1
    assert cluster.sync(15, 9.0).desired == 4


def test_a_metric_is_not_read_where_it_does_not_decide():
    def unreadable():
        raise AssertionError

    for replicas, desired in ((0, 0), (11, 10), (1, 2)):
        hpa = Reconciler(hpa_options(min_replicas=2))
        assert hpa.reconcile(0.0, _scale(replicas), unreadable).desired == desired


def _scale(replicas):
    cluster = Cluster(hpa_options(), replicas)
    seen = []
    cluster.hpa.reconcile = lambda _now_s, scale, _read: seen.append(scale) or Outcome(replicas, Able.READY)
    cluster.sync(0)
    return seen[0]


@pytest.mark.parametrize(("replicas", "desired", "cause"), [(30, 10, Cause.ABOVE_MAX), (1, 3, Cause.BELOW_MIN)])
def test_a_number_out_of_bounds_is_put_back_at_once_whatever_the_rates(replicas, desired, cause):
    slow = Behavior(rules(pods(1, 60), window_s=300), rules(pods(1, 60), window_s=300))
    cluster = Cluster(hpa_options(min_replicas=3, behavior=slow), replicas)
    assert cluster.sync(0, 5.0) == Outcome(desired, Able.GOT_SCALE, cause=cause)


@pytest.mark.parametrize("replicas", [3, 10], ids=["minimum", "maximum"])
def test_at_a_bound_the_metrics_decide(replicas):
    cluster = Cluster(hpa_options(min_replicas=3, behavior=FREE), replicas)
    assert cluster.sync(0, 5.0).desired == 5


def test_the_condition_tells_which_window_held_the_number():
    up_after_a_minute = Behavior(rules(pods(9, 15), window_s=60), rules(percent(100, 15), window_s=60))
    assert Cluster(hpa_options(behavior=up_after_a_minute), replicas=3).sync(0, 6.0).able is Able.UP_STABILISED
    assert Cluster(hpa_options(behavior=up_after_a_minute), replicas=3).sync(0, 1.0).able is Able.DOWN_STABILISED
    without = Cluster(hpa_options(max_replicas=3), replicas=1)
    assert [without.sync(15 * turn, load).able for turn, load in enumerate((9.0, 4.0))] == [
        Able.READY,
        Able.DOWN_STABILISED,
    ]


def test_what_a_clamp_wrote_counts_in_the_policies():
    up_two_a_minute = Behavior(rules(pods(2, 60)), rules())
    cluster = Cluster(hpa_options(min_replicas=3, behavior=up_two_a_minute), replicas=1)
    cluster.sync(0, 9.0)
    assert ladder(cluster, 9, 9, 9, 9, start_s=15) == [3, 3, 3, 5]


def test_the_highest_proposal_wins_and_is_named():
    cluster = Cluster(hpa_options(metrics=(PER_POD, PER_POD), behavior=FREE), replicas=2)
    outcome = cluster.sync(0, 3.0, 7.0)
    assert (outcome.proposed, outcome.proposer, outcome.cause) == (7, 1, Cause.ABOVE_TARGET)


def test_of_equal_proposals_the_first_is_named():
    outcome = Cluster(hpa_options(metrics=(PER_POD, PER_POD)), replicas=2).sync(0, 3.0, 3.0)
    assert (outcome.proposed, outcome.proposer) == (3, 0)


def test_of_metrics_that_propose_zero_the_last_one_is_named():
    outcome = Cluster(hpa_options(metrics=(PER_POD, PER_POD)), replicas=2).sync(0, 0.0, 0.0)
    assert (outcome.proposed, outcome.proposer) == (0, 1)


def test_a_failed_metric_forbids_to_scale_down_on_the_others():
    cluster = Cluster(hpa_options(metrics=(PER_POD, PER_POD), behavior=FREE), replicas=5)
    assert cluster.sync(0, None, 4.0) == Outcome(
        5, Able.GOT_SCALE, Active.NO_EXTERNAL, failures=((0, Failure.UNAVAILABLE),)
    )


@pytest.mark.parametrize("load", [5.0, 8.0], ids=["holding", "scaling up"])
def test_a_failed_metric_does_not_forbid_what_is_no_scale_down(load):
    cluster = Cluster(hpa_options(metrics=(PER_POD, PER_POD), behavior=FREE), replicas=5)
    outcome = cluster.sync(0, load, None)
    assert (outcome.desired, outcome.active) == (load, Active.VALID)
    assert outcome.failures == ((1, Failure.UNAVAILABLE),)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [(PER_POD, Active.NO_EXTERNAL), (OBJECT, Active.NO_OBJECT), (PODS, Active.NO_PODS)],
    ids=lambda one: one.kind if isinstance(one, Metric) else one,
)
def test_where_all_metrics_fail_nothing_changes_and_the_first_one_is_named(metric, reason):
    outcome = Cluster(hpa_options(metrics=(metric, PER_POD)), replicas=5).sync(0, None, None)
    assert (outcome.desired, outcome.active, outcome.proposed) == (5, reason, None)


def test_a_refused_reconcile_is_not_remembered():
    cluster = Cluster(hpa_options(downscale_stabilization_s=0.0), replicas=5)
    assert ladder(cluster, 5, None, 1) == [5, 5, 1]


def test_a_write_that_failed_does_not_count_in_the_policies():
    two_a_minute = Behavior(rules(pods(2, 60)), rules())
    cluster = Cluster(hpa_options(behavior=two_a_minute), replicas=1)
    assert cluster.sync(0, 9.0, write_fails=True).desired == 3
    assert cluster.sync(15, 9.0).desired == 3
    assert cluster.sync(30, 9.0).desired == 3


def test_the_gate_lets_the_hpa_go_to_zero_and_back():
    options = hpa_options(min_replicas=0, scale_to_zero=True, behavior=FREE)
    cluster = Cluster(options, replicas=2)
    assert ladder(cluster, 2, 0, 0, 3) == [2, 0, 0, 3]
    assert cluster.hpa.scaled_to_zero is False


def test_a_percentage_of_zero_is_zero_so_it_never_ends_it():
    percent_only = Behavior(rules(percent(900, 15)), rules(percent(100, 15)))
    cluster = Cluster(hpa_options(min_replicas=0, scale_to_zero=True, behavior=percent_only), replicas=1)
    assert ladder(cluster, 0, 0, 9, 9) == [0, 0, 0, 0]


def test_a_zero_that_someone_else_wrote_stays_with_the_gate_too():
    cluster = Cluster(hpa_options(min_replicas=0, scale_to_zero=True), replicas=0)
    assert cluster.sync(0, 9.0).active is Active.DISABLED


def test_from_its_own_zero_the_hpa_goes_to_a_minimum_that_was_raised_meanwhile():
    cluster = Cluster(hpa_options(min_replicas=0, scale_to_zero=True, behavior=FREE), replicas=1)
    cluster.sync(0, 0.0)
    cluster.hpa.options = replace(cluster.hpa.options, min_replicas=3)
    outcome = cluster.sync(15, 0.0)
    assert (outcome.desired, outcome.cause) == (3, Cause.BELOW_MIN)


def test_where_the_past_alone_brings_the_raised_minimum_back_nothing_is_named():
    cluster = Cluster(hpa_options(min_replicas=0, scale_to_zero=True), replicas=2)
    cluster.sync(0, 2.0)
    cluster.replicas, cluster.hpa.scaled_to_zero = 0, True
    cluster.hpa.options = replace(cluster.hpa.options, min_replicas=2)
    outcome = cluster.sync(15, 0.0)
    assert (outcome.desired, outcome.cause) == (2, Cause.NONE)


def test_without_the_gate_its_own_zero_is_a_zero_like_any_other():
    cluster = Cluster(hpa_options(min_replicas=0, behavior=FREE), replicas=1)
    assert cluster.sync(0, 0.0).desired == 0
    assert cluster.sync(15, 5.0).active is Active.DISABLED


def test_pods_metrics_alone_cannot_make_a_zero_their_own():
    hpa = Reconciler(hpa_options(metrics=(PODS,), min_replicas=0, scale_to_zero=True))
    hpa.wrote(0.0, 1, 0)
    assert hpa.scaled_to_zero is False


@pytest.mark.parametrize(("minimum", "active"), [(0, Active.DISABLED), (1, Active.NO_PODS)])
def test_pods_metrics_alone_end_a_zero_only_where_the_minimum_is_above_it(minimum, active):
    cluster = Cluster(hpa_options(metrics=(PODS,), min_replicas=minimum, scale_to_zero=True), replicas=0)
    cluster.hpa.scaled_to_zero = True
    assert cluster.sync(0, 5.0).active is active


def test_each_direction_may_have_its_own_tolerance():
    exact_up = Behavior(rules(percent(900, 15), tolerance=0.0), rules(percent(100, 15), tolerance=0.5))
    cluster = Cluster(hpa_options(behavior=exact_up), replicas=4)
    assert ladder(cluster, 4.001, 2.6, 2.4) == [5, 5, 3]


def test_an_edit_keeps_what_was_remembered():
    cluster = Cluster(hpa_options(), replicas=8)
    cluster.sync(0, 8.0)
    cluster.hpa.options = replace(cluster.hpa.options, max_replicas=6)
    assert ladder(cluster, 2, 2, start_s=15) == [6, 6]


# --- What holds for any HPA

POLICIES = st.builds(
    lambda kind, value, period_s: kind(value, period_s),
    st.sampled_from([pods, percent]),
    st.integers(1, 150),
    st.sampled_from([5, 15, 30, 60, 600]),
)
RULES = st.builds(
    lambda policies, window_s, select: rules(*policies, window_s=window_s, select=select),
    st.lists(POLICIES, min_size=1, max_size=3),
    st.sampled_from([0, 15, 60, 300]),
    st.sampled_from(SelectPolicy),
)
BEHAVIORS = st.none() | st.builds(Behavior, RULES, RULES)
LOAD = st.none() | st.integers(0, 20)
LOADS = st.lists(LOAD, min_size=1, max_size=30)
STEPS = st.lists(st.tuples(st.none() | st.integers(0, 12), LOAD), min_size=1, max_size=30)


@given(BEHAVIORS, LOADS, st.integers(2, 10))
def test_what_starts_in_bounds_stays_in_bounds(behavior, loads, replicas):
    cluster = Cluster(hpa_options(behavior=behavior, min_replicas=2), replicas)
    assert all(2 <= number <= 10 for number in ladder(cluster, *loads))


@given(LOADS, st.integers(1, 5), st.sampled_from([15, 30, 60, 90]))
def test_the_number_never_rises_faster_than_a_policy_allows(loads, value, period_s):
    behavior = Behavior(rules(pods(value, period_s)), rules(select=SelectPolicy.DISABLED))
    cluster = Cluster(hpa_options(behavior=behavior, max_replicas=50), replicas=1)
    numbers = [1, *ladder(cluster, *loads)]
    syncs = period_s // 15
    rises = [numbers[min(turn + syncs, len(numbers) - 1)] - number for turn, number in enumerate(numbers)]
    assert max(rises) <= value


@given(BEHAVIORS, LOADS, st.integers(0, 10), st.data())
def test_a_restored_hpa_continues_decision_for_decision(behavior, loads, replicas, data):
    options = hpa_options(behavior=behavior, min_replicas=0, scale_to_zero=True)
    cut = data.draw(st.integers(0, len(loads)))
    first, second = Cluster(options, replicas), Cluster(options, replicas)
    ladder(first, *loads[:cut])
    second.hpa.restore(json.loads(json.dumps(first.hpa.export())))
    second.replicas = first.replicas
    for turn, load in enumerate(loads[cut:], start=cut):
        assert first.sync(15 * turn, load) == second.sync(15 * turn, load)


@given(BEHAVIORS, STEPS, st.integers(1, 4))
def test_with_a_minimum_above_zero_the_gate_changes_nothing(behavior, steps, minimum):
    """So the HPA that KEDA makes decides alike on Kubernetes 1.36 and 1.37."""
    options = hpa_options(behavior=behavior, min_replicas=minimum)
    on, off = (Cluster(replace(options, scale_to_zero=gate), replicas=1) for gate in (True, False))
    for turn, (written, load) in enumerate(steps):
        if written is not None:
            on.replicas = off.replicas = written
        assert on.sync(15 * turn, load) == off.sync(15 * turn, load)


def test_a_state_of_another_version_is_refused():
    with pytest.raises(ValueError, match=r"^Reconciler: version 0 "):
        Reconciler(hpa_options()).restore({"version": 0})


def test_each_metric_needs_its_reading():
    with pytest.raises(ValueError, match="shorter"):
        Cluster(hpa_options(metrics=(PER_POD, PER_POD)), replicas=1).sync(0, 1.0)


def test_no_reconciler_begins_with_a_zero_of_its_own():
    assert Reconciler(hpa_options()).export()["scaled_to_zero"] is False


def test_a_zero_of_its_own_is_carried_to_another_process():
    options = hpa_options(min_replicas=0, scale_to_zero=True, behavior=FREE)
    before, after = Cluster(options, replicas=1), Cluster(options, replicas=0)
    before.sync(0, 0.0)
    after.hpa.restore(json.loads(json.dumps(before.hpa.export())))
    assert after.sync(15, 3.0).desired == 3
