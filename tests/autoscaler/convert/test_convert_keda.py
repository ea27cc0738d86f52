"""A ScaledObject becomes a policy that decides as before, and what has no meaning here is named."""

import pytest
from convert_kit import conversion_of, converted, objects_of, said

from autoscaler.convert.findings import Effect
from autoscaler.documents.document import DocumentError
from autoscaler.policy.spec import ScalingPolicy


def policy_of(conversion) -> ScalingPolicy:
    return ScalingPolicy.model_validate(objects_of(conversion)["ScalingPolicy"])


def scaled_object(more="", trigger='query: "sum(requests_in_flight)", threshold: "2"', annotations=""):
    return f"""
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: web, namespace: shop{annotations}}}
spec:
  scaleTargetRef: {{name: web}}
  triggers: [{{type: prometheus, metadata: {{serverAddress: "http://prometheus:9090", {trigger}}}}}]
  maxReplicaCount: 5
{more}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8000}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web, namespace: shop}}
spec:
  rules:
  - host: web.example.com
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{terminationGracePeriodSeconds: 600, containers: [{{name: web, image: web}}]}}
"""


def test_a_trigger_of_requests_in_flight_needs_no_decision():
    conversion = conversion_of(scaled_object(), route="ingress")
    spec = policy_of(conversion).spec
    assert (spec.target_per_replica, spec.container_concurrency, spec.max_replicas) == (2, 0, 5)
    assert (spec.traffic.hosts, spec.traffic.port) == (("web.example.com",), 8000)
    assert said(conversion, Effect.DECIDE) == said(conversion, Effect.NONE) == ""
    assert conversion.is_strict


def test_the_threshold_of_waiting_requests_becomes_no_concurrency():
    conversion = converted("06")
    spec, found = policy_of(conversion).spec, said(conversion)
    keda = spec.algorithm.keda
    assert (spec.min_replicas, keda.idle_replica_count, spec.max_replicas) == (1, 0, 4)
    assert (keda.polling_interval, keda.cooldown_period) == (15, 360)
    assert (keda.fallback.failure_threshold, keda.fallback.replicas) == (3, 2)
    assert keda.behavior.scale_down.stabilization_window_seconds == 300
    assert [each.model_dump() for each in keda.behavior.scale_down.policies] == [
        {"type": "Pods", "value": 1, "periodSeconds": 120}
    ]
    assert (spec.container_concurrency, spec.target_per_replica, spec.traffic.port) == (0, None, 8000)
    for text in (
        "counts waiting requests only; requests in flight are running + waiting",
        "the server takes 64 at a time by its --max-num-seqs",
        "terminationGracePeriodSeconds: 30: to 330; a pod that goes must be able to end a request",
        "metricName: vllm_num_requests_waiting: KEDA itself no longer reads it",
        "an empty answer was zero there; here a count that is missing is unknown",
        "spec.replicas: 1: the number is the autoscaler's",
        "hosts are unknown",
    ):
        assert text in found
    assert not conversion.is_strict


def test_each_of_several_triggers_is_named_and_no_number_is_guessed_under_a_formula():
    conversion = converted("07")
    spec, found = policy_of(conversion).spec, said(conversion)
    assert (spec.scale_target_ref.kind, spec.min_replicas, spec.max_replicas) == ("StatefulSet", 3, 30)
    assert (spec.algorithm.keda.polling_interval, spec.algorithm.keda.cooldown_period) == (15, 300)
    assert (spec.container_concurrency, spec.target_per_replica) == (0, None)
    for text in (
        "no effect above zero",
        "trigger 1 (cpu): the load of CPUs is not measured here",
        'trigger "morning" (cron): to the window morning',
        'trigger "evening" (cron): to the window evening',
        'the query of trigger "load" (prometheus) is the load of a machine',
        "a formula has no equal",
        "useCachedMetrics: true: the gateway pushes its counts",
        "metricType: Value: has no equal",
        "the controller's, in its file --prometheus-credentials",
        "voice-adapter-hpa: there is no HPA here; KEDA deletes this one with the ScaledObject",
        "autoscaling.keda.sh/paused: 'false': is off",
    ):
        assert text in found
    assert [(each.name, each.time_zone, each.start, each.end, each.min_replicas) for each in spec.schedule] == [
        ("morning", "Europe/Berlin", "30 7 * * 1-5", "0 11 * * 1-5", 10),
        ("evening", "Europe/Berlin", "0 17 * * *", "0 21 * * *", 6),
    ]
    assert not policy_of(conversion).metadata.annotations
    assert not conversion.is_strict
    assert any("kubectl get hpa voice-adapter-hpa" in step for step in conversion.services[0].hand_over)


