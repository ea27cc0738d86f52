"""docs/how-to/sweep.md and docs/reference/sweep.md: what they show runs, and the reference has every key."""

import pytest
import yaml
from documentation import blocks_of
from typing_pages import typed

from autoscaler.cli import main
from autoscaler.policy.spec import PolicySpec
from simulations.scenario.document import ScenarioSpec
from simulations.search.document import Range, SweepSpec, Vary

OTHERS = ("pip install", "autoscaler sweep scenario.yaml", "autoscaler sweep --on")
"""Installing is for the tests of the wheel, and the reader's scenario and cluster are the reader's."""


def keys(model):
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.program
@pytest.mark.real_time
def test_the_guide_is_true_word_for_word(tmp_path):
    typed("how-to/sweep.md", tmp_path, leave_out=OTHERS)


@pytest.mark.parametrize("page", ["how-to/sweep.md", "reference/sweep.md"])
def test_a_document_of_the_pages_runs(page, tmp_path, capsys):
    (block,) = [block for block in blocks_of(page) if block.language == "yaml"]
    (tmp_path / "sweep.yaml").write_text(block.content)
    assert main(["validate", str(tmp_path / "sweep.yaml")]) == 0
    assert main(["sweep", str(tmp_path / "sweep.yaml"), "--replications", "1", "--up-to", "1"]) == 0
    assert "reference-load: " in capsys.readouterr().out


def test_the_reference_has_every_key():
    (block,) = [block for block in blocks_of("reference/sweep.md") if block.language == "yaml"]
    spec = yaml.safe_load(block.content)["spec"]
    shown = [spec, *spec["vary"], *(each["range"] for each in spec["vary"] if "range" in each)]
    assert {key for each in shown for key in each} == keys(SweepSpec) | keys(Vary) | keys(Range)


def test_no_key_is_of_the_policy_and_of_the_scenario():
    assert keys(PolicySpec) & keys(ScenarioSpec) == set()
