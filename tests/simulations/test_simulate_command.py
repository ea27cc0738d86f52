"""`autoscaler simulate`: what it prints, what it refuses, with which exit status."""

import argparse
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autoscaler.controller.replay import Replay
from autoscaler.demo import plan
from simulations import command, study
from simulations.scenario.document import read_scenario

DEMO = Path(command.__file__).parent / "demo.yaml"
POLICY = DEMO.parent.parent / "autoscaler" / "demo" / "policy.yaml"


def simulate(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_the_demo_passes_and_its_report_is_like_the_live_one(capsys, tmp_path):
    assert simulate("demo", "--json", tmp_path / "out.json") == 0
    printed = capsys.readouterr().out
    assert "Status code distribution:\n  [200]\t50 responses" in printed
    assert "Verdict: passed: 50 of 50 answers" in printed
    (told,) = json.loads((tmp_path / "out.json").read_text())
    assert told["peak"] == 5
    assert told["problems"] == []


def test_the_demo_has_the_service_times_and_cold_starts_of_the_live_one():
    spec = read_scenario(DEMO).spec
    (workload,) = spec.workloads
    assert workload.service_time == plan.SERVICE_TIME
    assert spec.fleet.pools[0].cold_start.load == plan.COLD_START
    assert spec.controller.tick == 2.0


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(capsys):
    printed = []
    for seed in (7, 7, 8):
        simulate("demo", "--seed", seed)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


def test_an_expectation_that_is_not_met_is_exit_status_1(capsys, tmp_path):
    text = DEMO.read_text().replace("peakReplicas: 5", "peakReplicas: 4")
    (tmp_path / "s.yaml").write_text(text)
    assert simulate(tmp_path / "s.yaml", "--policy", POLICY) == 1
    assert "the peak was 5 replicas, not 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("  seed: 1", "  sead: 1", "7: spec.sead: unknown key; legal here: seed, start, workloads, services"),
        ("uniform(10, 30)", "uniforn(10, 30)", "is no distribution"),
        ("  expect:", "  run: {duration: 10m, warmUp: 10m}\n  expect:", "must be shorter than the run, which is 600 s"),
        ("    - closedLoop: {requests: 50, clients: 5}", "    - requests: 5", "must have exactly one of closedLoop"),
        ("    - closedLoop: {requests: 50, clients: 5}", "    - poisson: {rate: 1}", "run.duration: is required"),
        ("    - file: ../autoscaler/demo/policy.yaml", "    - file: none.yaml", "none.yaml: cannot be read"),
        ("  policies:\n    - file: ../autoscaler/demo/policy.yaml\n", "", "spec.policies: is empty"),
    ],
)
def test_an_invalid_scenario_is_refused_with_file_and_line(capsys, tmp_path, line, instead, said):
    assert line in DEMO.read_text()
    (tmp_path / "s.yaml").write_text(DEMO.read_text().replace(line, instead))
    assert simulate(tmp_path / "s.yaml") == 2
    assert said in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    heavy = ("numpy", "pydantic", "yaml", "numba")
    code = f"import sys, simulations.command; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LONG = """apiVersion: inflight.dev/v1alpha1
kind: Scenario
metadata: {name: long}
spec:
  workloads: [{poisson: {rate: 0.5}, serviceTime: 8s}]
  fleet: {pools: [{name: gpu, coldStart: {load: 30s}}]}
  policies: [{file: POLICY}]
  run: {duration: 20000h}
