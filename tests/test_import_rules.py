"""The rules of `.importlinter`: each is kept, and each notices its own violation."""

import copy
from pathlib import Path

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract

ROOT = Path(__file__).parent.parent
CONFIGURATION = read_configuration(str(ROOT / ".importlinter"))
KINDS = {
    "acyclic_siblings": AcyclicSiblingsContract,
    "forbidden": ForbiddenContract,
    "independence": IndependenceContract,
    "layers": LayersContract,
}
CONTRACTS = {options["id"]: options for options in CONFIGURATION["contracts_options"]}

VIOLATIONS = {
    "packages": ("algorithms.types", "autoscaler.ports"),
    "autoscaler": ("autoscaler.policy.spec", "autoscaler.controller.step"),
    "gateway": ("autoscaler.gateway.http.headers", "autoscaler.gateway.dispatch.globs"),
    "simulations": ("simulations.model.history", "simulations.scenario.columns"),
    "cycles": ("algorithms.types", "algorithms.decider"),
    "one-client": ("autoscaler.kubernetes.client", "kubernetes_asyncio"),
    "pure-algorithms": ("algorithms.mpa", "random"),
    "pure-core": ("autoscaler.gateway.dispatch.globs", "socket"),
    "one-clock": ("autoscaler.sources.known_gateways", "time"),
    "documents-at-the-edge": ("autoscaler.targets.local", "yaml"),
}
"""An import for each contract that this contract alone forbids; for the first of all it forbids a cycle as well."""


@pytest.fixture(scope="module")
def graph():
    """Read all imports of the three packages."""
    names = CONFIGURATION["session_options"]["root_packages"]
    return grimp.build_graph(*names, include_external_packages=True, cache_dir=None)


def broken(graph):
    """Give the contracts that these imports break."""
    return {name for name in CONTRACTS if not contract(name).check(copy.deepcopy(graph), verbose=False).kept}


def contract(name):
    options = CONTRACTS[name]
    return KINDS[options["type"]](options["name"], CONFIGURATION["session_options"], options)


def with_import(graph, importer, imported):
    changed = copy.deepcopy(graph)
    assert importer in changed.modules
    if imported not in changed.modules:
        changed.add_module(imported, is_squashed=True)
    changed.add_import(importer=importer, imported=imported, line_number=1, line_contents=f"import {imported}")
    return changed


def test_all_rules_are_kept(graph):
    assert broken(graph) == set()


def test_each_rule_has_a_violation_here():
    assert VIOLATIONS.keys() == CONTRACTS.keys()


@pytest.mark.parametrize("rule", CONTRACTS)
def test_a_violation_of_a_rule_is_reported_under_its_name(graph, rule):
    assert rule in broken(with_import(graph, *VIOLATIONS[rule]))


@pytest.mark.parametrize("room", ["autoscaler.extra", "simulations.extra"])
def test_a_new_room_needs_a_place_in_the_list(graph, room):
    changed = copy.deepcopy(graph)
    changed.add_module(room)
    assert broken(changed) == {room.partition(".")[0]}
