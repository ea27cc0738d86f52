"""docs/explanation/how-it-decides.md: what it shows is what the simulated demo decides, and its commands run."""

import json
import shutil

import pytest
from documentation import ROOT, blocks_of
from typing_pages import typed

from autoscaler.cli import main
from autoscaler.controller.records import explained, from_json

PAGE = "explanation/how-it-decides.md"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """The decision log of the demo's simulated run."""
    path = tmp_path_factory.mktemp("simulated") / "decisions.jsonl"
    assert main(["simulate", "demo", "--decisions", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def records(log):
    _policy, *records = map(json.loads, log.read_text().splitlines())
    return records


def test_the_record_that_is_explained_is_the_one_that_asks_for_five_pods(records):
    (shown,) = [json.loads(block.content) for block in blocks_of(PAGE) if block.language == "json"]
    assert shown == next(record for record in records if record["desired"])


def test_each_line_of_the_log_that_is_shown_is_a_decision_of_the_same_run(records):
    shown = [
        line
        for block in blocks_of(PAGE)
        for line in block.content.splitlines()
        if "->" in line and " in flight" in line
    ]
    assert len(shown) == 4
    assert set(shown) <= {explained(from_json(record)) for record in records}


@pytest.mark.slow
def test_its_commands_run(log, tmp_path):
    shutil.copy(log, tmp_path / "decisions.jsonl")
    other = (ROOT / "simulations" / "examples" / "policies" / "knative.yaml").read_text()
    (tmp_path / "other.yaml").write_text(other.replace("name: diffusion", "name: knative-sd-demo"))
    typed(PAGE, tmp_path)
