"""A HorizontalPodAutoscaler becomes a policy that decides as before, if its metric counts requests in flight."""

import json

import pytest
import yaml
from convert_kit import DATA, conversion_of, converted, objects_of, said

from autoscaler.convert.findings import Effect
from autoscaler.convert.hpa_metrics import number_of
from autoscaler.documents.document import DocumentError
from autoscaler.policy.spec import ScalingPolicy

WORKLOAD = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 600
      containers: [{name: web, image: web, args: [--max-num-seqs=64], ports: [{containerPort: 8000}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8000}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  rules:
  - host: web.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"""


def external(name="requests_in_flight", **target):
    target = target or {"type": "AverageValue", "averageValue": "12"}
    return {"type": "External", "external": {"metric": {"name": name}, "target": target}}


def hpa(*, version="v2", metadata=(), **spec):
    document = {
        "apiVersion": f"autoscaling/{version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop", **dict(metadata)},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 8,
            **({"metrics": [external()]} if version == "v2" else {}),
            **spec,
        },
    }
    return yaml.safe_dump(document)


def services_of(conversion):
    """Give the conversions by the names of their policies, and the policies."""
    return {each.service.partition("/")[2]: each for each in conversion.services}


def policy_of(service) -> ScalingPolicy:
    return ScalingPolicy.model_validate(next(each for each in service.objects if each["kind"] == "ScalingPolicy"))


def only_policy(text, **options):
    return ScalingPolicy.model_validate(objects_of(conversion_of(text, **options))["ScalingPolicy"])


def findings(service, *effects):
    return "\n".join(str(each) for each in service.findings if each.effect in effects)


# The list that kubectl prints.


def test_each_hpa_of_a_list_becomes_a_policy_without_what_the_server_wrote():
    conversion = converted("11")
    assert list(services_of(conversion)) == ["gemma", "embedder"]
    for service in conversion.services:
        assert [each["kind"] for each in service.objects] == ["ScalingPolicy"]
        assert policy_of(service).metadata.annotations == {}
        assert "hosts and port are unknown" in findings(service, Effect.DECIDE)


def test_running_requests_are_a_metric_whose_target_and_behavior_stay():
    service = services_of(converted("11"))["gemma"]
    spec = policy_of(service).spec
    assert (spec.min_replicas, spec.max_replicas) == (1, 5)
    assert (spec.container_concurrency, spec.target_per_replica, spec.target) == (0, 10, 10)
    (given,) = (
        item["spec"]["behavior"]
        for document in yaml.safe_load_all((DATA / "11-hpa-v2-get-list.yaml").read_text())
        for item in document["items"]
        if item["metadata"]["name"] == "gemma"
    )
    assert service.objects[0]["spec"]["algorithm"] == {"hpa": {"behavior": given}}
    told = findings(service, Effect.MAPPED)
    assert "prometheus.googleapis.com|vllm:num_requests_running|gauge counts running requests only" in told
    assert "here waiting ones count too" in told


def test_the_load_of_a_gpu_is_no_target_and_the_number_is_asked_for():
    service = services_of(converted("11"))["embedder"]
    spec = policy_of(service).spec
    assert (spec.min_replicas, spec.max_replicas, spec.container_concurrency) == (1, 3, 0)
    assert (spec.target_per_replica, spec.algorithm.name) == (None, "concurrency")
    assert "averageValue: '80': this is no number of requests in flight" in findings(service, Effect.DECIDE)
    assert "dcgm_fi_dev_gpu_util|unknown is the load of a machine" in findings(service, Effect.NONE)
    assert not converted("11").is_strict


# Three generations.


def test_each_generation_of_its_api_is_read():
    services = services_of(converted("12"))
    bounds = {name: policy_of(each).spec.replica_range(0.0) for name, each in services.items()}
    assert bounds == {"tgi": (1, 5), "tei": (2, 4), "vllm-multihost": (1, 2)}
    assert {policy_of(each).spec.algorithm.name for each in services.values()} == {"concurrency"}
    assert all(policy_of(each).spec.scale_down.delay == 300 for each in services.values())


def test_v1_has_one_field_and_the_metrics_of_its_annotation():
    service = services_of(converted("12"))["tgi"]
    told = findings(service, Effect.NONE)
    assert "targetCPUUtilizationPercentage: 80: cpu of the pods is not measured here" in told
    assert "the metric tgi_queue_size counts waiting requests only" in told
    assert "it was in force too" in told
    assert "spec.minReplicas: 1, the HPA's default" in findings(service, Effect.ADDED)
    deployment = service.objects[0]
    assert (deployment["kind"], "replicas" in deployment["spec"]) == ("Deployment", False)
    assert "spec.replicas: 2" in findings(service, Effect.LEFT_OUT)


def test_processors_and_memory_are_not_measured():
    services = services_of(converted("12"))
    told = findings(services["tei"], Effect.NONE)
    assert "cpu of the pods is not measured here" in told
    assert "memory of the pods is not measured here" in told
    assert "cpu of the container leader is not measured here" in findings(services["vllm-multihost"], Effect.NONE)


def test_a_leader_worker_set_needs_rights_and_would_shrink_where_the_hpa_did_not():
    service = services_of(converted("12"))["vllm-multihost"]
    ref = policy_of(service).spec.scale_target_ref
    assert (ref.api_version, ref.kind) == ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
    told = findings(service, Effect.DECIDE)
    assert "rights for a LeaderWorkerSet are needed" in told
    assert "selectPolicy: Disabled: replicas will fall with the default algorithm" in told


# What it decides by.


def test_a_metric_of_requests_in_flight_needs_no_decision():
    conversion = conversion_of(hpa(minReplicas=2) + WORKLOAD, route="ingress")
    spec = ScalingPolicy.model_validate(objects_of(conversion)["ScalingPolicy"]).spec
    assert (spec.min_replicas, spec.max_replicas, spec.target_per_replica) == (2, 8, 12)
    assert spec.algorithm.hpa.behavior is None
    assert (spec.traffic.hosts, spec.traffic.port) == (("web.example.com",), 8000)
    assert said(conversion, Effect.DECIDE) == said(conversion, Effect.NONE) == ""
    assert conversion.is_strict


def test_a_minimum_of_zero_is_legal_since_kubernetes_1_37():
    spec = only_policy(hpa(minReplicas=0)).spec
    assert (spec.min_replicas, spec.algorithm.hpa.kubernetes) == (0, "1.37")
    assert only_policy(hpa()).spec.algorithm.hpa.kubernetes == "1.36"


def test_the_default_algorithm_gets_the_delay_that_the_hpa_has_by_default():
    spec = only_policy(hpa(), algorithm="concurrency").spec
    assert (spec.algorithm.name, spec.target_per_replica, spec.scale_down.delay) == ("concurrency", 12, 300)
    down = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    assert only_policy(hpa(behavior=down), algorithm="concurrency").spec.scale_down.delay == 60


def test_of_several_metrics_the_one_that_counts_requests_decides_and_the_others_are_named():
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
    conversion = conversion_of(hpa(metrics=[cpu, external()]))
    assert only_policy(hpa(metrics=[cpu, external()])).spec.target_per_replica == 12
    told = said(conversion, Effect.NONE)
    assert (
        "spec.metrics[0]: cpu of the pods is not measured here. The HPA followed the metric that asked for most" in told
    )


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        ([external(type="Value", value="100")], "has a target for all replicas together"),
        ([external("requests_waiting")], "counts waiting requests only"),
        ([external("http_requests_per_second")], "is a rate and no count"),
        ([external(), external("active_requests")], "the metric active_requests counts requests in flight"),
        ([], "this is no number of requests in flight for each replica"),
    ],
    ids=["value", "waiting", "rate", "two", "none"],
)
def test_no_number_is_guessed(metrics, why):
    conversion = conversion_of(hpa(metrics=metrics) + WORKLOAD)
    spec = ScalingPolicy.model_validate(objects_of(conversion)["ScalingPolicy"]).spec
    assert (spec.container_concurrency, spec.target_per_replica, spec.algorithm.name) == (0, None, "concurrency")
    assert why in said(conversion)
    assert "the server takes 64 at a time by its --max-num-seqs" in said(conversion, Effect.DECIDE)
    assert not conversion.is_strict


@pytest.mark.parametrize("version", ["v1", "v2beta1", "v2beta2"])
def test_older_versions_say_the_same_in_their_own_way(version):
    metric = {"type": "External", "external": {"metricName": "requests_in_flight", "targetAverageValue": "12"}}
    behavior = {
        "scaleDown": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}
    }
    capitals = {
        "ScaleDown": {
            "StabilizationWindowSeconds": 60,
            "SelectPolicy": None,
            "Policies": [{"Type": "Pods", "Value": 1, "PeriodSeconds": 15}],
        }
    }
    prefix = "autoscaling.alpha.kubernetes.io"
    annotations = {
        f"{prefix}/metrics": json.dumps([metric]),
        f"{prefix}/behavior": json.dumps(capitals),
        f"{prefix}/conditions": "[]",
        f"{prefix}/current-metrics": "[]",
    }
    text = {
        "v1": lambda: hpa(version="v1", metadata={"annotations": annotations}),
        "v2beta1": lambda: hpa(version="v2beta1", metrics=[metric]),
        "v2beta2": lambda: hpa(version="v2beta2", metrics=[external()], behavior=behavior),
    }[version]()
    policy = objects_of(conversion_of(text))["ScalingPolicy"]
    assert policy["spec"]["targetPerReplica"] == 12
    assert policy["spec"]["algorithm"] == {"hpa": {} if version == "v2beta1" else {"behavior": behavior}}
    assert said(conversion_of(text), Effect.NONE) == ""


def test_of_annotations_only_the_query_of_a_metrics_adapter_is_without_effect():
    annotations = {
        "meta.helm.sh/release-name": "web",
        "metric-config.external.in-flight.prometheus/query": "sum(requests_in_flight)",
    }
    conversion = conversion_of(hpa(metadata={"annotations": annotations}))
    assert "meta.helm.sh/release-name: web" in said(conversion, Effect.LEFT_OUT)
    assert "prometheus/query: sum(requests_in_flight): a metrics adapter reads it" in said(conversion, Effect.NONE)


def test_a_deployment_of_a_version_that_is_gone_is_named_as_today():
    ref = {"apiVersion": "extensions/v1beta1", "kind": "Deployment", "name": "web"}
    conversion = conversion_of(hpa(scaleTargetRef=ref) + WORKLOAD)
    assert objects_of(conversion)["ScalingPolicy"]["spec"]["scaleTargetRef"]["apiVersion"] == "apps/v1"
    assert "Deployment" in objects_of(conversion)
    assert "Kubernetes has no extensions/v1beta1 since 1.16" in said(conversion)


# How to hand over.


def test_without_a_service_the_hosts_are_the_names_that_one_of_the_workload_has():
    workload, _, _ = WORKLOAD.partition("---\napiVersion: v1\n")
    conversion = conversion_of(hpa(metadata={"name": "web-scaler"}.items()) + workload)
    spec = ScalingPolicy.model_validate(objects_of(conversion)["ScalingPolicy"]).spec
    assert spec.traffic.hosts == ("web.shop", "web.shop.svc", "web.shop.svc.cluster.local")
    assert "the input has no Service. The names that a Service web has are written" in said(conversion, Effect.DECIDE)


def test_the_policy_writes_nothing_before_the_hpa_is_gone():
    conversion = conversion_of(hpa(metadata={"name": "web-hpa"}) + WORKLOAD)
    (service,) = conversion.services
    assert policy_of(service).spec.mode == "DryRun"
    words = ("edit-last-applied deployment/web", "kubectl apply -f", "kubectl delete hpa web-hpa -n shop", '"Active"')
    steps = [next(place for place, step in enumerate(service.hand_over) if word in step) for word in words]
    assert steps == sorted(steps)


# What is refused.


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (hpa(version="v3"), "apiVersion: autoscaling/v3: must be autoscaling/v2, autoscaling/v1,"),
        (hpa(maxReplicas=None), "spec.maxReplicas: null: is required"),
        (hpa(minReplicas="2"), "spec.minReplicas: '2': must be a whole number"),
        (hpa(metrics={"type": "External"}), "spec.metrics: must be a list"),
        (hpa(metrics=["cpu"]), "spec.metrics[0]: cpu: must be a metric with a type of Pods, External,"),
        (hpa(metrics=[{"type": "Queue"}]), "spec.metrics[0]: must be a metric with a type of"),
        (hpa(metrics=[external(averageValue="ten")]), "averageValue: ten: must be a quantity such as 10 or 500m"),
        (hpa(metadata={"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "["}}), "must be JSON"),
        (
            hpa(metadata={"ownerReferences": [{"kind": "ScaledObject", "name": "web"}]}),
            "kubectl get scaledobject web -o yaml | autoscaler convert -f -",
        ),
        (hpa(metadata={"ownerReferences": [{"kind": "PodAutoscaler", "name": "web"}]}), "convert the Knative Service"),
        (hpa(minReplicas=9), "minReplicas: 9: must be at most maxReplicas, which is 8 (the policy of shop/web)"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_line_and_key(text, problem):
    with pytest.raises(DocumentError) as refused:
        conversion_of(text)
    (said_,) = refused.value.problems
    assert said_.startswith("in.yaml:")
    assert problem in said_


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("10", 10), (10, 10), ("500m", 0.5), ("1k", 1000), ("1.5", 1.5), ("2e3", 2000), ("12Gi", 12 * 2**30)),
        *(("1u", 1e-6), (0.5, 0.5), (".5", 0.5), ("-1", None), ("1x", None), (None, None), (True, None), ("", None)),
    ],
)
def test_a_quantity_is_read_as_kubernetes_does(text, number):
    assert number_of(text) == number
