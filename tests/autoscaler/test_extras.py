"""What the package does without its extras and with one of them; a command that lacks something names the extra."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.program  # not of the quick loop: it takes 6 s of CPU

ROOT = Path(__file__).parents[2]
PROJECT = "inflight-autoscaler"


def required(extra):
    """Give the names of all distributions that the package needs, with an extra of its own."""
    found, waiting = set(), [Requirement(f"{PROJECT}[{extra}]" if extra else PROJECT)]
    while waiting:
        wanted = waiting.pop()
        found.add(wanted.name)
        for each in map(Requirement, distribution(wanted.name).requires or ()):
            extras = wanted.extras or {""}
            if each.name not in found and (
                each.marker is None or any(each.marker.evaluate({"extra": e}) for e in extras)
            ):
                waiting.append(each)
    return found


@pytest.fixture
def with_extra(tmp_path):
    """Give the command line as it is where nothing is installed but the package, one extra, and what these need."""

    def installed(extra):
        for name in required(extra):
            for file in distribution(name).files or ():
                link = tmp_path / file.parts[0]
                if file.parts[0] != ".." and not link.exists():
                    link.symlink_to(distribution(name).locate_file(file.parts[0]))

        def autoscaler(*words):
            environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
            command = [sys.executable, "-S", "-m", "autoscaler", *words]
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
            return ran.returncode, ran.stdout, ran.stderr

        return autoscaler

    return installed


def test_each_extra_stands_in_the_reference_of_the_command_line():
    page = (
        (ROOT / "docs" / "reference" / "command-line.md").read_text().partition("## Install\n")[2].partition("\n## ")[0]
    )
    named = re.findall(r"(?m)^\| `(\w+)` \|", page)
    assert sorted(named) == sorted(metadata(PROJECT).get_all("Provides-Extra"))


def test_without_an_extra_every_command_that_the_reference_names_can_be_run(with_extra):
    autoscaler = with_extra("")
    for command in ("validate", "explain", "explain-policy", "replay", "schema"):
        assert autoscaler(command, "--help")[0] == 0, command


def test_without_an_extra_a_command_names_the_extra_that_it_needs(with_extra):
    autoscaler = with_extra("")
    log = ["--log", "tests/data/explain/reference-run.jsonl"]
    for command, words, extra in (
        ("demo", [], "demo"),
        ("gateway", [], "gateway"),
        ("simulate", ["demo"], "sim"),
        ("top", log, "terminal"),
    ):
        status, _, told = autoscaler(command, *words)
        assert status == 2
        assert told.endswith(f"; install it by: pip install '{PROJECT}[{extra}]'\n"), told


def test_without_an_extra_policies_can_be_checked_and_help_names_every_command(with_extra):
    autoscaler = with_extra("")
    assert autoscaler("validate", "autoscaler/demo/policy.yaml")[:2] == (0, "default/knative-sd-demo: valid\n")
    status, printed, _ = autoscaler("--help")
    assert status == 0
    assert "simulate" in printed


def test_with_the_extra_sim_a_scenario_can_be_checked_and_simulated(with_extra):
    autoscaler = with_extra("sim")
    assert autoscaler("validate", "simulations/demo.yaml")[:2] == (0, "Scenario reference-load: valid\n")
    status, printed, told = autoscaler("simulate", "demo")
    assert (status, told) == (0, "")
    assert "Verdict: passed" in printed


def test_with_the_extra_demo_the_demo_can_be_run(with_extra):
    status, printed, _ = with_extra("demo")("demo", "--help")
    assert status == 0
    assert "--speed" in printed
