"""What one metric proposes: section 3.1 of the HPA's rules, kind by kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.hpa_metrics import (
    FAILED_READING,
    MAX_INT64,
    Failure,
    Metric,
    MetricKind,
    PodState,
    Proposal,
    Reading,
    Scale,
    TargetType,
    Tolerance,
    propose,
)

TENTH = Tolerance(up=0.1, down=0.1)
EXTERNAL = Metric(MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE, 1000)
OBJECT = Metric(MetricKind.OBJECT, TargetType.AVERAGE_VALUE, 1000)
VALUE = Metric(MetricKind.EXTERNAL, TargetType.VALUE, 1000)
PODS = Metric(MetricKind.PODS, TargetType.AVERAGE_VALUE, 1000)


def proposed(metric, *values, spec=10, status=None, ready=None, tolerance=TENTH):
    scale = Scale(spec=spec, status=spec if status is None else status, ready=ready)
    return propose(metric, Reading(values), scale, tolerance)


def by_pods(values, states, *, spec=None, tolerance=TENTH):
    """Give each pod its state and, in the same order, its value; None is no sample."""
    names = [f"pod-{place}" for place in range(len(states))]
    samples = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    pods = dict(zip(names, map(PodState, states), strict=True))
    scale = Scale(spec=len(states) if spec is None else spec, status=len(states), pods=pods)
    return propose(PODS, Reading(pod_values_milli=samples), scale, tolerance)


@pytest.mark.parametrize("metric", [EXTERNAL, OBJECT], ids=["external", "object"])
def test_an_average_value_shares_the_total_out_and_rounds_up(metric):
    assert proposed(metric, 12_001) == Proposal(13, 1201)


def test_the_series_of_an_external_metric_are_summed():
    assert proposed(EXTERNAL, 7000, 6000, 2000).replicas == 15


@pytest.mark.parametrize(
    ("total", "replicas"),
    [(8999, 9), (9000, 10), (11_000, 10), (11_001, 12)],
    ids=["below", "lower edge", "upper edge", "above"],
)
def test_the_edges_of_the_tolerance_belong_to_it(total, replicas):
    assert proposed(EXTERNAL, total).replicas == replicas


@pytest.mark.parametrize(("total", "replicas"), [(7000, 10), (6999, 7), (10_000, 10), (10_001, 11)])
def test_each_direction_has_its_own_tolerance(total, replicas):
    assert proposed(EXTERNAL, total, tolerance=Tolerance(up=0.0, down=0.3)).replicas == replicas


def test_within_the_tolerance_an_average_value_proposes_what_exists_not_what_was_asked_for():
    assert proposed(EXTERNAL, 12_500, spec=10, status=12).replicas == 12


@pytest.mark.parametrize(("total", "replicas"), [(0, 0), (1, 1), (1000, 1), (3200, 4)])
def test_an_average_value_needs_no_pod_to_propose_from(total, replicas):
    assert proposed(EXTERNAL, total, spec=0) == Proposal(replicas, 0)


def test_a_sum_that_does_not_fit_is_the_largest_that_does():
    assert proposed(EXTERNAL, MAX_INT64, MAX_INT64) == Proposal(2_147_483_647, MAX_INT64)


@pytest.mark.parametrize("metric", [EXTERNAL, VALUE, PODS], ids=["average", "value", "pods"])
def test_a_metric_that_cannot_be_read_proposes_nothing(metric):
    assert propose(metric, FAILED_READING, Scale(4, 4), TENTH) is Failure.UNAVAILABLE


def test_a_value_multiplies_the_pods_that_are_ready():
    assert proposed(VALUE, 2500, spec=10, ready=3) == Proposal(8, 2500)


def test_a_value_within_the_tolerance_proposes_what_was_asked_for_and_needs_no_pods():
    assert proposed(VALUE, 1100, spec=7, status=3, ready=None).replicas == 7


def test_a_value_without_any_pod_is_a_failure_and_without_ready_ones_it_is_zero():
    assert proposed(VALUE, 2500, ready=None) is Failure.NO_PODS
    assert proposed(VALUE, 2500, ready=0) == Proposal(0, 2500)


@pytest.mark.parametrize(("total", "replicas"), [(0, 0), (1, 1), (1050, 2), (2500, 3)])
def test_from_zero_a_value_proposes_the_ratio_itself_without_tolerance(total, replicas):
    assert proposed(VALUE, total, spec=0, ready=None).replicas == replicas


def test_pods_scale_by_their_mean():
    assert by_pods([1500, 1500], ["ready", "ready"]) == Proposal(3, 1500)


def test_the_mean_of_pods_is_rounded_down():
    assert by_pods([1101, 1100], ["ready", "ready"]).replicas == 2


def test_a_running_pod_that_is_not_ready_counts_where_it_has_a_sample():
    assert by_pods([1500, 1500], ["ready", "notready"]).replicas == 3


def test_terminating_and_failed_pods_do_not_exist():
    assert by_pods([1500, 9000, 9000], ["ready", "terminating", "failed"]) == Proposal(2, 1500)


def test_on_the_way_up_a_pod_that_starts_is_idle():
    assert by_pods([3000, 3000, 9000], ["ready", "ready", "pending"]) == Proposal(6, 3000)
    assert by_pods([1300, 1300, None], ["ready", "ready", "pending"]).replicas == 3


def test_on_the_way_down_a_pod_that_starts_is_ignored():
    assert by_pods([400, 400, 9000], ["ready", "ready", "pending"]).replicas == 1


def test_a_missing_sample_is_idle_on_the_way_up_and_at_the_target_on_the_way_down():
    assert by_pods([2000, 2000, None], ["ready"] * 3).replicas == 4
    assert by_pods([100, 100, None], ["ready"] * 3).replicas == 2


def test_what_is_filled_in_never_turns_the_direction():
    assert by_pods([1200, None, None], ["ready"] * 3).replicas == 3
    assert by_pods([3000, 3000, None], ["ready"] * 3, spec=7).replicas == 7
    assert by_pods([500, 500, None], ["ready"] * 3, spec=1).replicas == 1


def test_pods_exactly_at_the_target_leave_a_missing_one_out():
    assert by_pods([1000, None], ["ready", "ready"], tolerance=Tolerance(0.0, 0.0)).replicas == 2


def test_pods_exactly_at_the_target_leave_one_that_starts_out_too():
    assert by_pods([1000, None, 9000], ["ready", "ready", "pending"], tolerance=Tolerance(0.0, 0.0)).replicas == 3


def test_without_pods_or_their_samples_a_pods_metric_fails():
    assert by_pods([], []) is Failure.NO_PODS
    assert by_pods([None, 900, 900], ["ready", "pending", "failed"]) is Failure.NO_SAMPLES


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=2), st.integers(0, 60), st.integers(1, 10_000))
def test_more_load_never_proposes_less_outside_the_tolerance(totals, status, target):
    metric = Metric(MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE, target)
    none = Tolerance(0.0, 0.0)
    low, high = (proposed(metric, total, spec=status, tolerance=none).replicas for total in sorted(totals))
    assert low <= high


@given(st.integers(0, 2**40), st.integers(1, 60), st.integers(1, 10_000))
def test_a_proposal_covers_the_load_by_less_than_one_replica_too_many(total, status, target):
    metric = Metric(MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE, target)
    replicas = proposed(metric, total, spec=status, tolerance=Tolerance(0.0, 0.0)).replicas
    assert replicas == min(-(-total // target), 2_147_483_647)


def test_each_missing_pod_weakens_the_change():
    assert by_pods([500, None, None], ["ready"] * 3, spec=5).replicas == 3


@pytest.mark.parametrize("state", ["ready", "pending"])
def test_pods_without_samples_are_idle_on_the_way_up(state):
    assert by_pods([1500] * 4 + [None] * 4, ["ready"] * 4 + [state] * 4, spec=4).replicas == 4


@pytest.mark.parametrize("state", ["ready", "pending"])
def test_idle_is_nothing_at_all(state):
    exactly = Tolerance(up=0.0, down=0.0)
    assert by_pods([3002, None, None], ["ready", state, state], tolerance=exactly).replicas == 3


def test_a_mean_that_is_filled_in_to_the_target_asks_for_what_is_there():
    assert by_pods([1500, 1500, None], ["ready"] * 3, spec=2).replicas == 2


def test_what_status_shows_is_the_same_within_the_tolerance_and_from_zero():
    assert proposed(EXTERNAL, 10_000) == Proposal(10, 1000)
    assert proposed(VALUE, 1000, ready=10) == Proposal(10, 1000)
    assert proposed(VALUE, 3000, spec=0) == Proposal(3, 3000)
