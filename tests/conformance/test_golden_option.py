"""What `pytest tests/conformance --golden DIR` says of files that agree, differ, or cannot be read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from formats import compare
from golden import Tally, UnknownFormatError, describe, format_of, load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests/conformance/data/knative/decision_ramp.json"


def run(folder):
    """Run the golden files of a folder in a pytest of its own, as a user would."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/conformance/test_golden.py"]
    done = subprocess.run(
        [*command, "--golden", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "below").mkdir()
    return tmp_path


def test_each_file_is_listed_with_what_was_compared(folder):
    (folder / "below" / "agrees.json").write_text(RECORDED.read_text())
    code, said = run(folder)
    assert code == 0
    assert "below/agrees.json: 1521 values compared, no difference" in said
    assert "1 files, 1521 values compared" in said


def test_a_file_that_differs_or_cannot_be_read_fails_and_the_others_are_still_compared(folder):
    document = json.loads(RECORDED.read_text())
    document["steps"][7][5] += 1
    (folder / "differs.json").write_text(json.dumps(document))
    (folder / "agrees.json").write_text(RECORDED.read_text())
    (folder / "broken.json").write_text("{")
    (folder / "unknown.json").write_text('{"schema": "kpa-decision/2"}')
    code, said = run(folder)
    assert code == 1
    assert "3 failed, 1 passed" in said
    wrong = document["steps"][7]
    assert f"first: step 7 at {wrong[0]} ms desired: got {wrong[5] - 1}, expected {wrong[5]}" in said
    assert "not JSON" in said
    assert "unknown format 'kpa-decision/2'" in said


def test_a_folder_without_golden_files_fails(folder):
    code, said = run(folder)
    assert code != 0
    assert f"no golden files (*.json) below {folder}" in said


@pytest.mark.parametrize("text", ["", "[1, 2]", "\xff", '{"schema": 5}', '{"format": 2, "cases": []}', "{}"])
def test_what_is_no_golden_file_is_refused(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UnknownFormatError):
        compare(load(path))


def test_a_schema_goes_before_a_kind():
    assert format_of({"schema": "kpa-decision/1", "kind": "ramp"}) == "kpa-decision/1"
    assert format_of({"kind": "reconcile"}) == "reconcile"
    assert format_of({"format": 1, "cases": []}) == "simulation/1"


def test_only_the_first_difference_is_kept():
    tally = Tally()
    tally.equal("a", 10, 10.0)
    tally.close("b", 1.0, 1.0 + 1e-10)
    tally.close("c", None, None)
    assert describe(tally.result()) == "3 values compared, no difference"
    tally.close("d", None, 0.0)
    tally.equal("e", 1, 2)
    assert describe(tally.result()) == "5 values compared, first: d: got None, expected 0.0"
