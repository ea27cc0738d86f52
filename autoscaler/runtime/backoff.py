"""Exponential backoff with jitter."""

import random


class Backoff:
    """Pauses between attempts: the limit doubles each time, and a pause is a random part of it, at least half.

    Args:
        rng: spreads the pauses, so that not all clients return to a restarted server at once.
        first_s: the longest that the first pause can be.
        longest_s: the longest that any pause can be.
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
        """Start again with the shortest pause."""
        self._next_s = self._first_s
