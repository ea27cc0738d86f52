"""Compares the simulator's predictions with measured runs of the demo on this machine, and of a cluster.

The simulator gets the load and the measured service times and cold starts of a run. It predicts how long requests wait,
and when replicas are asked for.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from algorithms.distributions import Samples
from autoscaler.app.gateway_config import gateway_service
from autoscaler.controller.step import Service
from autoscaler.demo.plan import Plan, faster
from autoscaler.demo.report import ServedRequest
from autoscaler.policy.decider_factory import decider
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy
from benchmarks.figures import report
from simulations.engines.reference import ReferenceEngine
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Pool, RunInputs
from simulations.scenario.request_sources import source_of
from simulations.scenario.workloads import Workload

RUNS = 5
NUMBERS = range(1, RUNS + 1)
FOLDER = Path("build/bench/fidelity")
POLICY = Path("autoscaler/demo/policy.yaml")
BEGINS_S = 1.5
"""Between ticks, scrapes and whole seconds: their phase in the measured run is random, and unknown here."""
WHOLE_S = 1.0
"""Windows consist of whole seconds, at any speed."""
TURNAROUND_S = 0.25
"""A client sends its next request within this time after a response, also on a busy machine."""
CLOSE = 0.1
"""Allowed error of a predicted wait, as a share of the measured one; one tick is allowed in any case."""


class Change(NamedTuple):
    """A change of the replicas asked for."""

    t_s: float
    asked: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run; times are seconds since the first request."""

    waits_s: tuple[float, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured run, in seconds of its own clock."""

    policy: ScalingPolicy
    clients: int
    tick_s: float
    scrape_s: float
    """Prometheus' scrape interval; infinite for no Prometheus."""
    requests: tuple[ServedRequest, ...]
    """In order of arrival; times are relative to any start."""
    cold_starts_s: tuple[float, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """Durations in the order of measurement, repeated from the first after the last."""

    values: tuple[float, ...]

    def expected(self) -> float:
        """Give the mean of the values."""
        return float(np.mean(self.values))

    def samples(self, rng: Generator, n: int) -> Samples:  # noqa: ARG002  # nothing is drawn
        """Give the first n values."""
        return np.resize(np.array(self.values), n)

    def sample(self, rng: Generator) -> float:
        """Give the first value."""
        return float(self.samples(rng, 1)[0])

    def scaled(self, by: float) -> "Recorded":
        """Give the distribution with every value scaled."""
        return Recorded(tuple(value * by for value in self.values))


def predicted(measured: Measured) -> Outcome:
    """Simulate the run with its load, service times and cold starts, and a clock of its own."""
    policy, tick_s = measured.policy, measured.tick_s
    inputs = RunInputs(
        service=policy.service,
        limits=gateway_service(policy).limits,
        pools=(Pool("gpu", (Recorded(measured.cold_starts_s),)),),
        min_replicas=policy.spec.min_replicas,
        tick_s=tick_s,
        scrape_s=measured.scrape_s,
    )
    loop = {"requests": len(measured.requests), "clients": measured.clients}
    workload = Workload.model_validate({"closedLoop": loop, "start": f"{BEGINS_S}s"})
    served = Recorded(service_times_by_round(measured.requests, measured.clients))
    workload = workload.model_copy(update={"service_time": served})
    random_streams = RandomStreams(seed=1)
    history = ReferenceEngine(
        inputs, source_of([workload], random_streams), Service(decider(policy)), random_streams
    ).run()
    requests, began_s = history.requests, float(history.requests.arrival_s[0])
    waits = tuple((requests.start_s - requests.arrival_s).tolist())
    return Outcome(waits, tuple(Change(each.t_s - began_s, each.asked) for each in history.changes))


def service_times_by_round(requests: Sequence[ServedRequest], clients: int) -> tuple[float, ...]:
    """Give service times in the order of a closed loop: for the first request of each client, then for the second, ...

    Raises:
        ValueError: the requests are not from a closed loop without think time.
    """
    begun, rest = requests[:clients], requests[clients:]
    chains = _assigned([[request] for request in begun], rest, len(requests) // clients)
    if chains is None:
        raise ValueError("the requests cannot be assigned to clients")
    return tuple(request.service_s for round_ in zip(*chains, strict=True) for request in round_)


def _assigned(
    chains: list[list[ServedRequest]], rest: Sequence[ServedRequest], each: int
) -> list[list[ServedRequest]] | None:
    """Assign each other request to a client whose last request ended just before, so that all send the same number.

    It may also have ended just after: an end is noted a little late, and a fast client may have sent its next request
    by then.
    """
    if not rest:
        return chains
    gaps = sorted(
        (abs(_end_s(chain[-1]) - rest[0].arrived_s), n) for n, chain in enumerate(chains) if len(chain) < each
    )
    for gap_s, number in gaps:
        if gap_s < TURNAROUND_S:
            longer = [[*chain, rest[0]] if n == number else chain for n, chain in enumerate(chains)]
            found = _assigned(longer, rest[1:], each)
            if found is not None:
                return found
    return None


def _end_s(request: ServedRequest) -> float:
    return request.arrived_s + request.wait_s + request.service_s


def compared(measured: Measured, scale: float = 1.0) -> dict[str, Any]:
    """Compare a prediction with a measured run, times multiplied by `scale`; `within` says whether it is close enough.

    It is close enough if P50 and P95 of the wait are within 10 % or one tick, and if every change of replicas asked for
    (the scale-up, and each step down) is within one tick plus the standard deviation of the cold starts. If a tick is
    shorter than a scrape interval plus a whole second of the windows, this sum replaces the tick.
    """
    prediction = predicted(measured)
    tick_s = measured.tick_s * scale
    waits = {f"P{p}": [_quantile(each, p) * scale for each in (measured.outcome, prediction)] for p in (50, 95)}
    difference_s = largest_difference(measured.outcome.changes, prediction.changes) * scale
    grain_s = WHOLE_S + (measured.scrape_s if measured.scrape_s < inf else 0.0)
    allowed_s = (max(measured.tick_s, grain_s) + float(np.std(measured.cold_starts_s))) * scale
    close = all(abs(ours - theirs) <= max(CLOSE * theirs, tick_s) for theirs, ours in waits.values())
    peaks = [max(change.asked for change in each.changes) for each in (measured.outcome, prediction)]
    return {
        "peak": peaks[0],
        "predicted peak": peaks[1],
        **{f"{name}, s": pair[0] for name, pair in waits.items()},
        **{f"predicted {name}, s": pair[1] for name, pair in waits.items()},
        "changes off by, s": difference_s,
        "allowed, s": allowed_s,
        "within": close and peaks[0] == peaks[1] and difference_s <= allowed_s,
    }


def _quantile(outcome: Outcome, percent: int) -> float:
    return float(np.quantile(outcome.waits_s, percent / 100))


def largest_difference(measured: Sequence[Change], prediction: Sequence[Change]) -> float:
    """Give the largest difference between the times at which both asked for the same number of replicas."""
    theirs, ours = _scaling_times(measured), _scaling_times(prediction)
    return max(abs(theirs.get(turn, inf) - ours.get(turn, inf)) for turn in theirs | ours)


def _scaling_times(changes: Sequence[Change]) -> dict[str, float]:
    """Give when the peak was first asked for, and when the replicas last fell to each number below it."""
    peak = max(change.asked for change in changes)
    turns = {"up": next(change.t_s for change in changes if change.asked == peak)}
    for before, after in pairwise(changes):
        turns |= {f"down to {n}": after.t_s for n in range(after.asked, before.asked) if after.t_s > turns["up"]}
    return turns


# The demo.


def demo_run(folder: Path, speed: float, *words: str) -> Measured:
    """Run the demo and give the measurements, in seconds of the run; logs and `run.json` stay in the folder.

    Raises:
        RuntimeError: the run failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.json"
    command = [sys.executable, "-m", "autoscaler", "demo", f"--speed={speed}", f"--json={file}"]
    ended = subprocess.run(  # noqa: S603
        [*command, f"--folder={folder}", *words], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"the demo failed:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return of_demo(json.loads(file.read_text()), speed)


def of_demo(report: dict[str, Any], speed: float) -> Measured:
    """Read the output of the demo's --json, whose times are those of a run at normal speed."""
    (policy,) = read_policies([POLICY])
    plan = faster(Plan(policy), speed)
    requests = tuple(ServedRequest(*(value / speed for value in each.values())) for each in report["requests"])
    began_s = requests[0].arrived_s
    changes = [Change(each["t_s"] / speed - began_s, each["asked"]) for each in report["timeline"]]
    return Measured(
        policy=plan.policy,
        clients=plan.workers,
        tick_s=plan.tick_s,
        scrape_s=1.0 if "Prometheus (" in report["source"] else inf,
        requests=requests,
        cold_starts_s=tuple(each / speed for each in report["cold_starts_s"]),
        outcome=Outcome(tuple(each.wait_s for each in requests), tuple(changes)),
    )


# A cluster.

CHAIN = "tests/cluster/test_chain.py::test_the_reference_load_from_zero_to_five_pods_and_back"


def cluster_run(folder: Path) -> Measured:
    """Run the end-to-end test on the tests' control plane and give the measurements.

    Raises:
        RuntimeError: the run failed.
    """
    words = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder.absolute()}", CHAIN]
    ended = subprocess.run([sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False)  # noqa: S603
    found = list(folder.glob("*/ready.json"))
    if not found:
        raise RuntimeError(f"the cluster's run failed:\n{ended.stdout[-3000:]}")
    return of_cluster(found[0].parent)


def of_cluster(folder: Path) -> Measured:
    """Read the files of the end-to-end test: the request log, decisions, and when pods became ready."""
    logs = [_lines(folder / name) for name in ("one.jsonl", "two.jsonl")]
    log = next(lines for lines in logs if any(line.get("written") for line in lines))
    policy = next(ScalingPolicy.model_validate(line["policy"]) for line in log if "policy" in line)
    ended = sorted(_lines(folder / "requests.jsonl"), key=lambda line: float(line["arrival"]))
    requests = tuple(ServedRequest(line["arrival"], line["wait_s"], line["service_s"]) for line in ended)
    writes = [Change(line["observation"]["now_s"], line["desired"]) for line in log if line.get("written")]
    began_s, asked_s = requests[0].arrived_s, writes[0].t_s
    return Measured(
        policy=policy,
        clients=5,
        tick_s=1.0,
        scrape_s=1.0,
        requests=requests,
        cold_starts_s=tuple(ready_s - asked_s for ready_s in json.loads((folder / "ready.json").read_text())),
        outcome=Outcome(
            tuple(request.wait_s for request in requests),
            (Change(-began_s, 0), *(Change(t_s - began_s, asked) for t_s, asked in writes)),
        ),
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def main() -> None:
    """Run the demo five times in real time, in parallel as they mostly wait, then the cluster; report each run."""
    with ThreadPoolExecutor(RUNS) as pool:
        runs = list(pool.map(lambda number: demo_run(FOLDER / f"demo-{number}", 1.0, f"--seed={number}"), NUMBERS))
    rows = [{"run": f"demo {number}"} | compared(measured) for number, measured in zip(NUMBERS, runs, strict=True)]
    clusters = ((f"cluster {number}", cluster_run(FOLDER / f"cluster-{number}")) for number in NUMBERS)
    rows += [{"run": name} | compared(measured) for name, measured in clusters]
    report("fidelity", rows)


if __name__ == "__main__":
    main()
