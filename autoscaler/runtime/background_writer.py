"""Lines that a thread of their own writes: a pipe that nobody reads, or a disk that is full, holds up nothing else."""

import logging
import os
import stat
from itertools import groupby
from pathlib import Path
from threading import Condition, Thread

MOST_BYTES = 4 << 20
"""What is kept in memory of lines that the file has not taken yet."""
_RETRY_S = 1.0
"""Between two attempts at a file that refuses lines."""
_CLOSE_PATIENCE_S = 1.0
_PIECE_BYTES = 1 << 16
_REOPEN = b""
"""Among the lines: what follows belongs into a file that is opened anew."""

_log = logging.getLogger(__name__)


class BackgroundWriter:
    """Appends lines to a file; nobody who gives it a line ever waits for the file.

    Lines wait while the file refuses them or takes none. A line that finds too many before it is lost and counts. The
    log says each trouble once, and once more when the file has taken all that waited.
    """

    def __init__(self, file: int | Path, what: str, most_bytes: int = MOST_BYTES) -> None:
        """Take a descriptor, or open a file.

        Args:
            file: a descriptor that stays open, or a path that is created if it is missing and that `reopen` opens anew.
            what: the name of the file in the log: "the request log".
            most_bytes: how much may wait for the file.

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
        self._troubles: set[str] = set()
        """What has been said, and has not passed yet."""
        self._changed = Condition()
        self._thread: Thread | None = None
        self.lost = 0
        """Lines that are not in the file and never will be."""

    def offer(self, lines: str) -> bool:
        """Have whole lines written; False if too much waits already, and then they are lost."""
        data = lines.encode(errors="replace")
        with self._changed:
            fits = self._waiting_bytes + len(data) <= self._most_bytes and not self._closes
            if fits:
                self._waiting_bytes += len(data)
                self._give(data)
            else:
                self.lost += data.count(b"\n")
        if not fits:
            self._say("loses lines, because too many wait to be written")
        return fits

    def write(self, lines: str) -> None:
        """Have whole lines written, for those who must know which are lost.

        Raises:
            OSError: too much waits already, and these lines are lost.
        """
        if not self.offer(lines):
            raise OSError(f"too much waits to be written to {self._what}")

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def reopen(self) -> None:
        """Open the path anew behind the lines that wait: a file that was renamed is left, and a new one is begun."""
        with self._changed:
            self._give(_REOPEN)

    def close(self, patience_s: float = _CLOSE_PATIENCE_S) -> None:
        """Write what waits, for so long at most; what the file does not take is lost."""
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
            # A daemon: the process must be able to end while the file hangs.
            self._thread = Thread(target=self._run, name=f"writes {self._what}", daemon=True)
            self._thread.start()
        self._changed.notify()

    # In the thread.

    def _run(self) -> None:
        while lines := self._taken():
            for reopens, part in groupby(lines, key=_REOPEN.__eq__):
                if reopens:
                    self._open_anew()
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
                self._say(f"takes no lines for now: {error}")
                if last:
                    self._lose(data[data.rfind(b"\n", 0, done) + 1 :])
                    return
                last = self._is_to_close()
                if self._is_to_reopen():
                    self._open_anew()
                    done = data.rfind(b"\n", 0, done) + 1
        with self._changed:
            self._waiting_bytes -= len(data)
            passed = bool(self._troubles) and not self._lines
            if passed:
                self._troubles.clear()
        if passed:
            _log.warning("%s takes lines again; %d were lost so far", self._what, self.lost)

    def _is_to_close(self) -> bool:
        """Tell whether it is the end, when it comes or after a while."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closes or self._is_to_reopen(), _RETRY_S) and self._closes

    def _is_to_reopen(self) -> bool:
        return _REOPEN in self._lines

    def _open_anew(self) -> None:
        if self._path is None:
            return
        try:
            descriptor = _opened(self._path)
        except OSError as error:
            _log.error("%s cannot be opened anew, the file before goes on: %s", self._what, error)
            return
        os.close(self._descriptor)
        self._descriptor = descriptor

    # Trouble.

    def _lose(self, data: bytes) -> None:
        if data:
            self.lost += data.count(b"\n")
            self._say("has not taken its last lines")

    def _say(self, trouble: str) -> None:
        with self._changed:
            first = trouble not in self._troubles
            self._troubles.add(trouble)
        if first:
            _log.error("%s %s", self._what, trouble)


def _opened(path: Path) -> int:
    """Open a file for appending; a named pipe without a reader neither blocks nor fails, its lines wait in it."""
    if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        return os.open(path, os.O_RDWR)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
