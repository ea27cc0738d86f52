"""The cases on which simulators are compared, drawn beforehand: every one is given the same requests.

W1: M/M/10 at 80 %. W2: Poisson, 5 a second, lognormal work of 1.5 s on average, one request at a time for each of 1 to
100 pods, which start in 20 s; every 2 s a policy decides on a metric that is one tick old. W3: 5 clients, 50 requests
each of 10 to 60 s, 5 pods. This file is read by the peers' environment too: it needs numpy alone.
"""

from collections import deque
from math import ceil, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SERVERS = 10
TICK_S = 2.0
COLD_START_S = 20.0
MOST = 100
CLIENTS, EACH, LOOPS = 5, 50, 100


def m_m_10(count: int) -> tuple[Floats, Floats]:
    """Draw W1: arrivals and service times."""
    rng = np.random.default_rng(1)
    return np.cumsum(rng.exponential(1 / (0.8 * SERVERS), count)), rng.exponential(1.0, count)


def autoscaled(count: int) -> tuple[Floats, Floats]:
    """Draw W2."""
    rng, sigma = np.random.default_rng(2), 0.5
    return np.cumsum(rng.exponential(0.2, count)), rng.lognormal(log(1.5) - sigma**2 / 2, sigma, count)


def closed_loop() -> Floats:
    """Draw W3: the service times of all loops, each for the first request of each client, the second of each ..."""
    return np.random.default_rng(3).uniform(10, 60, (LOOPS, CLIENTS * EACH))


def save(path: Path, arrival: Floats, service: Floats) -> None:
    """Write requests for a peer."""
    np.savez(path, arrival=arrival, service=service)


class SmallPolicy:
    """The mean of the last 30 samples over 70 % of a request for each pod: what a user would write first."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=30)
        self._total = 0.0

    def __call__(self, _now_s: float, inflight: float | None, asked: int, _ready: int) -> int:
        """Say how many pods there should be."""
        if inflight is None:
            return asked
        samples = self._samples
        if len(samples) == 30:  # noqa: PLR2004
            self._total -= samples[0]
        samples.append(inflight)
        self._total += inflight
        return min(max(ceil(self._total / len(samples) / 0.7), 1), MOST)
