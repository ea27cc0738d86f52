"""An HTTPScaledObject, or an InterceptorRoute with its ScaledObject, becomes one policy."""

import pytest
from convert_kit import conversion_of, converted, objects_of, said

from autoscaler.convert.findings import Effect
from autoscaler.documents.document import DocumentError
from autoscaler.policy.spec import ScalingPolicy


def policy_of(conversion) -> ScalingPolicy:
    return ScalingPolicy.model_validate(objects_of(conversion)["ScalingPolicy"])


def test_an_http_scaled_object_with_a_named_port_and_a_failover():
    conversion = converted("09")
    spec, found = policy_of(conversion).spec, said(conversion)
    assert (spec.min_replicas, spec.max_replicas) == (0, 2)
    assert (spec.container_concurrency, spec.target_per_replica, spec.target) == (0, 2, 2)
    keda = spec.algorithm.keda
    assert (keda.cooldown_period, keda.initial_cooldown_period, keda.polling_interval) == (3600, 600, 15)
    assert spec.traffic.hosts == ("llm.example.com", "local-llm.llm")
    assert (spec.traffic.port, spec.traffic.queue.timeout, spec.traffic.timeouts.response_start) == (11434, 240, 300)
    for text in (
        "spec.pathPrefixes: only requests of these paths came here",
        "spec.coldStartTimeoutFailoverRef: a request waits for a replica here; there is no fallback service",
        "the old name of scalingMetric.concurrency",
        "a target and no limit: the add-on lets a pod have more",
    ):
        assert text in found
    assert any("let the ScaledObject go that it owns" in step for step in conversion.services[0].hand_over)


def test_a_route_and_its_scaled_object_become_one_policy():
    conversion = converted("10")
    spec, found = policy_of(conversion).spec, said(conversion)
    assert (spec.min_replicas, spec.max_replicas, spec.target, spec.container_concurrency) == (0, 5, 8, 0)
    keda = spec.algorithm.keda
    assert (keda.polling_interval, keda.cooldown_period, keda.initial_cooldown_period) == (5, 900, 120)
    traffic = spec.traffic
    assert traffic.hosts == ("text-gen.apps.example.com", "*.preview.example.com")
    assert (traffic.port, traffic.queue.timeout) == (8000, 240)
    assert (traffic.request_timeout, traffic.timeouts.response_start) == (420, 300)
    assert [(each.match, each.class_, each.wake) for each in traffic.paths] == [
        (("/healthz", "/healthz/*"), "Pass", False)
    ]
    for text in (
        "spec.coldStart.placeholder: a request waits for a replica here; there is no waiting page",
        "the gateway answers no path itself",
        "spec.rules[0].headers: only requests with these headers came here",
        "spec.rules[0].paths: only requests of these paths came here",
        "lead its hosts to the Service inflight-gateway",
        "*. takes any labels in front, as there; in an Ingress it takes one label",
        "there with the time of waiting, here without",
        "the add-on wakes a service at zero at once; algorithm.keda does at its next poll, up to 5s later",
    ):
        assert text in found
    assert conversion.unused == ()


HTTP_SCALED_OBJECT = """
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: a, annotations: {httpscaledobject.keda.sh/skip-scaledobject-creation: "%s"}}
spec:
  hosts: [a.example.com]
  scaleTargetRef: {name: a, service: a, port: 80}
  %s
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: 8080}]}
"""
OWN = """
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: b}
spec:
  scaleTargetRef: {name: a}
  maxReplicaCount: 3
  triggers: [{type: external-push, metadata: {scalerAddress: "x:9090", httpScaledObject: a}}]
"""
MADE = """
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a, ownerReferences: [{apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, name: a, uid: u}]}
spec: {scaleTargetRef: {name: a}, triggers: [{type: external-push, metadata: {scalerAddress: "x:9090"}}]}
"""


