"""docs/how-to/candidates.md: its comparison is what the command prints for the recording in the package."""

import shutil

from documentation import ROOT, blocks_of

from autoscaler.cli import main

RECORDED = ROOT / "simulations" / "examples" / "recorded" / "requests.jsonl"


def test_the_comparison_of_the_page_is_true_word_for_word(tmp_path, monkeypatch, capsys):
    found = blocks_of("how-to/candidates.md")
    (policy,) = (block.content for block in found if "knative-sd-demo" in block.content and block.language == "yaml")
    (typed,) = (block.content for block in found if block.language == "console")
    command, _, printed = typed.replace("\\\n", "").partition("\n")
    monkeypatch.chdir(tmp_path)
    shutil.copy(RECORDED, tmp_path)
    (tmp_path / "policy.yaml").write_text(policy)
    words = command.removeprefix("$ autoscaler ").replace("'uniform(25, 35)'", "DIST").split()
    assert main(["uniform(25, 35)" if word == "DIST" else word for word in words]) == 0
    assert capsys.readouterr().out == printed
