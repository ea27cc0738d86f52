"""Plausible misreadings of the specifications, made on purpose: each is contradicted by a golden file or by a test.

Mutation testing changes one operator at a time; a misreading changes what a rule means, often across functions. Here
each is made in the running code, in the one function that holds the rule, and what it is caught by has to fail.
"""

import inspect
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import test_good_time
import test_hpa
import test_hpa_behavior
import test_kpa_core
import test_windows
from formats import compare
from golden import load

from algorithms import good_time, hpa, hpa_behavior, hpa_metrics, hpa_reconcile, kpa_core, windows

DATA = Path(__file__).parents[1] / "conformance" / "data"


def recorded(name):
    assert compare(load(DATA / f"{name}.json")).first_difference is None


def golden(name):
    return partial(recorded, name)


class Misreading(NamedTuple):
    says: str
    function: Callable[..., object]
    right: str
    """What stands in the function, exactly once."""
    wrong: str
    caught_by: Callable[[], object]


OF_WINDOWS = [
    Misreading(
        "a slot is its second's last value",
        windows._Slots.record,
        "self._slots[second % self._window_s] += value",
        "value -= self._slots[second % self._window_s]; self._slots[second % self._window_s] += value",
        golden("knative/pipeline_multi_source_late"),
    ),
    Misreading(
        "the divisor is the window's length, however young the data is",
        windows.LinearWindow.average,
        "min(self._last - self._first + 1, slots)",
        "slots",
        golden("knative/pipeline_short_gaps"),
    ),
    Misreading(
        "silent seconds at the end are zeros",
        windows.LinearWindow.average,
        "slots -= behind",
        "pass",
        golden("knative/pipeline_short_gaps"),
    ),
    Misreading(
        "data of an earlier second comes too late",
        windows._Slots._admits,
        "second + self._window_s <= self._last",
        "second < self._last",
        golden("knative/pipeline_multi_source_late"),
    ),
    Misreading(
        "a gap of exactly a window keeps the age of the data",
        windows._Slots._advance,
        "second - last >= self._window_s",
        "second - last > self._window_s",
        test_windows.test_a_gap_of_a_whole_window_begins_afresh,
    ),
    Misreading(
        "a window is empty as soon as its last second has left it",
        windows._Slots.is_empty,
        "> self._window_s",
        ">= self._window_s",
        golden("knative/pipeline_weighted_gaps"),
    ),
    Misreading(
        "a half is rounded to even",
        windows._rounded,
        "scaled = abs(value) * 1e6",
        "return round(value, 6)",
        golden("knative/pipeline_short_gaps"),
    ),
    Misreading(
        "a resized window knows how young its data is",
        windows._Slots.resize,
        "self._last - self._window_s + 1 if kept",
        "self._first if kept",
        golden("knative/pipeline_window_resize"),
    ),
    Misreading(
        "the weights of a young window are normalised",
        windows.WeightedWindow.average,
        "return value",
        "return value / (1 - keep ** (1 + min(n - 1, self._last - self._first)))",
        golden("knative/pipeline_weighted_gaps"),
    ),
    Misreading(
        "silence does not decay a weighted window",
        windows.WeightedWindow.average,
        "keep**behind",
        "1",
        golden("knative/pipeline_weighted_gaps"),
    ),
    Misreading(
        "the smoothing has no least value",
        windows.smoothing_of,
        "max(1 - kept_per_slot, SMALLEST_SMOOTHING)",
        "1 - kept_per_slot",
        golden("knative/pipeline_weighted_poisson"),
    ),
    Misreading(
        "the smoothing is that of an n-period average, 2 / (n + 1)",
        windows.smoothing_of,
        "max(1 - kept_per_slot, SMALLEST_SMOOTHING)",
        "2 / (slots + 1)",
        golden("knative/pipeline_weighted_gaps"),
    ),
    Misreading(
        "the delay reaches one slot further back",
        windows.DelayWindow._forget,
        "max(1, ceil(self._delay_s / DELAY_SLOT_S)) + 1",
        "max(1, ceil(self._delay_s / DELAY_SLOT_S))",
        golden("knative/decision_config_update"),
    ),
    Misreading(
        "a part of a slot of the delay does not count",
        windows.DelayWindow._forget,
        "ceil(self._delay_s / DELAY_SLOT_S)",
        "floor(self._delay_s / DELAY_SLOT_S)",
        golden("knative/decision_config_update"),
    ),
]

