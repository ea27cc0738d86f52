"""Runs a command that cannot outlive whoever started it: `python -I -S local_die_with_parent.py COMMAND [ARGUMENT...]`.

Standard input is a pipe whose other end the starter alone holds, and never writes to. When that closes, because the
starter closed it or is no more (`kill -9` included), a watcher kills the whole process group, which must be ours alone.

The command takes the place of this process: its id is the one that the starter knows, and so is its exit status. This
file is run, never imported, and needs no package: it is started for every replica.
"""

import os
import signal
import sys


def main(command: list[str]) -> None:
    """Become the command, with a watcher at its side."""
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
