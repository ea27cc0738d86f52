"""`autoscaler simulate`: what it prints, what it refuses, with which exit status."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from autoscaler.demo import plan
from simulations import command
from simulations.scenario import read_scenario

DEMO = Path(command.__file__).parent / "demo.yaml"
POLICY = DEMO.parent.parent / "autoscaler" / "demo" / "policy.yaml"


def simulate(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_the_demo_passes_and_tells_the_same_story_as_the_live_one(capsys, tmp_path):
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
        ("  seed: 1", "  sead: 1", "7: spec.sead: unknown key; legal here: seed, workloads, fleet"),
        ("uniform(10, 30)", "uniforn(10, 30)", "is no distribution"),
        ("    - closedLoop: {requests: 50, clients: 5}", "    - requests: 5", "must have exactly one of closedLoop"),
        ("    - closedLoop: {requests: 50, clients: 5}", "    - poisson: {rate: 1}", "run.duration: is required"),
        ("    - file: ../autoscaler/demo/policy.yaml", "    - file: none.yaml", "none.yaml: cannot be read"),
        ("  policies:\n    - file: ../autoscaler/demo/policy.yaml\n", "", "spec.policies: has none"),
    ],
)
def test_a_scenario_that_is_not_right_is_refused_with_file_and_line(capsys, tmp_path, line, instead, said):
    assert line in DEMO.read_text()
    (tmp_path / "s.yaml").write_text(DEMO.read_text().replace(line, instead))
    assert simulate(tmp_path / "s.yaml") == 2
    assert said in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    heavy = ("numpy", "pydantic", "yaml", "numba")
    code = f"import sys, simulations.command; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
