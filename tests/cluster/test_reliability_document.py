"""docs/explanation/reliability.md names tests that there are, and each of its faults has a promise and a test."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "explanation" / "reliability.md").read_text()
TESTS = re.compile(r"`(test_\w+(?:\[[^\]]*\])?)`")


@pytest.fixture(scope="module")
def there():
    """Collect the tests of this folder, by their names with parameters."""
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *HERE.glob("test_faults_*.py"), HERE / "test_soak.py"],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.partition("::")[2] for line in listed.stdout.splitlines() if "::" in line}


def test_every_test_that_is_named_is_there(there):
    assert set(TESTS.findall(TEXT)) <= there


def test_every_test_of_a_fault_is_named(there):
    kinds = {name.partition("[")[0] for name in there}
    named = {name.partition("[")[0] for name in TESTS.findall(TEXT)}
    assert kinds - named == {
        "test_every_request_is_answered_and_every_change_explained",
        "test_every_request_is_accounted_for_and_every_change_of_replicas_explained",
    }, "all but those that close the books of a whole story"


def test_no_cell_is_empty_and_every_fault_names_a_test():
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TEXT.splitlines() if line[:2] == "| "]
    faults = [row for row in rows if row != ["fault", "promise", "test"]]
    assert len(faults) >= 25
    for row in faults:
        assert len(row) == 3, row
        assert all(row), row
        assert TESTS.findall(row[2]), row
