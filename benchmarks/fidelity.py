"""What the simulator predicts of a run, against what was measured: the demo on this machine, and a cluster.

The simulator is given what a run drew (how long each request was served and each replica took to start) and the load;
what it predicts is what comes of that: how long requests waited, and when replicas were asked for.
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
from simulations.scenario.workload_spec import Workload
from simulations.scenario.workloads import source_of

RUNS = 5
NUMBERS = range(1, RUNS + 1)
FOLDER = Path("build/bench/fidelity")
POLICY = Path("autoscaler/demo/policy.yaml")
BEGINS_S = 1.5
"""Between ticks, scrapes and whole seconds: how these lay in the run is luck, and not given to the simulator."""
WHOLE_S = 1.0
"""Windows are made of whole seconds, at any speed."""
TURNAROUND_S = 0.25
"""A client sends its next request within this time of an answer, also on a busy machine."""
CLOSE = 0.1
"""A predicted wait may be off by this share of the measured one, or by one tick."""


class Change(NamedTuple):
    """A number of replicas that was asked for."""

    t_s: float
    asked: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run; times count from the first request."""

    waits_s: tuple[float, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A run that was watched, in seconds of its own."""

    policy: ScalingPolicy
    clients: int
    tick_s: float
    scrape_s: float
    """Distance of Prometheus' scrapes; infinite is none."""
    requests: tuple[ServedRequest, ...]
    """In order of arrival; times count from anywhere."""
    cold_starts_s: tuple[float, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """Durations in the order in which they were measured; after the last the first comes again."""

    values: tuple[float, ...]

    def expected(self) -> float:
        """Give their mean."""
        return float(np.mean(self.values))

    def samples(self, rng: Generator, n: int) -> Samples:  # noqa: ARG002  # nothing is drawn
        """Give the first n."""
        return np.resize(np.array(self.values), n)

    def sample(self, rng: Generator) -> float:
        """Give the first."""
        return float(self.samples(rng, 1)[0])

    def scaled(self, by: float) -> "Recorded":
        """Give them all scaled."""
        return Recorded(tuple(value * by for value in self.values))


def predicted(measured: Measured) -> Outcome:
    """Simulate the run: same load, service times and cold starts, and a clock of its own."""
    policy, tick_s = measured.policy, measured.tick_s
    setup = RunInputs(
        service=policy.service,
        limits=gateway_service(policy).limits,
        pools=(Pool("gpu", (Recorded(measured.cold_starts_s),)),),
        min_replicas=policy.spec.min_replicas,
        tick_s=tick_s,
        scrape_s=measured.scrape_s,
    )
    loop = {"requests": len(measured.requests), "clients": measured.clients}
    workload = Workload.model_validate({"closedLoop": loop, "start": f"{BEGINS_S}s"})
    served = Recorded(_by_round(measured.requests, measured.clients))
    workload = workload.model_copy(update={"service_time": served})
    random_streams = RandomStreams(seed=1)
    history = ReferenceEngine(
        setup, source_of([workload], random_streams), Service(decider(policy)), random_streams
    ).run()
    requests, began_s = history.requests, float(history.requests.arrival_s[0])
    waits = tuple((requests.start_s - requests.arrival_s).tolist())
    return Outcome(waits, tuple(Change(each.t_s - began_s, each.asked) for each in history.changes))


def _by_round(requests: Sequence[ServedRequest], clients: int) -> tuple[float, ...]:
    """Give service times as a closed loop takes them: of the first request of each client, then of the second, ...

    Raises:
        ValueError: this was no closed loop in which each client sends the next request at once.
    """
    begun, rest = requests[:clients], requests[clients:]
    chains = _followed([[request] for request in begun], rest, len(requests) // clients)
    if chains is None:
        raise ValueError("these requests cannot be told apart by client")
    return tuple(request.service_s for round_ in zip(*chains, strict=True) for request in round_)


def _followed(
    chains: list[list[ServedRequest]], rest: Sequence[ServedRequest], each: int
) -> list[list[ServedRequest]] | None:
    """Find the client of each of the rest, so that all send as many: one whose last request had ended just before.

    (Or just after: an end is noted when all of it is over, by which time a quick client may have come again.)
    """
    if not rest:
        return chains
    gaps = sorted(
        (abs(_end_s(chain[-1]) - rest[0].arrived_s), n) for n, chain in enumerate(chains) if len(chain) < each
    )
    for gap_s, number in gaps:
        if gap_s < TURNAROUND_S:
            longer = [[*chain, rest[0]] if n == number else chain for n, chain in enumerate(chains)]
            found = _followed(longer, rest[1:], each)
            if found is not None:
                return found
    return None


def _end_s(request: ServedRequest) -> float:
    return request.arrived_s + request.wait_s + request.service_s


def compared(measured: Measured, scale: float = 1.0) -> dict[str, Any]:
    """Set a prediction beside what was measured, times multiplied by `scale`; `within` says whether it is close enough.

    Close is: P50 and P95 of the wait within 10 % or one tick, and every number of replicas asked for (the way up, and
    each step down) within one tick and the standard deviation of the cold starts. Where a run is so fast that a tick is
    shorter than what it is decided on (a scrape and a whole second of the windows), these take the place of the tick.
    """
    prediction = predicted(measured)
    tick_s = measured.tick_s * scale
    waits = {f"P{p}": [_quantile(each, p) * scale for each in (measured.outcome, prediction)] for p in (50, 95)}
    off_s = _off(measured.outcome.changes, prediction.changes) * scale
    grain_s = WHOLE_S + (measured.scrape_s if measured.scrape_s < inf else 0.0)
    allowed_s = (max(measured.tick_s, grain_s) + float(np.std(measured.cold_starts_s))) * scale
    close = all(abs(ours - theirs) <= max(CLOSE * theirs, tick_s) for theirs, ours in waits.values())
    peaks = [max(change.asked for change in each.changes) for each in (measured.outcome, prediction)]
    return {
        "peak": peaks[0],
        "predicted peak": peaks[1],
        **{f"{name}, s": pair[0] for name, pair in waits.items()},
        **{f"predicted {name}, s": pair[1] for name, pair in waits.items()},
        "changes off by, s": off_s,
        "allowed, s": allowed_s,
        "within": close and peaks[0] == peaks[1] and off_s <= allowed_s,
    }


def _quantile(outcome: Outcome, percent: int) -> float:
    return float(np.quantile(outcome.waits_s, percent / 100))


def _off(measured: Sequence[Change], prediction: Sequence[Change]) -> float:
    """Give the largest distance between when one asked for a number of replicas and when the other did."""
    theirs, ours = _turns(measured), _turns(prediction)
    return max(abs(theirs.get(turn, inf) - ours.get(turn, inf)) for turn in theirs | ours)


def _turns(changes: Sequence[Change]) -> dict[str, float]:
    """Give when the peak was first asked for, and when the number fell to each below it for good."""
    peak = max(change.asked for change in changes)
    turns = {"up": next(change.t_s for change in changes if change.asked == peak)}
    for before, after in pairwise(changes):
        turns |= {f"down to {n}": after.t_s for n in range(after.asked, before.asked) if after.t_s > turns["up"]}
    return turns


# The demo.


def demo_run(folder: Path, speed: float, *words: str) -> Measured:
    """Run the demo and give what was measured, in seconds of the run; logs and `run.json` stay in the folder.

    Raises:
        RuntimeError: it did not end well.
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


def of_demo(told: dict[str, Any], speed: float) -> Measured:
    """Read what the demo writes with --json, whose times are those of a run without hurry."""
    (policy,) = read_policies([POLICY])
    plan = faster(Plan(policy), speed)
    requests = tuple(ServedRequest(*(value / speed for value in each.values())) for each in told["requests"])
    began_s = requests[0].arrived_s
    changes = [Change(each["t_s"] / speed - began_s, each["asked"]) for each in told["timeline"]]
    return Measured(
        policy=plan.policy,
        clients=plan.workers,
        tick_s=plan.tick_s,
        scrape_s=1.0 if "Prometheus (" in told["source"] else inf,
        requests=requests,
        cold_starts_s=tuple(each / speed for each in told["cold_starts_s"]),
        outcome=Outcome(tuple(each.wait_s for each in requests), tuple(changes)),
    )


# A cluster.

CHAIN = "tests/cluster/test_chain.py::test_the_reference_load_from_zero_to_five_pods_and_back"


def cluster_run(folder: Path) -> Measured:
    """Run the test of the whole chain on the tests' control plane and give what was measured.

    Raises:
        RuntimeError: it did not end well.
    """
    words = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder.absolute()}", CHAIN]
    ended = subprocess.run([sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False)  # noqa: S603
    found = list(folder.glob("*/ready.json"))
    if not found:
        raise RuntimeError(f"the cluster's run failed:\n{ended.stdout[-3000:]}")
    return of_cluster(found[0].parent)


def of_cluster(folder: Path) -> Measured:
    """Read what the test of the chain leaves: requests by the gateway, decisions, and when pods were ready."""
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
    """Run the demo five times in real time, all at once as they mostly wait, then the cluster, and report each run."""
    with ThreadPoolExecutor(RUNS) as pool:
        runs = list(pool.map(lambda number: demo_run(FOLDER / f"demo-{number}", 1.0, f"--seed={number}"), NUMBERS))
    rows = [{"run": f"demo {number}"} | compared(measured) for number, measured in zip(NUMBERS, runs, strict=True)]
    clusters = ((f"cluster {number}", cluster_run(FOLDER / f"cluster-{number}")) for number in NUMBERS)
    rows += [{"run": name} | compared(measured) for name, measured in clusters]
    report("fidelity", rows)


if __name__ == "__main__":
    main()
