#!/usr/bin/env python3
"""Fuzzes what reads the wire, guided by the branches that an input reaches: `make fuzz ARGS="--seconds 600"`.

The seconds are shared by the targets of fuzz_targets.py; each runs in a process of its own, as many at once as there
are processors. It begins with the seeds in `corpus`; what it finds beside them goes to build/fuzz, an input that fails
too.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import atheris

HERE = Path(__file__).resolve().parent
FOUND = HERE.parents[1] / "build" / "fuzz"
GUIDES = (
    "dispatch.globs",
    "dispatch.path_rules",
    "http.framing",
    "http.headers",
    "http.request_parser",
    "http.response_parser",
)
"""Modules of autoscaler.gateway whose branches guide the fuzzer."""
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

with atheris.instrument_imports(include=[f"autoscaler.gateway.{module}" for module in GUIDES]):
    from fuzz_targets import TARGETS


class Outcome(NamedTuple):
    """What became of one target."""

    target: str
    executions: int
    seconds: float
    failure: str
    """The end of what was written about it; empty if nothing failed."""


def fuzz_one(target: str, seconds: float) -> None:
    """Fuzz one target in this process, which ends with it."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    options = ["-max_len=4096", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"]
    limits = [f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={FOUND}/{target}-"]
    atheris.Setup([sys.argv[0], *options, *limits, str(found), str(HERE / "corpus" / target)], TARGETS[target])
    atheris.Fuzz()


def fuzz_all(seconds: float) -> list[Outcome]:
    """Fuzz every target for its share of the seconds."""
    share_s = seconds / len(TARGETS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda target: _outcome(target, share_s), TARGETS))


def _outcome(target: str, seconds: float) -> Outcome:
    command = [sys.executable, __file__, "--target", target, "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    runs = re.search(r"Done (\d+) runs in (\d+) second", text)
    failure = "" if done.returncode == 0 and runs else "\n".join(text.splitlines()[-30:])
    return Outcome(target, int(runs[1]) if runs else 0, float(runs[2]) if runs else 0.0, failure)


def main() -> int:
    """Fuzz, and say what came of it; 1 if a target failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of a processor, for all targets together (600)")
    parser.add_argument("--target", choices=TARGETS, help="fuzz this one alone, in this process")
    arguments = parser.parse_args()
    if arguments.target:
        fuzz_one(arguments.target, arguments.seconds)
    outcomes = fuzz_all(arguments.seconds)
    for each in outcomes:
        said = f"FAILED\n{each.failure}" if each.failure else "nothing failed"
        print(f"{each.target}: {each.executions} executions in {each.seconds:.0f} s, {said}")
    return any(each.failure for each in outcomes)


if __name__ == "__main__":
    sys.exit(main())
