"""A converted HPA decides as the recorded one: its manifest is converted, and its policy replays the recording.

That holds for one External metric with a target for each replica. A recording with another metric has another number
to decide by: of Pods, Object and Value targets and of several metrics only the rules are compared, in `test_golden.py`.
So it is where status.replicas differs from what is asked for, which the HPA takes for the number of pods, and a policy
does not.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import inf, nextafter
from pathlib import Path

import pytest
import yaml
from golden import load

from algorithms.observation import Observation
from autoscaler.convert.readers import convert
from autoscaler.documents.document import mixed_documents
from autoscaler.documents.fields import format_duration
from autoscaler.policy.decider_factory import decider
from autoscaler.policy.spec import ScalingPolicy

pytestmark = pytest.mark.slow

DATA = Path(__file__).parent / "data" / "hpa"
RECORDINGS = {path.stem: load(path) for path in sorted(DATA.glob("*.json"))}
PER_REPLICA = {"kind": "external", "target_type": "AverageValue"}


def is_comparable(recording):
    """Tell whether a recording is of one HPA on the total of requests, and a policy sees all that it saw."""
    metrics = recording.get("config", {}).get("metrics", ())
    steps = recording.get("steps", ())
    return (
        recording["kind"] == "reconcile"
        and [metric | PER_REPLICA for metric in metrics] == metrics
        and len(metrics) == 1
        and all(step["in"]["status_replicas"] == step["in"]["spec_replicas"] for step in steps)
    )


COMPARABLE = {name: recording for name, recording in RECORDINGS.items() if is_comparable(recording)}


def manifest(config):
    """Give the HPA of a recording."""
    target = {"type": "AverageValue", "averageValue": f"{config['metrics'][0]['target_milli']}m"}
    metric = {"type": "External", "external": {"metric": {"name": "requests_in_flight"}, "target": target}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": config["min_replicas"],
            "maxReplicas": config["max_replicas"],
            "metrics": [metric],
            "behavior": config["behavior"],
        },
    }


def converted_policy(recording):
    """Convert the HPA; the flags of its controller manager, which no HPA has, are those of the recording."""
    config = recording["config"]
    documents = mixed_documents(yaml.safe_dump(manifest(config)), "hpa.yaml")
    ((policy,),) = (each.objects for each in convert(documents).services)
    gaps_s = [after["t"] - before["t"] for before, after in pairwise(recording["steps"])]
    policy["spec"]["algorithm"]["hpa"]["controllerManager"] = {
        "syncPeriod": format_duration(min(gaps_s)),
        "tolerance": config["controller_tolerance"],
        "downscaleStabilization": format_duration(config["controller_downscale_stabilization_s"]),
    }
    return policy


def in_flight(metric: Mapping) -> float | None:
    """Give a count of which the thousandths are exactly the recorded ones."""
    if metric["error"]:
        return None
    milli = sum(metric["values_milli"])
    return milli / 1000 if int(milli / 1000 * 1000) == milli else nextafter(milli / 1000, inf)


def replayed(recording):
    """Give what the converted policy asks for at each step, and what was recorded; without writes that failed."""
    document, chosen, edited = converted_policy(recording), None, {}
    for step in recording["steps"]:
        given = step["in"]
        bounds = {"minReplicas": given["min_replicas"], "maxReplicas": given["max_replicas"]}
        if bounds != edited:
            document["spec"] |= bounds
            chosen, last, edited = decider(ScalingPolicy.model_validate(document)), chosen, bounds
            if last is not None:
                chosen.restore(last.export())
        count = in_flight(given["metrics"][0])
        problem = "" if count is not None else "the metric failed"
        replicas = given["spec_replicas"]
        decision = chosen.decide(
            Observation(step["t"], step["t"] - 1, count, replicas, given["ready_pods"], problem=problem)
        )
        if not given["update_fails"]:
            yield step["t"], decision.desired, step["out"]["desired"]


@pytest.mark.parametrize("name", COMPARABLE)
def test_a_converted_hpa_decides_as_the_recorded_one(name):
    steps = list(replayed(COMPARABLE[name]))
    assert [(at_s, ours) for at_s, ours, _ in steps] == [(at_s, theirs) for at_s, _, theirs in steps]


def test_each_other_recording_has_another_metric_or_pods_that_a_policy_does_not_see():
    others = [name for name, each in RECORDINGS.items() if each["kind"] == "reconcile" and name not in COMPARABLE]
    assert others == [
        "13_two_metrics_partial_error",
        "14_external_value_target_ready_pods",
        "15_object_average_value",
        "16_object_value",
        "20_pods_metric_missing_unready",
        "25_status_differs_from_spec",
        "v1.37_object_metric_and_own_tolerance",
    ]
