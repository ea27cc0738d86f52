"""`make lint` runs every linter, and `make check` both of them: lint and the quick tests, with what they cost."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

def test_quick():
    pass

@pytest.mark.slow
def test_slow():
    raise AssertionError

@pytest.mark.program
def test_of_a_program():
    raise AssertionError
"""


@pytest.fixture
def clone(tmp_path):
    """Make a small repository with our Makefile; its linters only note that they ran."""
    for name in ("Makefile", "tools/check.py", "tools/suite.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n    slow\n    program\n    real_time\n    image\naddopts = -p no:cacheprovider\n"
    )
    (tmp_path / "conftest.py").write_text("from hypothesis import settings\nsettings.register_profile('quick')\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    program(tmp_path / "tools" / "setup", "true")
    (tmp_path / "tools" / "web.py").write_text("")
    program(tmp_path / ".venv" / "bin" / "python", f'exec {sys.executable} "$@"')
    for linter in ("ruff", "mypy", "lint-imports"):
        program(tmp_path / ".venv" / "bin" / linter, "true")
    return tmp_path


def program(path, command):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def make(clone, *arguments):
    of_ours = ("MAKE", "MFLAGS", "PYTEST")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(of_ours)}
    return subprocess.run(["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=False)


def test_every_linter_runs_though_the_first_fails_and_those_that_failed_are_named(clone):
    program(clone / ".venv" / "bin" / "ruff", "exit 1")
    program(clone / ".venv" / "bin" / "lint-imports", "exit 3")
    ran = make(clone, "lint")
    assert ran.returncode != 0
    *begun, failed = [line for line in ran.stdout.splitlines() if line.startswith("lint: ")]
    assert begun == [
        "lint: ruff check",
        "lint: ruff format --check",
        "lint: mypy",
        "lint: lint-imports --no-logo",
        "lint: python tools/web.py --check",
    ]
    assert failed == "lint: failed: ruff check, ruff format --check, lint-imports --no-logo"


@pytest.mark.slow
def test_the_quick_loop_leaves_out_what_is_slow_or_needs_a_program_and_prints_what_it_cost(clone):
    ran = make(clone, "check")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 1 passed, 2 deselected " in ran.stdout
    assert re.search(r"(?m)^check: \d+ s of CPU time, of at most 90 s$", ran.stdout)


@pytest.mark.slow
def test_the_quick_loop_hands_its_arguments_to_pytest(clone):
    assert " 3 deselected " in make(clone, "check", "ARGS=-k nothing_of_this_name").stdout


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["lint", "tests"])
def test_what_failed_is_named_after_all_has_run(clone, broken):
    if broken == "lint":
        program(clone / ".venv" / "bin" / "mypy", "exit 1")
    else:
        (clone / "test_it.py").write_text("def test_broken():\n    assert False\n")
    ran = make(clone, "check")
    assert ran.returncode != 0
    assert f"check: failed: {broken}\n" in ran.stdout
    assert "lint: lint-imports" in ran.stdout
    assert re.search(r" 1 (passed|failed)\b", ran.stdout)


@pytest.mark.slow
def test_the_whole_suite_is_both_halves_and_fails_with_either(clone):
    suite = [sys.executable, clone / "tools" / "suite.py"]
    for selected, status in (
        ("quick", 0),
        ("test_slow", 1),
        ("of_a_program", 1),
        ("quick or of_a_program", 1),
        ("nothing", 5),
    ):
        ran = subprocess.run([*suite, "-k", selected], capture_output=True, text=True, check=False)
        assert ran.returncode == status, ran.stdout + ran.stderr


@pytest.mark.slow
def test_the_half_that_computes_prints_at_the_end(clone):
    ran = subprocess.run(
        [sys.executable, clone / "tools" / "suite.py", "-v"], capture_output=True, text=True, check=False
    )
    assert ran.stdout.index("::test_of_a_program") < ran.stdout.index("::test_quick")
