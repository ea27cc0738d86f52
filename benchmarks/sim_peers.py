"""Other simulators on the same cases, written as in their manuals; runs in an environment of its own.

`main` takes a name and a file of requests, and prints requests, CPU seconds and the mean wait as JSON.
"""

import json
import sys
from collections.abc import Callable, Generator
from heapq import heapify
from typing import Any

import numpy as np

from benchmarks.figures import cpu_s
from benchmarks.sim_cases import CLIENTS, COLD_START_S, EACH, SERVERS, TICK_S, SmallPolicy

Process = Generator[Any, Any, None]
Case = Callable[[list[float], list[float]], float]


def simpy_w1(arrival: list[float], service: list[float]) -> float:
    """W1 in SimPy: a Resource of ten, and a process for each request."""
    import simpy  # noqa: PLC0415  # each peer pays for its own

    env = simpy.Environment()
    servers = simpy.Resource(env, SERVERS)
    waits: list[float] = []

    def request(takes: float) -> Process:
        came = env.now
        with servers.request() as turn:
            yield turn
            waits.append(env.now - came)
            yield env.timeout(takes)

    def arrivals() -> Process:
        for at, takes in zip(arrival, service, strict=True):
            yield env.timeout(at - env.now)
            env.process(request(takes))

    env.process(arrivals())
    env.run()
    return sum(waits) / len(waits)


class Pod:
    """One pod in SimPy."""

    def __init__(self, asked: float) -> None:
        self.asked, self.order, self.ready, self.leaving = asked, 0, False, False

    def __lt__(self, other: "Pod") -> bool:
        """Order the store: the idle pod that became ready first is taken."""
        return self.order < other.order


class SimpyPods:
    """W2 in SimPy: a store of idle pods; a process for each request, each pod that starts, and the controller."""

    def __init__(self, arrival: list[float], service: list[float]) -> None:
        import simpy  # noqa: PLC0415

        self.env: Any = simpy.Environment()
        self.idle: Any = simpy.PriorityStore(self.env)
        self.arrival, self.service = arrival, service
        self.pods = [Pod(0.0)]
        self.came = self.done = self.became_ready = 0
        self.waits: list[float] = []
        self.offer(self.pods[0])

    def run(self) -> float:
        """Run, and give the mean wait in seconds."""
        self.env.process(self.arrivals())
        self.env.process(self.controller(SmallPolicy()))
        self.env.run()
        return sum(self.waits) / len(self.waits)

    def arrivals(self) -> Process:
        """Generate arrivals."""
        for at, takes in zip(self.arrival, self.service, strict=True):
            yield self.env.timeout(at - self.env.now)
            self.env.process(self.request(takes))

    def request(self, takes: float) -> Process:
        """Wait for a pod, use it, and give it back."""
        came = self.env.now
        self.came += 1
        pod = yield self.idle.get()
        self.waits.append(self.env.now - came)
        yield self.env.timeout(takes)
        self.done += 1
        if not pod.leaving:
            self.idle.put(pod)

    def offer(self, pod: Pod) -> None:
        """Put a ready pod into the store."""
        self.became_ready += 1
        pod.ready, pod.order = True, self.became_ready
        self.idle.put(pod)

    def start(self, pod: Pod) -> Process:
        """Start a pod."""
        yield self.env.timeout(COLD_START_S)
        if not pod.leaving:
            self.offer(pod)

    def scale(self, wanted: int) -> None:
        """Add or remove pods; removed are those not ready first, then idle, then busy, the youngest of each first."""
        for _ in range(len(self.pods) - wanted):
            # A pod that is in the store while a request waits was just put there for that request.
            idle = [] if self.idle.get_queue else self.idle.items
            pod = min(self.pods, key=lambda one: (one.ready, one.ready and one not in idle, -one.asked))
            pod.leaving = True
            self.pods.remove(pod)
            if pod in idle:
                idle.remove(pod)
                heapify(idle)
        for _ in range(wanted - len(self.pods)):
            self.pods.append(Pod(self.env.now))
            self.env.process(self.start(self.pods[-1]))

    def controller(self, policy: SmallPolicy) -> Process:
        """Decide at every tick on the sample of the tick before."""
        seen: float | None = None
        while self.done < len(self.arrival):
            inflight = float(self.came - self.done)
            wanted = policy(self.env.now, seen, len(self.pods), 0)
            if wanted != len(self.pods):
                self.scale(wanted)
            seen = inflight
            yield self.env.timeout(TICK_S)


def simpy_w2(arrival: list[float], service: list[float]) -> float:
    """See `SimpyPods`."""
    return SimpyPods(arrival, service).run()


def simpy_w3(_arrival: list[float], service: list[float]) -> float:
    """W3 in SimPy: clients that each send the next request after the last response."""
    import simpy  # noqa: PLC0415

    waits: list[float] = []
    for loop in range(0, len(service), CLIENTS * EACH):
        env = simpy.Environment()
        pods = simpy.Resource(env, CLIENTS)

        def client(number: int, env: Any = env, pods: Any = pods, loop: int = loop) -> Process:
            for turn in range(EACH):
                came = env.now
                with pods.request() as granted:
                    yield granted
                    waits.append(env.now - came)
                    yield env.timeout(service[loop + turn * CLIENTS + number])

        for number in range(CLIENTS):
            env.process(client(number))
        env.run()
    return sum(waits) / len(waits)


def ciw_w1(arrival: list[float], service: list[float]) -> float:
    """W1 in Ciw: a network of one node."""
    import ciw  # noqa: PLC0415

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential(np.diff(arrival, prepend=0.0).tolist())],
        service_distributions=[ciw.dists.Sequential(service)],
        number_of_servers=[SERVERS],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(arrival), method="Finish")
    return float(np.mean([record.waiting_time for record in simulation.get_all_records()]))


def simfaas_w2(arrival: list[float], service: list[float]) -> float:
    """SimFaaS's own model: instances that expire, a cold start if no instance is idle, no queue, no ticks."""
    from simfaas.ServerlessSimulator import ServerlessSimulator  # noqa: PLC0415
    from simfaas.SimProcess import SimProcess  # noqa: PLC0415

    class Drawn(SimProcess):  # type: ignore[misc]  # it has no types
        def __init__(self, values: list[float]) -> None:
            super().__init__()
            self._next = iter(values).__next__

        def generate_trace(self) -> float:
            return self._next()

    simulator = ServerlessSimulator(
        arrival_process=Drawn([*np.diff(arrival, prepend=0.0).tolist(), 1.0, 1.0]),
        warm_service_process=Drawn(service),
        cold_service_process=Drawn([COLD_START_S + takes for takes in service]),
        expiration_threshold=60.0,
        max_time=arrival[-1],
    )
    simulator.generate_trace(progress=False)
    return float("nan")


CASES: dict[str, Case] = {case.__name__: case for case in (simpy_w1, simpy_w2, simpy_w3, ciw_w1, simfaas_w2)}


def main() -> None:
    """Measure one peer on one case."""
    name, path = sys.argv[1:]
    with np.load(path) as drawn:
        arrival, service = drawn["arrival"].tolist(), drawn["service"].tolist()
    waits: list[float] = []
    seconds = cpu_s(lambda: waits.append(CASES[name](arrival, service)))
    print(json.dumps({"requests": len(service), "cpu_s": seconds, "mean_wait_s": waits[0]}))
