"""Detects changed files."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

Version = tuple[int, int, int] | None
"""None if there is no such file."""

CHECK_EVERY_S = 1.0


def version_of(file: Path) -> Version:
    """Identify a file's content without reading it; a mounted ConfigMap or Secret is replaced behind a link."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class FileWatch:
    """Waits for changes of files; create it before they are first read, so that no change is missed.

    Attributes:
        files: the files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._known: list[Version] | None = self._versions()

    def recheck(self) -> None:
        """Treat the files as changed at the next check."""
        self._known = None

    async def changed(self) -> None:
        """Wait until one of them differs from when this last returned; they are checked once a second."""
        while True:
            known, self._known = self._known, self._versions()
            if known != self._known:
                return
            await asyncio.sleep(CHECK_EVERY_S)

    def _versions(self) -> list[Version]:
        return [version_of(file) for file in self.files]
