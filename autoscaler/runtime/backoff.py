"""Pauses between attempts that grow and are spread by chance."""

import random


class Backoff:
    """Pauses between attempts: each about twice as long as the one before, by chance between half of it and all.

    Args:
        rng: spreads them, so that a peer that comes back does not meet everybody at once.
        first_s: the longest that the first pause can be.
        longest_s: the longest that any can be.
    """

    def __init__(self, rng: random.Random, *, first_s: float = 0.1, longest_s: float = 2.0) -> None:
        self._rng = rng
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s

    def pause_s(self) -> float:
        """Give the next pause."""
        pause_s = self._next_s * self._rng.uniform(0.5, 1)
        self._next_s = min(2 * self._next_s, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next_s = self._first_s
