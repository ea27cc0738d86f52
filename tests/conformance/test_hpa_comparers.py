"""The comparers themselves: no recorded value may be wrong without being found."""

import copy
from pathlib import Path

import pytest
from golden import load
from hpa_golden import COMPARERS

COMMITTED = Path(__file__).parent / "data" / "hpa"
FEW = 12
"""So many steps of a file hold every kind of value."""


def few(name):
    document = dict(load(COMMITTED / name))
    part = "steps" if "steps" in document else "rows"
    return document | {part: document[part][:FEW]}, part


def paths(value, path=()):
    """Give the path to each value below, and to each empty container."""
    if not isinstance(value, dict | list) or not value:
        return [path]
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return [below for key, part in parts for below in paths(part, (*path, key))]


def is_output(path):
    return any(str(key).startswith("out") for key in path)


def changed(document, path):
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = "something else"
    return document


@pytest.mark.parametrize(
    "name",
    [
        "01_default_rules_step.json",
        "90_table_replica_calculator.json",
        "91_table_behavior_rate.json",
        "k1_defaults_burst_from_zero.json",
    ],
)
def test_each_single_recorded_value_is_compared(name):
    document, part = few(name)
    compare = COMPARERS[document["kind"]]
    assert compare(document).first_difference is None
    outputs = [(part, *path) for path in paths(document[part]) if is_output(path)]
    overlooked = [path for path in outputs if compare(changed(document, path)).first_difference is None]
    assert len(outputs) > FEW
    assert [path for path in overlooked if not document[part][path[1]].get("out_error")] == []


def test_a_value_that_is_recorded_but_not_computed_is_a_difference():
    document, part = few("01_default_rules_step.json")
    document = copy.deepcopy(document)
    document[part][3]["out"]["replicas_at_noon"] = 5
    assert "replicas_at_noon" in COMPARERS["reconcile"](document).first_difference