"""


@pytest.fixture
def run_long(tmp_path, monkeypatch):
    def run(duration, when, *words):
        (tmp_path / "s.yaml").write_text(LONG.replace("POLICY", str(POLICY)).replace("20000h", duration))
        monkeypatch.setattr(command, "ProgressBar", lambda _: interrupting(when))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        return simulate(tmp_path / "s.yaml", *words)

    return run


def interrupting(when):
    """Press Ctrl-C when more runs than that are done, a part of one included."""

    def progress(done, _total):
        if done > when:
            signal.raise_signal(signal.SIGINT)

    return progress


@pytest.mark.parametrize(
    ("workers", "when", "told"),
    [
        (1, 0.001, ("the result is the run of knative-sd-demo up to ", "Figures of one run")),
        (1, 2.0, ("the result is of the completed runs: 2 of 4 of knative-sd-demo", "Figures of 2 runs")),
        (2, 0.5, ("the result is of the completed runs: 1 of 4 of knative-sd-demo", "Figures of one run")),
    ],
)
def test_ctrl_c_prints_the_results_so_far_and_says_which(run_long, capsys, workers, when, told):
    assert (
        run_long(
            "200h" if when < 0.1 else "10m", when, "--engine", "reference", "--replications", 4, "--workers", workers
        )
        == 130
    )
    (said, printed), shown = told, capsys.readouterr()
    assert f"interrupted: {said}" in shown.err
    assert printed in shown.out


def test_ctrl_c_before_any_run_says_that_there_is_no_result(tmp_path, capsys, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run", interrupted)
    assert simulate("demo") == 130
    assert "no run has ended" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replications", "0"], "must be a whole number of at least 1"),
        (["--seed", "-1"], "must be a whole number of at least 0"),
        (["--records", "out.xlsx"], "must end in .parquet, .csv, .jsonl"),
        (["--json", "nowhere/out.json"], "must be a file in a folder that exists"),
    ],
)
def test_an_invalid_option_is_refused_before_anything_is_simulated(capsys, words, said):
    with pytest.raises(SystemExit) as refused:
        simulate("demo", *words)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_two_policies_of_one_service_are_compared_in_one_command(capsys, tmp_path):
    (tmp_path / "one.yaml").write_text(POLICY.read_text())
    (tmp_path / "lean.yaml").write_text(POLICY.read_text().replace("maxReplicas: 10", "maxReplicas: 2"))
    out = tmp_path / "out.json"
    code = simulate("demo", "--policy", tmp_path / "one.yaml", "--policy", tmp_path / "lean.yaml", "--json", out)
    printed = capsys.readouterr().out
    assert code == 1, "the lean one does not reach the peak that the demo expects"
    assert "lean: the peak was 2 replicas, not 5" in printed
    assert "2 policies on the same random streams" in printed
    assert [each["name"] for each in json.loads(out.read_text())] == ["one", "lean"]


def test_requests_and_ticks_are_written_as_tables(tmp_path, capsys):
    simulate(
        "demo", "--records", tmp_path / "r.csv", "--ticks", tmp_path / "t.jsonl", "--decisions", tmp_path / "d.jsonl"
    )
    head, *rows = (tmp_path / "r.csv").read_text().splitlines()
    assert len(rows) == 50
    assert '"wait_cold_start_s","wait_load_s"' in head
    ticks = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    replayed = list(Replay().lines(map(json.loads, (tmp_path / "d.jsonl").read_text().splitlines())))
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]
    assert [tick["desired"] for tick in ticks] == [each.decision.desired for each in replayed]
    first = next(tick for tick in ticks if tick["desired"])
    assert (first["now_s"], first["queued"], first["running"], first["ready"]) == (1.0, 5, 0, 0)


def test_the_progress_bar_grows_with_the_runs_and_within_one():
    shown = io.StringIO()
    bar = command.ProgressBar(shown)
    for done in (0.0, 0.5, 0.501, 1.0, 2.0):
        bar(done, 2)
    assert shown.getvalue().count("\r") == 4
    assert shown.getvalue().endswith("100 %, 2 of 2 runs\n")


def test_a_long_run_reports_its_progress(tmp_path):
    (tmp_path / "s.yaml").write_text(LONG.replace("POLICY", str(POLICY)).replace("20000h", "10m"))
    told = []
    study.simulate(tmp_path / "s.yaml", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (1, 1)
    assert all(0 <= done <= 1 for done, _ in told)
    assert any(0.45 < done < 0.55 for done, _ in told)
    assert told == sorted(told)
