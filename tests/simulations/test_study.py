"""The arguments and results of `simulate` and `compare` in a REPL."""

from pathlib import Path

import pytest

import simulations
from autoscaler.documents.document import DocumentError
from simulations import compare, simulate

DEMO = Path(simulations.__file__).parent / "demo.yaml"


def test_a_scenario_may_be_a_path_in_text():
    assert simulate(str(DEMO)).estimates == simulate(DEMO).estimates


def test_a_path_in_text_without_a_file_is_named(tmp_path):
    with pytest.raises(DocumentError, match=r"missing\.yaml: cannot be read"):
        simulate(str(tmp_path / "missing.yaml"))


def test_a_result_is_one_short_line():
    (result,) = compare(DEMO, replications=2)
    assert len(repr(result)) < 120
    assert "reference-load by knative-sd-demo: 2 runs, served 50, " in repr(result)
    assert "\n" not in repr(result)


def test_the_history_of_a_run_is_one_short_line():
    history = simulate(DEMO).history
    assert repr(history).startswith(f"<History of 328 s: 50 requests, 5 replicas, {len(history.decisions)} decisions, ")
