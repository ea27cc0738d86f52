"""Writes lines in a thread of its own, so that a pipe without a reader or a full disk delays nothing else."""

import logging
import os
import stat
from itertools import groupby
from pathlib import Path
from threading import Condition, Thread

MOST_BYTES = 4 << 20
"""The memory for lines that are not written yet."""
_RETRY_S = 1.0
"""The pause between two attempts to write after an error."""
_CLOSE_PATIENCE_S = 1.0
_PIECE_BYTES = 1 << 16
_REOPEN = b""
"""A mark among the lines: the file is opened again here."""

_log = logging.getLogger(__name__)


class BackgroundWriter:
    """Appends lines to a file without ever blocking its caller.

    Lines wait in memory while the file cannot be written. If too many wait, new lines are lost and counted. The log
    reports each problem once, and once when all waiting lines are written.
    """

    def __init__(self, file: int | Path, what: str, most_bytes: int = MOST_BYTES) -> None:
        """Take a descriptor, or open a file.

        Args:
            file: a descriptor that stays open, or a path, which is created if missing and which `reopen` opens again.
            what: the name of the file in the log, such as "the request log".
            most_bytes: the memory for waiting lines.

        Raises:
            OSError: the path cannot be opened.
        """
        self._path = file if isinstance(file, Path) else None
        self._descriptor = file if isinstance(file, int) else _opened(file)
        self._what = what
        self._most_bytes = most_bytes
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._closes = False
        self._problems: set[str] = set()
        """Problems that have been reported and still exist."""
        self._changed = Condition()
        self._thread: Thread | None = None
        self.lost = 0
        """The number of lines that will never be written."""

    def offer(self, lines: str) -> bool:
        """Write whole lines later; False if too many wait already, and then these are lost."""
        data = lines.encode(errors="replace")
        with self._changed:
            fits = self._waiting_bytes + len(data) <= self._most_bytes and not self._closes
            if fits:
                self._waiting_bytes += len(data)
                self._give(data)
            else:
                self.lost += data.count(b"\n")
        if not fits:
            self._report("loses lines, because too many wait to be written")
        return fits

    def write(self, lines: str) -> None:
        """Write whole lines later, for callers that must know which are lost.

        Raises:
            OSError: too many lines wait already, and these are lost.
        """
        if not self.offer(lines):
            raise OSError(f"too many lines wait to be written to {self._what}")

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def reopen(self) -> None:
        """Open the path again after the waiting lines, for log rotation: a renamed file is left for a new one."""
        with self._changed:
            self._give(_REOPEN)

    def close(self, patience_s: float = _CLOSE_PATIENCE_S) -> None:
        """Write the waiting lines, for at most `patience_s`; the rest is lost."""
        with self._changed:
            self._closes = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(patience_s)
        with self._changed:
            left, self._lines = self._lines, []
        self._lose(b"".join(left))

    def _give(self, data: bytes) -> None:
        self._lines.append(data)
        if self._thread is None:
            # A daemon thread: the process must be able to end while the file hangs.
            self._thread = Thread(target=self._run, name=f"writes {self._what}", daemon=True)
            self._thread.start()
        self._changed.notify()

    # In the thread.

    def _run(self) -> None:
        while lines := self._taken():
            for reopens, part in groupby(lines, key=_REOPEN.__eq__):
                if reopens:
                    self._open_again()
                else:
                    self._write(b"".join(part))
        if self._path is not None:
            os.close(self._descriptor)

    def _taken(self) -> list[bytes]:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closes)
            lines, self._lines = self._lines, []
            return lines

    def _write(self, data: bytes) -> None:
        done, last = 0, False
        while done < len(data):
            try:
                done += os.write(self._descriptor, data[done : done + _PIECE_BYTES])
            except OSError as error:
                self._report(f"cannot be written for now: {error}")
                if last:
                    self._lose(data[data.rfind(b"\n", 0, done) + 1 :])
                    return
                last = self._is_to_close()
                if self._is_to_reopen():
                    self._open_again()
                    done = data.rfind(b"\n", 0, done) + 1
        with self._changed:
            self._waiting_bytes -= len(data)
            passed = bool(self._problems) and not self._lines
            if passed:
                self._problems.clear()
        if passed:
            _log.warning("%s is written again; %d lines were lost so far", self._what, self.lost)

    def _is_to_close(self) -> bool:
        """Wait for `close` or `reopen`, or a while; tell whether it is `close`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closes or self._is_to_reopen(), _RETRY_S) and self._closes

    def _is_to_reopen(self) -> bool:
        return _REOPEN in self._lines

    def _open_again(self) -> None:
        if self._path is None:
            return
        try:
            descriptor = _opened(self._path)
        except OSError as error:
            _log.error("%s cannot be opened again, the old file stays in use: %s", self._what, error)
            return
        os.close(self._descriptor)
        self._descriptor = descriptor

    # Problems.

    def _lose(self, data: bytes) -> None:
        if data:
            self.lost += data.count(b"\n")
            self._report("lost its last lines")

    def _report(self, problem: str) -> None:
        with self._changed:
            first = problem not in self._problems
            self._problems.add(problem)
        if first:
            _log.error("%s %s", self._what, problem)


def _opened(path: Path) -> int:
    """Open a file for appending; a named pipe without a reader neither blocks nor fails, because lines wait in it."""
    if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        return os.open(path, os.O_RDWR)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