OF_FEEDER = [
    Misreading(
        "a look speaks of the second in which it is taken only",
        good_time.seconds_covered,
        "floor(observation.since_s), floor(observation.now_s)",
        "0",
        test_kpa_core.test_an_observation_is_put_into_its_seconds_and_its_newest_count_into_the_one_in_progress,
    ),
    Misreading(
        "a look begins in the second after the one before it",
        good_time.seconds_covered,
        "floor(observation.since_s)",
        "floor(observation.since_s) + 1",
        test_good_time.test_a_newest_count_gives_way_to_the_mean_of_its_second_once_that_is_over,
    ),
    Misreading(
        "the second in progress reads the mean",
        good_time.current_count,
        "max(observation.inflight or 0.0, observation.latest)",
        "observation.inflight",
        test_good_time.test_a_burst_is_seen_at_once_in_the_second_in_progress,
    ),
    Misreading(
        "time passes while the count is unknown",
        good_time.GoodTimeClock.__call__,
        "self._seen_s == self._good_s == observation.since_s",
        "True",
        test_good_time.test_an_observation_after_an_outage_follows_the_last_good_one_without_a_gap,
    ),
    Misreading(
        "an unknown count is zero",
        kpa_core.KpaCore.feed,
        "return",
        "observation = observation._replace(inflight=0.0)",
        test_kpa_core.test_an_observation_is_put_into_its_seconds_and_its_newest_count_into_the_one_in_progress,
    ),
    Misreading(
        "totals of one second are added up, as pods' shares are",
        windows._Slots.replace,
        "- slots[slot] + value",
        "+ value; value += slots[slot]",
        test_kpa_core.test_observations_within_one_second_replace_each_other,
    ),
]

