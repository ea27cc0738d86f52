"""A sweep of 1,000 variants with 100,000 requests each on two processes, and the memory of a run of 23 days.

The load is 20 requests a second of 2 s each on about 40 replicas, decided every 2 s on Prometheus' counts. With the
stream there are ten times as many decisions. `--variants N` simulates fewer.
"""

import argparse
import subprocess
import sys
import time

from benchmarks.figures import report
from simulations import Scenario, sweep

REQUESTS = 100_000
PROCESSES = 2
DAYS = 23
PLACE = "spec.scaleDown.delay"
MEMORY = """
import resource
from simulations import Scenario
from simulations.run import run
from simulations.scenario.candidates import candidates_of
scenario = Scenario.build(rate=0.05, service_time="8s", cold_start="30s", duration="{hours}h")
scenario = scenario.with_policy(maxReplicas=4)
run(scenario, candidates_of(scenario)[0].policy, keep_decisions={keep})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def scenario() -> Scenario:
    """Give the scenario of the sweep."""
    load = {"poisson": {"rate": 20}, "serviceTime": "lognormal(mean=2, sigma=0.5)", "requests": REQUESTS}
    pool = {"name": "gpu", "coldStart": {"load": "30s"}, "pricePerHour": 2}
    counts = {"stream": {"enabled": False}, "prometheus": {}}
    built = Scenario.build("bench", workloads=[load], fleet={"pools": [pool]}, controller=counts)
    return built.with_policy(maxReplicas=80)


def swept(variants: int, workers: int) -> dict[str, object]:
    """Simulate so many variants once each, and some in this process: the CPU time of workers is not this process's."""
    delays = [f"{number}s" for number in range(variants)]
    begun = time.perf_counter()
    sweep(scenario(), {PLACE: delays}, replications=1, workers=workers)
    took_s, begun = time.perf_counter() - begun, time.process_time()
    alone = sweep(scenario(), {PLACE: delays[:: max(variants // 4, 1)]}, replications=1)
    used_s = (time.process_time() - begun) / len(alone.variants)
    return {"variants": variants, "processes": workers, "wall, s": took_s, "CPU of a variant, s": used_s}


def memory(*, keep: bool) -> dict[str, object]:
    """Give the most memory of a process that simulates 23 days of decisions every 2 s."""
    script = MEMORY.format(hours=DAYS * 24, keep=keep)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    return {"days": DAYS, "decisions": "kept" if keep else "counted", "memory, MB": float(ran.stdout)}


def main() -> None:
    """Measure all and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=1000)
    variants = parser.parse_args().variants
    report("sweep", [swept(variants, PROCESSES)])
    report("sweep-memory", [memory(keep=True), memory(keep=False)])


if __name__ == "__main__":
    main()
