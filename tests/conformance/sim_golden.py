"""Comparer of the simulator with queueing theory and with traces whose every start is known.

A stochastic case is run in 30 independent replications, seeded by the case's name, the first tenth of each cut off. Of
every expected value the mean over replications must lie within 5 standard errors or 0.1 %, and the standard error must
be below 1 % (2 % under heavy load): where it is not, the case is run again with four times as many requests.
"""

import hashlib
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np
from golden import Comparison, Document, Tally

from algorithms.decider import Decider
from algorithms.distributions import Constant, Exponential, Gamma, Hyperexp2, Lognormal, Uniform
from algorithms.state import Stateless
from algorithms.types import Wish
from autoscaler.gateway.dispatch import Limits
from autoscaler.loop import Service
from simulations import compiled, fixed, invariants
from simulations.engine import Engine
from simulations.history import HUNG_UP, REFUSED, SERVED, History
from simulations.immediate import immediate
from simulations.luck import Luck
from simulations.setup import Arrival, Batch, Pool, Setup

REPLICATIONS = 30
REQUESTS = 340_000
"""Of one replication, a tenth of them warm-up."""
LARGEST = 64 * REQUESTS
HEAVY = 0.95
MANY_SERVERS = 100

Case = Mapping[str, Any]
Estimates = dict[str, float]


def law(said):
    """Read a service or setup time of a case."""
    match said:
        case {"kind": "exponential", "mean": mean}:
            return Exponential(mean)
        case {"kind": "deterministic", "mean": value} | {"kind": "constant", "mean": value}:
            return Constant(value)
        case {"kind": "lognormal", "mean": mean, "sigma": sigma}:
            return Lognormal(mean, sigma)
        case {"kind": "uniform", "low": low, "high": high}:
            return Uniform(low, high)
        case {"kind": "gamma", "shape": shape, "scale": scale}:
            return Gamma(shape * scale, shape**-0.5)
        case {"kind": "hyperexp2"}:
            return Hyperexp2(said["p"], said["mean1"], said["mean2"])
    raise ValueError(f"unknown law {said!r}")


class Run(NamedTuple):
    """One replication of a case."""

    params: Mapping[str, Any]
    rng: np.random.Generator
    requests: int
    seed: int

    def batch(self, interarrival, service, patience=None):
        n = self.requests
        arrival = np.cumsum(interarrival.samples(self.rng, n))
        waits = patience.samples(self.rng, n) if patience else np.full(n, inf)
        return Batch(arrival, service.samples(self.rng, n), waits, np.full(n, inf))


class Window:
    """What is seen of a history between warm-up and end: means over requests, and over time."""

    def __init__(self, history: History, requests: int):
        table = history.requests
        self.first, self.last = len(table) // 10, min(len(table), requests)
        self.begin_s, self.end_s = table.arrival_s[self.first], table.arrival_s[self.last - 1]
        self.span_s = self.end_s - self.begin_s
        here = slice(self.first, self.last)
        self.table = table
        self.status = table.status[here]
        self.arrival, self.start, self.end = table.arrival_s[here], table.start_s[here], table.end_s[here]
        self.wait = np.where(np.isnan(self.start), self.end, self.start) - self.arrival

    def over_time(self, begin, end):
        """Give the mean number of intervals that are under way."""
        overlap = np.clip(end, self.begin_s, self.end_s) - np.clip(begin, self.begin_s, self.end_s)
        return float(np.nansum(overlap) / self.span_s)

    def in_queue(self):
        return self.over_time(self.table.arrival_s, np.fmin(self.table.start_s, self.table.end_s))

    def in_system(self):
        return self.over_time(self.table.arrival_s, self.table.end_s)

    def in_service(self):
        return self.over_time(self.table.start_s, self.table.end_s)


# What is estimated, by the model's name.


def waiting(window: Window, expect: Mapping[str, Any]) -> Estimates:
    wait = window.wait
    estimators = {
        "p_wait": lambda: np.mean(wait > 0),
        "sigma": lambda: np.mean(wait > 0),
        "Wq": lambda: np.mean(wait),
        "W": lambda: np.mean(window.end - window.arrival),
        "Lq": window.in_queue,
        "L": window.in_system,
        "p_wait_gt_1": lambda: np.mean(wait > 1),
        "Wq_sd": lambda: np.std(wait),
        "wait_p90": lambda: np.quantile(wait, 0.9),
        "wait_p99": lambda: np.quantile(wait, 0.99),
    }
    found = {name: estimate() for name, estimate in estimators.items() if name in expect}
    return found | {f"P_wait_le {t}": np.mean(wait <= float(t)) for t in expect.get("P_wait_le", {})}