OF_KPA = [
    Misreading(
        "panic ends at a stable window after the last burst, not strictly later",
        kpa_core.KpaDecider._watch_for_panic,
        "< now_s",
        "<= now_s",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "panic lasts a stable window from its begin: it is not renewed",
        kpa_core.KpaDecider._watch_for_panic,
        "self._panic_s = now_s",
        "self._panic_s = now_s if self._panic_s is None else self._panic_s",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "the next panic remembers the highest count of the one before",
        kpa_core.KpaDecider._watch_for_panic,
        "self.max_panic = 0",
        "pass",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "panic begins above the threshold, not at it",
        kpa_core.KpaDecider.decide,
        ">= options.panic_threshold",
        "> options.panic_threshold",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "the threshold is compared with the rate-limited count",
        kpa_core.KpaDecider.decide,
        "over=raw_panic / pods",
        "over=panic_pods / pods",
        golden("knative/decision_scale_up_rate_binding"),
    ),
    Misreading(
        "the threshold is compared with the load itself, not with whole replicas",
        kpa_core.KpaDecider.decide,
        "over=raw_panic / pods",
        "over=panic / options.target / pods",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "the threshold is compared with the stable window's count",
        kpa_core.KpaDecider.decide,
        "over=raw_panic / pods",
        "over=raw_stable / pods",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "panic holds what the panic window asks for only",
        kpa_core.KpaDecider._held_in_panic,
        "max(self.max_panic, stable_pods, panic_pods)",
        "max(self.max_panic, panic_pods)",
        golden("knative/decision_noisy_poisson"),
    ),
    Misreading(
        "panic may fall: it takes the higher window, not the highest yet",
        kpa_core.KpaDecider._held_in_panic,
        "max(self.max_panic, stable_pods, panic_pods)",
        "max(stable_pods, panic_pods)",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "the activation scale comes before the rate limits",
        kpa_core.KpaDecider.decide,
        "_activated(options, raw_stable, min(max(raw_stable, down), up))",
        "min(max(_activated(options, raw_stable, raw_stable), down), up)",
        test_kpa_core.test_any_demand_asks_for_the_activation_scale_even_beyond_the_rate,
    ),
    Misreading(
        "the activation scale lifts what the rate limits left, even without demand",
        kpa_core._activated,
        "raw > 0",
        "limited > 0",
        golden("knative/decision_activation_scale"),
    ),
    Misreading(
        "rates are relative to the ready replicas, even to none",
        kpa_core.KpaDecider.decide,
        "down, up = _rate_limits(options, pods)",
        "down, up = _rate_limits(options, ready)",
        golden("knative/decision_noisy_poisson"),
    ),
    Misreading(
        "the rate of a fall rounds up",
        kpa_core._rate_limits,
        "floor(pods / options.max_scale_down_rate)",
        "ceil(pods / options.max_scale_down_rate)",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "the rate of growth rounds down",
        kpa_core._rate_limits,
        "ceil(min(options.max_scale_up_rate * pods, _MOST))",
        "floor(min(options.max_scale_up_rate * pods, _MOST))",
        golden("knative/decision_scale_up_rate_binding"),
    ),
    Misreading(
        "an unreachable revision keeps the rate of its fall",
        kpa_core._rate_limits,
        "if options.reachable else 0",
        "",
        golden("knative/decision_unreachable"),
    ),
    Misreading(
        "the delay records while the revision is unreachable",
        kpa_core.KpaDecider._delayed,
        "if self._delay is None or not self._options.reachable:",
        "if self._delay is None or (not self._options.reachable and not self._delay.record(now_s, desired)):",
        test_kpa_core.test_a_recommendation_while_unreachable_delays_nothing_later,
    ),
    Misreading(
        "the delay holds an unreachable revision, too",
        kpa_core.KpaDecider._delayed,
        "self._delay is None or not self._options.reachable",
        "self._delay is None",
        golden("knative/decision_unreachable"),
    ),
    Misreading(
        "panic holds what the delay gives, not the delay what panic gives",
        kpa_core.KpaDecider.decide,
        "desired = self._held_in_panic(stable_pods, panic_pods)\n    desired = self._delayed(now_s, desired)",
        "desired = self._held_in_panic(self._delayed(now_s, stable_pods), panic_pods)",
        test_kpa_core.test_a_delay_holds_what_panic_held,
    ),
    Misreading(
        "the delay changes when its option does",
        kpa_core.KpaDecider.update,
        "self._options = options",
        "self.__init__(options, 0.0, 0)",
        golden("knative/decision_config_update"),
    ),
    Misreading(
        "excess burst capacity is of the target, not of the total",
        kpa_core._excess_burst_capacity,
        "ready * options.total",
        "ready * options.target",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "excess burst capacity is of one replica at least",
        kpa_core._excess_burst_capacity,
        "ready * options.total",
        "max(1, ready) * options.total",
        golden("knative/decision_noisy_poisson"),
    ),
    Misreading(
        "excess burst capacity is what the stable window leaves",
        kpa_core.KpaDecider.decide,
        "_excess_burst_capacity(options, ready, panic)",
        "_excess_burst_capacity(options, ready, stable)",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "excess burst capacity is cut off toward zero",
        kpa_core._excess_burst_capacity,
        "return floor(",
        "return int(",
        golden("knative/decision_scale_down_rate_binding"),
    ),
    Misreading(
        "a start with one replica is a panic, too",
        kpa_core.KpaDecider.__init__,
        "ready > 1",
        "ready > 0",
        golden("knative/decision_cc0_target100_70"),
    ),
    Misreading(
        "a restart with several replicas is no panic",
        kpa_core.KpaDecider.__init__,
        "now_s if ready > 1 else None",
        "None",
        golden("knative/decision_no_data_gaps"),
    ),
    Misreading(
        "no data is no load",
        kpa_core.KpaCore.averages,
        "return None, None",
        "return 0.0, 0.0",
        golden("knative/pipeline_rps"),
    ),
    Misreading(
        "no data is no decision even where nothing is scraped",
        kpa_core.KpaCore.averages,
        "self._options.target_burst_capacity != ALWAYS_PROXIED and ",
        "",
        golden("knative/pipeline_linear_burst_tbc_unlimited"),
    ),
]

