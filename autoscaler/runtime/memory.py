"""How much memory this process may have, and how much it has."""

import ctypes
import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ALL_BYTES = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_STATM = Path("/proc/self/statm")


def limit_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int | None:
    """Give the least limit of the control groups that this process is in; None if none is below the machine's memory.

    Args:
        cgroups: where the control groups are mounted, version 1 or 2.
        own: names the groups of this process, as `/proc/self/cgroup` does.
    """
    found = [limit for file in _limit_files(cgroups, own) if (limit := _number(file)) is not None]
    least = min(found, default=_ALL_BYTES)
    return least if least < _ALL_BYTES else None


def _limit_files(cgroups: Path, own: Path) -> list[Path]:
    """Name the files of all groups from that of this process upward; a container may see its own group as the root."""
    files = []
    for line in own.read_text().splitlines() if own.exists() else []:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.strip("/"))
        files += [root / each / name for each in (group, *group.parents)]
    return files


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None  # there is no such group here, or it says `max`


def resident_bytes() -> int:
    """Give the memory that this process has in use."""
    return int(_STATM.read_text().split()[1]) * _PAGE_BYTES


def trim() -> None:
    """Give back to the system what the allocator keeps for later, where the C library can."""
    trim_heap = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim_heap is not None:
        trim_heap(0)
