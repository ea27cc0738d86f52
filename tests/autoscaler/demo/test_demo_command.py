"""The demo's command line: what cannot be run is told in one line with exit status 2, before or while it starts."""

import socket
import sys

import pytest

from autoscaler.cli import main
from autoscaler.commands import demo
from autoscaler.demo.plan import Plan
from autoscaler.testing import policy

POLICY = """\
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: sd}
spec:
  scaleTargetRef: {name: sd}
"""
TRAFFIC = "  traffic: {hosts: [sd.example.com]}\n"


@pytest.fixture(autouse=True)
def no_programs(monkeypatch, tmp_path):
    """Let neither Prometheus nor hey be found, but for those a test names, and nothing be written elsewhere."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("PROMETHEUS", "HEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def program(tmp_path):
    def write(name, script):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return write


# What is asked for.


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--speed", "0"], "argument --speed: '0': must be 1.0 to 100.0"),
        (["--speed", "-3"], "argument --speed: '-3': must be 1.0 to 100.0"),
        (["--speed", "1e9"], "argument --speed: '1e9': must be 1.0 to 100.0"),
        (["--speed", "nan"], "argument --speed: 'nan': must be 1.0 to 100.0"),
        (["--speed", "fast"], "argument --speed: 'fast': must be 1.0 to 100.0"),
        (["--tick", "0"], "argument --tick: '0': must be 0.5 to 60.0"),
        (["-n", "0"], "argument -n/--requests: '0': must be 1 to 1000000"),
        (["-c", "-1"], "argument -c/--workers: '-1': must be 1 to 10000"),
        (["-n", "2.5"], "argument -n/--requests: '2.5': must be 1 to 1000000"),
        (["--seed", "-1"], "argument --seed: '-1': must be 0 to 4294967296"),
        (["--port", "65536"], "argument --port: '65536': must be 0 to 65535"),
        (["--service-time", "often"], "argument --service-time: "),
        (["--cold-start", "uniform(3, 1)"], "argument --cold-start: "),
    ],
)
def test_what_is_out_of_its_range_is_told_with_the_range(capsys, words, problem):
    with pytest.raises(SystemExit) as caught:
        main(["demo", *words])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-n", "3", "-c", "5"], "demo: -c 5: must be at most -n, which is 3\n"),
        (["--json", "none/result.json"], "demo: --json none/result.json: must be a file in a folder that exists\n"),
        (["--json", "."], "demo: --json .: must be a file in a folder that exists\n"),
        (["--policy", "none.yaml"], "demo: none.yaml: cannot be read: "),
        (["--policy", "bad.yaml"], 'demo: bad.yaml:6: spec.mode: "on": must be '),
        (["--policy", "silent.yaml"], "demo: --policy: must be one ScalingPolicy with spec.traffic"),
        (["--policy", "two.yaml"], "demo: --policy: must be one ScalingPolicy with spec.traffic"),
    ],
)
def test_what_does_not_fit_together_is_told_before_anything_starts(capsys, tmp_path, words, problem):
    (tmp_path / "bad.yaml").write_text(POLICY + "  mode: on\n")
    (tmp_path / "silent.yaml").write_text(POLICY)
    other = POLICY.replace("{name: sd}\nspec", "{name: llm}\nspec")
    (tmp_path / "two.yaml").write_text(f"{POLICY}{TRAFFIC}---\n{other}{TRAFFIC.replace('sd.', 'other.')}")
    assert main(["demo", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err[: len(problem)]) == ("", problem)
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("spec", "workers", "requests", "expected"),
    [
        ({}, 5, 50, (50, 5)),
        ({"maxReplicas": 3}, 5, 50, (50, 3)),
        ({"minReplicas": 7}, 5, 50, (50, 7)),
        ({"containerConcurrency": 4, "targetUtilization": "50%"}, 5, 50, (50, 3)),
        ({}, 4, 50, (48, 4)),
    ],
)
def test_what_is_expected_follows_from_load_and_policy(spec, workers, requests, expected):
    plan = Plan(policy(**spec), requests=requests, workers=workers)
    assert demo._expected(plan) == expected


# What cannot start.


@pytest.mark.real_time
def test_a_port_that_is_in_use_is_told(capsys):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("demo: ")
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in err
    assert "address already in use" in err


@pytest.mark.real_time
def test_a_prometheus_that_does_not_start_is_told_with_its_last_words(capsys, monkeypatch, program):
    broken = program("broken", "import sys; print('storage is locked', file=sys.stderr); sys.exit(1)")
    monkeypatch.setenv("PROMETHEUS", broken)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == "demo: Prometheus ended with status 1: storage is locked\n"


@pytest.mark.real_time
def test_a_program_that_was_named_and_is_not_there_is_told(capsys, monkeypatch):
    monkeypatch.setenv("PROMETHEUS", "/no/such/program")
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == "demo: PROMETHEUS=/no/such/program names no program that can be started\n"


@pytest.mark.real_time
def test_a_load_that_cannot_be_made_is_told_with_its_reason(capsys, monkeypatch, program):
    broken = program("broken", "import sys; sys.exit('no file descriptors left')")
    monkeypatch.setenv("HEY", broken)
    assert main(["demo"]) == 2
    out, err = capsys.readouterr()
    assert err == f"demo: {broken} ended with status 1: no file descriptors left\n"
    assert "Counts come from the gateway's stream alone" in out


@pytest.mark.real_time
def test_what_somebody_else_keeps_in_the_folder_stays_there(monkeypatch, program, tmp_path):
    monkeypatch.setenv("HEY", program("broken", "import sys; sys.exit(1)"))
    folder = tmp_path / "home"
    (folder / "replicas" / "default").mkdir(parents=True)
    (folder / "replicas" / "default" / "old.log").write_text("{}")
    (folder / "thesis.txt").write_text("years of work")
    assert main(["demo", "--folder", str(folder)]) == 2
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert not (folder / "replicas" / "default" / "old.log").exists()
    assert (folder / "decisions.jsonl").exists()
