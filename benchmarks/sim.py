"""The simulator beside SimPy, Ciw and SimFaaS: requests and ticks in a second of CPU time, on the same requests.

Inputs are drawn beforehand, and the time for that is reported separately. Every rate is the median of five runs. The
peers are installed in `build/peers` by `make bench-sim`.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.distributions import Constant, Exponential
from autoscaler.controller.recorders import OnChange
from autoscaler.controller.step import Service
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.policy.decider_factory import decider
from autoscaler.ports import Record
from autoscaler.testing import policy
from benchmarks import sim_cases
from benchmarks.figures import cpu_s, report
from simulations.engines import compiled, fifo
from simulations.engines.control_law import ControlLaw, ControllerLaw
from simulations.engines.reference import ReferenceEngine
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Arrival, Batch, Chunk, Floats, Pool, RunInputs
from simulations.results.streaming_figures import StreamingFigures

PEERS = Path("build/peers/bin/python")
COUNT = 2_000_000
"""Requests of W1 and W2 for the own engines; the peers get fewer, as they are slower."""
PEER_COUNTS = {"simpy_w1": 100_000, "ciw_w1": 50_000, "simpy_w2": 100_000, "simfaas_w2": 10_000, "simpy_w3": 0}
TITLES = {"simpy": "SimPy 4.1", "ciw": "Ciw 3.2", "simfaas": "SimFaaS 0.2 (its own model: no queue, no ticks)"}
REAL_COUNT = 500_000
MANY = 100_000_000
FOREVER = Limits(concurrency=1, queue_length=10**9, queue_timeout_s=inf)
COLD = (Pool("gpu", (Constant(sim_cases.COLD_START_S),)),)
POLICY = policy(
    "w2",
    minReplicas=1,
    maxReplicas=sim_cases.MOST,
    algorithm={"concurrency": {}},
)

Row = dict[str, Any]


def inputs(initial: int, **changes: Any) -> RunInputs:
    """Give the inputs of a case."""
    known: dict[str, Any] = {
        "service": "default/w2",
        "limits": FOREVER,
        "pools": COLD,
        "initial": initial,
        "coalesce_s": inf,
        "min_replicas": 1,
    }
    return RunInputs(**(known | changes))


def w2_setup(arrival: Floats, **changes: Any) -> RunInputs:
    """Give the inputs of W2."""
    usual: dict[str, Any] = {
        "initial": 1,
        "tick_s": sim_cases.TICK_S,
        "scrape_s": sim_cases.TICK_S,
        "metric_lag": Constant(sim_cases.TICK_S),
    }
    return inputs(**(usual | {"until_s": float(arrival[-1]) + 600.0} | changes))


class Waits:
    """A sink that keeps the wait of each request, as the peers do."""

    def __init__(self) -> None:
        self._waits: list[Floats] = []

    def take(self, requests: Floats) -> None:
        """Keep the waits of some requests."""
        self._waits.append(requests[2] - requests[0])

    def mean(self) -> float:
        """Give the mean wait in seconds."""
        return float(np.concatenate(self._waits).mean())


def constant_replicas(_now_s: float, _inflight: float | None, asked: int, _ready: int, /) -> int:
    """A control law that never scales."""
    return asked


def controller_law(inputs: RunInputs) -> ControllerLaw:
    """Give the live controller with the real policy, and a recorder that keeps changes."""
    kept: list[Record] = []
    return ControllerLaw(inputs, Service(decider(POLICY)), OnChange(kept.append))


def row(case: str, engine: str, requests: int, seconds: float, *, ticks: float = 0.0, wait_s: float = inf) -> Row:
    """Give one row of the table, without the ratios."""
    return {
        "case": case,
        "engine": engine,
        "requests/s": round(requests / seconds),
        "ticks/s": round(ticks / seconds) if ticks else "",
        "us/tick": seconds / ticks * 1e6 if ticks else "",
        "mean wait, s": wait_s if wait_s < inf else "",
    }


def fifo_row(case: str, name: str, inputs: RunInputs, chunk: Chunk, law: Callable[[RunInputs], ControlLaw]) -> Row:
    """Measure the `fifo` engine."""
    kept: list[Waits] = []

    def work() -> None:
        kept[:] = [Waits()]
        fifo.run_with_control_law(inputs, fifo.in_pieces(*chunk), law(inputs), RandomStreams(1), kept[0])

    seconds = cpu_s(work)
    ticks = inputs.until_s / inputs.tick_s if inputs.tick_s < inf else 0.0
    return row(case, name, len(chunk[0]), seconds, ticks=ticks, wait_s=kept[0].mean())


def own_engines() -> Iterator[Row]:
    """Measure the own engines on W1 and W2."""
    w1, w2 = sim_cases.m_m_10(COUNT), sim_cases.autoscaled(COUNT)
    static = inputs(sim_cases.SERVERS, tick_s=inf)
    yield fifo_row("W1", "inflight", static, w1, lambda _: constant_replicas)
    full = cpu_s(lambda: fifo.run(static, fifo.in_pieces(*w1), Service(decider(POLICY)), RandomStreams(1)))
    yield row("W1", "inflight, every column of every request", COUNT, full)
    scaled, short = w2_setup(w2[0]), (w2[0][:REAL_COUNT], w2[1][:REAL_COUNT])
    yield fifo_row("W2", "inflight, small policy", scaled, w2, lambda _: sim_cases.SmallPolicy())
    yield fifo_row("W2", "inflight, no policy", w2_setup(short[0], initial=12), short, lambda _: constant_replicas)
    yield fifo_row("W2", "inflight, concurrency, step, changes kept", w2_setup(short[0]), short, controller_law)
    yield waking(short)


def waking(chunk: Chunk) -> Row:
    """Measure W2 as a user runs it: with the gateway's stream and wake-ups, on the compiled engine."""
    arrival, service = chunk
    never = np.full(len(arrival), inf)
    scaled = w2_setup(arrival, coalesce_s=0.02, scrape_s=inf)
    decided = [0]

    def count(_: Record) -> None:
        decided[0] += 1

    def work() -> None:
        decided[0] = 0
        compiled.run(scaled, Batch(arrival, service, never, never), Service(decider(POLICY)), RandomStreams(1), count)

    seconds = cpu_s(work)
    return row("W2", "inflight, concurrency, stream and wake-ups", len(arrival), seconds, ticks=decided[0])


