"""File descriptors: how many this process may have, and how many of them clients may use."""

import resource
from contextlib import suppress

RESERVED = 96
"""Reserved for listeners, logs, watches, name lookups and scrapes."""
_MOST = 1 << 20
"""The number to use if there is no limit."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one, and give it; the soft one is low for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else hard
    # If the kernel's own limit is lower, the current limit stays.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else soft


def for_clients(limit: int) -> int:
    """Give how many of these descriptors clients may use: three of four, because a served client needs one for its pod.

    Clients that wait need no second one, and are many. Clients that are served are as many as pods have slots.
    """
    return max(1, (limit - RESERVED) * 3 // 4)
