"""Randomness: one stream of draws for each purpose, so that policies are compared on the same luck.

Each stream is spawned from the seed, the number of the replication and its purpose alone; that one run asks for more
cold starts than another changes none of its service times.
"""

from collections.abc import Iterator

from numpy.random import Generator, SeedSequence, default_rng

from algorithms.distributions import Distribution
from simulations.model.run_inputs import Floats

STREAMS = (
    "arrivals",
    "service",
    "patience",
    "think",
    "cold start",
    "lifetime",
    "retry",
    "keep",
    "session",
    "start failure",
    "pool service",
    "metric lag",
)
"""In this order for ever: a purpose's place is part of its seed."""
CHUNK = 4096
"""Draws at a time: a single draw from numpy costs a hundred times its share of a chunk."""


class RandomStreams:
    """The draws of one replication."""

    def __init__(self, seed: int, replication: int = 0) -> None:
        self._seed = seed
        self._replication = replication
        self._streams: dict[tuple[str, int], Iterator[float]] = {}

    def chunks(self, purpose: str, distribution: Distribution, number: int = 0) -> Iterator[Floats]:
        """Draw for a purpose from its beginning, a chunk at a time and without end.

        `number` tells apart what has several, such as pools. Chunks have one length, as some distributions draw
        differently in chunks of another.
        """
        rng = self._rng(purpose, number)
        while True:
            yield distribution.samples(rng, CHUNK)

    def draws(self, purpose: str, distribution: Distribution, number: int = 0) -> Iterator[float]:
        """Draw the same one by one."""
        for chunk in self.chunks(purpose, distribution, number):
            yield from chunk.tolist()

    def stream(self, purpose: str, distribution: Distribution, number: int = 0) -> Iterator[float]:
        """Give what is left of the draws for a purpose, always from the same distribution."""
        stream = self._streams.get((purpose, number))
        if stream is None:
            stream = self._streams[purpose, number] = self.draws(purpose, distribution, number)
        return stream

    def draw(self, purpose: str, distribution: Distribution, number: int = 0) -> float:
        """Draw the next of them."""
        return next(self.stream(purpose, distribution, number))

    def _rng(self, purpose: str, number: int) -> Generator:
        key = (self._replication, STREAMS.index(purpose), number)
        return default_rng(SeedSequence(self._seed, spawn_key=key))
