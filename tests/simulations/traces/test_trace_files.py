"""Traces and rate curves from files: what is read, and what is refused with its line."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from autoscaler.documents.document import DocumentError
from simulations import simulate
from simulations.model.random_streams import RandomStreams
from simulations.results import tables
from simulations.scenario.columns import read_columns
from simulations.scenario.document import read_scenario
from simulations.scenario.request_sources import source_of
from simulations.scenario.workloads import Workload

SCENARIO = """apiVersion: inflight.dev/v1alpha1
kind: Scenario
metadata: {name: x}
spec:
  workloads:
    - serviceTime: 9s
      WORKLOAD
  fleet: {pools: [{name: gpu}]}
  policies: [{policy: {apiVersion: inflight.dev/v1alpha1, kind: ScalingPolicy, metadata: {name: x},
    spec: {scaleTargetRef: {name: x}, minReplicas: 1}}}]
  run: {duration: 60s}
"""
ARRIVALS, SERVICE = [1.0, 2.0, 2.0], [3.0, np.nan, 5.0]


def write_csv(path):
    path.write_text("service_s,arrival_s,note\n3.0,1.0,a\n,2.0,b\n5.0,2.0,c\n")


def write_jsonl(path):
    path.write_text('{"arrival_s": 1, "service_s": 3}\n{"arrival_s": 2.0}\n{"arrival_s": 2.0, "service_s": 5.0}\n')


def write_parquet(path):
    parquet.write_table(pa.table({"arrival_s": ARRIVALS, "service_s": [3.0, None, 5.0]}), path)


@pytest.mark.parametrize(
    ("ending", "write"), [("csv", write_csv), ("jsonl", write_jsonl), ("parquet", write_parquet)], ids=str
)
def test_a_trace_is_read_from_any_of_its_formats(tmp_path, ending, write):
    write(tmp_path / f"t.{ending}")
    found = read_columns(tmp_path / f"t.{ending}", ("arrival_s",), ("service_s", "nobody_s"))
    assert list(found) == ["arrival_s", "service_s"]
    np.testing.assert_array_equal(found["arrival_s"], ARRIVALS)
    np.testing.assert_array_equal(found["service_s"], SERVICE)


def scenario(folder, workload):
    (folder / "s.yaml").write_text(SCENARIO.replace("WORKLOAD", workload))
    return folder / "s.yaml"


def test_a_trace_is_found_from_the_folder_of_its_scenario_and_its_gaps_are_drawn(tmp_path):
    write_csv(tmp_path / "t.csv")
    requests = simulate(scenario(tmp_path, "trace: {file: t.csv}")).history.requests
    assert requests.arrival_s.tolist() == ARRIVALS
    assert requests.service_s.tolist() == [3.0, 9.0, 5.0]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_records_of_a_run_can_be_replayed_as_a_trace(tmp_path, ending):
    path = scenario(tmp_path, "poisson: {rate: 2}").rename(tmp_path / "first.yaml")
    first = simulate(path).history
    tables.write(tables.requests_arrow(first), tmp_path / f"r.{ending}")
    again = simulate(scenario(tmp_path, f"trace: {{file: r.{ending}}}")).history
    for column in ("arrival_s", "start_s", "end_s", "service_s"):
        np.testing.assert_array_equal(getattr(again.requests, column), getattr(first.requests, column))


def test_a_rate_curve_is_read_from_a_file(tmp_path):
    (tmp_path / "r.csv").write_text("at_s,rate\n0,0\n20,10\n40,0\n")
    (workload,) = read_scenario(scenario(tmp_path, "rateCurve: {file: r.csv}")).spec.workloads
    times = [arrival.t_s for arrival in source_of([workload], RandomStreams(1)).arrivals()]
    assert len(times) == pytest.approx(200, abs=60)
    assert 20.0 < min(times) <= max(times) < 40.0


@pytest.mark.parametrize(
    ("workload", "name", "text", "said"),
    [
        ("trace", "t.csv", None, "cannot be read"),
        ("trace", "t.txt", "arrival_s\n1\n", "must be a file that ends in .csv, .jsonl, .parquet"),
        ("trace", "t.csv", "time\n1\n", "has no column arrival_s; it has time"),
        ("trace", "t.csv", "arrival_s\n", "has no rows"),
        ("trace", "t.csv", "arrival_s,x\n1,a\n,b\n", "has no arrival_s in row 2"),
        ("trace", "t.csv", "arrival_s\nsoon\n", "column arrival_s"),
        ("trace", "t.csv", "arrival_s\n2\n1\n", "must be in order of time"),
        ("trace", "t.csv", "arrival_s\n-1\n", "must be in order of time, in seconds since the workload's start"),
        ("trace", "t.csv", "arrival_s\n1700000000\n", "within 87600h"),
        ("trace", "t.csv", "arrival_s,service_s\n1,-2\n", "service_s: must be finite numbers of at least 0"),
        ("trace", "t.jsonl", "{not json}\n", "cannot be read"),
        ("trace", "t.parquet", "no parquet", "cannot be read"),
        ("rateCurve", "t.csv", "at_s,rate\n1,2\n", "at_s: must begin at 0s and be in order of time"),
        ("rateCurve", "t.csv", "at_s,rate\n0,-2\n", "rate: must be finite numbers of at least 0"),
    ],
)
def test_an_invalid_file_is_refused_with_the_line_that_names_it(tmp_path, workload, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DocumentError) as refused:
        read_scenario(scenario(tmp_path, f"{workload}: {{file: {name}}}"))
    (problem,) = refused.value.problems
    assert problem.startswith(f"{tmp_path / 's.yaml'}:7: spec.workloads[0].{workload}.file: {name}: ")
    assert said in problem


def test_a_trace_file_with_service_times_by_another_name_is_not_taken_for_requests_of_a_second(tmp_path):
    (tmp_path / "t.csv").write_text("arrival_s,service\n1,8\n")
    silent = scenario(tmp_path, "trace: {file: t.csv}")
    silent.write_text(silent.read_text().replace("serviceTime: 9s\n      trace", "trace"))
    with pytest.raises(DocumentError, match=r":6: spec.workloads\[0\].trace.file: t.csv: has no column service_s"):
        read_scenario(silent)


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        ("trace: {arrivals: [1], file: t.csv}", "must have exactly one of arrivals, file"),
        ("trace: {file: t.csv, service: [1]}", "use the file.s column service_s"),
        ("trace: {arrivals: [2, 1]}", "must be in order of time"),
        ("trace: {arrivals: [1, 2], service: [1]}", "must have as many values as arrivals, which has 2"),
        ("rateCurve: {points: [{at: 1s, rate: 1}]}", "must begin at 0s"),
        ("renewal: {interarrival: 0}", "must have a mean above 0"),
        ("poisson: {rate: 1}\n      patience: [1, soon]", "must be a list of numbers"),
        ("poisson: {rate: 1}\n      patience: {mean: 3}", "must be a distribution such as"),
        ("closedLoop: {requests: 5, clients: 5}\n      requests: 5", "is not allowed beside closedLoop"),
        ("closedLoop: {requests: 5, clients: 5}\n      sessions: 4", "must be the number of clients, which is 5"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(tmp_path, workload, said):
    with pytest.raises(DocumentError, match=said):
        read_scenario(scenario(tmp_path, workload))


def test_a_client_of_a_closed_loop_retries_before_its_next_request():
    loop = {"closedLoop": {"requests": 2, "clients": 1}, "retries": {"attempts": 2, "backoff": "3s"}}
    made = source_of([Workload.model_validate(loop)], RandomStreams(1))
    (first,) = made.arrivals()
    second = made.after(first, 503, 10.0)
    assert (second.t_s, second.attempt, second.service_s) == (13.0, 2, first.service_s)
    following = made.after(second, 503, 20.0)
    assert (following.t_s, following.attempt) == (20.0, 1)
    assert made.after(following, 200, 30.0) is None
    assert made.batch(np.inf) is None
