"""Each promise of the security model has tests, and each test that stands beside one exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROMISED = set(map(int, re.findall(r"(?m)^(\d+)\. ", (ROOT / "docs" / "explanation" / "security.md").read_text())))
ROWS = {
    int(number): set(re.findall(r"`(test_\w+)`", tests))
    for number, tests in re.findall(
        r"(?m)^\| (\d+) \| (.*) \|$", (ROOT / "docs" / "evidence" / "security.md").read_text()
    )
}


def test_each_promise_has_tests_and_no_test_is_of_another():
    assert max(PROMISED) == len(PROMISED)
    assert ROWS.keys() == PROMISED
    assert all(ROWS.values())


def test_each_test_that_is_named_exists():
    written = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"def (test_\w+)\(", written))
    missing = set().union(*ROWS.values()) - existing
    assert not missing
