"""Scenarios that are made and changed in Python."""

import doctest
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from legal_policies import legal_policies

import autoscaler
from autoscaler.documents.document import Document, DocumentError
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import ScalingPolicy
from simulations import Scenario, read_scenario, simulate
from simulations.scenario import building

ROOT = Path(autoscaler.__file__).parent.parent
POLICY = ROOT / "autoscaler/demo/policy.yaml"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/reference/scenario.md").read_text(), flags=re.DOTALL)


def test_the_examples_in_the_docstrings_do_what_they_say():
    failed, attempted = doctest.testmod(building)
    assert attempted > 0
    assert not failed


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_scenario_is_written_as_a_document_that_is_read_as_the_same_scenario(example):
    scenario = validated(Document("example", yaml.safe_load(example), {}), Scenario)
    again = validated(Document("written", building.written(scenario), {}), Scenario)
    assert again == scenario
    assert pickle.loads(pickle.dumps(scenario)) == scenario  # noqa: S301


@given(policy=legal_policies())
@settings(max_examples=15, deadline=None)
def test_every_policy_is_written_as_a_document_that_is_read_as_the_same_policy(policy):
    policy = policy if isinstance(policy, ScalingPolicy) else ScalingPolicy.model_validate(policy)
    assert ScalingPolicy.model_validate(building.written(policy)) == policy


def test_a_scenario_that_was_built_is_simulated_as_one_from_a_file(tmp_path):
    built = Scenario.build(
        "file", rate=0.2, service_time="8s", cold_start="30s", duration="1h", price_per_hour=2, seed=3
    ).with_policy(maxReplicas=4)
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(building.written(built)))
    assert simulate(built).estimates == simulate(tmp_path / "file.yaml").estimates


def test_arrivals_may_be_an_array_and_policies_a_path():
    built = Scenario.build(trace=np.array([1.0, 2.0, 9.5]), service_time="3s").with_policy(POLICY)
    assert simulate(built).estimates["served"].mean == 3


def test_a_changed_copy_leaves_the_scenario_as_it_was():
    demo = read_scenario("demo")
    changed = demo.with_(seed=9, controller__tick="4s").with_({"spec.workloads[0].closedLoop.clients": 2})
    assert (changed.spec.seed, changed.spec.controller.tick) == (9, 4.0)
    assert changed.spec.workloads[0].closed_loop.clients == 2
    assert demo == read_scenario("demo")
    assert repr(changed) == "<Scenario reference-load: 1 workload, 1 pool, 1 policy, seed 9>"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spec.fleet.pools[3].stock": 1}, "spec.fleet.pools[3].stock: there is no spec.fleet.pools[3]"),
        ({"spec.fleet.pools.stock": 1}, "spec.fleet.pools.stock: there is no spec.fleet.pools.stock"),
        ({"spec..x": 1}, "spec..x: must be a place such as spec.fleet.pools[0].stock"),
        ({"spec.sed": 1}, "spec.sed: unknown key; legal here:"),
        ({"spec.seed": -1}, "spec.seed: -1: must be"),
    ],
)
def test_a_change_that_is_not_legal_names_its_place(change, told):
    with pytest.raises(DocumentError) as raised:
        read_scenario("demo").with_(change)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    "arguments", [{}, {"rate": 1.0, "trace": [1.0]}, {"rate": 1.0, "workloads": [{"poisson": {"rate": 1}}]}]
)
def test_a_scenario_is_built_of_one_kind_of_arrivals(arguments):
    if arguments.keys() >= {"rate", "trace"}:
        with pytest.raises(DocumentError):
            Scenario.build(duration="1h", **arguments)
    else:
        with pytest.raises(DocumentError, match="exactly one of rate, trace, workloads, services"):
            Scenario.build(duration="1h", **arguments)
