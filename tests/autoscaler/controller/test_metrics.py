"""What the controller says of itself in Prometheus' text format, as prometheus_client reads and writes it."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.accounts import StartTimes
from autoscaler.controller.accounting import Accounting
from autoscaler.controller.metrics import GAUGES, TABLE, ControllerMetrics
from autoscaler.policy.cost import Prices
from autoscaler.ports import Fleet, Outcome, Record, Replica

SD, LLM = "default/sd", "default/llm"
MEANINGS = {metric.name: metric.plain for metric in TABLE}


def record(service=SD, *, inflight=3.0, error=None):
    observation = Observation(1002.0, 1000.0, inflight, replicas=2, ready=1)
    return Record(
        service, observation, Decision(4, Recommendation(4, ""), ()), None if error is None else Outcome(service, error)
    )


def written(metrics, services=(SD, LLM), *, leads=True, failures=(), of_services=(), accounting=None):
    states = {"failures": dict(failures), "of_services": dict(of_services), "accounting": accounting}
    return b"".join(metrics.text(services, leads=leads, **states)).decode()


def shown(metrics, *services, **states):
    text = written(metrics, *services, **states)
    families = [family for family in text_string_to_metric_families(text) if "lost_spans" not in family.name]
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_each_service_has_what_was_decided_last():
    metrics = ControllerMetrics()
    metrics(record(inflight=None))
    assert shown(metrics) == {
        ("inflight_controller_leader",): 1,
        ("inflight_desired_replicas", "default", "sd"): 4,
        ("inflight_replicas", "default", "sd"): 2,
        ("inflight_ready_replicas", "default", "sd"): 1,
        ("inflight_count_unknown", "default", "sd"): 1,
        ("inflight_recommended_replicas", "default", "sd"): 4,
        ("inflight_unplaced_replicas", "default", "sd"): 0,
        ("inflight_at_max", "default", "sd"): 0,
        ("inflight_foreign_writer", "default", "sd"): 0,
        ("inflight_decisions_total", "default", "sd", "recommendation"): 1,
    }


@pytest.mark.parametrize(
    ("rule", "metric"),
    [
        ("maxReplicas", "inflight_at_max"),
        ("foreignWriter", "inflight_foreign_writer"),
        ("replicasContested", "inflight_foreign_writer"),
    ],
)
def test_a_rule_that_holds_the_number_shows_while_it_does(rule, metric):
    metrics, decision = ControllerMetrics(), record().decision
    metrics(record()._replace(decision=decision._replace(reasons=(Reason(rule, 4, 4, ""),))))
    assert shown(metrics)[metric, "default", "sd"] == 1
    metrics(record())
    assert shown(metrics)[metric, "default", "sd"] == 0


def test_a_number_that_is_unknown_has_no_sample():
    metrics, decision = ControllerMetrics(), record().decision
    metrics(record()._replace(decision=decision._replace(recommendation=Recommendation(None, ""))))
    assert not {"inflight_recommended_replicas", "inflight_starting_replicas"} & {key[0] for key in shown(metrics)}
    metrics(record()._replace(observation=record().observation._replace(starting=2)))
    assert shown(metrics)["inflight_starting_replicas", "default", "sd"] == 2


def test_scale_downs_that_do_not_go_as_planned_are_counted_by_their_reason():
    metrics = ControllerMetrics()
    metrics(record(error="")._replace(outcome=Outcome(SD, drain=(Reason("podsBusy", 4, 3, ""),))))
    assert shown(metrics)["inflight_drain_problems_total", "default", "sd", "podsBusy"] == 1


def test_decisions_are_counted_by_the_last_rule_that_changed_the_number():
    held, raised = Reason("budget", 4, 4, ""), Reason("fromZero", 3, 4, "")
    metrics, decision = ControllerMetrics(), record().decision
    for reasons in ((held, raised), (raised, held), (held,), ()):
        metrics(record()._replace(decision=decision._replace(reasons=reasons)))
    metrics(record()._replace(decision=Decision(2, Recommendation(None, "the count is unknown"), ())))
    found = {key[-1]: value for key, value in shown(metrics).items() if key[0] == "inflight_decisions_total"}
    assert found == {"fromZero": 2, "recommendation": 2, "unknown": 1}


def test_what_services_have_used_is_shown_and_ends_with_the_service():
    services = {SD: SimpleNamespace(prices=Prices("EUR", 3.6))}
    accounting = Accounting(services, lambda _at_s: 0.0, tick_s=2.0)
    started = Replica("a", ready=True, running=1, age_s=4.0, gpus=2, start=StartTimes((("model", 4.0),), 4.0))
    for at_s, replicas in ((0.0, ()), (4.0, (started,)), (14.0, ())):
        accounting.saw({SD: (Observation(at_s, 0.0, 0.0, 0, 0), Fleet(len(replicas), replicas))})
    found = shown(ControllerMetrics(), accounting=accounting)
    assert found["inflight_gpu_seconds_total", "default", "sd", "busy"] == 20.0
    assert found["inflight_cost_total", "default", "sd", "EUR"] == pytest.approx(0.01)
    buckets = {key[-1]: value for key, value in found.items() if key[0] == "inflight_cold_start_seconds_bucket"}
    assert (buckets["2.0"], buckets["5.0"], buckets["+Inf"]) == (0, 1, 1)
    assert found["inflight_cold_start_seconds_sum", "default", "sd", "model"] == 4.0
    del services[SD]
    assert shown(ControllerMetrics(), accounting=accounting) == {("inflight_controller_leader",): 1}


def test_writes_are_counted_by_what_came_of_them():
    metrics = ControllerMetrics()
    for error in ("", "", "HTTP 403"):
        metrics(record(error=error))
    writes = {key[1:]: value for key, value in shown(metrics).items() if key[0] == "inflight_controller_writes_total"}
    assert writes == {("default", "sd", "ok"): 2, ("default", "sd", "error"): 1}


def test_a_drain_that_ends_at_the_number_there_is_is_no_write():
    metrics = ControllerMetrics()
    metrics(record(error="")._replace(outcome=Outcome(SD, drain=(Reason("drain", 4, 2, "all pods are busy"),))))
    assert not [key for key in shown(metrics) if key[0] == "inflight_controller_writes_total"]


def test_a_service_that_is_gone_has_no_series():
    metrics = ControllerMetrics()
    metrics(record(error="HTTP 403"))
    metrics(record(LLM, error=""))
    assert {key[2] for key in shown(metrics, {LLM}) if len(key) > 1} == {"llm"}
    metrics.forget(LLM)
    assert {key for key in shown(metrics, {SD, LLM}) if len(key) > 1} == set()


def test_what_is_decided_while_it_is_written_is_shown_the_next_time():
    metrics = ControllerMetrics()
    metrics(record(error=""))
    text = metrics.text({SD, LLM}, leads=True, failures={})
    begun = next(text)
    metrics(record(LLM, error=""))
    assert b"llm" not in begun + b"".join(text)
    assert {key[-1] for key in shown(metrics) if key[0] == "inflight_replicas"} == {"sd", "llm"}


def test_no_piece_of_many_services_is_large():
    metrics, services = ControllerMetrics(), [f"default/s-{index}" for index in range(2500)]
    for service in services:
        metrics(record(service))
    pieces = list(metrics.text(set(services), leads=True, failures={}))
    assert max(piece.count(b"\n") for piece in pieces) == 1000
    assert sum(piece.count(b"inflight_ready_replicas{") for piece in pieces) == 2500


def test_records_that_a_recorder_could_not_take_are_counted_from_zero_on():
    found = shown(ControllerMetrics(), failures={"DecisionLog": 3, "Latest": 0}, leads=False)
    assert found == {
        ("inflight_controller_leader",): 0,
        ("inflight_controller_recorder_failures_total", "DecisionLog"): 3,
        ("inflight_controller_recorder_failures_total", "Latest"): 0,
    }


class _Library:
    """The same numbers by way of prometheus_client."""

    def __init__(self, records, failures, of_services):
        self.records, self.failures, self.of_services = records, failures, of_services

    def candidates(self):
        name = "inflight_candidate_desired_replicas"
        gauge = GaugeMetricFamily(name, MEANINGS[name], labels=("namespace", "service", "candidate"))
        for record in self.records:
            for candidate, decision in record.candidates:
                gauge.add_metric([*record.service.split("/", 1), candidate], decision.desired)
        return gauge

    def gauge(self, name, number):
        gauge = GaugeMetricFamily(name, MEANINGS[name], labels=("namespace", "service"))
        for each in self.records:
            if (value := number(each)) is not None:
                gauge.add_metric(each.service.split("/", 1), value)
        return gauge

    def collect(self):
        yield GaugeMetricFamily("inflight_controller_leader", MEANINGS["inflight_controller_leader"], value=0)
        yield from (self.gauge(metric.name, number) for metric, number in GAUGES)
        yield self.candidates()
        writes = CounterMetricFamily(
            "inflight_controller_writes",
            MEANINGS["inflight_controller_writes_total"],
            labels=("namespace", "service", "result"),
        )
        for each in self.records:
            if each.outcome is not None and (each.outcome.error or each.written is not None):
                writes.add_metric([*each.service.split("/", 1), "error" if each.outcome.error else "ok"], 1)
        yield writes
        failures = CounterMetricFamily(
            "inflight_controller_recorder_failures",
            MEANINGS["inflight_controller_recorder_failures_total"],
            labels=("recorder",),
        )
        for recorder, number in self.failures.items():
            failures.add_metric([recorder], number)
        yield failures
        of_services = CounterMetricFamily(
            "inflight_controller_service_failures",
            MEANINGS["inflight_controller_service_failures_total"],
            labels=("namespace", "service", "part"),
        )
        for (service, part), number in self.of_services.items():
            of_services.add_metric([*service.split("/", 1), part], number)
        yield of_services
        decisions = CounterMetricFamily(
            "inflight_decisions",
            MEANINGS["inflight_decisions_total"],
            labels=("namespace", "service", "rule"),
        )
        for each in self.records:
            decisions.add_metric([*each.service.split("/", 1), "unknown"], 1)
        yield decisions
        yield CounterMetricFamily(
            "inflight_drain_problems", MEANINGS["inflight_drain_problems_total"], labels=("rule",)
        )
        name = "inflight_controller_lost_spans"
        yield CounterMetricFamily(name, MEANINGS[f"{name}_total"], value=0)


_ANY = st.text(alphabet=st.sampled_from('ab\\"\n{},= é'), max_size=6)
_COUNTS = st.integers(0, 2**31 - 1)
_RECORDS = st.builds(
    lambda namespace, name, inflight, numbers, error: Record(
        f"{namespace}/{name}",
        Observation(2.0, 0.0, inflight, replicas=numbers[0], ready=numbers[1]),
        Decision(numbers[2], Recommendation(None, ""), ()),
        None if error is None else Outcome(f"{namespace}/{name}", error),
    ),
    *(_ANY, _ANY, st.none() | st.just(1.5), st.tuples(_COUNTS, _COUNTS, _COUNTS), st.sampled_from((None, "", "409"))),
)


_PARTS = st.dictionaries(st.tuples(st.builds("{}/{}".format, _ANY, _ANY), _ANY), _COUNTS, max_size=3)


@given(
    st.lists(_RECORDS, max_size=4, unique_by=lambda each: each.service),
    st.dictionaries(_ANY, _COUNTS, max_size=3),
    _PARTS,
)
def test_what_is_written_reads_as_what_the_library_writes(records, failures, of_services):
    metrics, registry = ControllerMetrics(), CollectorRegistry()
    registry.register(_Library(records, failures, of_services))
    for each in records:
        metrics(each)
    ours = written(metrics, {each.service for each in records}, leads=False, failures=failures, of_services=of_services)
    theirs = generate_latest(registry).decode()
    assert list(text_string_to_metric_families(ours)) == list(text_string_to_metric_families(theirs))
    assert [line for line in ours.splitlines() if line[0] == "#"] == [
        line for line in theirs.splitlines() if line[0] == "#"
    ]


def test_spans_that_did_not_reach_their_receiver_are_counted():
    text = b"".join(ControllerMetrics().text(set(), leads=True, failures={}, lost_spans=7)).decode()
    assert "\ninflight_controller_lost_spans_total 7\n" in text
