"""Each numbered statement of the guides has its tests in docs/evidence, and each test that stands there exists."""

import re
import subprocess
import sys

import pytest
from documentation import DOCS, ROOT, numbered_rows, pages

GATEWAY_TESTS = ROOT / "tests" / "autoscaler" / "gateway"
FAULT_TESTS = ROOT / "tests" / "cluster"
OTHER_FAULT_TESTS = ("soak", "drains", "gateways_rollout")
PEER_TESTS = ROOT / "tests" / "gateways"
CLOSE_THE_BOOKS = {
    "test_every_request_is_answered_and_every_change_explained",
    "test_every_request_is_accounted_for_and_every_change_of_replicas_explained",
}
"""Tests of a whole story of faults, not of one."""
MAY_NAME_TESTS = ("evidence/", "decisions/", "contributing.md")


def named_by_number(page):
    """Give the names of tests, with their parameters, in each row of a table of evidence."""
    return {number: set(re.findall(r"`(test_\w+(?:\[[^\]]*\])?)`", row)) for number, row in numbered_rows(page).items()}


def names(rows):
    return set().union(*rows.values())


def functions_below(folder):
    written = "\n".join(file.read_text() for file in folder.rglob("test_*.py"))
    return set(re.findall(r"def (test_\w+)\(", written))


@pytest.fixture(scope="module")
def faults():
    """Collect the tests of faults, by their names with parameters."""
    files = [*FAULT_TESTS.glob("test_faults_*.py"), *(FAULT_TESTS / f"test_{name}.py" for name in OTHER_FAULT_TESTS)]
    files += [file for file in PEER_TESTS.glob("test_*.py") if file.stem != "test_idle_time"]
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.partition("::")[2] for line in listed.stdout.splitlines() if "::" in line}


def test_each_behaviour_of_the_gateway_has_its_tests_and_each_test_of_a_behaviour_stands_there():
    found = {}
    for name in functions_below(GATEWAY_TESTS):
        if re.match(r"test_b\d", name):
            for number in re.findall(r"_b(\d{2,3})(?=_)", name):
                found.setdefault(int(number), set()).add(name)
    evidence = named_by_number("evidence/behaviours.md")
    assert evidence.keys() == numbered_rows("reference/gateway.md").keys()
    assert evidence.keys() >= set(range(1, 51))
    assert evidence == found


@pytest.mark.slow
def test_each_fault_has_its_tests_and_each_test_of_a_fault_stands_there(faults):
    evidence = named_by_number("evidence/reliability.md")
    assert evidence.keys() == numbered_rows("explanation/reliability.md").keys()
    assert all(evidence.values())
    assert names(evidence) <= faults
    kinds = {name.partition("[")[0] for name in faults}
    soaked = set(re.findall(r"`(test_\w+)`", (DOCS / "evidence" / "reliability.md").read_text()))
    assert kinds - {name.partition("[")[0] for name in names(evidence)} - soaked == CLOSE_THE_BOOKS


def test_each_fault_has_a_promise():
    rows = numbered_rows("explanation/reliability.md").values()
    assert len(rows) >= 25
    assert not [row for row in rows if not re.fullmatch(r"\S.* \| \S.*", row)]


def test_each_promise_of_the_security_model_has_its_tests():
    promised = {
        int(number) for number in re.findall(r"(?m)^(\d+)\. ", (DOCS / "explanation" / "security.md").read_text())
    }
    evidence = named_by_number("evidence/security.md")
    assert promised == set(range(1, len(promised) + 1))
    assert evidence.keys() == promised
    assert all(evidence.values())


def test_each_test_that_a_page_names_exists():
    existing = functions_below(ROOT / "tests")
    for page, text in pages().items():
        assert set(re.findall(r"`(test_\w+?)(?:\[[^\]]*\])?`", text)) <= existing, page


def test_no_guide_names_a_test():
    guides = {page: text for page, text in pages().items() if not page.startswith(MAY_NAME_TESTS)}
    found = {page: re.findall(r"\btest_\w+|\btests/[\w/.]*", text) for page, text in guides.items()}
    assert {page: named for page, named in found.items() if named} == {}
