"""File descriptors: how many this process may have, and how many of them clients may take."""

import resource
from contextlib import suppress

RESERVED = 96
"""Kept for listeners, logs, watches and lookups of names, and for those who observe."""
_MOST = 1 << 20
"""What is counted with where there is no limit."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one, and give it: the soft one is low for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else hard
    # Where the kernel's own limit is lower still, the one that is there stays.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else soft


def for_clients(limit: int) -> int:
    """Give how many of a number of descriptors clients may take: three of four, for some of them need one for a pod.

    Clients that wait need none for a pod, and are many; those that are served are as many as pods have slots.
    """
    return max(1, (limit - RESERVED) * 3 // 4)
