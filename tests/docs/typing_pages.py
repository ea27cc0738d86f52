"""Types a page word for word: its commands into bash, its Python into Python, its documents into the files they name.

Blocks run in their order, in one folder. `sh` must succeed. `console` has commands after `$ `, and each must print what
stands below it; a line `...` there stands for any lines. `python` must run. `yaml` whose first line is `# NAME.yaml` is
written to that file.
"""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from documentation import ROOT, blocks_of

BIN = Path(sys.executable).parent
PATIENCE_S = 300


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
    for block in blocks_of(page):
        text = block.content
        for theirs, ours in (instead or {}).items():
            text = text.replace(theirs, ours)
        _type(replace(block, content=text), folder, tuple(leave_out))


def _type(block, folder, leave_out):
    if block.language == "sh":
        commands = re.findall(r"(?m)^(?:.*\\\n)*.*$", block.content)
        _bash("\n".join(command for command in commands if not command.startswith(leave_out)), folder)
    elif block.language == "console":
        for command, expected in _sessions(block.content):
            if not command.startswith(leave_out):
                assert_printed(_bash(command, folder), expected)
    elif block.language == "python":
        _run([sys.executable, "-c", block.content], folder)
    elif block.language == "yaml" and (named := re.match(r"# (\S+\.yaml)\n", block.content)):
        (folder / named[1]).write_text(block.content)


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
