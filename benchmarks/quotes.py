"""How many quoted waits are kept, and what a quote costs: `make bench-quotes`.

The gateway's own dispatcher, quotes and controller run in simulated time. Each load begins with nothing measured. Each
request that is held gets its first quote at its arrival or a second later. A request that still waits when a run ends
is not counted.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Limits
from autoscaler.gateway.quotes.quotes import FRESH_S, Quotes
from autoscaler.policy.spec import ScalingPolicy
from benchmarks.figures import cpu_s, report
from simulations.run import run_quoted
from simulations.scenario.candidates import candidates_of
from simulations.scenario.document import DEMO, Scenario, read_scenario
from simulations.scenario.workloads import Workload
from simulations.traces import importers

SIMULATIONS = Path(__file__).parents[1] / "simulations"
LOADS_IN_A_RUN = 10
LEFT_OUT = {"concurrency, kept 10 min", "Knative 100 %", "Knative 100 %, kept 10 min"}
"""Policies of the example that differ little from others."""
BETWEEN_LOADS_S = 600.0


class Hits(NamedTuple):
    """How many requests with a promise started within its P50 and its P90."""

    promises: int
    within_p50: int
    within_p90: int
    unquoted: int

    @property
    def p50(self) -> float:
        """The share within the P50."""
        return self.within_p50 / self.promises

    @property
    def p90(self) -> float:
        """The share within the P90."""
        return self.within_p90 / self.promises


def reference_loads() -> Scenario:
    """The load of the demo ten times, so far apart that each begins at zero pods."""
    return _ten_times(read_scenario(DEMO))


def two_kinds_of_gpus() -> Scenario:
    """The reference load on two kinds of GPUs, some of them on nodes that have to be created, ten times."""
    return _ten_times(read_scenario(SIMULATIONS / "examples" / "reference-load.yaml"))


def _ten_times(scenario: Scenario) -> Scenario:
    (once,) = scenario.spec.workloads
    starts = [once.start + BETWEEN_LOADS_S * number for number in range(LOADS_IN_A_RUN)]
    return _with_workloads(scenario, [once.model_copy(update={"start": start_s}) for start_s in starts])


def azure_code() -> Scenario:
    """An hour of bursty arrivals at Azure, with the policies of the example."""
    return read_scenario(SIMULATIONS / "examples" / "azure-llm-code.yaml")


def servegen_images() -> Scenario:
    """An hour of a client's rate of image requests at Alibaba, with the policies of the example."""
    curve = importers.servegen(SIMULATIONS / "traces" / "servegen" / "mm-image-client-0.csv")
    points = [
        {"at": f"{at_s}s", "rate": rate} for at_s, rate in zip(curve.at_s.tolist(), curve.rate.tolist(), strict=True)
    ]
    workload = {"rateCurve": {"points": points, "cv": curve.cv}, "serviceTime": "lognormal(mean=4, sigma=0.6)"}
    return _with_workloads(azure_code(), [Workload.model_validate(workload)])


def _with_workloads(scenario: Scenario, workloads: list[Workload]) -> Scenario:
    return scenario.model_copy(update={"spec": scenario.spec.model_copy(update={"workloads": tuple(workloads)})})


LOADS: dict[str, Callable[[], Scenario]] = {
    "reference load": reference_loads,
    "reference load, two kinds of GPUs": two_kinds_of_gpus,
    "azure_llm_2023/code": azure_code,
    "servegen/mm-image-client-0": servegen_images,
}


def hits(scenario: Scenario, policy: ScalingPolicy, *, replications: int, after_s: float = FRESH_S) -> Hits:
    """Run a scenario several times, and count the promises that were kept."""
    runs = [run_quoted(scenario, policy, replication=number, after_s=after_s) for number in range(replications)]
    promises = [promise for run in runs for promise in run.promises]
    return Hits(
        len(promises),
        sum(each.waited_s <= each.quote.p50_s for each in promises),
        sum(each.waited_s <= each.quote.p90_s for each in promises),
        sum(run.unquoted for run in runs),
    )


def rows(replications: int) -> Iterator[dict[str, Any]]:
    """Give the hits of each load, each policy and each time of the first quote."""
    for load, scenario_of in LOADS.items():
        scenario = scenario_of()
        for name, policy in (each for each in candidates_of(scenario) if each[0] not in LEFT_OUT):
            for after_s in (0.0, FRESH_S):
                found = hits(scenario, policy, replications=replications, after_s=after_s)
                yield {
                    "load": load,
                    "policy": name,
                    "first quote after (s)": after_s,
                    "quotes": found.promises,
                    "no quote": found.unquoted,
                    "within P90 (%)": round(100 * found.p90, 1),
                    "within P50 (%)": round(100 * found.p50, 1),
                }


# What a quote costs.


def service(pods: int, waiting: int) -> Quotes:
    """Give the quotes of a service whose pods all run something, with that many requests that wait."""
    dispatcher = Dispatcher(Limits(1, queue_length=waiting + 1))
    for number in range(pods):
        dispatcher.add_backend(f"pod-{number}", 0.0)
        for job in range(300 // pods + 1):
            dispatcher.arrive(f"job-{number}-{job}", 0.0)
            dispatcher.finish(f"job-{number}-{job}", 10.0 + (number + job) % 20)
    for number in range(pods + waiting):
        dispatcher.arrive(number, 300.0 + 10.0 * number / (pods + waiting))
    quotes = Quotes(dispatcher.outlook)
    for number in range(3):
        quotes.pod_starting(f"new-{number}", 300.0)
    return quotes


def costs() -> Iterator[dict[str, Any]]:
    """Give the CPU time of one run forward, and its share for each request that waits."""
    for pods, waiting in ((1, 1), (1, 10), (10, 1), (10, 10), (10, 100), (10, 1000), (100, 1), (100, 10), (100, 100)):
        quotes, times = service(pods, waiting), 20

        def all_quotes(quotes: Quotes = quotes, pods: int = pods, waiting: int = waiting, times: int = times) -> None:
            for _ in range(times):
                quotes.pods_changed()
                for number in range(pods, pods + waiting):
                    quotes.estimate(number, 320.0)

        run_s = cpu_s(all_quotes) / times
        yield {"pods": pods, "waiting": waiting, "run (ms)": 1e3 * run_s, "a quote (ms)": 1e3 * run_s / waiting}


def main() -> None:
    """Measure both."""
    report("quotes-cost", list(costs()))
    report("quotes", list(rows(replications=4)))


if __name__ == "__main__":
    main()