def fixed_pool(interarrival, service, servers):
    def replicate(run: Run, expect) -> Estimates:
        history = fixed.run(run.batch(interarrival, service), servers)
        invariants.check(history, concurrency=1)
        return waiting(Window(history, run.requests), expect)

    return [replicate]


def m_m_c(p):
    return fixed_pool(Exponential(1 / p["lam"]), Exponential(1 / p["mu"]), p["c"])


def m_d_c(p):
    return fixed_pool(Exponential(1 / p["lam"]), Constant(p["D"]), p.get("c", 1))


def m_g_1(p):
    return fixed_pool(Exponential(1 / p["lam"]), law(p["service"]), 1)


def d_m_1(p):
    return fixed_pool(Constant(p["interarrival"]), Exponential(1 / p["mu"]), 1)


def static(run: Run, batch: Batch, servers: int, queue_length: int) -> Window:
    """Run a fixed pool with a queue that has a limit, or clients that have patience."""
    setup = Setup(
        service="x",
        limits=Limits(1, queue_length, inf),
        pools=(Pool("x", (Constant(0.0),)),),
        initial=servers,
        least=servers,
        tick_s=inf,
        line_s=inf,
    )
    history = compiled.run(setup, batch, immediate(servers, servers), Luck(run.seed))
    invariants.check(history, concurrency=1)
    return Window(history, run.requests)


def m_g_c_c(p):
    """Erlang's loss formula holds for any law of the service time: three are tried."""

    def by(service):
        def replicate(run: Run, _expect) -> Estimates:
            window = static(run, run.batch(Exponential(1 / p["offered_load"]), service), p["c"], 0)
            return {
                "p_block": np.mean(window.status == REFUSED),
                "throughput_per_mean_service": np.sum(window.status == SERVED) / window.span_s,
                "mean_busy": window.in_service(),
            }

        return replicate

    return [by(Exponential(1.0)), by(Lognormal(1.0, 1.0)), by(Constant(1.0))]


def m_m_c_k(p):
    def replicate(run: Run, _expect) -> Estimates:
        batch = run.batch(Exponential(1 / p["lam"]), Exponential(1 / p["mu"]))
        window = static(run, batch, p["c"], p["K"] - p["c"])
        served = window.status == SERVED
        return {
            "p_block": np.mean(window.status == REFUSED),
            "throughput": np.sum(served) / window.span_s,
            "L": window.in_system(),
            "Lq": window.in_queue(),
            "Wq_accepted": np.mean(window.wait[served]),
            "W_accepted": np.mean((window.end - window.arrival)[served]),
            "p_wait_accepted": np.mean(window.wait[served] > 0),
            "utilisation": window.in_service() / p["c"],
        }

    return [replicate]


def m_m_c_patience(p):
    def replicate(run: Run, _expect) -> Estimates:
        batch = run.batch(Exponential(1 / p["lam"]), Exponential(1 / p["mu"]), Exponential(1 / p["theta"]))
        window = static(run, batch, p["c"], 10**9)
        return {
            "p_wait": np.mean(window.wait > 0),
            "p_abandon": np.mean(window.status == HUNG_UP),
            "Lq": window.in_queue(),
            "L": window.in_system(),
            "Wq_all": np.mean(window.wait),
            "throughput": np.sum(window.status == SERVED) / window.span_s,
        }

    return [replicate]


def closed(p):
    def replicate(run: Run, _expect) -> Estimates:
        # More than are looked at, so that at the end all clients are still there.
        each = round(run.requests * 1.2 / p["clients"])
        n = each * p["clients"]
        service = Exponential(p["service_mean"]).samples(run.rng, n)
        think = Exponential(p["think_mean"]).samples(run.rng, n) if p["think_mean"] else np.zeros(n)
        never = np.full(n, inf)
        window = static(run, Batch(service, service, never, never, p["clients"], each, think), p["c"], 10**9)
        found = {
            "throughput": len(window.arrival) / window.span_s,
            "response": np.mean(window.end - window.arrival),
            "wait": np.mean(window.wait),
            "utilisation": window.in_service() / p["c"],
            "L": window.in_system(),
            "Lq": window.in_queue(),
            "p_wait": np.mean(window.wait > 0),
        }
        return found | {f"mva_{name}": value for name, value in found.items()}

    return [replicate]


