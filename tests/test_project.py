"""What the repository promises about itself."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("algorithms", "autoscaler", "simulations")
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def mentions(pattern):
    """Give `file: line` for each line of a tracked text file in which the pattern is found."""
    for file in tracked_files():
        for line in file.read_text(errors="replace").splitlines():
            if re.search(pattern, line):
                yield f"{file.relative_to(ROOT)}: {line.strip()[:120]}"


def locked(file):
    """Give name and version of each package in a lock file; one name may have a version for each Python."""
    return {
        (canonicalize_name(name), version) for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", file.read_text())
    }


def test_no_file_names_a_package_registry():
    hosts = [
        "pypi|org",
        "pythonhosted|org",
        "npmjs|org",
        "proxy.golang|org",
        "deb.debian|org",
        "crates|io",
        "maven|org",
    ]
    assert not list(mentions("|".join(re.escape(host.replace("|", ".")) for host in hosts)))


def test_no_file_has_both_sides_of_a_conflict():
    assert not list(mentions(r"^(<{7}|>{7}) "))


def test_no_file_is_a_link_to_a_place_that_others_do_not_have():
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not [line for line in listed.splitlines() if line.startswith("120000 ")]


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    assert not list(mentions(r"\.\." + r"/shared\b|(?<![\w.$}-])/" + r"(work|root|Users)/"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_file_pins_by_hash_and_names_no_address(lock):
    text = lock.read_text()
    entries = re.split(r"(?m)^(?=\S)", text)[1:]
    assert entries
    assert not [
        entry for entry in entries if not re.match(r"[\w.-]+==\S+( ; .+)? \\\n +--hash=sha256:[0-9a-f]{64}", entry)
    ]
    assert "://" not in text


def test_the_lock_of_npm_pins_by_hash_and_names_no_address():
    text = (ROOT / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    root = packages.pop("")
    assert all(re.match("sha512-", each["integrity"]) for each in packages.values())
    assert "resolved" not in text
    wanted = root["dependencies"] | root["devDependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_the_lock_holds_a_fitting_version_of_everything_that_pyproject_asks_for():
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    wanted = [
        Requirement(line)
        for group in [*groups, PROJECT["dependency-groups"]["dev"]]
        for line in group
        if "{" not in str(line)
    ]
    have = locked(ROOT / "requirements" / "dev.txt")
    for need in wanted:
        versions = [version for name, version in have if name == canonicalize_name(need.name)]
        assert versions, f"{need} is not locked: make lock"
        assert all(Version(version) in need.specifier for version in versions), (
            f"{need} is locked at {versions}: make lock"
        )


def test_the_image_gets_versions_that_were_tested_and_nothing_of_the_simulator():
    image = locked(ROOT / "requirements" / "controller.txt")
    assert image < locked(ROOT / "requirements" / "dev.txt")
    assert not {name for name, _ in image} & {"numpy", "pandas", "prometheus-api-client"}


def test_the_packages_that_are_installed_are_the_packages_on_disk():
    on_disk = [init.parent.relative_to(ROOT) for package in PACKAGES for init in (ROOT / package).rglob("__init__.py")]
    assert PROJECT["tool"]["setuptools"]["packages"] == sorted(".".join(path.parts) for path in on_disk)


def test_the_algorithms_import_nothing_but_mathematics_and_containers():
    allowed = {"algorithms", "collections", "dataclasses", "enum", "heapq", "math", "numpy", "typing"}
    for file in (ROOT / "algorithms").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, f"{file.name} imports {names}"


def test_every_decision_has_a_number_of_its_own_and_a_title():
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len({file.name[:4] for file in files}) == len(files)
    for file in files:
        assert re.match(rf"# {int(file.name[:4])}\. \w[^\n]+\n", file.read_text()), f"{file.name} has no title"


def test_every_change_note_has_a_name_that_towncrier_counts():
    legal = re.compile(r"(\d+|\+[\w-]+)\.(feature|bugfix|doc|removal|misc)\.md|README\.md")
    assert not [file.name for file in (ROOT / "changelog.d").iterdir() if not legal.fullmatch(file.name)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", "2 failed, 1 error"), ("", "2 skipped, 1 xfailed")], ids=["in CI", "at a desk"]
)
def test_a_test_that_is_skipped_in_ci_has_failed(tmp_path, ci, outcome):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_absent.py").write_text("import pytest\n\npytest.importorskip('a_module_that_nobody_has')\n")
    (tmp_path / "test_skips.py").write_text(
        "import pytest\n\ndef test_skipped():\n    pytest.skip('no time')\n\n"
        "@pytest.mark.xfail\ndef test_expected_to_fail():\n    assert False\n"
    )
    options = "-p pytest_asyncio.plugin -p no:cacheprovider --continue-on-collection-errors"
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": options, "CI": ci}
    pytest_there = [sys.executable, "-m", "pytest", tmp_path]
    ran = subprocess.run(pytest_there, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f" {outcome} in " in ran.stdout
    assert (ran.returncode != 0) == (ci == "true")


def test_each_test_file_has_a_name_of_its_own():
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert [name for name, times in Counter(names).items() if times > 1] == [], "pytest imports them by their names"


def test_whatever_meets_real_programs_or_sockets_is_marked_so():
    """`make test-busy` tries these three times on a busy machine; one that is not marked would be tried once."""
    meets = re.compile(
        r"Popen\(|create_subprocess_exec\(|create_server\(|start_server\(|open_connection\(|create_connection\(|TCPSite\("
        r"|def test_\w+\((?:[^)]*[ ,(])?(?:kit|control_plane|installation|cluster)[,)]"
    )
    texts = {file: file.read_text() for file in (ROOT / "tests").rglob("test_*.py")}
    assert not [
        str(file.relative_to(ROOT))
        for file, text in texts.items()
        if meets.search(text) and "mark.real_time" not in text
    ]


# The shape of the house.


OUR_CODE = sorted(file for folder in (*PACKAGES, "benchmarks", "tools") for file in (ROOT / folder).rglob("*.py"))
MODULES_IN_A_FOLDER = 25
LINES_IN_A_FILE = 400


def docstring(node):
    return ast.get_docstring(node, clean=False) or ""


def test_a_folder_has_no_more_modules_than_a_reader_can_look_over():
    numbers = Counter(file.parent for file in OUR_CODE if file.name != "__init__.py")
    assert {str(folder): number for folder, number in numbers.items() if number > MODULES_IN_A_FOLDER} == {}


def test_a_file_is_no_longer_than_a_reader_can_hold_in_the_head():
    lengths = {str(file.relative_to(ROOT)): file.read_text().count("\n") for file in OUR_CODE}
    assert {file: lines for file, lines in lengths.items() if lines > LINES_IN_A_FILE} == {}


def test_each_module_begins_with_a_summary_that_ends_as_a_sentence():
    first = {file: docstring(ast.parse(file.read_text())).split("\n")[0] for file in OUR_CODE}
    assert [str(file.relative_to(ROOT)) for file, line in first.items() if not line.rstrip().endswith((".", ":"))] == []


def test_each_module_that_a_charter_names_exists():
    names = {file.stem if file.stem != "__init__" else file.parent.name for file in OUR_CODE}
    missing = {}
    for file in (file for file in OUR_CODE if file.name == "__init__.py"):
        text = file.read_text()
        for name in re.findall(r"`([a-z_]+)`", docstring(ast.parse(text))):
            if name not in names and not re.search(rf"\b{name}\b", text.replace(f"`{name}`", "")):
                missing.setdefault(str(file.relative_to(ROOT)), []).append(name)
    assert missing == {}


def test_each_package_says_in_a_charter_what_belongs_there():
    packages = [file for file in OUR_CODE if file.name == "__init__.py"]
    assert not [
        str(file.parent.relative_to(ROOT))
        for file in packages
        if not re.fullmatch(r"\S.*\.\n\n?\S[\s\S]*", docstring(ast.parse(file.read_text())))
    ]
