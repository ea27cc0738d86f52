"""A converted ScaledObject decides as KEDA and its HPA did: recordings are replayed with the settings of the policy."""

from pathlib import Path

import pytest
from golden import load
from hpa_golden import compare_keda

from autoscaler.convert.readers import convert
from autoscaler.documents.document import mixed_documents, to_yaml
from autoscaler.policy.spec import ScalingPolicy

RECORDINGS = sorted((Path(__file__).parent / "data" / "hpa").glob("k[0-9]_*.json"))


def scaled_object(config):
    """Write the ScaledObject of a recording."""
    fields = {
        "pollingInterval": config["polling_interval_s"],
        "cooldownPeriod": config["cooldown_s"],
        "initialCooldownPeriod": config["initial_cooldown_s"],
        "minReplicaCount": config["min_replica_count"],
        "maxReplicaCount": config["max_replica_count"],
        "idleReplicaCount": config["idle_replica_count"],
    }
    spec = {key: value for key, value in fields.items() if value is not None}
    if config["fallback_replicas"] is not None:
        numbers = config["fallback_failure_threshold"], config["fallback_replicas"]
        spec["fallback"] = dict(zip(("failureThreshold", "replicas"), numbers, strict=True))
    if config["behavior"] is not None:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": without_nulls(config["behavior"])}}
    trigger = {
        "serverAddress": "http://prometheus:9090",
        "query": "sum(requests_in_flight)",
        "threshold": f"{config['threshold_milli'] / 1000:g}",
        "activationThreshold": f"{config['activation_threshold_milli'] / 1000:g}",
    }
    spec |= {"scaleTargetRef": {"name": "d"}, "triggers": [{"type": "prometheus", "metadata": trigger}]}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "d"}, "spec": spec}


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return value


def policy_of(config):
    (converted,) = convert(mixed_documents(to_yaml(scaled_object(config)), "in.yaml")).services
    (policy,) = (each for each in converted.objects if each["kind"] == "ScalingPolicy")
    return ScalingPolicy.model_validate(policy)


@pytest.mark.parametrize("path", RECORDINGS, ids=[path.stem for path in RECORDINGS])
def test_a_converted_scaled_object_decides_as_recorded(path):
    document = load(path)
    policy = policy_of(document["config"])
    options = policy.spec.algorithm.keda.options(policy.spec.bounds, policy.metadata.annotations)
    comparison = compare_keda(document, options)
    assert comparison.first_difference is None
    assert comparison.compared > len(document["steps"])


def test_there_are_recordings():
    assert len(RECORDINGS) == 8
