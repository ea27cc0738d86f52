"""Runs our commands by a wall clock that is wrong and steps: `fault_clock.py SECONDS_AHEAD COMMAND [ARGUMENT...]`.

SIGUSR1 sets it an hour ahead, SIGUSR2 two hours back. `time.time` is the only wall clock that the product reads.
"""

import signal
import sys
import time

ahead_s = float(sys.argv[1])
right_time = time.time


def step(seconds):
    """Set the clock."""
    global ahead_s  # noqa: PLW0603 - there is one clock
    ahead_s += seconds


time.time = lambda: right_time() + ahead_s
signal.signal(signal.SIGUSR1, lambda *_: step(3600))
signal.signal(signal.SIGUSR2, lambda *_: step(-7200))

if __name__ == "__main__":
    from autoscaler.cli import main

    sys.exit(main(sys.argv[2:]))
