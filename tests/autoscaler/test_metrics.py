"""What the controller says of itself in Prometheus' text format."""

from prometheus_client.parser import text_string_to_metric_families

from algorithms.types import Decision, Look, Wish
from autoscaler.metrics import ControllerMetrics
from autoscaler.ports import Outcome, Record

SD, LLM = "default/sd", "default/llm"


def record(service=SD, *, inflight=3.0, error=None):
    look = Look(1002.0, 1000.0, inflight, replicas=2, ready=1)
    return Record(service, look, Decision(4, Wish(4, ""), ()), None if error is None else Outcome(service, error))


def shown(metrics, services=(SD, LLM), *, leads=True, failures=()):
    text = metrics.snapshot(services, leads=leads, failures=dict(failures))().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
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
    }


def test_writes_are_counted_by_what_came_of_them():
    metrics = ControllerMetrics()
    for error in ("", "", "HTTP 403"):
        metrics(record(error=error))
    writes = {key[1:]: value for key, value in shown(metrics).items() if key[0] == "inflight_controller_writes_total"}
    assert writes == {("default", "ok", "sd"): 2, ("default", "error", "sd"): 1}


def test_a_service_that_is_gone_has_no_gauges():
    metrics = ControllerMetrics()
    metrics(record())
    metrics(record(LLM))
    assert {key[2] for key in shown(metrics, services={LLM}) if len(key) > 1} == {"llm"}


def test_what_is_decided_while_it_is_written_is_shown_the_next_time():
    metrics = ControllerMetrics()
    metrics(record(error=""))
    write = metrics.snapshot({SD, LLM}, leads=True, failures={})
    metrics(record(LLM, error=""))
    assert b"llm" not in write()
    assert {key[-1] for key in shown(metrics) if key[0] == "inflight_replicas"} == {"sd", "llm"}


def test_records_that_a_recorder_could_not_take_are_counted_from_zero_on():
    found = shown(ControllerMetrics(), failures={"DecisionLog": 3, "Latest": 0}, leads=False)
    assert found == {
        ("inflight_controller_leader",): 0,
        ("inflight_controller_recorder_failures_total", "DecisionLog"): 3,
        ("inflight_controller_recorder_failures_total", "Latest"): 0,
    }
