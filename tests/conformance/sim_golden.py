"""Comparer of the simulator with queueing theory and with traces whose every start is known.

A stochastic case is run in 30 independent replications, seeded by the case's name, the first tenth of each cut off. Of
every expected value the mean over replications must lie within 5 standard errors or 0.1 %, and the standard error must
be below 1 % (2 % under heavy load): where it is not, the case is run again with as many requests as that seems to need.
A long replication is made of pieces that begin empty, each with a warm-up of its own, so that memory does not grow.
"""

import hashlib
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from math import ceil, inf, sqrt
from typing import Any, NamedTuple

import numpy as np
from golden import Comparison, Document, Tally
from sim_exact import EXACT
from sim_form import check, load_of
from sim_models import STOCHASTIC, Estimates, Run

REPLICATIONS = 30
REQUESTS = 340_000
"""Of one replication, a tenth of them warm-up."""
PIECE = 8 * REQUESTS
"""Its warm-up is several times what a single server at a load of 0.99 needs to forget that it was empty."""
LARGEST = 256 * REQUESTS
"""Of one replication: a plain queue has run that many in all replications after some ten minutes of one processor."""
MARGIN = 1.5
"""A standard error is itself an estimate: so many times the requests that it asks for are run."""
HEAVY = 0.95
MANY_SERVERS = 100

UNSEEN = 4.0
"""How many times the standard error is taken to be too large where all is zero: rare events come in crowds."""

Case = Mapping[str, Any]
Replicate = Callable[[Run, Mapping[str, Any]], Estimates]

OF_THE_INPUT = {"rho", "ES", "ES2", "ES3"}
"""Given with the case, and no result."""


class Found(NamedTuple):
    """Mean and standard error of one estimate."""

    mean: float
    se: float

    def short_of(self, exact: float, allowed: float) -> float:
        """Tell how many times the standard error is too large; a guess where nothing of the kind was seen."""
        if exact == 0:
            return 0.0
        return UNSEEN if self == (0.0, 0.0) else self.se / (allowed * abs(exact))

    def agrees(self, exact: float) -> bool:
        return abs(self.mean - exact) <= max(5 * self.se, 0.001 * abs(exact))


def flat(expect: Mapping[str, Any]) -> Estimates:
    """Give all expected values by one name each."""
    values = {name: value for name, value in expect.items() if not isinstance(value, dict)}
    nested = {
        f"{name} {key}": value
        for name, inner in expect.items()
        if isinstance(inner, dict)
        for key, value in inner.items()
    }
    return {name: value for name, value in (values | nested).items() if name not in OF_THE_INPUT}


def compare_stochastic(tally: Tally, case: Case) -> None:
    """Judge a case by the rule of the format."""
    for number, replicate in enumerate(STOCHASTIC[case["model"]](case["params"])):
        judge(tally, case, number, replicate)


def judge(tally: Tally, case: Case, number: int, replicate: Replicate) -> None:
    """Run a case until all is known well enough, or until it is plain that it never will be."""
    expect, allowed = flat(case["expect"]), 0.02 if is_heavy(case) else 0.01
    requests = REQUESTS
    while True:
        found = replicated(case, replicate, number, requests)
        short = {name: found[name].short_of(exact, allowed) for name, exact in expect.items()}
        worst = max(short, key=lambda name: short[name])
        needed = requests * short[worst] ** 2
        if short[worst] <= 1 or needed > LARGEST or requests == LARGEST:
            break
        requests = ceil(min(MARGIN * needed, LARGEST))
    for name, exact in expect.items():
        mean, se = found[name]
        where = f"{case['id']} {name} ({REPLICATIONS} x {requests} requests, standard error {se:.2g})"
        if short[name] > 1:
            where += f" cannot be decided: the rule allows {allowed * abs(exact):.2g}, for which a replication would"
            where += f" need about {needed:.2g} requests, and {LARGEST} are the most"
        tally.close(where, mean, exact, inf if short[name] <= 1 and found[name].agrees(exact) else -1.0)


def is_heavy(case: Case) -> bool:
    """Tell whether a case may be known to 2 % only."""
    params, load = case["params"], case["expect"].get("rho", load_of(case))
    return load >= HEAVY - 1e-12 or params.get("c", params.get("k", 1)) >= MANY_SERVERS


def replicated(case: Case, replicate: Replicate, number: int, requests: int) -> dict[str, Found]:
    """Give mean and standard error of every estimate."""
    seed = int.from_bytes(hashlib.sha256(f"{case['id']}/{number}".encode()).digest()[:8])
    streams = np.random.SeedSequence(seed).spawn(REPLICATIONS)
    samples = [replication(case, replicate, seed + i, stream, requests) for i, stream in enumerate(streams)]
    columns = {name: np.array([sample[name] for sample in samples]) for name in samples[0]}
    return {
        name: Found(float(values.mean()), float(values.std(ddof=1) / sqrt(REPLICATIONS)))
        for name, values in columns.items()
    }


def replication(
    case: Case, replicate: Replicate, seed: int, stream: np.random.SeedSequence, requests: int
) -> Estimates:
    """Give the estimates of one replication: their mean over pieces of the same length."""
    rng, pieces = np.random.default_rng(stream), ceil(requests / PIECE)
    samples = [
        replicate(Run(case["params"], rng, ceil(requests / pieces), seed + piece * REPLICATIONS), case["expect"])
        for piece in range(pieces)
    ]
    return {name: float(np.mean([sample[name] for sample in samples])) for name in samples[0]}


def compare_case(case: Case) -> Comparison:
    """Run one case."""
    tally = Tally()
    EXACT.get(case["model"], compare_stochastic)(tally, case)
    return tally.result()


def compare(document: Document) -> Comparison:
    """Run every case, on all processors (simulation/1); raises BadGoldenError for one that cannot be read."""
    check(document)
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(mp_context=context) as pool:
        compared = list(pool.map(compare_case, document["cases"]))
    differences = [each.first_difference for each in compared if each.first_difference is not None]
    return Comparison(sum(each.compared for each in compared), differences[0] if differences else None)


COMPARERS = {"simulation/1": compare}
