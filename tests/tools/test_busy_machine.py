"""`make test-busy`: programs that take the CPU, which go with whoever started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import busy
import pytest

pytestmark = pytest.mark.real_time


def running(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children():
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_hogs_run_while_the_block_does():
    before = children()
    with busy.hogs(2):
        hogs = children() - before
        assert len(hogs) == 2
        assert all(map(running, hogs))
    assert not any(map(running, hogs))


def test_hogs_do_not_outlive_whoever_started_them():
    code = "import busy, os, sys, time\nwith busy.hogs(1):\n  print(os.getpid(), flush=True); time.sleep(600)"
    environment = os.environ | {"PYTHONPATH": str(Path(busy.__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as owner:
        owner.stdout.readline()
        (hog,) = (Path(f"/proc/{owner.pid}/task/{owner.pid}/children")).read_text().split()
        assert running(hog)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        while running(hog):
            pass


@pytest.mark.parametrize(("failing", "status"), [((), 0), ((2,), 1), ((0, 3), 1)])
def test_every_run_is_told_and_one_that_fails_fails_all(monkeypatch, capsys, failing, status):
    runs = []

    def run(command, **_options):
        runs.append(command[3:])
        return subprocess.CompletedProcess(command, 1 if len(runs) - 1 in failing else 0)

    monkeypatch.setattr(busy.subprocess, "run", run)
    assert busy.main(["tests/contracts"]) == status
    marked = ["-m", "real_time", "tests/contracts"]
    assert runs == [marked, marked, marked, ["tests/contracts"]]
    told = capsys.readouterr().out.splitlines()
    assert [number for number, line in enumerate(told) if "FAILED" in line] == list(failing)
