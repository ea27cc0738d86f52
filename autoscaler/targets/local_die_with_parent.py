"""Runs a command that cannot outlive its parent: `python -I -S local_die_with_parent.py COMMAND [ARGUMENT...]`.

Standard input is a pipe. Only the parent holds its other end, and never writes to it. When that end closes, because the
parent closed it or died (also by `kill -9`), a watcher kills the whole process group, which must be ours alone.

The command replaces this process, so it has the process id and the exit status that the parent knows. This file is run,
never imported, and needs no package, because it is started for every replica.
"""

import os
import signal
import sys


def main(command: list[str]) -> None:
    """Start the watcher, and become the command."""
    if os.fork() == 0:
        _watch()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is meant
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")


def _watch() -> None:
    os.closerange(1, 3)  # the command's output ends with the command
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
