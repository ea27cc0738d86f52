"""docs/contributing.md: its algorithm is added to a copy of the repository, word for word, and works there."""

import os
import re
import shutil
import subprocess

import pytest
from documentation import ROOT, blocks_of, pages

PAGE = "contributing.md"
TEXT = pages()[PAGE].partition("## Add an algorithm")[2]
CREATE = r"Create `(?P<new>[^`]+)`:"
ADD = r"[Ii]n\s`(?P<file>[^`]+)`,\s(?P<where>above|below)\s`(?P<line>[^`]+)`,\sadd:"
STEP = re.compile(f"(?:{CREATE}|{ADD})\n\n```python")


@pytest.fixture
def clone(tmp_path):
    """Copy what git knows, with the environment and the type checker's cache of the clone that we are in."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "tools" / "setup").write_text("#!/bin/sh\n")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    (tmp_path / "build").mkdir()
    for command in (["git", "init", "--quiet"], ["git", "add", "--all"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def follow(step, content, folder):
    """Do what a sentence says with the block below it."""
    if step["new"]:
        (folder / step["new"]).write_text(content)
        return
    file = folder / step["file"]
    lines = file.read_text().splitlines(keepends=True)
    (at,) = [number for number, line in enumerate(lines) if line.strip() == step["line"]]
    if step["where"] == "below":
        at += 1
    apart = "\n\n" if re.match("class|def", content) else ""
    file.write_text("".join([*lines[:at], content, apart, *lines[at:]]))


@pytest.mark.program
@pytest.mark.slow
def test_an_algorithm_is_added_by_following_the_page(clone):
    blocks = [block for block in blocks_of(PAGE) if block.content in TEXT]
    steps = list(STEP.finditer(TEXT))
    assert len(steps) == sum(block.language == "python" for block in blocks) > 5
    printed = []
    for block in blocks:
        if block.language == "python":
            follow(steps.pop(0), block.content, clone)
        else:
            printed.append(typed(block.content, clone))
    wired, used = printed
    assert re.search(r"(?m)^=+ \d+ passed in ", wired)
    assert "default/sd: valid\n" in used
    assert re.search(r"(?m)^ +spare: 2 +# given", used)
    assert re.search(r"(?m)^ +decisions +\d+$", used)
    assert "Adds spare replicas" in (clone / "docs" / "reference" / "policy.md").read_text()


def typed(commands, folder):
    without = ("MAKE", "MFLAGS", "PYTEST")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},  # the environment belongs to another clone
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_each_task_names_a_file_that_there_is():
    table = pages()[PAGE].partition("## Where to change what")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (?!to change|---)(.+?) \| (.+) \|$", table)
    assert len(rows) >= 14
    for task, where in rows:
        files = re.findall(r"`([\w./-]+/[\w./-]+)`", where)
        assert files or "(#add-an-algorithm)" in where, task
        assert [file for file in files if not (ROOT / file).exists()] == []
