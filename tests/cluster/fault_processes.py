"""The programs of a control plane, to be killed, stopped and started again; serve.py has started them."""

import fcntl
import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

from control_plane import RefusedError
from fault_kit import until


def found(word):
    """Give id and command of the process that has this word in its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:
            continue
        if word in command:
            return int(folder.name), command
    raise LookupError(word)


class LogPipe:
    """A pipe with a reader that can stand still; the pipe holds a dozen lines and no more."""

    def __init__(self, folder):
        self.path = folder / "request-log"
        os.mkfifo(self.path)
        self._copy = folder / "request-log.jsonl"

    def __enter__(self):
        # Open for both, so that there is an end only for us when a gateway that wrote to it has gone.
        self._pipe = os.open(self.path, os.O_RDWR)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 4096)
        with self._copy.open("wb") as copy:
            self._reader = subprocess.Popen(["cat"], stdin=self._pipe, stdout=copy)
        return self

    def __exit__(self, *error):
        self._reader.kill()
        self._reader.wait()
        os.close(self._pipe)

    def stand_still(self):
        """Read no more for now."""
        self._reader.send_signal(signal.SIGSTOP)

    def go_on(self):
        """Read again."""
        self._reader.send_signal(signal.SIGCONT)

    def lines(self):
        """Give what came through it."""
        return self._copy.read_text().splitlines()


class ApiServer:
    """That of a control plane, which can be killed and started again; it ends before etcd does, and after its users."""

    def __init__(self, control_plane):
        self.control_plane = control_plane
        self._number, self._command = found(f"--cert-dir={control_plane.folder}")
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    def kill(self):
        """End it as a crash does."""
        os.kill(self._number, signal.SIGKILL)

    async def start(self):
        """Start it again, and wait until it serves."""
        log = self.control_plane.folder / "kube-apiserver-again.log"
        self._number = self._stack.enter_context(_running(self._command, log))
        await until(lambda: _serves(self.control_plane), "an API server that serves")


@contextmanager
def _running(command, log):
    with log.open("ab") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _serves(control_plane):
    try:
        return control_plane.get("/api/v1/nodes")["items"]
    except (OSError, RefusedError):
        return False
