"""A converted Knative Service decides as Knative did: its recordings are replayed with the settings of the policy."""

from dataclasses import asdict

import pytest
from golden import load
from knative_golden import COMPARERS, DECISION_OPTIONS, SCALE_OPTIONS

from autoscaler.convert.draft import Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.readers import convert
from autoscaler.documents.document import DocumentError, mixed_documents, to_yaml
from autoscaler.policy.spec import ScalingPolicy

MOST = 10_000
OF_THE_ROUTE = {"reachable", "min_scale"}
"""Whether a route leads to the revision is no setting; a revision without one has no minimum."""


def converted(config):
    """Convert a Knative Service with the settings of a recording."""
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "sd"},
        "spec": {
            "template": {
                "metadata": {"annotations": config["annotations"]},
                "spec": {
                    "containerConcurrency": config["container_concurrency"],
                    "containers": [{"name": "server", "image": "server:1"}],
                },
            }
        },
    }
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config-autoscaler"}}
    text = "---\n".join(map(to_yaml, (service, data | {"data": config["config_map"]})))
    (found,) = convert(mixed_documents(text, "in.yaml"), Options(max_replicas=MOST)).services
    return found


def options_of(found):
    """Give the options of the policy, by our names."""
    (policy,) = (each for each in found.objects if each["kind"] == "ScalingPolicy")
    return asdict(ScalingPolicy.model_validate(policy).spec.kpa_options())


def with_our_settings(settings):
    """Replace what Knative resolved by what the converted policy resolves to."""
    ours = options_of(converted(settings["config"]))
    resolved = {theirs: ours[name] for name, theirs in DECISION_OPTIONS.items() if name not in OF_THE_ROUTE}
    return settings | {"resolved": settings["resolved"] | resolved}


def is_of_rate(config):
    return config["annotations"].get("autoscaling.knative.dev/metric") == "rps"


def is_below_our_range(config):
    """Knative checks the threshold of an annotation, and not that of the ConfigMap; a policy checks it always."""
    annotation, key = "autoscaling.knative.dev/panic-threshold-percentage", "panic-threshold-percentage"
    return annotation not in config["annotations"] and float(config["config_map"].get(key, 200)) < 110


def test_a_converted_service_decides_as_recorded(knative_recording):
    document = load(knative_recording)
    if is_of_rate(document["config"]):
        decide = [each for each in converted(document["config"]).findings if each.effect is Effect.DECIDE]
        assert any("a rate has no equal" in each.text for each in decide)
        return
    updates = [with_our_settings(each) for each in document.get("updates", [])]
    ours = with_our_settings(document) | ({"updates": updates} if updates else {})
    comparison = COMPARERS[document["schema"]](ours)
    assert comparison.first_difference is None
    assert comparison.compared > 100


def test_all_that_knative_refuses_is_refused_and_the_rest_means_the_same(config_resolutions):
    compared = 0
    for number, case in enumerate(config_resolutions["cases"]):
        if not case["valid"] or is_below_our_range(case["config"]):
            with pytest.raises(DocumentError):
                converted(case["config"])
        elif not is_of_rate(case["config"]):
            ours, want = options_of(converted(case["config"])), case["resolved"]
            want = want | {"max_scale": want["max_scale"] or MOST}
            for name, theirs in SCALE_OPTIONS.items():
                if name not in OF_THE_ROUTE:
                    assert ours[name] == pytest.approx(want[theirs], abs=1e-9), f"case {number}: {name}"
                    compared += 1
    assert compared > 500
