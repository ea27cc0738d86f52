"""Each behaviour that docs/reference/gateway.md names has a test, and each test of a behaviour stands there."""

import re
from pathlib import Path

HERE = Path(__file__).parent
NOT_FOR_ONE_GATEWAY = {47}
FIRST_FIFTY = set(range(1, 51)) - NOT_FOR_ONE_GATEWAY


def found_in_the_files():
    found = {}
    for file in HERE.glob("test_behaviours_*.py"):
        for name in re.findall(r"def (test_b\d\d\w*)\(", file.read_text()):
            for number in re.findall(r"_b(\d{2,3})(?=_)", name):
                found.setdefault(int(number), set()).add(name)
    return found


def test_each_of_the_first_fifty_behaviours_has_a_test():
    assert set(found_in_the_files()) >= FIRST_FIFTY


def test_the_documentation_names_every_test_and_no_other():
    text = (HERE.parents[2] / "docs" / "reference" / "gateway.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \|.*\| (.*) \|$", text, re.MULTILINE))
    documented = {int(number): set(re.findall(r"`(test_b\w+)`", row)) for number, row in rows.items()}
    assert documented.pop(47) == set()
    assert documented == found_in_the_files()