def test_the_scaled_object_that_the_add_on_made_is_no_service_of_its_own():
    conversion = conversion_of(HTTP_SCALED_OBJECT % ("false", "") + MADE)
    assert len(conversion.services) == 1
    assert "the add-on made it of the HTTPScaledObject" in said(conversion, Effect.LEFT_OUT)
    assert policy_of(conversion).spec.target_per_replica == 100


def test_a_scaled_object_of_the_user_says_how_far_to_scale():
    conversion = conversion_of(HTTP_SCALED_OBJECT % ("true", "replicas: {max: 9}") + OWN)
    policy = policy_of(conversion)
    assert (policy.metadata.name, policy.spec.max_replicas, policy.spec.traffic.hosts) == ("b", 3, ("a.example.com",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HTTP_SCALED_OBJECT % ("true", ""), "the ScaledObject that you wrote .* must be in the input too"),
        (OWN, "the HTTPScaledObject has hosts, port and target and must be in the input too"),
        (
            "{apiVersion: http.keda.sh/v1beta1, kind: InterceptorRoute, metadata: {name: a}, spec: {}}",
            "the ScaledObject that names it in a trigger must be in the input too",
        ),
    ],
)
def test_half_of_a_pair_is_refused_and_the_command_for_the_other_half_is_said(text, problem):
    with pytest.raises(DocumentError, match=problem):
        conversion_of(text)


def test_a_rate_is_no_concurrency():
    rate = "scalingMetric: {requestRate: {targetValue: 20, window: 1m}}"
    conversion = conversion_of(HTTP_SCALED_OBJECT % ("false", rate))
    assert policy_of(conversion).spec.target_per_replica is None
    assert "Write targetPerReplica" in said(conversion, Effect.DECIDE)


def test_a_timeout_of_zero_is_no_limit_there_and_each_request_has_one_here():
    conversion = conversion_of(HTTP_SCALED_OBJECT % ("false", "timeouts: {responseHeader: 0s, conditionWait: 0s}"))
    assert "0 is no limit there" in said(conversion, Effect.NONE)


def test_the_port_of_a_service_that_is_not_there_needs_a_decision():
    conversion = conversion_of((HTTP_SCALED_OBJECT % ("false", "")).split("---")[0])
    assert policy_of(conversion).spec.traffic.port == 80
    assert "do the pods serve there?" in said(conversion, Effect.DECIDE)


def test_two_services_that_share_a_host_by_paths_are_refused():
    """A policy has all paths of its hosts."""
    first = (HTTP_SCALED_OBJECT % ("false", "pathPrefixes: [/a]")).split("---")[0]
    second = first.replace("{name: a, annotations", "{name: b, annotations").replace("/a", "/b")
    with pytest.raises(
        DocumentError, match=r'spec.traffic.hosts\[0\]: "a.example.com": the policy default/b cannot have'
    ):
        conversion_of(f"{first}---{second}")


def test_a_route_without_hosts_needs_a_decision():
    conversion = conversion_of((HTTP_SCALED_OBJECT % ("false", "")).replace("  hosts: [a.example.com]\n", ""))
    assert policy_of(conversion).spec.traffic.hosts == ("*",)
    assert "the route has no hosts" in said(conversion, Effect.DECIDE)


def test_the_old_key_of_a_single_host_is_read():
    text = (HTTP_SCALED_OBJECT % ("false", "")).replace("hosts: [a.example.com]", "host: a.example.com")
    assert policy_of(conversion_of(text)).spec.traffic.hosts == ("a.example.com",)


def test_an_annotation_that_the_add_on_does_not_know_is_named_with_the_nearest_one():
    text = (HTTP_SCALED_OBJECT % ("false", "")).replace("skip-scaledobject-creation", "skip-scaledobject")
    found = said(conversion_of(text), Effect.NONE)
    assert "the nearest is httpscaledobject.keda.sh/skip-scaledobject-creation" in found
