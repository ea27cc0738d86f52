"""CPU time of one decision of a service with candidates: each is one more decision."""

from algorithms.observation import Observation
from autoscaler.app.local import services
from autoscaler.controller.step import step
from autoscaler.testing import policy
from benchmarks.decisions import BUSY, DECISIONS, START_S, TICK_S
from benchmarks.figures import cpu_s, report

NUMBERS = (0, 1, 3, 8)
SIZE = 1_000


def measure(number: int) -> float:
    """Give microseconds for each decision with this many candidates, with five requests on five replicas."""
    windows = [{"concurrency": {"stableWindow": f"{30 + each}s"}} for each in range(number)]
    candidates = [{"name": f"c-{each}", "algorithm": algorithm} for each, algorithm in enumerate(windows)]
    fleet = services([policy(f"service-{each}", candidates=candidates) for each in range(SIZE)])
    ticks, now_s = max(DECISIONS // SIZE, 2), START_S

    def work() -> None:
        nonlocal now_s
        for _ in range(ticks):
            since_s, now_s = now_s, now_s + TICK_S
            observation = Observation(now_s, since_s, 5.0, BUSY.asked, len(BUSY.replicas), 5.0)
            step(fleet, dict.fromkeys(fleet, (observation, BUSY)))

    return cpu_s(work) / (ticks * SIZE) * 1e6


def main() -> None:
    """Measure all and report."""
    report("candidates", [{"candidates": number, "a decision, us": measure(number)} for number in NUMBERS])


if __name__ == "__main__":
    main()
