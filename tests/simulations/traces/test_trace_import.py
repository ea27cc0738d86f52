"""`autoscaler trace import`: public traces as their publishers wrote them become what a scenario replays."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import simulations
from autoscaler import cli
from autoscaler.documents.document import DocumentError
from autoscaler.testing import policy
from simulations.run import run
from simulations.scenario.document import read_scenario
from simulations.traces import importers

TRACES = Path(simulations.__file__).parent / "traces"
LLM = TRACES / "azure_llm_2023" / "code-first-200.csv"
FUNCTIONS = TRACES / "azure_functions_2021" / "first-60.csv"
SERVEGEN = TRACES / "servegen" / "mm-image-client-0.csv"
POLICY = policy(
    "sd",
)


def replayed(folder, workload, replication=0, **run_for):
    document = {
        "apiVersion": "inflight.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "replay"},
        "spec": {"workloads": [workload], "fleet": {"initialReplicas": 1, "pools": [{"name": "gpu"}]}, "run": run_for},
    }
    path = folder / "scenario.yaml"
    path.write_text(json.dumps(document))
    return run(read_scenario(path), POLICY, replication=replication).requests


def test_azure_llm_arrivals_are_replayed(tmp_path, capsys):
    out = tmp_path / "trace.parquet"
    assert cli.main(["trace", "import", "azure-llm", str(LLM), str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 200 requests in ")
    requests = replayed(tmp_path, {"trace": {"file": "trace.parquet"}, "serviceTime": "10ms"})
    assert requests.arrival_s[:3].tolist() == [0.0, 0.052, 0.098189]
    assert len(requests) == 200


def test_the_committed_arrivals_are_what_the_published_rows_begin_with():
    committed = [float(row["arrival_s"]) for row in csv.DictReader((LLM.parent / "code.csv").read_text().splitlines())]
    assert len(committed) == 8819
    assert committed[:200] == pytest.approx(importers.azure_llm(LLM).arrival_s, abs=1e-6)


def test_azure_functions_arrive_at_their_end_minus_their_duration(tmp_path):
    out = tmp_path / "trace.jsonl"
    assert cli.main(["trace", "import", "azure-functions", str(FUNCTIONS), str(out)]) == 0
    requests = replayed(tmp_path, {"trace": {"file": "trace.jsonl"}})
    rows = list(csv.DictReader(FUNCTIONS.read_text().splitlines()))
    starts = sorted(float(row["end_timestamp"]) - float(row["duration"]) for row in rows)
    assert requests.arrival_s == pytest.approx(np.array(starts) - starts[0], abs=1e-5)
    assert sum(requests.service_s) == pytest.approx(sum(float(row["duration"]) for row in rows), abs=1e-3)


def test_a_servegen_client_becomes_a_rate_curve_with_its_number_of_requests(tmp_path, capsys):
    out = tmp_path / "rates.csv"
    assert cli.main(["trace", "import", "servegen", str(SERVEGEN), str(out)]) == 0
    assert "a rate over 86400 s, about 43802 requests; write `cv: 0.75`" in capsys.readouterr().out
    workload = {"rateCurve": {"file": "rates.csv", "cv": 0.75}, "serviceTime": "1ms"}
    requests = replayed(tmp_path, workload, duration="2h")
    rates = [float(line.split(",")[1]) for line in SERVEGEN.read_text().splitlines()[:12]]
    assert len(requests) == pytest.approx(600 * sum(rates), rel=0.05)


def test_a_kept_request_of_a_trace_keeps_its_own_service_time(tmp_path):
    rows = (f"{n / 10},{n / 1000}" for n in range(10_000))
    (tmp_path / "trace.csv").write_text("\n".join(["arrival_s,service_s", *rows, ""]))
    workload = {"trace": {"file": "trace.csv", "keep": "10%"}}
    first, again, other = (replayed(tmp_path, workload, replication=number, duration="1000s") for number in (0, 0, 1))
    assert first.service_s == pytest.approx(first.arrival_s / 100)
    assert len(first) == pytest.approx(1000, rel=0.1)
    assert first.arrival_s.tolist() == again.arrival_s.tolist()
    assert set(first.arrival_s) != set(other.arrival_s)


@pytest.mark.parametrize(
    ("read", "text", "problem"),
    [
        (importers.azure_llm, "", "t.csv:1: must be TIMESTAMP,ContextTokens,GeneratedTokens"),
        (importers.azure_llm, "TIMESTAMP,ContextTokens,GeneratedTokens\r\n", "t.csv: has no requests"),
        (
            importers.azure_llm,
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97996,1,2\nsoon,1,2\n",
            "t.csv:3: TIMESTAMP: 'soon': must be a time such as 2023-11-16 18:17:03.9799600",
        ),
        (importers.azure_functions, "app,func,end_timestamp,duration\n", "t.csv: has no requests"),
        (
            importers.azure_functions,
            "app,func,end_timestamp,duration\na,b,1.0,-1\n",
            "t.csv:2: duration: '-1': must be a number of at least 0",
        ),
        (
            importers.azure_functions,
            "app,func,end_timestamp,duration\na,b\n",
            "t.csv:2: must have 4 cells: app, func, end_timestamp, duration",
        ),
        (
            importers.servegen,
            "0,1,1,Gamma,1,1\n",
            "t.csv: must have two windows or more, and a rate that is not always 0",
        ),
        (importers.servegen, "0,0,0,,0,0\n600,0,0,,0,0\n", "t.csv: must have two windows or more"),
        (importers.servegen, "600,1,1,,0,0\n0,1,1,,0,0\n", "t.csv: window_start_s: must be in order of time"),
        (importers.servegen, b"\xff", "t.csv: must be UTF-8: invalid start byte at byte 0"),
    ],
)
def test_what_is_wrong_with_a_published_trace_is_named(tmp_path, read, text, problem):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DocumentError) as raised:
        read(tmp_path / "t.csv")
    assert str(raised.value).startswith(f"{tmp_path}/{problem}")


def test_files_that_cannot_be_read_or_written_are_named_before_anything_is_done(tmp_path, capsys):
    assert cli.main(["trace", "import", "azure-llm", str(tmp_path / "none"), str(tmp_path / "t.csv")]) == 2
    assert capsys.readouterr().err == f"trace: {tmp_path}/none: cannot be read: No such file or directory\n"
    with pytest.raises(SystemExit):
        cli.main(["trace", "import", "azure-llm", str(LLM), str(tmp_path / "t.xlsx")])
    assert "must end in .csv, .jsonl, .parquet and be in a folder that exists" in capsys.readouterr().err
