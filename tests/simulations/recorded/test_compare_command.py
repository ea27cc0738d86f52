"""`autoscaler compare`: the active policy and its candidates on what was recorded."""

import argparse
import json
import re

import numpy as np
import pytest
import yaml

from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.services import service_of
from autoscaler.testing import policy, policy_document
from simulations.recorded import command
from simulations.recorded.load import DecisionLog as ReadLog
from simulations.recorded.load import ServiceTimes, cold_starts_s, of_decisions, read_decisions
from simulations.run import run
from simulations.scenario.document import Scenario

SERVICE, START_S = "default/sd", 1_796_000_000.0
SHORT = {"name": "short", "algorithm": {"concurrency": {"stableWindow": "10s"}}}
WARM = {"name": "warm", "minReplicas": 1}
SPEC = {"candidates": [SHORT, WARM], "cost": {"perReplicaHour": 3.6, "currency": "EUR"}}


def lines(count=300, gap_s=120.0):
    rng, at_s = np.random.default_rng(1), START_S
    for number in range(count):
        at_s += float(rng.exponential(gap_s))
        served = {"service": SERVICE, "kind": "Count", "outcome": "served", "arrival": at_s}
        yield {**served, "wait_s": 1.0, "service_s": 5.0 + number % 7}


@pytest.fixture
def compare(tmp_path, capsys):
    files = {"requests": tmp_path / "requests.jsonl", "policy": tmp_path / "policy.yaml"}
    files["requests"].write_text("".join(json.dumps(line) + "\n" for line in lines()))
    files["policy"].write_text(yaml.safe_dump(policy_document("sd", **SPEC)))
    known = {"since": 7 * 86400.0, "requests": [], "log": [], "prometheus": None, "cold_start": None, "json": False}
    known |= {"html": None, "plot": None}

    def run_it(**options):
        given = known | {"service": "sd", "policy": files["policy"], "service_time": None} | options
        status = command.run(argparse.Namespace(**given))
        said = capsys.readouterr()
        return status, said.out, said.err

    run_it.files = files
    return run_it


def test_each_candidate_is_compared_with_the_active_policy_on_the_same_requests(compare):
    status, out, _ = compare(requests=[compare.files["requests"]], cold_start="20s", json=True)
    told = json.loads(out)
    assert (status, told["load"]["requests"], told["load"]["estimated"]) == (0, 300, False)
    assert [each["name"] for each in told["policies"]] == ["active policy", "short", "warm"]
    active, short, warm = (each["figures"] for each in told["policies"])
    assert warm["wait_mean_s"]["value"] < active["wait_mean_s"]["value"]
    assert warm["gpu_hours"]["value"] > active["gpu_hours"]["value"] > short["gpu_hours"]["value"]
    assert active["cost"]["value"] == pytest.approx(3.6 * active["gpu_hours"]["value"])
    difference = told["policies"][2]["difference"]["gpu_hours"]
    assert difference["value"] == pytest.approx(warm["gpu_hours"]["value"] - active["gpu_hours"]["value"])
    assert 0 < difference["low"] < difference["value"] < difference["high"]
    assert difference["settled"]


def test_the_table_says_what_it_rests_on_and_what_is_not_settled(compare):
    status, out, _ = compare(requests=[compare.files["requests"]], cold_start="20s")
    assert status == 0
    assert "load: 300 requests of requests.jsonl; arrivals and service times are exact" in out
    assert "cold starts: 20s, as given" in out
    assert "intervals: 95 %, by" in out
    assert "cost (EUR)" in out
    assert "Difference from the active policy, on the same blocks:" in out
    (row,) = (line for line in out.partition("Difference")[2].splitlines() if "not served" in line)
    assert row.split("not served")[1].split() == ["+0", "(+0", "to", "+0)"] * 2


def test_a_short_record_has_no_intervals_and_settles_nothing(compare):
    status, out, _ = compare(requests=[compare.files["requests"]], cold_start="20s", since=3600.0)
    assert status == 0
    assert "intervals: none, for the record is shorter than 100m; no difference is settled" in out


def test_without_a_cost_none_is_shown(compare):
    compare.files["policy"].write_text(yaml.safe_dump(policy_document("sd", candidates=[WARM])))
    _, out, _ = compare(requests=[compare.files["requests"]], cold_start="20s")
    assert "cost" not in out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "--service-time: is required without --requests"),
        ({"service_time": "10s"}, "no load is given: name --requests, --log or --prometheus"),
        ({"service_time": "ten"}, "--service-time: 'ten': "),
        ({"requests": True}, "--cold-start: is required, for no --log shows any"),
        ({"requests": True, "cold_start": "soon"}, "--cold-start: 'soon': "),
        ({"requests": True, "prometheus": "http://p:9090"}, "only one of them can be the load"),
        ({"requests": True, "service": "other/sd"}, "has no policy of other/sd; it has default/sd"),
        ({"requests": True, "policy": None}, "default/sd: no policy is known; give it by --policy"),
    ],
    ids=str,
)
def test_what_is_missing_is_named(compare, options, problem):
    if options.get("requests"):
        options = {**options, "requests": [compare.files["requests"]]}
    status, out, err = compare(**options)
    assert (status, out) == (2, "")
    assert err.startswith("compare: ")
    assert problem in err


