"""The cases on which simulators are compared, drawn beforehand: all get the same requests.

W1: M/M/10 at 80 %. W2: Poisson arrivals, 5 per second, lognormal service times with a mean of 1.5 s, 1 to 100 pods that
start in 20 s and serve one request at a time; a policy decides every 2 s on a metric that is one tick old. W3: 5
clients with 50 requests each, of 10 to 60 s, 5 pods. The peers' environment
imports this file too, so it needs only numpy.
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
    """Draw W3: service times of all loops; in a loop for the first request of each client, then for the second, ..."""
    return np.random.default_rng(3).uniform(10, 60, (LOOPS, CLIENTS * EACH))


def save(path: Path, arrival: Floats, service: Floats) -> None:
    """Write requests to a file for a peer."""
    np.savez(path, arrival=arrival, service=service)


class SmallPolicy:
    """The mean of the last 30 samples, divided by 70 % of a request for each pod: a simple policy."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=30)
        self._total = 0.0

    def __call__(self, _now_s: float, inflight: float | None, asked: int, _ready: int) -> int:
        """Give the desired pods."""
        if inflight is None:
            return asked
        samples = self._samples
        if len(samples) == 30:  # noqa: PLR2004
            self._total -= samples[0]
        samples.append(inflight)
        self._total += inflight
        return min(max(ceil(self._total / len(samples) / 0.7), 1), MOST)
