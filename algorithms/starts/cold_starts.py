"""How long a replica takes to start: the last starts of each pool of GPUs, as a distribution.

Starts are of several kinds: with a cached image one takes seconds, on a new node a minute or more. One mean of both
would be true of neither.
"""

from collections import deque
from math import ceil

from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import State

MEMORY = 50
"""The starts of a pool that are kept; a new one replaces the oldest."""

HALF = 0.5
"""The quantile on which decisions rest: half of the starts take no longer."""


class ColdStarts:
    """The measured starts of one service, of the last `MEMORY` in each pool."""

    def __init__(self) -> None:
        self._pools: dict[str, deque[float]] = {}

    def record(self, observation: Observation) -> None:
        """Keep the starts that ended."""
        for start in observation.starts:
            self._pools.setdefault(start.pool, deque(maxlen=MEMORY)).append(start.seconds)

    def quantile_s(self, share: float = HALF, pool: str | None = None) -> float | None:
        """Give the time within which a share of the starts ended, in seconds, by the nearest rank.

        Args:
            share: above 0 and at most 1.
            pool: only the starts in this pool; None means those in all pools.

        Returns:
            None if no such start was measured.
        """
        chosen = self._pools.values() if pool is None else [self._pools.get(pool, ())]
        known = sorted(seconds for starts in chosen for seconds in starts)
        return known[ceil(share * len(known)) - 1] if known else None

    def export(self) -> State:
        """Give the starts that are kept, by pool."""
        return {"version": VERSION, "pools": {pool: list(starts) for pool, starts in self._pools.items()}}

    def restore(self, state: State) -> None:
        """Continue with these starts."""
        check(state, "ColdStarts")
        self._pools = {pool: deque(starts, maxlen=MEMORY) for pool, starts in state["pools"].items()}
