#!/usr/bin/env python3
"""Run what `make check` promises and print its CPU time, that of all children included. Arguments go to pytest.

All linters and the quick tests run, whichever of them fails. Property tests try fewer examples than in `make test`.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_S = 90
"""What the quick loop may take with warm caches; its tests have neither of the two marks."""
QUICK = "not program and not slow"


def main(arguments: list[str]) -> int:
    """Run both; gives the exit status."""
    steps = {
        "lint": [os.environ.get("MAKE", "make"), "lint"],
        "tests": [sys.executable, "-m", "pytest", "-m", QUICK, "--hypothesis-profile=quick", *arguments],
    }
    failed = [name for name, command in steps.items() if run(command)]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"check: {used.ru_utime + used.ru_stime:.0f} s of CPU time, of at most {MOST_S} s")
    if failed:
        print(f"check: failed: {', '.join(failed)}")
    return int(bool(failed))


def run(command: list[str]) -> int:
    """Run a command in the clone's top folder; gives its exit status."""
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
