"""Types a page word for word: its commands into bash, its Python into Python, its documents into the files they name.

Blocks run in their order, in one folder. `sh` must succeed. `console` has commands after `$ `, and each must print what
stands below it; a line `...` there stands for any lines. `python` must run. `yaml` whose first line is `# NAME.yaml` is
written to that file.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from documentation import DOCS, ROOT

BIN = Path(sys.executable).parent
PATIENCE_S = 300


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def blocks(page):
    """Give the blocks of a page in order."""
    return [Block(*found) for found in re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", (DOCS / page).read_text())]


def typed(page, folder, *, leave_out=(), instead=None):
    """Type a page; commands that begin with a word of `leave_out` are for other tests.

    Args:
        page: its path below docs/.
        folder: where it is typed; what the repository has is there too.
        leave_out: words.
        instead: what stands for names that only the reader's own machines have.
    """
    for name in ("autoscaler", "simulations", ".venv"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    for block in blocks(page):
        text = block.text
        for theirs, ours in (instead or {}).items():
            text = text.replace(theirs, ours)
        _type(Block(block.language, text), folder, tuple(leave_out))


def _type(block, folder, leave_out):
    if block.language == "sh":
        commands = re.findall(r"(?m)^(?:.*\\\n)*.*$", block.text)
        _bash("\n".join(command for command in commands if not command.startswith(leave_out)), folder)
    elif block.language == "console":
        for command, expected in _sessions(block.text):
            if not command.startswith(leave_out):
                assert_printed(_bash(command, folder), expected)
    elif block.language == "python":
        _run([sys.executable, "-c", block.text], folder)
    elif block.language == "yaml" and (named := re.match(r"# (\S+\.yaml)\n", block.text)):
        (folder / named[1]).write_text(block.text)


def _sessions(text):
    """Give each command of a console with what it prints."""
    for session in re.split(r"(?m)^\$ ", text)[1:]:
        command, printed = re.fullmatch(r"((?:.*\\\n)*.*)\n([\s\S]*)", session).groups()
        yield command, printed


def assert_printed(printed, expected):
    """Compare what was printed with what a page says; `...` in the page is any lines."""
    parts = re.split(r"(?m)^\.\.\.\n", expected)
    pattern = r"(?:.*\n)*?".join(map(re.escape, parts))
    assert re.fullmatch(pattern, printed), f"printed:\n{printed}\nbut the page has:\n{expected}"


def _bash(command, folder):
    return _run(["bash", "-euo", "pipefail", "-c", command], folder)


def _run(command, folder):
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
