"""`autoscaler sweep` and the document `Sweep`."""

import json

import pyarrow.parquet as pq
import pytest
import yaml

from autoscaler.cli import main
from autoscaler.documents.document import to_yaml
from simulations import Scenario
from simulations.scenario.building import written

SCENARIO = Scenario.build("night", rate=0.02, service_time="8s", cold_start="30s", duration="30m", seed=5)
SWEEP = {
    "apiVersion": "inflight.dev/v1alpha1",
    "kind": "Sweep",
    "metadata": {"name": "delays"},
    "spec": {
        "scenario": "scenario.yaml",
        "vary": [
            {"set": "spec.scaleDown.delay", "range": {"from": "0s", "to": "10m", "points": 2}},
            {"set": "spec.maxReplicas", "values": [1, 3]},
        ],
        "variants": [{"spec.minReplicas": 0, "spec.standby": 0}, {"spec.minReplicas": 2, "spec.standby": 0}],
        "where": ["spec.minReplicas <= spec.maxReplicas"],
        "replications": 1,
    },
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenario.yaml").write_text(to_yaml(written(SCENARIO.with_policy(maxReplicas=3))))
    (tmp_path / "sweep.yaml").write_text(to_yaml(SWEEP))
    return tmp_path


def test_the_command_prints_all_variants_and_writes_what_is_asked_for(files, capsys):
    words = "sweep scenario.yaml --set spec.scaleDown.delay=0s,10m --set spec.maxReplicas=1,3 --replications 2"
    assert main([*words.split(), "--json", "o.json", "--parquet", "o.parquet", "--html", "o.html"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("night: 4 variants on the same random streams, seed 5, 2 runs each\n")
    assert "delay=10m maxReplicas=3" in printed
    assert len(json.loads((files / "o.json").read_text())["variants"]) == 4
    assert pq.read_table(files / "o.parquet").num_rows == 8
    page = (files / "o.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "delay=10m maxReplicas=3" in page


def test_a_document_says_the_same_in_a_file(files, capsys):
    assert main(["sweep", "sweep.yaml", "--json", "o.json"]) == 0
    settings = [each["settings"] for each in json.loads((files / "o.json").read_text())["variants"]]
    assert len(settings) == 6
    assert all(each["spec.minReplicas"] <= each["spec.maxReplicas"] for each in settings)
    assert {each["spec.scaleDown.delay"] for each in settings} == {"0s", "10m"}
    assert main(["validate", "sweep.yaml"]) == 0
    assert "night: 6 variants" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vary": [{"set": "spec.maxReplicas"}]}, "sweep.yaml:8: spec.vary[0]: must have exactly one of values, range"),
        (
            {"vary": [{"set": "spec.maxReplicas", "values": [1, "x"]}], "where": []},
            'spec.vary[0]: spec.maxReplicas: "x": must be',
        ),
        (
            {"vary": [{"set": "spec.maxReplica", "values": [1]}], "where": []},
            "spec.vary[0]: spec.maxReplica: unknown key",
        ),
        ({"vary": [{"set": "spec.maxReplicas", "range": {"from": 1, "to": 9}}]}, "exactly one of step, points"),
        ({"where": ["spec.minReplicas"]}, 'spec.where[0]: "spec.minReplicas"'),
        ({"where": ["spec.x < 1"]}, "where: spec.x: has no values in this sweep"),
        ({"scenario": "none.yaml"}, "sweep.yaml:6: spec.scenario: none.yaml: there is no such file"),
        ({"upTo": 1, "replications": 3}, "spec.upTo: 1: must be at least replications, which is 3"),
        ({"within": "5"}, "spec.within"),
    ],
)
def test_what_is_wrong_in_a_document_is_named_with_file_line_and_key(files, capsys, change, told):
    (files / "sweep.yaml").write_text(to_yaml({**SWEEP, "spec": {**SWEEP["spec"], **change}}))
    assert main(["sweep", "sweep.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sweep.yaml:")
    assert told in error
    assert main(["validate", "sweep.yaml"]) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--set: is missing; name a key and its values"),
        (["--set", "spec.maxReplicas"], "--set spec.maxReplicas: must be a key and its values"),
        (["--set", "spec.maxReplicas=1,x"], 'spec.maxReplicas: "x": must be'),
        (["--set", "spec.maxReplicas=1", "--within", "3"], "--within: 3: must be a percentage"),
        (["--set", "spec.maxReplicas=1", "--on", "ray://x"], "on: 'ray://x': must be an address such as dask://"),
        (["--set", "spec.maxReplicas=1", "--settle", "x"], "settle: 'x': must be one of "),
    ],
)
def test_what_is_wrong_on_the_command_line_is_named(files, capsys, words, told):
    assert main(["sweep", "scenario.yaml", *words]) == 2
    assert capsys.readouterr().err.startswith(told)


def test_values_of_a_document_and_of_the_command_line_are_not_mixed(files, capsys):
    assert main(["sweep", "sweep.yaml", "--set", "spec.maxReplicas=1"]) == 2
    assert "leave out --set and --where" in capsys.readouterr().err
    assert yaml.safe_load((files / "sweep.yaml").read_text()) == SWEEP
