"""Golden cases of the simulator without chance: every start and every end is known."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import fixed_fleet
import numpy as np
from golden import Tally

from algorithms.bounds import fixed_bounds
from algorithms.decider import Decider
from algorithms.distributions import Constant
from algorithms.state import Stateless
from algorithms.types import Recommendation
from autoscaler.controller.step import Service
from autoscaler.gateway.dispatch.dispatcher import Limits
from simulations.engines import compiled
from simulations.engines.reference import ReferenceEngine
from simulations.engines.zero_delay import zero_delay_service
from simulations.model import invariants
from simulations.model.history import History
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Arrival, Batch, Pool, RunInputs

Case = Mapping[str, Any]


class ByTick(Stateless):
    """Asks at the k-th tick for what is written at the k-th place, never for less; the last one repeats."""

    def __init__(self, desired, tick_s):
        self._desired, self._tick_s = np.maximum.accumulate(desired).tolist(), tick_s

    def recommend(self, observation):
        return Recommendation(
            self._desired[min(round(observation.now_s / self._tick_s), len(self._desired) - 1)], "as written"
        )


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
    inputs = RunInputs(
        "x", Limits(1, 10**9, inf), (Pool("x", (Constant(0.0),)),), servers, servers, tick_s=inf, coalesce_s=inf
    )
    keep = zero_delay_service(servers, servers)
    for history in (
        fixed_fleet.run(source.batch(), servers),
        compiled.run(inputs, source.batch(), keep, RandomStreams(1)),
        ReferenceEngine(inputs, source, keep, RandomStreams(1)).run(),
    ):
        invariants.check(history, concurrency=1)
        compare_starts(tally, case["id"], history, case["expect"])


def compare_script(tally: Tally, case: Case) -> None:
    """Run a scripted scale-up on both engines with a controller."""
    p = case["params"]
    source = Written(p)
    inputs = RunInputs(
        service="x",
        limits=Limits(p["concurrency"], 10**9, inf),
        pools=(Pool("x", (Constant(p["cold_start"]),)),),
        initial=p["initial_pods"],
        tick_s=p["tick"],
        wakes=False,
        until_s=max(case["expect"]["end"]) + p["tick"],
    )
    for run in (
        lambda service: compiled.run(inputs, source.batch(), service, RandomStreams(1)),
        lambda service: ReferenceEngine(inputs, source, service, RandomStreams(1)).run(),
    ):
        service = Service(Decider(ByTick(p["desired_by_tick"], p["tick"]), bounds=fixed_bounds(0, 10**6)))
        history = run(service)
        invariants.check(history, concurrency=p["concurrency"])
        compare_starts(tally, case["id"], history, case["expect"])


EXACT: dict[str, Callable[[Tally, Case], None]] = {
    "exact FIFO trace": compare_trace,
    "scripted_scale_up": compare_script,
}
