"""A sweep on a real Dask cluster: a scheduler and two workers as processes."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from autoscaler.documents.document import to_yaml
from simulations import Scenario, sweep
from simulations.scenario.building import written
from simulations.search.outcome import sweep_values

pytestmark = [pytest.mark.real_time, pytest.mark.program]
ROOT = Path(__file__).parents[3]
DEADLINE_S = 180
SETTINGS = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def started(stack, folder, *words):
    """Start a program of Dask, and end it with the test."""
    log = stack.enter_context((folder / f"{words[0]}.log").open("a"))
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *map(str, words)],
        cwd=folder,
        env=os.environ | SETTINGS,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


@pytest.fixture
def cluster(tmp_path):
    """Give the address of a scheduler with two workers."""
    about = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        scheduler = started(
            stack,
            tmp_path,
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            about,
        )
        for _ in range(2):
            started(
                stack, tmp_path, "worker", "--scheduler-file", about, "--no-nanny", "--nthreads", "1", "--no-dashboard",
                "--host", "127.0.0.1",
            )  # fmt: skip
        ends = time.monotonic() + DEADLINE_S
        while not (about.exists() and about.read_text().endswith("}")):
            assert scheduler.poll() is None, (tmp_path / "scheduler.log").read_text()
            assert time.monotonic() < ends
            time.sleep(0.1)
        yield json.loads(about.read_text())["address"].replace("tcp://", "dask://")


def test_a_dask_cluster_gives_what_this_machine_gives(tmp_path, cluster):
    scenario = Scenario.build("night", rate=0.02, service_time="8s", cold_start="30s", duration="30m", seed=5)
    scenario = scenario.with_policy(maxReplicas=3)
    (tmp_path / "scenario.yaml").write_text(to_yaml(written(scenario)))
    words = "--set spec.scaleDown.delay=0s,1m,10m --replications 2 --json there.json --parquet there.parquet"
    ran = subprocess.run(
        [sys.executable, "-m", "autoscaler", "sweep", "scenario.yaml", *words.split(), "--on", cluster],
        cwd=tmp_path,
        env=os.environ | SETTINGS,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    grid = {"spec.scaleDown.delay": ["0s", "1m", "10m"]}
    # All runs are kept, so nothing is left to do.
    kept = sweep(scenario, grid, replications=2, keep=tmp_path / "there.parquet", on=Idle())
    here = sweep(scenario, grid, replications=2)
    assert json.loads((tmp_path / "there.json").read_text()) == sweep_values(kept) == sweep_values(here)


class Idle:
    """An executor that must not get anything to do."""

    def submit(self, *_arguments):
        raise AssertionError
