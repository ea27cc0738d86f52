"""How each model of the simulator's golden cases is set up, and how its expected values are estimated from one run."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, NamedTuple

import fixed_fleet
import numpy as np

from algorithms.distributions import Constant, Exponential, Gamma, Hyperexp2, Lognormal, Uniform
from autoscaler.gateway.dispatch.dispatcher import Limits
from simulations.engines import compiled
from simulations.engines.zero_delay import zero_delay_service
from simulations.model import invariants
from simulations.model.history import HUNG_UP, REFUSED, SERVED, History
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Batch, Pool, RunInputs

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
        history = fixed_fleet.run(run.batch(interarrival, service), servers)
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
    inputs = RunInputs(
        service="x",
        limits=Limits(1, queue_length, inf),
        pools=(Pool("x", (Constant(0.0),)),),
        initial=servers,
        min_replicas=servers,
        tick_s=inf,
        coalesce_s=inf,
    )
    history = compiled.run(inputs, batch, zero_delay_service(servers, servers), RandomStreams(run.seed))
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
        short = {"mva_X": found["throughput"], "mva_R": found["response"], "mva_Q": found["L"]}
        return found | short | {f"mva_{name}": value for name, value in found.items()}

    return [replicate]


def zero_delay(p, service, cold_start, max_replicas):
    def replicate(run: Run, expect) -> Estimates:
        inputs = RunInputs(
            service="x",
            limits=Limits(1, 10**9, inf),
            pools=(Pool("x", (cold_start,)),),
            tick_s=inf,
            immediate=True,
            max_replicas=max_replicas,
        )
        batch = run.batch(Exponential(1 / p["lam"]), service)
        history = compiled.run(inputs, batch, zero_delay_service(0, max_replicas), RandomStreams(run.seed))
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
