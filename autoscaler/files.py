"""What tells one version of a file from the next."""

from pathlib import Path

Version = tuple[int, int, int] | None
"""None: there is no such file."""


def version_of(file: Path) -> Version:
    """Look at a file without reading it; what is mounted from a ConfigMap or Secret is replaced behind a link."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
