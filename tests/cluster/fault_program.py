"""Runs our commands by a wall clock that is wrong and steps, with deciders that can be broken.

    fault_program.py SECONDS_AHEAD BROKEN_FILE COMMAND [ARGUMENT...]

SIGUSR1 sets the clock an hour ahead, SIGUSR2 two hours back. `time.time` is the only wall clock that the product reads.
A decider raises an error as long as BROKEN_FILE has its service's key.
"""

import signal
import sys
import time
from pathlib import Path

ahead_s = float(sys.argv[1])
broken_file = Path(sys.argv[2])
right_time = time.time


def step(seconds):
    """Set the clock."""
    global ahead_s  # noqa: PLW0603 - there is one clock
    ahead_s += seconds


def breakable(build):
    """Have every decider that is built fail when its service is named."""

    def built(policy):
        decider = build(policy)
        decide = decider.decide

        def decide_or_fail(observation):
            if broken_file.exists() and policy.service in broken_file.read_text():
                raise ArithmeticError("the decider is broken by a test")
            return decide(observation)

        decider.decide = decide_or_fail
        return decider

    return built


if __name__ == "__main__":
    time.time = lambda: right_time() + ahead_s
    signal.signal(signal.SIGUSR1, lambda *_: step(3600))
    signal.signal(signal.SIGUSR2, lambda *_: step(-7200))

    from autoscaler.cli import main
    from autoscaler.controller import services as registry

    registry.decider = breakable(registry.decider)
    sys.exit(main(sys.argv[3:]))
