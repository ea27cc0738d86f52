"""What tells one version of a file from the next, and when there is a next one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

Version = tuple[int, int, int] | None
"""None: there is no such file."""

LOOK_EVERY_S = 1.0


def version_of(file: Path) -> Version:
    """Look at a file without reading it; what is mounted from a ConfigMap or Secret is replaced behind a link."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class FileWatch:
    """Tells when files change; made before they are first read, so that no change falls in between.

    Attributes:
        files: what is looked at.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._known: list[Version] | None = self._versions()

    def recheck(self) -> None:
        """Take them for changed at the next look, whatever they are by then."""
        self._known = None

    async def changed(self) -> None:
        """Wait until one of them is another than it was when this returned last; they are looked at once a second."""
        while True:
            known, self._known = self._known, self._versions()
            if known != self._known:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    def _versions(self) -> list[Version]:
        return [version_of(file) for file in self.files]