def zero_delay(p, service, cold_start, most):
    def replicate(run: Run, expect) -> Estimates:
        setup = Setup(
            service="x",
            limits=Limits(1, 10**9, inf),
            pools=(Pool("x", (cold_start,)),),
            tick_s=inf,
            immediate=True,
            most=most,
        )
        batch = run.batch(Exponential(1 / p["lam"]), service)
        history = compiled.run(setup, batch, immediate(0, most), Luck(run.seed))
        invariants.check(history, concurrency=1)
        window, replicas = Window(history, run.requests), history.replicas
        found = waiting(window, expect)
        starting = window.over_time(replicas.asked_s, np.fmin(replicas.ready_s, replicas.gone_s))
        asked = (replicas.asked_s >= window.begin_s) & (replicas.asked_s < window.end_s)
        covered = np.maximum(window.start - np.maximum(window.arrival, np.append(-inf, window.start[:-1])), 0.0)
        found["W"] = np.mean(window.end - window.arrival)
        return found | {
            "extra_from_setup": found["W"] - (expect["W"] - expect.get("extra_from_setup", 0.0)),
            "p_busy": window.in_service(),
            "mean_busy": window.in_service(),
            "p_setup": starting,
            "mean_setup": starting,
            "p_off": 1 - starting - window.in_service(),
            "setups_per_s": np.sum(asked) / window.span_s,
            "p_no_queue": 1 - np.sum(covered) / window.span_s,
        }

    return [replicate]


def m_g_1_setup(p):
    return zero_delay(p, law(p["service"]), law(p["setup"]), 1)


def m_m_k_setup(p):
    return zero_delay(p, Exponential(1 / p["mu"]), Exponential(1 / p["alpha"]), p.get("k", 10**6))


STOCHASTIC: dict[str, Callable[[Mapping[str, Any]], list[Callable[[Run, Mapping[str, Any]], Estimates]]]] = {
    "M/M/c": m_m_c,
    "M/D/1": m_d_c,
    "M/D/c": m_d_c,
    "M/G/1": m_g_1,
    "D/M/1": d_m_1,
    "M/G/c/c": m_g_c_c,
    "M/M/c/K": m_m_c_k,
    "M/M/c+M": m_m_c_patience,
    "closed machine-repair": closed,
    "M/G/1/setup": m_g_1_setup,
    "M/M/inf/setup": m_m_k_setup,
    "M/M/k/setup": m_m_k_setup,
}

OF_THE_INPUT = {"rho", "ES", "ES2", "ES3"}
"""Given with the case, and no result."""


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
    expect, allowed = flat(case["expect"]), 0.02 if is_heavy(case) else 0.01
    for number, replicate in enumerate(STOCHASTIC[case["model"]](case["params"])):
        requests, missing = REQUESTS, 0.0
        while missing != 1.0 and requests <= LARGEST:
            found = replicated(case, replicate, number, requests)
            largest = max(found[name][1] / (allowed * abs(exact)) for name, exact in expect.items() if exact)
            missing = max(largest, 1.0)
            requests = int(requests * (1.5 * missing**2 if missing > 1 else 1))
        for name, exact in expect.items():
            mean, se = found[name]
            close = missing == 1.0 and abs(mean - exact) <= max(5 * se, 0.001 * abs(exact))
            where = f"{case['id']} {name} ({REPLICATIONS} x {requests} requests, standard error {se:.2g})"
            tally.close(where, mean, exact, inf if close else 0.0)


def is_heavy(case: Case) -> bool:
    """Tell whether a case may be known to 2 % only."""
    params, servers = case["params"], case["params"].get("c", 1)
    offered = params.get("lam", 0.0) / (servers * params.get("mu", inf))
    return case["expect"].get("rho", offered) >= HEAVY or servers >= MANY_SERVERS


