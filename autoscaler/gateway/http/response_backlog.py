"""Accounts for what a client has not read of its response: a little is free, more comes from a common budget."""

from autoscaler.gateway.http.memory_budget import MemoryBudget

OWN_BYTES = 32 * 1024
"""Bytes that each client may leave unread."""
MOST_BYTES = 1 << 20
"""Bytes that a client may leave unread while the budget has room, so that its pod is free for the next request."""
_STEP_BYTES = 64 * 1024


class ResponseBacklog:
    """Follows how much is unread, and says when the sender has to wait."""

    __slots__ = ("_borrowed", "_budget", "full")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._borrowed = 0
        self.full = False
        """Whether nothing more may be added."""

    def grew(self, size: int) -> bool:
        """Note how many bytes are unread now; return True if this is the moment from which it is full."""
        if self.full or size <= OWN_BYTES + self._borrowed:
            return False
        missing = size - OWN_BYTES - self._borrowed
        step = -(-missing // _STEP_BYTES) * _STEP_BYTES
        if size > MOST_BYTES or not self._budget.take(step):
            self.full = True
            return True
        self._borrowed += step
        return False

    def drained(self) -> bool:
        """Note that almost nothing is unread; return True if it was full."""
        was_full, self.full = self.full, False
        self._budget.give_back(self._borrowed)
        self._borrowed = 0
        return was_full
