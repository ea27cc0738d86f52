"""The minimum rate of a client that sends a body while a slot is held for it."""

import math

ALLOWANCE_S = 10.0
"""How far a client may fall behind the minimum rate; also how long it may be silent."""


class MinimumRate:
    """An allowance in seconds: waiting spends it and bytes earn it back, up to `ALLOWANCE_S`.

    A client that keeps the rate never uses it up. A client that sends at a fraction p of the rate uses it up within
    `ALLOWANCE_S / (1 - p)`.
    """

    __slots__ = ("_bytes_per_s", "left_s")

    def __init__(self, bytes_per_s: int) -> None:
        """Start with the full allowance; a rate of 0 means no minimum."""
        self._bytes_per_s = bytes_per_s
        self.left_s = ALLOWANCE_S if bytes_per_s else math.inf

    def received(self, number: int, waited_s: float) -> None:
        """Note how many bytes arrived after how long a wait."""
        if self._bytes_per_s:
            self.left_s = min(ALLOWANCE_S, self.left_s - waited_s + number / self._bytes_per_s)
