"""The empirical distribution: durations drawn from measured values."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from algorithms.distributions import Samples


@dataclass(frozen=True, slots=True)
class Empirical:
    """Draws each of its values, in seconds, with the same probability. Raises ValueError if one is negative."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or min(self.values) < 0:
            raise ValueError("an empirical distribution needs numbers, none of them below 0")

    def expected(self) -> float:
        """Give the mean of the values."""
        return sum(self.values) / len(self.values)

    def samples(self, rng: Generator, n: int) -> Samples:
        """Draw n values."""
        return rng.choice(np.array(self.values, dtype=float), n)

    def sample(self, rng: Generator) -> float:
        """Draw one value."""
        return float(self.samples(rng, 1)[0])

    def scaled(self, by: float) -> "Empirical":
        """Give the distribution with every value scaled."""
        return Empirical(tuple(value * by for value in self.values))

    def __str__(self) -> str:
        return f"{list(self.values)}"