def test_a_policy_without_candidates_has_nothing_to_compare_with(compare):
    compare.files["policy"].write_text(yaml.safe_dump(policy_document("sd")))
    status, _, err = compare(requests=[compare.files["requests"]], cold_start="20s")
    assert (status, "default/sd: spec.candidates: is empty" in err) == (2, True)


# A decision log gives the policy, the cold starts, and the load if it must.


def simulated():
    """Give a run whose requests are known."""
    arrivals = [float(line["arrival"] - START_S) for line in lines(count=200, gap_s=15.0)]
    document = {
        "apiVersion": "inflight.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "known"},
        "spec": {
            "workloads": [{"trace": {"arrivals": arrivals}, "serviceTime": "10s"}],
            "fleet": {"pools": [{"name": "gpu", "coldStart": {"load": "20s"}}]},
        },
    }
    return run(Scenario.model_validate(document), policy(), engine="reference")


@pytest.fixture(scope="module")
def history():
    return simulated()


def test_arrivals_are_estimated_from_the_counts_of_a_decision_log(history):
    load = of_decisions(history.decisions, ServiceTimes("10s", 10.0, 1), 1e9, "decisions.jsonl")
    arrived = history.requests.arrival_s
    assert len(load.trace) == pytest.approx(len(arrived), rel=0.03)
    for share in (0.25, 0.5, 0.75):
        then_s = share * float(arrived[-1])
        assert np.sum(load.trace.arrival_s <= then_s) == pytest.approx(np.sum(arrived <= then_s), abs=6)
    assert "estimated from the requests in flight" in load.estimated


def test_time_without_a_count_is_left_out_and_said(history):
    gap = [
        record._replace(observation=record.observation._replace(inflight=None, queued=None, running=None, problem="x"))
        if 100 < record.observation.now_s <= 400
        else record
        for record in history.decisions
    ]
    load = of_decisions(gap, ServiceTimes("10s", 10.0, 1), 1e9, "decisions.jsonl")
    assert load.unknown_s == pytest.approx(300, abs=2.5)
    assert load.span_s + load.unknown_s == pytest.approx(history.decisions[-1].observation.now_s, abs=2.5)
    assert len(load.trace) < len(history.requests)


def test_cold_starts_are_measured_to_one_decision(history):
    found = cold_starts_s(history.decisions)
    assert len(found) >= 0.9 * np.sum(~np.isnan(history.replicas.ready_s))
    assert np.median(found) == pytest.approx(20.0, abs=2.1)


def test_a_log_alone_is_enough_with_how_long_requests_take(compare, history, tmp_path):
    file = tmp_path / "decisions.jsonl"
    with file.open("w") as written:
        log, whole = DecisionLog(written), policy(**SPEC)
        log.begin(SERVICE, whole.model_dump(mode="json", exclude_unset=True), service_of(whole).export)
        for record in history.decisions:
            log(record)
    status, out, _ = compare(log=[file], service_time="10s", policy=None)
    assert status == 0
    assert "requests of decisions.jsonl; arrivals are estimated from the requests in flight at" in out
    assert "measured in decisions.jsonl, median 2" in out


def test_a_log_without_the_service_says_so(compare, tmp_path):
    file = tmp_path / "decisions.jsonl"
    file.write_text("")
    status, _, err = compare(log=[file], service_time="10s")
    assert (status, "decisions.jsonl: has no decision on the service" in err) == (2, True)
    assert read_decisions([file], SERVICE) == ReadLog(None, ())


def test_a_line_that_is_none_of_a_log_is_named(compare, tmp_path):
    file = tmp_path / "decisions.jsonl"
    file.write_text('{"service": "default/sd"\n')
    status, _, err = compare(log=[file], service_time="10s")
    assert (status, f"{file}:1: not a line of a decision log" in err) == (2, True)


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604_800.0), ("90m", 5400.0), ("1h30m", 5400.0)])
def test_how_far_back_may_be_said_in_days(text, seconds):
    assert command._days(text) == seconds


def test_a_time_that_is_none_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match="must be a duration such as 7d"):
        command._days("a week")


def test_a_comparison_is_a_report_with_the_figures_that_are_printed(compare, tmp_path):
    page = tmp_path / "out.html"
    compare.files["requests"].write_text("".join(json.dumps(line) + "\n" for line in lines(60)))
    _, out, _ = compare(requests=[compare.files["requests"]], cold_start="20s", html=page)
    html = page.read_text()
    printed = [re.split(r" {2,}", line.strip()) for line in out.splitlines() if line.startswith("  ")]
    cells = {cell for line in printed if len(line) == 4 for cell in line}
    assert len(cells) > 12
    assert not [cell for cell in cells if f">{cell}</t" not in html]
    assert "Against the active policy: short: " in html
    assert "stableWindow: 10s" in html
    assert "autoscaler compare sd --since 604800s --requests" in html
