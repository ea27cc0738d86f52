"""Run the tests beside programs that take all the CPU they can get, as `make test-busy` does: a test that races fails.

First what is marked `real_time`, three times, then the whole suite. Arguments go to each run of pytest, so
`tools/busy.py tests/contracts` tries these alone. Prints a row for each run, and ends with 1 if a run failed.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIE_WITH_PARENT = ROOT / "autoscaler" / "targets" / "local_die_with_parent.py"
"""Ends its command when we end, however that comes."""
HOGS = 2
REAL_TIME = ("-m", "real_time")
RUNS = (REAL_TIME, REAL_TIME, REAL_TIME, ())
NOTHING_SELECTED = 5
"""pytest's status where the marker leaves no test."""


@contextmanager
def hogs(number: int) -> Iterator[None]:
    """Keep so many programs computing while the block runs."""
    command = [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), sys.executable, "-I", "-S", "-c", "while True: pass"]
    with ExitStack() as stack:
        for _ in range(number):
            hog = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))
            stack.callback(hog.kill)
        yield


def main(arguments: list[str]) -> int:
    """Run the tests; gives the exit status."""
    failed = False
    with hogs(HOGS):
        for selected in RUNS:
            began_s = time.monotonic()
            status = subprocess.run([sys.executable, "-m", "pytest", *selected, *arguments], cwd=ROOT, check=False)
            verdict = {0: "passed", NOTHING_SELECTED: "nothing selected"}.get(status.returncode, "FAILED")
            failed = failed or verdict == "FAILED"
            name, took_s = " ".join(selected) or "the whole suite", time.monotonic() - began_s
            print(f"| {name} | {verdict} | {took_s:.0f} s |", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