OF_HPA = [
    Misreading(
        "the window of `behavior` includes its very end",
        hpa_behavior.stabilise,
        "now_s - down_s + EDGE_S",
        "now_s - down_s - EDGE_S",
        golden("hpa/09_scale_up_disabled"),
    ),
    Misreading(
        "the window without `behavior` ends before its very end",
        hpa_behavior.stabilise_without_behavior,
        "- EDGE_S",
        "+ EDGE_S",
        golden("hpa/01_default_rules_step"),
    ),
    Misreading(
        "what is remembered is the stabilised number",
        hpa_reconcile.Reconciler._follow,
        "self._recommendations.add(now_s, proposed)",
        "self._recommendations.add(now_s, stabilised)",
        golden("hpa/09_scale_up_disabled"),
    ),
    Misreading(
        "what is remembered is the number that was written",
        hpa_reconcile.Reconciler._follow,
        "self._recommendations.add(now_s, proposed)",
        "self._recommendations.add(now_s, limited.replicas)",
        golden("hpa/09_scale_up_disabled"),
    ),
    Misreading(
        "the past begins empty",
        hpa_reconcile.Reconciler.reconcile,
        "self._recommendations.add(now_s, scale.spec)",
        "pass",
        golden("hpa/03_tolerance_edges"),
    ),
    Misreading(
        "a write counts in a policy at the end of its period",
        hpa_behavior.ScaleEvents.start,
        "+ EDGE_S",
        "- EDGE_S",
        golden("hpa/02_default_behavior_step"),
    ),
    Misreading(
        "a policy counts from what is there now",
        hpa_behavior.ScaleEvents.start,
        "return spec - _changed(self._ups, after_s) + _changed(self._downs, after_s)",
        "return spec",
        golden("hpa/91_table_behavior_rate"),
    ),
    Misreading(
        "a policy counts the writes in its own direction only",
        hpa_behavior.ScaleEvents.start,
        " + _changed(self._downs, after_s)",
        "",
        golden("hpa/91_table_behavior_rate"),
    ),
    Misreading(
        "writes that failed count in the policies",
        hpa.Syncs.saw,
        "self._write is not None and replicas == self._write.after",
        "self._write is not None",
        test_hpa.test_a_write_that_is_never_seen_does_not_count,
    ),
    Misreading(
        "what a reconcile decides counts in the policies, written or not",
        hpa_reconcile.Reconciler._follow,
        "self._recommendations.add(now_s, proposed)",
        "self._recommendations.add(now_s, proposed); self.wrote(now_s, scale.spec, limited.replicas)",
        golden("hpa/23_scale_update_failures"),
    ),
    Misreading(
        "what a bound restored does not count in the policies",
        hpa_reconcile.Reconciler.wrote,
        "options.behavior is not None",
        "options.behavior is not None and options.min_replicas < after < options.max_replicas",
        golden("hpa/19_external_interference"),
    ),
    Misreading(
        "the largest change down is the largest number",
        hpa_behavior.scale_down_limit,
        "max if rules.select_policy is SelectPolicy.MIN else min",
        "min if rules.select_policy is SelectPolicy.MIN else max",
        golden("hpa/91_table_behavior_rate"),
    ),
    Misreading(
        "a percentage on the way up rounds down",
        hpa_behavior._raised,
        "ceil(",
        "int(",
        golden("hpa/91_table_behavior_rate"),
    ),
    Misreading(
        "a percentage on the way down rounds up",
        hpa_behavior._lowered,
        "int(",
        "ceil(",
        golden("hpa/91_table_behavior_rate"),
    ),
    Misreading(
        "a percentage on the way up is exact",
        hpa_behavior._raised,
        "ceil(start * (1 + policy.value / 100))",
        "start - -start * policy.value // 100",
        test_hpa_behavior.test_the_doubles_differ_from_exact_numbers_in_twenty_small_cases,
    ),
    Misreading(
        "a percentage on the way down is exact",
        hpa_behavior._lowered,
        "int(start * (1 - policy.value / 100))",
        "start * (100 - policy.value) // 100",
        test_hpa_behavior.test_the_doubles_differ_from_exact_numbers_in_twenty_small_cases,
    ),
    Misreading(
        "without `behavior` a step doubles, from one to two, too",
        hpa_behavior.limit_without_behavior,
        "max(2 * spec, 4)",
        "2 * spec",
        golden("hpa/91_table_behavior_rate"),
    ),
    Misreading(
        "a bound is restored at the policies' rate",
        hpa_reconcile.Reconciler.reconcile,
        "scale.spec > options.max_replicas",
        "False",
        golden("hpa/19_external_interference"),
    ),
    Misreading(
        "the edges of the tolerance do not belong to it",
        hpa_metrics.Tolerance.holds,
        "1.0 - self.down <= ratio <= 1.0 + self.up",
        "1.0 - self.down < ratio < 1.0 + self.up",
        golden("hpa/90_table_replica_calculator"),
    ),
    Misreading(
        "the tolerance is a distance from 1, computed as one",
        hpa_metrics.Tolerance.holds,
        "1.0 - self.down <= ratio <= 1.0 + self.up",
        "-self.down <= ratio - 1.0 <= self.up",
        golden("hpa/90_table_replica_calculator"),
    ),
    Misreading(
        "the tolerances of `behavior` do not replace the controller's",
        hpa_reconcile.Reconciler._propose,
        "if behavior else (None, None)",
        "if False else (None, None)",
        golden("hpa/21_configurable_tolerance"),
    ),
    Misreading(
        "within the tolerance an AverageValue proposes spec.replicas",
        hpa_metrics.propose,
        "metric.target_milli, total, scale.status, tolerance",
        "metric.target_milli, total, scale.spec, tolerance",
        golden("hpa/25_status_differs_from_spec"),
    ),
    Misreading(
        "a Value target multiplies what is asked for, not what is ready",
        hpa_metrics.propose_by_value,
        "ratio * scale.ready",
        "ratio * scale.spec",
        golden("hpa/90_table_replica_calculator"),
    ),
    Misreading(
        "a Pods metric multiplies what is asked for, not what has samples",
        hpa_metrics.propose_by_pods,
        "ratio * found.ready",
        "ratio * scale.spec",
        golden("hpa/90_table_replica_calculator"),
    ),
    Misreading(
        "a mean of pods keeps its fraction",
        hpa_metrics._mean,
        "//",
        "/",
        golden("hpa/90_table_replica_calculator"),
    ),
    Misreading(
        "pods that are not ready are left out on the way up",
        hpa_metrics._with_gaps_filled,
        "values |= dict.fromkeys(found.unready, 0)",
        "pass",
        golden("hpa/20_pods_metric_missing_unready"),
    ),
    Misreading(
        "missing pods are idle in either direction",
        hpa_metrics._with_gaps_filled,
        "target if ratio < 1 else 0",
        "0",
        golden("hpa/90_table_replica_calculator"),
    ),
    Misreading(
        "a filled-in mean may turn the direction",
        hpa_metrics._with_gaps_filled,
        "tolerance.holds(filled) or ratio < 1 < filled or filled < 1 < ratio",
        "tolerance.holds(filled)",
        golden("hpa/90_table_replica_calculator"),
    ),
    Misreading(
        "a metric that fails is left out",
        hpa_reconcile.Reconciler._follow,
        "(failures and proposed < scale.spec)",
        "False",
        golden("hpa/13_two_metrics_partial_error"),
    ),
    Misreading(
        "a metric that fails forbids growth, too",
        hpa_reconcile.Reconciler._follow,
        "(failures and proposed < scale.spec)",
        "failures",
        golden("hpa/13_two_metrics_partial_error"),
    ),
    Misreading(
        "a metric that fails proposes zero",
        hpa_metrics.propose,
        "return Failure.UNAVAILABLE",
        "return Proposal(0, 0)",
        golden("hpa/13_two_metrics_partial_error"),
    ),
    Misreading(
        "zero replicas are scaled up like any other number",
        hpa_reconcile.Reconciler._leaves_zero,
        "return own and (self.options.min_replicas != 0 or self._has_global_metric())",
        "return True",
        golden("hpa/18_replicas_zero_disables"),
    ),
]


@pytest.mark.parametrize("misreading", [*OF_WINDOWS, *OF_FEEDER, *OF_KPA, *OF_HPA], ids=lambda one: one.says)
def test_a_misreading_is_contradicted(misreading, monkeypatch):
    misread(misreading, monkeypatch)
    with pytest.raises(AssertionError):
        misreading.caught_by()


def misread(misreading, monkeypatch):
    """Exchange the function's code, which reaches whoever has imported it."""
    function = misreading.function
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(misreading.right) == 1, source
    scope = {}
    exec(source.replace(misreading.right, misreading.wrong), function.__globals__, scope)  # noqa: S102
    monkeypatch.setattr(function, "__code__", scope[function.__name__].__code__)