class Loop:
    """The clients of W3."""

    def __init__(self, service: list[float]) -> None:
        self._service = service
        self._sent = [0] * sim_cases.CLIENTS

    def arrivals(self) -> Iterator[Arrival]:
        """Give the first request of each client."""
        yield from [self._next(client, 0.0) for client in range(sim_cases.CLIENTS)]

    def after(self, ended: Arrival, _status: int, now_s: float) -> Arrival | None:
        """Give the client's next request."""
        return self._next(ended.client, now_s) if self._sent[ended.client] < sim_cases.EACH else None

    def _next(self, client: int, t_s: float) -> Arrival:
        number = self._sent[client] * sim_cases.CLIENTS + client
        self._sent[client] += 1
        return Arrival(t_s, self._service[number], client=client)


def closed() -> Iterator[Row]:
    """Measure W3 on the compiled engine, and on the reference engine, which a single small run uses."""
    loops = sim_cases.closed_loop()
    static = inputs(sim_cases.CLIENTS, tick_s=inf)
    service = Service(decider(POLICY))
    never, at_once = np.full(loops.shape[1], inf), np.zeros(loops.shape[1])

    def compiled_runs() -> None:
        for loop in loops:
            batch = Batch(loop, loop, never, never, sim_cases.CLIENTS, sim_cases.EACH, at_once, 0.0)
            compiled.run(static, batch, service, RandomStreams(1))

    def plain_runs() -> None:
        for loop in loops.tolist():
            ReferenceEngine(static, Loop(loop), service, RandomStreams(1)).run()  # type: ignore[arg-type]

    yield row("W3", "inflight", loops.size, cpu_s(compiled_runs), wait_s=0.0)
    yield row("W3", "inflight, plain engine", loops.size, cpu_s(plain_runs), wait_s=0.0)


def peer(name: str, count: int) -> Row:
    """Measure a peer in its own environment."""
    kind, _, case = name.partition("_")
    if case == "w3":
        needs = sim_cases.closed_loop().ravel()
        requests = (np.zeros(len(needs)), needs)
    else:
        requests = (sim_cases.m_m_10 if case == "w1" else sim_cases.autoscaled)(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.npz"
        sim_cases.save(path, *requests)
        command = [str(PEERS), "-c", "from benchmarks.sim_peers import main; main()", name, str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    ticks = requests[0][-1] / sim_cases.TICK_S if name == "simpy_w2" else 0.0
    wait_s = inf if kind == "simfaas" else found["mean_wait_s"]
    return row(case.upper(), TITLES[kind], found["requests"], found["cpu_s"], ticks=ticks, wait_s=wait_s)


def with_ratios(rows: list[Row]) -> list[Row]:
    """Add how many times faster than SimPy each engine is on the case."""
    simpy = {each["case"]: each["requests/s"] for each in rows if each["engine"] == TITLES["simpy"]}
    return [each | {"x SimPy": each["requests/s"] / simpy[each["case"]]} for each in rows]


def drawing() -> list[Row]:
    """Measure the time to draw the inputs."""
    cases = {"W1": sim_cases.m_m_10, "W2": sim_cases.autoscaled}
    return [{"case": case, "ns/request": cpu_s(partial(draw, COUNT)) / COUNT * 1e9} for case, draw in cases.items()]


def many() -> None:
    """Draw and simulate W1 with very many requests, keep figures only, and print time and memory."""
    random_streams, kept = RandomStreams(1), StreamingFigures(speed=1.0, until_s=inf)
    gaps, needs = (
        random_streams.chunks("arrivals", Exponential(1 / 8)),
        random_streams.chunks("service", Exponential(1.0)),
    )

    def chunks() -> Iterator[Chunk]:
        last_s = 0.0
        for _ in range(MANY // 4096):
            arrival = last_s + np.cumsum(next(gaps))
            last_s = float(arrival[-1])
            yield arrival, next(needs)

    history = fifo.run_with_control_law(
        inputs(sim_cases.SERVERS, tick_s=inf), chunks(), constant_replicas, random_streams, kept
    )
    found, used = kept.figures(history.inflight_s), resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"requests": found["requests"], "cpu_s": used.ru_utime, "rss_mb": peak_mb()}))


def peak_mb() -> float:
    """Give the peak memory of this process in MB; `ru_maxrss` would include its parent's at the start."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def streamed() -> Row:
    """Measure `many` in a new process."""
    command = [sys.executable, "-c", "from benchmarks.sim import many; many()"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    return {
        "requests": round(found["requests"]),
        "requests/s, drawn and simulated": round(found["requests"] / found["cpu_s"]),
        "peak RSS, MB": found["rss_mb"],
    }


def main() -> None:
    """Measure all and report."""
    rows = [*own_engines(), *closed(), *(peer(*each) for each in PEER_COUNTS.items())]
    report("sim", with_ratios(sorted(rows, key=lambda each: str(each["case"]))))
    report("sim-drawing", drawing())
    report("sim-memory", [streamed()])


if __name__ == "__main__":
    main()
