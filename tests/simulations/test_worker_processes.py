"""Worker processes end with the process that started them, and a script is told what it needs for them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import autoscaler
from autoscaler.policy.loading import read_policies
from simulations.results.figures import figures
from simulations.run import run
from simulations.scenario.document import read_scenario
from simulations.scenario.to_run_inputs import pools_of

POLICY = Path(autoscaler.__file__).parent / "demo/policy.yaml"
ENDLESS = f"""\
apiVersion: inflight.dev/v1alpha1
kind: Scenario
metadata: {{name: long}}
spec:
  workloads: [{{poisson: {{rate: 0.5}}, serviceTime: 8s}}]
  fleet: {{pools: [{{name: gpu, coldStart: {{load: 30s}}}}]}}
  policies: [{{file: {POLICY}}}]
  run: {{duration: 80000h}}
"""
TOP_LEVEL = 'from simulations import simulate\n\nprint(simulate("demo", replications=2, workers=2))\n'


def python(*words):
    return subprocess.Popen(
        [sys.executable, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.real_time
def test_workers_end_when_the_process_that_started_them_is_ended(tmp_path):
    (tmp_path / "long.yaml").write_text(ENDLESS)
    script = f"""
import multiprocessing, sys, threading, time
from simulations import simulate

def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    print("started", flush=True)

if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    simulate({str(tmp_path / "long.yaml")!r}, replications=4, workers=2, engine="reference")
"""
    (tmp_path / "script.py").write_text(script)
    with python(tmp_path / "script.py") as parent:
        assert parent.stdout.readline() == "started\n"
        parent.send_signal(signal.SIGTERM)
        # The workers have the same pipes, which are at their end when the last worker has ended.
        parent.communicate(timeout=120)
    assert parent.returncode == -signal.SIGTERM


@pytest.mark.real_time
def test_a_script_that_calls_with_workers_at_its_top_level_is_told_of_the_guard(tmp_path):
    (tmp_path / "script.py").write_text(TOP_LEVEL)
    with python(tmp_path / "script.py") as script:
        _, err = script.communicate(timeout=120)
    last = err.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: workers: 2: the worker processes ended before the first run had.")
    assert 'if __name__ == "__main__":' in last


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_run_without_its_decisions_has_the_same_figures(engine):
    scenario, (policy,) = read_scenario("demo"), read_policies([POLICY])
    options = {"engine": "reference"} if engine == "reference" else {"total_runs": 10**6}
    kept, counted = (run(scenario, policy, keep_decisions=keep, **options) for keep in (True, False))
    assert counted.decisions == ()
    assert counted.decision_count == len(kept.decisions) > 0
    assert figures(counted, pools_of(scenario)) == figures(kept, pools_of(scenario))
