"""Randomness: one stream of draws for each purpose, so that policies are compared on the same luck.

Each stream is spawned from the seed, the number of the replication and its purpose alone; that one run asks for more
cold starts than another changes none of its service times.
"""

from collections.abc import Iterator

from numpy.random import Generator, SeedSequence, default_rng

from algorithms.distributions import Distribution

PURPOSES = ("arrivals", "service", "patience", "think", "cold start", "lifetime", "retry")
CHUNK = 4096
"""Draws at a time: a single draw from numpy costs a hundred times its share of a chunk."""


class Luck:
    """The draws of one replication."""

    def __init__(self, seed: int, replication: int = 0) -> None:
        self._seed = seed
        self._replication = replication
        self._streams: dict[tuple[str, int], Iterator[float]] = {}

    def rng(self, purpose: str, number: int = 0) -> Generator:
        """Give a new generator for a purpose; `number` tells apart what has several, such as pools."""
        key = (self._replication, PURPOSES.index(purpose), number)
        return default_rng(SeedSequence(self._seed, spawn_key=key))

    def draw(self, purpose: str, distribution: Distribution, number: int = 0) -> float:
        """Draw the next value for a purpose, always from the same distribution."""
        stream = self._streams.get((purpose, number))
        if stream is None:
            stream = self._streams[purpose, number] = draws(distribution, self.rng(purpose, number))
        return next(stream)


def draws(distribution: Distribution, rng: Generator) -> Iterator[float]:
    """Draw without end."""
    while True:
        yield from distribution.samples(rng, CHUNK).tolist()