CRON = """
  - type: cron
    metadata: {{timezone: {zone}, start: {start}, end: 0 18 * * mon-fri, desiredReplicas: "{replicas}"}}
"""


def with_cron(**metadata):
    window = {"zone": "Europe/Berlin", "start": "0 8 * * mon-fri", "replicas": 4} | metadata
    requests = 'metadata: {serverAddress: "http://p:9090", query: "sum(requests_in_flight)", threshold: "2"}'
    triggers = f"  triggers:\n  - type: prometheus\n    {requests}{CRON.format(**window)}"
    return "\n".join(triggers if line.startswith("  triggers:") else line for line in scaled_object().splitlines())


def test_a_window_of_cron_lies_beside_a_trigger_of_requests():
    spec = policy_of(conversion_of(with_cron())).spec
    assert spec.target_per_replica == 2
    (window,) = spec.schedule
    assert (window.name, window.start, window.end, window.min_replicas) == (
        "cron-1",
        "0 8 * * MON-FRI",
        "0 18 * * MON-FRI",
        4,
    )


def test_a_window_asks_for_no_more_than_the_maximum():
    (window,) = policy_of(conversion_of(with_cron(replicas=40))).spec.schedule
    assert window.min_replicas == 5


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"zone": "Europe/Bielefeld"}, "timeZone: must be UTC or the name of a time zone"),
        ({"start": '"@daily"'}, "start: "),
        ({"replicas": "many"}, "minReplicas: "),
    ],
)
def test_a_window_that_no_policy_can_have_is_named(metadata, why):
    conversion = conversion_of(with_cron(**metadata))
    assert policy_of(conversion).spec.schedule == ()
    assert f"trigger 2 (cron): no window of spec.schedule can have it: {why}" in said(conversion, Effect.NONE)


@pytest.mark.parametrize(
    ("value", "effect", "why"),
    [("true", Effect.NONE, "an empty answer was zero there"), ("false", Effect.MAPPED, "is a failed read, here too")],
)
def test_an_empty_answer_is_unknown_here_which_is_new_only_where_it_was_zero(value, effect, why):
    trigger = f'query: "sum(requests_in_flight)", threshold: "2", ignoreNullValues: "{value}"'
    assert f"ignoreNullValues: '{value}': " in said(conversion_of(scaled_object(trigger=trigger)), effect)
    assert why in said(conversion_of(scaled_object(trigger=trigger)), effect)


def test_of_two_triggers_that_count_requests_none_is_chosen_and_the_report_says_why():
    one = '{type: prometheus, metadata: {serverAddress: "http://p", query: "sum(requests_in_flight)", threshold: "2"}}'
    text = scaled_object().replace("triggers: [", f"triggers: [{one}, ")
    conversion = conversion_of(text)
    assert policy_of(conversion).spec.target_per_replica is None
    assert "2 triggers count them, and a policy has one target" in said(conversion, Effect.NONE)
    assert "spec.triggers: " in said(conversion, Effect.DECIDE)


def test_a_worker_that_nobody_sends_requests_becomes_no_policy():
    with pytest.raises(DocumentError) as refused:
        converted("08")
    text = "\n".join(refused.value.problems)
    for why in (
        "Deployment picture-worker has no port for requests and no Service, so nobody sends it requests. KEDA",
        "KEDA is paused now, at 0",
        "the length of a queue is no count of requests in flight",
        "its TriggerAuthentication and Secrets are not copied",
    ):
        assert why in text


