"""The least rate of whoever sends while somebody else's slot is held for it."""

import math

OVER_S = 10.0
"""How far a sender may fall behind the least rate; also how long it may be silent."""


class Pace:
    """Patience in seconds: waiting spends it, bytes earn it back, and there are never more than `OVER_S` of it.

    Whoever keeps up the rate never runs out of it. Whoever sends a part p of the rate does within `OVER_S / (1 - p)`.
    """

    __slots__ = ("_bytes_per_s", "left_s")

    def __init__(self, bytes_per_s: int) -> None:
        """Begin with all the patience there is; a rate of 0 asks for nothing."""
        self._bytes_per_s = bytes_per_s
        self.left_s = OVER_S if bytes_per_s else math.inf

    def received(self, number: int, waited_s: float) -> None:
        """Take note of how many bytes came after how long a wait."""
        if self._bytes_per_s:
            self.left_s = min(OVER_S, self.left_s - waited_s + number / self._bytes_per_s)
