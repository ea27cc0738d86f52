"""docs/reference/scenario.md: its examples run, and together they have every key of a scenario."""

import argparse
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
import yaml

from autoscaler.documents.document import to_yaml
from autoscaler.documents.fields import Model
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.spec import Metadata, ScalingPolicy
from autoscaler.testing import budget_document
from simulations import command
from simulations.results.figures import figures
from simulations.scenario.document import Scenario

ROOT = Path(command.__file__).parent.parent
TEXT = (ROOT / "docs" / "reference" / "scenario.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
ELSEWHERE = (ScalingPolicy, GpuBudget, Metadata)
"""Documented with the policy and the budget."""


def simulate(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.mark.parametrize("example", EXAMPLES, ids=re.findall(r"name: ([a-z0-9-]+)}?\nspec", TEXT))
def test_an_example_runs_and_its_invariants_hold(example, tmp_path, capsys):
    shutil.copy(ROOT / "autoscaler" / "demo" / "policy.yaml", tmp_path / "policy.yaml")
    (tmp_path / "budget.yaml").write_text(to_yaml(budget_document("team", gpus=4)))
    (tmp_path / "rates.csv").write_text("at_s,rate\n0,0.01\n600,0.03\n")
    (tmp_path / "monday.jsonl").write_text('{"arrival_s": 5.5, "service_s": 7.0}\n{"arrival_s": 9.0}\n')
    (tmp_path / "scenario.yaml").write_text(example)
    assert simulate(tmp_path / "scenario.yaml") == 0, capsys.readouterr().err


def models_in(annotation):
    """Find the models in `X`, `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for inner in get_args(annotation) for model in models_in(inner)]


def keys_of(model, above=""):
    """Give every key that may stand somewhere below a model, with those above it."""
    for name, field in model.model_fields.items():
        key = f"{above}.{field.alias or name}"
        yield key
        for inner in models_in(field.annotation):
            if inner not in ELSEWHERE:
                yield from keys_of(inner, key)


def keys_in(value, above=""):
    """Give every key that stands somewhere in a document, with those above it."""
    if isinstance(value, list):
        for item in value:
            yield from keys_in(item, above)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{above}.{key}"
            yield from keys_in(item, f"{above}.{key}")


def test_the_examples_have_every_key_there_is():
    shown = {key for example in EXAMPLES for key in keys_in(yaml.safe_load(example))}
    known = {key.replace(".spec.services.workloads", ".spec.workloads") for key in keys_of(Scenario)}
    assert known - shown == set()


def test_every_command_line_option_is_explained():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    assert [option for option in options if option not in TEXT and option != "--help"] == []


def test_every_figure_is_explained(simulate):
    history = simulate((0.0, 5.0), (1.0, 2.0), script=((0.0, 1), (60.0, 0)))
    explained = TEXT.split("| figure | meaning |")[1]
    for name in figures(history, (), objective_s=10.0):
        known = name in explained or re.match(r"(wait|latency|wait_cold_start|wait_load)_(mean|p\d+)_s$", name)
        assert known or name in {"requests", "decisions", "duration_s"}, name


def test_the_python_examples_run(tmp_path, monkeypatch, capsys):
    code = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL))
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('"simulations/', f'"{ROOT}/simulations/'), "example", "exec"), {})  # noqa: S102
    assert (tmp_path / "demo.png").stat().st_size > 0
    assert "Estimate(mean=" in capsys.readouterr().out
