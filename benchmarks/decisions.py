"""CPU time of one decision, including windows and reasons, for each algorithm and number of services."""

from algorithms.observation import Observation
from autoscaler.app.local import services
from autoscaler.controller.step import Service, step
from autoscaler.policy.decider_factory import ALGORITHMS
from autoscaler.ports import Fleet, Replica
from autoscaler.testing import policy
from benchmarks.figures import cpu_s, report

SIZES = (1, 1_000, 10_000)
DECISIONS = 20_000
"""Minimum in one run."""
TICK_S = 2.0
START_S = 1.7e9

BUSY = Fleet(5, tuple(Replica(f"pod-{number}", ready=True, running=1, age_s=60.0) for number in range(5)))
IDLE = Fleet(0, ())


def fleet(algorithm: str, size: int) -> dict[str, Service]:
    """Build `size` services with one algorithm."""
    return services([policy(f"service-{number}", algorithm={algorithm: {}}) for number in range(size)])


def measure(algorithm: str, size: int, *, busy: bool) -> float:
    """Give microseconds for each decision, with five requests in flight on five replicas, or idle at zero."""
    services = fleet(algorithm, size)
    ticks = max(DECISIONS // size, 2)
    now_s = START_S
    runs, count = (BUSY, 5.0) if busy else (IDLE, 0.0)

    def work() -> None:
        nonlocal now_s
        for _ in range(ticks):
            since_s, now_s = now_s, now_s + TICK_S
            observation = Observation(now_s, since_s, count, runs.asked, len(runs.replicas), count)
            step(services, dict.fromkeys(services, (observation, runs)))

    return cpu_s(work) / (ticks * size) * 1e6


def main() -> None:
    """Measure all and report."""
    report(
        "decisions",
        [
            {
                "algorithm": algorithm,
                "services": size,
                "busy, us": measure(algorithm, size, busy=True),
                "idle at zero, us": measure(algorithm, size, busy=False),
            }
            for algorithm in ALGORITHMS
            for size in SIZES
        ],
    )


if __name__ == "__main__":
    main()
