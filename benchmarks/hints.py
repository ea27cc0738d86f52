"""What a hint is worth: `make bench-hints`.

The hour of `simulations/examples/azure-llm-code.yaml`, whole and thinned to a tenth, is simulated with announcements
that come a while before their requests, or not at all. All rows have the same requests.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autoscaler.policy.spec import ScalingPolicy
from benchmarks.figures import report
from simulations import simulate
from simulations.results.figures import Estimate
from simulations.scenario.document import Scenario, read_scenario
from simulations.scenario.workloads import Hints

EXAMPLE = Path(__file__).parents[1] / "simulations" / "examples" / "azure-llm-code.yaml"
REPLICATIONS = 5


class Announced(NamedTuple):
    """How requests are announced."""

    lead: str
    hit_rate: str


ANNOUNCED = [Announced("20s", "100%"), Announced("20s", "50%"), Announced("60s", "100%"), Announced("60s", "50%")]


def rows(replications: int = REPLICATIONS) -> Iterator[dict[str, Any]]:
    """Give the figures without hints, and with each kind of them."""
    for load, share in (("busy", 1.0), ("a tenth of it", 0.1)):
        for announced in (None, *ANNOUNCED):
            policy = _policy() if announced is None else _policy(hints={"max": 10})
            result = simulate(_scenario(share, announced), policy, replications=replications)
            lead, hit_rate = announced or ("none", "")
            yield {"load": load, "lead": lead, "hit rate": hit_rate} | _figures(result.estimates)


def _figures(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    return {
        "GPU-hours": estimates["gpu_s"].mean / 3600,
        "mean wait (s)": estimates["wait_mean_s"].mean,
        "P95 wait (s)": estimates["wait_p95_s"].mean,
    }


def _scenario(share: float, announced: Announced | None) -> Scenario:
    example = read_scenario(EXAMPLE)
    (workload,) = example.spec.workloads
    hints = None
    if announced is not None:
        hints = Hints.model_validate({"leadTime": announced.lead, "hitRate": announced.hit_rate})
    trace = None if workload.trace is None else workload.trace.model_copy(update={"keep": workload.trace.keep * share})
    workload = workload.model_copy(update={"trace": trace, "hints": hints})
    return example.model_copy(update={"spec": example.spec.model_copy(update={"workloads": (workload,)})})


def _policy(**more: object) -> ScalingPolicy:
    return ScalingPolicy.model_validate(
        {
            "apiVersion": "inflight.dev/v1alpha1",
            "kind": "ScalingPolicy",
            "metadata": {"name": "diffusion"},
            "spec": {
                "scaleTargetRef": {"name": "diffusion"},
                "traffic": {"hosts": ["sd.example.com"], "queue": {"maxLength": 1_000_000}},
                **more,
            },
        }
    )


def main() -> None:
    """Measure all rows."""
    report("hints", list(rows()))


if __name__ == "__main__":
    main()
