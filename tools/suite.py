#!/usr/bin/env python3
"""Run the whole suite as two pytests side by side, as `make test` does. Arguments go to both.

Tests in real time wait for programs and sockets most of their time; those in virtual time only compute. The computing
ones give way (`nice`), so that they take the time in which the others wait. What they print follows at the end.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).resolve().parents[1]
WAITING = "real_time or program or image"
PASSED, NOTHING_SELECTED = 0, 5
"""pytest's exit statuses; the second is that of a half to which the arguments leave no test."""


def main(arguments: list[str]) -> int:
    """Run both halves; gives the exit status of the first that failed."""
    with TemporaryFile() as printed:
        computing = subprocess.Popen(
            [*pytest(f"not ({WAITING})"), *arguments],
            cwd=ROOT,
            stdout=printed,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.nice(19),  # noqa: PLW1509 - no thread has been started
        )
        waiting = subprocess.run([*pytest(WAITING), *arguments], cwd=ROOT, check=False)
        statuses = [waiting.returncode, computing.wait()]
        printed.seek(0)
        sys.stdout.buffer.write(printed.read())
    return verdict(statuses)


def pytest(marks: str) -> list[str]:
    """Give the command of one half; they share no cache of pytest's, because both would write it."""
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", marks]


def verdict(statuses: list[int]) -> int:
    """Give one exit status for both: a half without a test passes if the other one has some."""
    failed = [status for status in statuses if status not in (PASSED, NOTHING_SELECTED)]
    return failed[0] if failed else min(statuses)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
