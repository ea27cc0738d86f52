"""When the gateway refuses new requests: before its memory is used up and the kernel ends the process."""

ENTER, LEAVE = 0.8, 0.75
"""Of the limit. The rest is for socket buffers, which the kernel counts too, and for growth between measurements."""


class Overload:
    """Says whether new requests are refused: from one level of memory, until a lower one.

    Attributes:
        limit_bytes: the limit of the process; None is no limit, and nothing is ever refused.
        used_bytes: the last measurement.
        active: whether new requests are refused.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.active = False

    def measure(self, used_bytes: int) -> bool:
        """Note how much memory is in use; return True if that begins or ends the overload."""
        self.used_bytes = used_bytes
        before, limit = self.active, self.limit_bytes
        if limit is not None:
            self.active = used_bytes >= (LEAVE if before else ENTER) * limit
        return self.active != before
