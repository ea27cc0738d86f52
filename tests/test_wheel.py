"""The wheel: what a user gets who has no clone."""

import re
import shutil
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.program  # not of the quick loop: it takes 4 s of CPU

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "autoscaler" / "page" / "assets" / "vendor"
PARTS = ("algorithms", "autoscaler", "simulations", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
"""setuptools is pinned, and nothing is fetched."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build it from a copy of what it is made of."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("out")
    for file in tracked(*PARTS):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, copy / file)
    shutil.copytree(VENDOR, copy / VENDOR.relative_to(ROOT))
    subprocess.run([sys.executable, "-c", BUILD, out], cwd=copy, check=True, capture_output=True, timeout=120)
    (file,) = out.glob("*.whl")
    with ZipFile(file) as opened:
        yield opened


def tracked(*paths):
    listed = subprocess.run(["git", "ls-files", *paths], cwd=ROOT, check=True, capture_output=True, text=True)
    return listed.stdout.splitlines()


def test_all_modules_examples_notebooks_and_traces_are_in_the_wheel(wheel):
    assert set(tracked("algorithms", "autoscaler", "simulations")) <= set(wheel.namelist())


def test_what_the_page_takes_from_npm_is_in_the_wheel_with_its_licence(wheel):
    at = VENDOR.relative_to(ROOT).as_posix()
    served = {f"{at}/{name}" for name in ("uPlot.iife.min.js", "uPlot.min.css", "LICENSE")}
    assert {name for name in wheel.namelist() if name.startswith(f"{at}/")} == served


def test_the_wheel_names_its_import_packages(wheel):
    (about,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    summary = Parser().parsestr(wheel.read(about).decode())["Summary"]
    named = re.search(r"Import packages: (.*)\.$", summary)[1].split(", ")
    assert set(named) == {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}


def test_an_example_in_the_wheel_finds_its_files(wheel, tmp_path):
    wheel.extractall(tmp_path)
    command = [sys.executable, "-m", "autoscaler", "validate", "simulations/examples/azure-llm-code.yaml"]
    ran = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("Scenario azure-llm-code: valid\n", "")
