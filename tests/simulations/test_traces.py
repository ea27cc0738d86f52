"""Traces in files: what is written is read again, what is wrong is named, and scenarios replay them."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from autoscaler.documents import DocumentError
from autoscaler.policy import ScalingPolicy
from simulations.run import run
from simulations.scenario import read_scenario
from simulations.tables import write_requests
from simulations.traces import ENDINGS, Trace, read_trace, write_columns, write_trace

ARRIVALS = np.array([0.0, 0.25, 0.25, 7.0])
NAN = float("nan")
POLICY = ScalingPolicy.model_validate(
    {
        "apiVersion": "inflight.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": "sd"},
        "spec": {"scaleTargetRef": {"name": "sd"}},
    }
)


def scenario(folder, seed=1, **trace):
    document = {
        "apiVersion": "inflight.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "replay"},
        "spec": {
            "seed": seed,
            "workloads": [{"trace": trace, "serviceTime": "3s"}],
            "fleet": {"pools": [{"name": "gpu"}]},
        },
    }
    path = folder / "scenario.yaml"
    path.write_text(json.dumps(document))
    return read_scenario(path)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("service", [None, [1.5, NAN, 0.001, 60.0]], ids=["arrivals alone", "some service times"])
def test_a_trace_is_read_as_it_was_written(tmp_path, ending, service):
    written = Trace(ARRIVALS, service and np.array(service))
    write_trace(written, tmp_path / f"trace{ending}")
    found = read_trace(tmp_path / f"trace{ending}")
    assert_array_equal(found.arrival_s, written.arrival_s)
    assert (found.service_s is None) == (service is None)
    if service:
        assert_array_equal(found.service_s, written.service_s)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_records_of_a_simulation_are_a_trace(tmp_path, ending):
    write_trace(Trace(ARRIVALS, np.array([1.0, 2.0, 3.0, 4.0])), tmp_path / "trace.csv")
    history = run(scenario(tmp_path, file="trace.csv"), POLICY)
    write_requests(history, tmp_path / f"records{ending}")
    replayed = read_trace(tmp_path / f"records{ending}")
    assert_array_equal(replayed.arrival_s, ARRIVALS)
    assert_array_equal(replayed.service_s, [1.0, 2.0, 3.0, 4.0])


def test_a_service_time_that_is_not_known_is_drawn_as_the_workload_says(tmp_path):
    write_trace(Trace(ARRIVALS, np.array([1.0, NAN, NAN, 4.0])), tmp_path / "trace.csv")
    history = run(scenario(tmp_path, file="trace.csv"), POLICY)
    assert history.requests.service_s.tolist() == [1.0, 3.0, 3.0, 4.0]


def test_of_what_is_kept_of_a_trace_every_request_keeps_its_own_service_time(tmp_path):
    count = 10_000
    write_trace(Trace(np.arange(count) / 10, np.arange(count) / 1000), tmp_path / "trace.parquet")
    thinned = scenario(tmp_path, file="trace.parquet", keep="10%")
    first, again, other = (run(thinned, POLICY, replication=number).requests for number in (0, 0, 1))
    assert first.service_s == pytest.approx(first.arrival_s / 100)
    assert len(first) == pytest.approx(count / 10, rel=0.1)
    assert_array_equal(first.arrival_s, again.arrival_s)
    assert set(first.arrival_s) != set(other.arrival_s)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("t.txt", "", "t.txt: is no trace: its name must end in .csv, .jsonl, .parquet"),
        ("t.csv", None, "t.csv: cannot be read: No such file or directory"),
        ("t.csv", "", "t.csv:1: must name its columns, arrival_s among them"),
        ("t.csv", "arrival,service_s\n1,2\n", "t.csv:1: must name its columns, arrival_s among them"),
        ("t.csv", "arrival_s\n", "t.csv: arrival_s: is missing; each request must have one"),
        ("t.csv", "arrival_s,service_s\n1,2\n,3\n", "t.csv:3: arrival_s: is missing; each request must have one"),
        ("t.csv", "arrival_s\n1\nsoon\n", "t.csv:3: arrival_s: 'soon': must be seconds, 0 or more"),
        ("t.csv", "arrival_s\n1\ninf\n", "t.csv:3: arrival_s: 'inf': must be seconds, 0 or more"),
        ("t.csv", "arrival_s,service_s\n1,-2\n", "t.csv:2: service_s: '-2': must be seconds, 0 or more"),
        ("t.csv", "arrival_s\n2\n1\n", "t.csv:3: arrival_s: must not be before that of the row above"),
        ("t.csv", b"arrival_s\n\xff\n", "t.csv: must be UTF-8: invalid start byte at byte 10"),
        ("t.jsonl", '{"arrival_s": 1}\nnothing\n', "t.jsonl:2: must be a JSON object: Expecting value: line 1"),
        ("t.jsonl", '{"arrival_s": 1}\n7\n', "t.jsonl:2: must be a JSON object"),
        ("t.jsonl", '{"arrival_s": true}\n', "t.jsonl:1: arrival_s: True: must be seconds, 0 or more"),
        ("t.parquet", "arrival_s", "t.parquet: is no Parquet file: "),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, name, text, problem):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DocumentError) as raised:
        read_trace(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path}/{problem}")


def test_columns_are_written_to_a_file_whose_name_says_how(tmp_path):
    with pytest.raises(DocumentError, match=r"out\.xlsx: its name must end in \.csv, \.jsonl, \.parquet"):
        write_columns({"t_s": ARRIVALS}, tmp_path / "out.xlsx")


@pytest.mark.parametrize("trace", [{}, {"file": "t.csv", "arrivals": [1.0]}], ids=["neither", "both"])
def test_a_trace_is_in_a_file_or_written_in_the_scenario(tmp_path, trace):
    with pytest.raises(DocumentError, match=r"workloads\[0\]\.trace: must have exactly one of file, arrivals"):
        scenario(tmp_path, **trace)
