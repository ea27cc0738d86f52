"""What a client has not taken of its response: a little is its own, more comes out of a budget for all clients."""

from autoscaler.gateway.http.memory_budget import MemoryBudget

OWN_BYTES = 32 * 1024
"""What any client may leave lying."""
MOST_BYTES = 1 << 20
"""What a client may leave lying while the budget has room, so that its pod is free for the next."""
_STEP_BYTES = 64 * 1024


class ResponseBacklog:
    """Follows how much lies there, and says when whoever adds to it has to wait."""

    __slots__ = ("_borrowed", "_budget", "full")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._borrowed = 0
        self.full = False
        """Whether nothing more is to be added."""

    def grew(self, size: int) -> bool:
        """Take note that so many bytes lie there now; True if that is the moment from which on it is full."""
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
        """Take note that next to nothing is left; True if it was full."""
        was_full, self.full = self.full, False
        self._budget.give_back(self._borrowed)
        self._borrowed = 0
        return was_full