def replicated(
    case: Case, replicate: Callable[..., Estimates], number: int, requests: int
) -> dict[str, tuple[float, float]]:
    """Give mean and standard error of every estimate."""
    seed = int.from_bytes(hashlib.sha256(f"{case['id']}/{number}".encode()).digest()[:8])
    streams = np.random.SeedSequence(seed).spawn(REPLICATIONS)
    runs = [Run(case["params"], np.random.default_rng(stream), requests, seed + i) for i, stream in enumerate(streams)]
    samples = [replicate(run, case["expect"]) for run in runs]
    columns = {name: np.array([sample[name] for sample in samples]) for name in samples[0]}
    return {
        name: (float(values.mean()), float(values.std(ddof=1) / sqrt(REPLICATIONS))) for name, values in columns.items()
    }


# Cases without chance.


class ByTick(Stateless):
    """Asks at the k-th tick for what is written at the k-th place; the last one repeats."""

    def __init__(self, desired, tick_s):
        self._desired, self._tick_s = desired, tick_s

    def wish(self, look):
        return Wish(self._desired[min(round(look.now_s / self._tick_s), len(self._desired) - 1)], "as written")


class Written:
    """Requests as a case gives them."""

    def __init__(self, params):
        self._arrival, self._service = np.array(params["arrivals"]), np.array(params["service"])

    def arrivals(self):
        return map(Arrival, self._arrival.tolist(), self._service.tolist())

    def after(self, _ended, _status, _now_s):
        return None

    def batch(self, _until_s=inf):
        never = np.full(len(self._arrival), inf)
        return Batch(self._arrival, self._service, never, never)


def compare_starts(tally: Tally, where: str, history: History, expect: Mapping[str, Any]) -> None:
    """Compare when every request starts and ends."""
    table = history.requests
    waits = table.start_s - table.arrival_s
    found = {
        "start": table.start_s.tolist(),
        "end": table.end_s.tolist(),
        "makespan": [table.end_s.max()],
        "mean_wait": [waits.mean()],
        "n_waited": [np.sum(waits > 1e-9)],
        "integral_in_system": [history.inflight_s],
    }
    for name, values in expect.items():
        wanted = values if isinstance(values, list) else [values]
        for number, (got, want) in enumerate(zip(found[name], wanted, strict=True)):
            tally.close(f"{where} {history.engine}: {name} {number}", float(got), float(want))


def compare_trace(tally: Tally, case: Case) -> None:
    """Run a given trace on all engines."""
    source, servers = Written(case["params"]), case["params"]["servers"]
    setup = Setup("x", Limits(1, 10**9, inf), (Pool("x", (Constant(0.0),)),), servers, servers, tick_s=inf, line_s=inf)
    keep = immediate(servers, servers)
    for history in (
        fixed.run(source.batch(), servers),
        compiled.run(setup, source.batch(), keep, Luck(1)),
        Engine(setup, source, keep, Luck(1)).run(),
    ):
        invariants.check(history, concurrency=1)
        compare_starts(tally, case["id"], history, case["expect"])


def compare_script(tally: Tally, case: Case) -> None:
    """Run a scripted scale-up on both engines with a controller."""
    p = case["params"]
    source = Written(p)
    setup = Setup(
        service="x",
        limits=Limits(p["concurrency"], 10**9, inf),
        pools=(Pool("x", (Constant(p["cold_start"]),)),),
        initial=p["initial_pods"],
        tick_s=p["tick"],
        wakes=False,
        until_s=max(case["expect"]["end"]) + p["tick"],
    )
    for run in (
        lambda service: compiled.run(setup, source.batch(), service, Luck(1)),
        lambda service: Engine(setup, source, service, Luck(1)).run(),
    ):
        service = Service(Decider(ByTick(p["desired_by_tick"], p["tick"]), min_replicas=0, max_replicas=10**6))
        history = run(service)
        invariants.check(history, concurrency=p["concurrency"])
        compare_starts(tally, case["id"], history, case["expect"])


EXACT: dict[str, Callable[[Tally, Case], None]] = {
    "exact FIFO trace": compare_trace,
    "scripted_scale_up": compare_script,
}


def compare_case(case: Case) -> Comparison:
    """Run one case."""
    tally = Tally()
    EXACT.get(case["model"], compare_stochastic)(tally, case)
    return tally.result()


def compare(document: Document) -> Comparison:
    """Run every case, on all processors (simulation/1)."""
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(mp_context=context) as pool:
        compared = list(pool.map(compare_case, document["cases"]))
    differences = [each.first_difference for each in compared if each.first_difference is not None]
    return Comparison(sum(each.compared for each in compared), differences[0] if differences else None)


COMPARERS = {"simulation/1": compare}