def test_a_worker_without_its_workload_in_the_input_is_known_by_its_queue():
    with pytest.raises(DocumentError, match="the input shows no port and no Service"):
        conversion_of(
            """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a}
spec:
  scaleTargetRef: {name: a}
  triggers: [{type: aws-sqs-queue, metadata: {queueURL: q, queueLength: "5", awsRegion: eu-central-1}}]
"""
        )


def test_a_scaled_job_is_refused():
    with pytest.raises(DocumentError, match="starts jobs that fetch their work"):
        conversion_of("{apiVersion: keda.sh/v1alpha1, kind: ScaledJob, metadata: {name: a}, spec: {triggers: []}}")


def test_kedas_own_default_is_the_maximum_where_none_is_said():
    text = scaled_object().replace("  maxReplicaCount: 5\n", "")
    assert policy_of(conversion_of(text)).spec.max_replicas == 100
    assert policy_of(conversion_of(text, max_replicas=7)).spec.max_replicas == 7


@pytest.mark.parametrize("behavior", ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"])
def test_a_fallback_keeps_its_behavior(behavior):
    fallback = f"{{failureThreshold: 3, replicas: 2, behavior: {behavior}}}"
    conversion = conversion_of(scaled_object(f"  fallback: {fallback}"))
    assert policy_of(conversion).spec.algorithm.keda.fallback.behavior == behavior


def test_a_fallback_of_a_formula_has_no_effect_here():
    fallback = "{failureThreshold: 3, replicas: 2, behavior: scalingModifiers}"
    conversion = conversion_of(scaled_object(f"  fallback: {fallback}"))
    assert policy_of(conversion).spec.algorithm.keda.fallback is None
    assert "spec.fallback: a count that is missing is unknown here" in said(conversion, Effect.NONE)


def test_a_pause_goes_with_the_service():
    conversion = conversion_of(scaled_object(annotations=', annotations: {autoscaling.keda.sh/paused-replicas: "3"}'))
    assert policy_of(conversion).metadata.annotations == {"autoscaling.keda.sh/paused-replicas": "3"}


def test_a_pause_needs_a_decision_with_the_default_algorithm_which_has_one_with_an_end():
    conversion = conversion_of(
        scaled_object(annotations=', annotations: {autoscaling.keda.sh/paused: "true"}'), algorithm="concurrency"
    )
    assert policy_of(conversion).metadata.annotations == {}
    assert "inflight.dev/paused-until" in said(conversion, Effect.DECIDE)


def test_an_annotation_that_keda_does_not_know_is_named_with_the_nearest_one():
    conversion = conversion_of(scaled_object(annotations=', annotations: {autoscaling.keda.sh/pause: "true"}'))
    assert "the nearest is autoscaling.keda.sh/paused" in said(conversion, Effect.NONE)


def test_the_default_algorithm_takes_over_the_delays_that_it_has():
    more = """
  minReplicaCount: 1
  idleReplicaCount: 0
  pollingInterval: 5
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: {scaleDown: {stabilizationWindowSeconds: 120, selectPolicy: Disabled}}
"""
    conversion = conversion_of(scaled_object(more), algorithm="concurrency")
    spec = policy_of(conversion).spec
    assert spec.algorithm.name == "concurrency"
    assert (spec.min_replicas, spec.scale_down.delay, spec.scale_down.to_zero_delay) == (0, 120, 300)
    assert "pollingInterval" in said(conversion, Effect.NONE)
    assert "replicas will fall" in said(conversion, Effect.DECIDE)


def test_a_period_that_no_policy_allows_is_shortened_and_said():
    conversion = conversion_of(scaled_object("  cooldownPeriod: 172800"))
    assert policy_of(conversion).spec.algorithm.keda.cooldown_period == 86_400
    assert "a policy allows 0s to 24h" in said(conversion)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("maxReplicaCount: 5", "maxReplicaCount: five", "spec.maxReplicaCount: five: must be a whole number"),
        ('threshold: "2"', "threshold: many", "threshold: many: must be a number"),
        ("scaleTargetRef: {name: web}", "scaleTargetRef: {kind: Deployment}", "spec.scaleTargetRef: name is required"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_line(old, new, problem):
    with pytest.raises(DocumentError) as refused:
        conversion_of(scaled_object().replace(old, new))
    assert problem in refused.value.problems[0]
    assert refused.value.problems[0].startswith("in.yaml:")


def test_without_workload_and_service_nothing_is_counted_and_that_is_said():
    conversion = conversion_of(scaled_object().split("---")[0])
    assert policy_of(conversion).spec.traffic is None
    assert "hosts and port are unknown" in said(conversion, Effect.DECIDE)


def test_what_keda_made_belongs_to_the_scaled_object():
    hpa = """
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: keda-hpa-web, namespace: shop}
spec: {maxReplicas: 5, scaleTargetRef: {kind: Deployment, name: web}}
"""
    conversion = conversion_of(scaled_object() + hpa)
    assert len(conversion.services) == 1
    assert "KEDA made it and deletes it with the ScaledObject" in said(conversion, Effect.LEFT_OUT)
    assert conversion.unused == ()


def test_the_policy_writes_nothing_until_keda_has_stopped():
    conversion = conversion_of(scaled_object("  advanced: {restoreToOriginalReplicaCount: true}"))
    assert policy_of(conversion).spec.mode == "DryRun"
    steps = conversion.services[0].hand_over
    order = ("restoreToOriginalReplicaCount", "kubectl apply", "gateway", "paused=true", '"mode": "Active"', "delete")
    assert [next(n for n, step in enumerate(steps) if word in step) for word in order] == list(range(6))


def test_the_port_is_the_one_to_which_the_ingress_leads():
    ports = "ports: [{name: grpc, port: 81, targetPort: 8001}, {name: http, port: 80, targetPort: 8000}]"
    text = scaled_object().replace("ports: [{port: 80, targetPort: 8000}]", ports)
    assert policy_of(conversion_of(text)).spec.traffic.port == 8000


def test_a_port_of_metrics_is_none_for_requests():
    ports = "ports: [{name: http, port: 80, targetPort: 8000}, {name: metrics, port: 81, targetPort: 9090}]"
    text = scaled_object().replace("ports: [{port: 80, targetPort: 8000}]", ports)
    parts = [part for part in text.split("---") if "kind: Ingress" not in part]
    assert policy_of(conversion_of("---".join(parts))).spec.traffic.port == 8000


def test_a_worker_of_a_queue_with_a_port_for_metrics_only_becomes_no_policy():
    kafka = 'triggers: [{type: kafka, metadata: {topic: t, lagThreshold: "50"}}]'
    text = scaled_object().replace(
        "containers: [{name: web, image: web}]", "containers: [{ports: [{name: metrics, containerPort: 9090}]}]"
    )
    parts = [part for part in text.split("---") if "kind: Service" not in part and "kind: Ingress" not in part]
    lines = [f"  {kafka}" if line.startswith("  triggers:") else line for line in "---".join(parts).splitlines()]
    with pytest.raises(DocumentError, match="has no port for requests and no Service"):
        conversion_of("\n".join(lines))


def test_what_is_empty_needs_no_decision():
    conversion = conversion_of(scaled_object(annotations=", annotations: {}, creationTimestamp: null"), route="ingress")
    assert conversion.is_strict


def test_an_idle_count_that_is_not_below_the_minimum_is_named():
    conversion = conversion_of(scaled_object("  minReplicaCount: 0\n  idleReplicaCount: 0"))
    assert policy_of(conversion).spec.algorithm.keda.idle_replica_count is None
    assert "is not below minReplicaCount" in said(conversion, Effect.NONE)


def test_annotations_of_other_programs_stay():
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    text = scaled_object(annotations=f', annotations: {{argocd.argoproj.io/sync-wave: "5", {applied}: "{{}}"}}')
    conversion = conversion_of(text, route="ingress")
    assert policy_of(conversion).metadata.annotations == {"argocd.argoproj.io/sync-wave": "5"}
    assert conversion.is_strict


def test_without_the_workload_a_service_of_its_name_is_taken():
    parts = [part for part in scaled_object().split("---") if "kind: Deployment" not in part]
    spec = policy_of(conversion_of("---".join(parts))).spec
    assert (spec.traffic.hosts, spec.traffic.port) == (("web.example.com",), 8000)
