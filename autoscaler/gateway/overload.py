"""When the gateway takes no new work: before its memory ends, and the kernel ends it with all that it holds."""

ENTER, LEAVE = 0.8, 0.75
"""Of the limit; the rest is for sockets' buffers, which the kernel counts too, and for what comes between two looks."""


class Overload:
    """Says whether new work is refused; it begins at one level of memory and ends at a lower one.

    Attributes:
        limit_bytes: what the process may have; None is no limit, and nothing is ever refused.
        used_bytes: what it had at the last look.
        active: whether new work is refused.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.active = False

    def measure(self, used_bytes: int) -> bool:
        """Take in how much memory is in use; True if that begins or ends the overload."""
        self.used_bytes = used_bytes
        before, limit = self.active, self.limit_bytes
        if limit is not None:
            self.active = used_bytes >= (LEAVE if before else ENTER) * limit
        return self.active != before
