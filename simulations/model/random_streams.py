"""Random streams: one for each purpose, so that policies are compared on common random numbers.

A stream depends only on the seed, the numbers of the replication and of the service, and the purpose. If one policy
draws more cold starts than another, the service times are still the same.
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
    "hint",
)
"""The purposes. Never change their order: a purpose's index is part of its seed."""
CHUNK = 4096
"""Draws at a time: a single draw from numpy costs a hundred times as much as one in a chunk."""


class RandomStreams:
    """The random streams of one service in one replication."""

    def __init__(self, seed: int, replication: int = 0, service: int = 0) -> None:
        self._seed = seed
        self._replication = replication
        self._service = (service,) if service else ()
        self._streams: dict[tuple[str, int], Iterator[float]] = {}

    def chunks(self, purpose: str, distribution: Distribution, number: int = 0) -> Iterator[Floats]:
        """Draw a stream from its beginning in chunks of `CHUNK` values, without end.

        Args:
            purpose: one of `STREAMS`.
            distribution: what to draw from. With another length of chunk, some distributions give other values.
            number: which one, where a purpose has several, such as pools or workloads.
        """
        rng = self._rng(purpose, number)
        while True:
            yield distribution.samples(rng, CHUNK)

    def draws(self, purpose: str, distribution: Distribution, number: int = 0) -> Iterator[float]:
        """Draw the values of `chunks` one by one."""
        for chunk in self.chunks(purpose, distribution, number):
            yield from chunk.tolist()

    def stream(self, purpose: str, distribution: Distribution, number: int = 0) -> Iterator[float]:
        """Give the rest of a stream; a purpose and number always have the same distribution."""
        stream = self._streams.get((purpose, number))
        if stream is None:
            stream = self._streams[purpose, number] = self.draws(purpose, distribution, number)
        return stream

    def draw(self, purpose: str, distribution: Distribution, number: int = 0) -> float:
        """Draw the next value of a stream."""
        return next(self.stream(purpose, distribution, number))

    def _rng(self, purpose: str, number: int) -> Generator:
        key = (self._replication, STREAMS.index(purpose), number, *self._service)
        return default_rng(SeedSequence(self._seed, spawn_key=key))
