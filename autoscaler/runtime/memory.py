"""How much memory this process may use, and how much it uses."""

import ctypes
import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ALL_BYTES = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_STATM = Path("/proc/self/statm")


def limit_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int | None:
    """Give the lowest limit of this process's control groups; None if none is below the machine's memory.

    Args:
        cgroups: where the control groups are mounted, version 1 or 2.
        own: the file that names the groups of this process, such as `/proc/self/cgroup`.
    """
    found = [limit for file in _limit_files(cgroups, own) if (limit := _number(file)) is not None]
    least = min(found, default=_ALL_BYTES)
    return least if least < _ALL_BYTES else None


def _limit_files(cgroups: Path, own: Path) -> list[Path]:
    """Give the files of this process's group and of all groups above; a container may see its own group as the root."""
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
        return None  # there is no such group, or its limit is `max`


def resident_bytes() -> int:
    """Give the memory that this process uses."""
    return int(_STATM.read_text().split()[1]) * _PAGE_BYTES


def trim() -> None:
    """Return the allocator's free memory to the system, if the C library can."""
    trim_heap = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim_heap is not None:
        trim_heap(0)
