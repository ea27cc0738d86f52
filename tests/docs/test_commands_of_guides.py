"""Commands of guides and reference pages that need no cluster run as they stand, on the pages' own documents."""

import pytest
from documentation import ROOT, blocks_of
from typing_pages import typed

POLICY = (ROOT / "autoscaler" / "demo" / "policy.yaml").read_text()


@pytest.mark.slow
def test_a_scenario_is_simulated_with_each_option(tmp_path):
    first = next(block for block in blocks_of("reference/scenario.md") if block.language == "yaml")
    (tmp_path / "scenario.yaml").write_text(first.content)
    (tmp_path / "policy.yaml").write_text(POLICY)
    typed("reference/scenario.md", tmp_path, leave_out=["autoscaler trace"])
    made = {"out.json", "requests.parquet", "ticks.parquet", "decisions.jsonl"}
    assert {name for name in made if not (tmp_path / name).stat().st_size} == set()


def test_a_policy_for_a_server_is_validated(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    typed("how-to/fit-your-server.md", tmp_path, leave_out=["autoscaler gateway", "curl"])


def test_a_decision_log_is_asked_in_the_terminal(tmp_path):
    log = (ROOT / "tests" / "data" / "explain" / "reference-run.jsonl").read_bytes()
    (tmp_path / "decisions.jsonl").write_bytes(log)
    of_a_page = [f"autoscaler explain knative-sd-demo --{option}" for option in ("why-not", "last", "at", "json")]
    of_a_day = "autoscaler explain knative-sd-demo --log decisions.jsonl --at"
    leave_out = ["kubectl", "autoscaler top", "autoscaler explain default/", *of_a_page, of_a_day]
    typed("how-to/terminal.md", tmp_path, leave_out=leave_out)
