"""A Knative Service becomes a Deployment, a Service and a policy, as the report says."""

import pytest
import yaml
from convert_kit import conversion_of, converted, objects_of, said

from autoscaler.convert.findings import Effect
from autoscaler.documents.document import DocumentError, to_yaml
from autoscaler.policy.spec import ScalingPolicy

ANNOTATIONS = "spec.template.metadata.annotations"


def ksvc(annotations=None, *, metadata=None, template=None, **spec):
    """Give a Knative Service as text."""
    containers = {"containers": [{"name": "server", "image": "server:1"}]}
    document = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "sd", **(metadata or {})},
        "spec": {
            "template": {
                "metadata": {"annotations": annotations or {}},
                "spec": {**containers, **(template or {})},
            },
            **spec,
        },
    }
    return to_yaml(document)


def scaling(**annotations):
    return {f"autoscaling.knative.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}


def spec_of(conversion):
    return objects_of(conversion)["ScalingPolicy"]["spec"]


def pod_of(conversion):
    return objects_of(conversion)["Deployment"]["spec"]["template"]["spec"]


def policy_of(conversion):
    return ScalingPolicy.model_validate(objects_of(conversion)["ScalingPolicy"])


def test_old_spellings_become_the_settings_that_knative_reads():
    found = converted("01")
    spec, pod = spec_of(found), pod_of(found)
    assert (spec["minReplicas"], spec["maxReplicas"], spec["containerConcurrency"]) == (0, 4, 1)
    assert (spec["targetUtilization"], policy_of(found).spec.target) == ("70%", 0.7)
    assert spec["algorithm"] == {"kpa": {"scaleToZeroPodRetentionPeriod": "10m"}}
    assert spec["traffic"]["requestTimeout"] == "5m"
    assert spec["traffic"]["port"] == 8080
    (container,) = pod["containers"]
    assert {"name": "PORT", "value": "8080"} in container["env"]
    assert [container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")] == [8080, 8080]
    assert pod["affinity"]["nodeAffinity"]
    assert [each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"] if "valueFrom" in each] == [
        "object-store",
        "object-store",
    ]


def test_the_report_says_what_is_odd_about_old_spellings():
    found = converted("01")
    ineffective = said(found, Effect.NONE)
    assert f"{ANNOTATIONS}.autoscaling.knative.dev/maxScale: '6': two spellings of one setting" in ineffective
    assert "ingress-class" in ineffective
    assert "rewriteAppHTTPProbers" in ineffective
    assert "70%, Knative's default. It means 2 replicas for 1 request; write 100%" in said(found, Effect.ADDED)
    assert "picture-maker.default.example.com is a guess" in said(found, Effect.CHECK)


def test_the_default_algorithm_takes_the_same_settings_by_its_own_names():
    spec = spec_of(converted("01", algorithm="concurrency"))
    assert spec["algorithm"] == {"concurrency": {}}
    assert spec["scaleDown"] == {"toZeroDelay": "10m"}
    assert spec["targetUtilization"] == "70%"


def test_a_platforms_export_loses_what_only_the_platform_understands():
    found = converted("02")
    spec, pod, objects = spec_of(found), pod_of(found), objects_of(found)
    assert (spec.get("minReplicas", 0), spec["maxReplicas"], spec["containerConcurrency"]) == (0, 7, 4)
    assert policy_of(found).spec.target == pytest.approx(2.8)
    assert spec["traffic"]["requestTimeout"] == "15m"
    assert spec["traffic"]["port"] == 11434
    assert spec["traffic"]["hosts"] == ["chat-llm-480012345678.europe-west4.example.app"]
    (container,) = pod["containers"]
    assert container["startupProbe"]["failureThreshold"] == 120
    assert container["readinessProbe"]["tcpSocket"] == {"port": 11434}
    assert container["env"][0] == {"name": "PORT", "value": "11434"}
    assert not {"nodeSelector", "serviceAccountName"} & set(pod)
    assert {each["metadata"].get("namespace") for each in objects.values()} == {None}
    written = to_yaml(list(objects.values()))
    assert "googleapis" not in written
    assert "@example.com" not in written


def test_the_report_names_the_floor_of_a_platform_and_does_not_apply_it():
    found = converted("02")
    assert "run.googleapis.com/minScale: '1': the platform's own floor" in said(found, Effect.DECIDE)
    assert "the number of a platform's project" in said(found, Effect.DECIDE)
    assert "pods would stay Pending" in said(found, Effect.NONE)
    assert "it may be a person's address" in said(found, Effect.LEFT_OUT)
    assert not found.is_strict


def test_a_service_scaled_by_load_of_the_processor_gets_the_default_algorithm_without_a_limit():
    found = converted("03")
    spec, pod = spec_of(found), pod_of(found)
    assert (spec["minReplicas"], spec["maxReplicas"], spec["containerConcurrency"]) == (1, 8, 0)
    assert spec["algorithm"] == {"concurrency": {}}
    assert policy_of(found).spec.target == 100
    assert spec["traffic"]["requestTimeout"] == "10m"
    assert spec["traffic"]["port"] == pod["containers"][0]["readinessProbe"]["httpGet"]["port"] == 9000
    assert pod["initContainers"][0]["name"] == "fetch-model"
    assert pod["containers"][1]["name"] == "log-shipper"
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert [each["name"] for each in pod["volumes"]] == ["models", "shm"]
    assert not [each for each in pod["containers"][1]["env"] if each["name"] == "PORT"]


def test_the_report_says_that_load_of_the_processor_is_not_measured_and_proposes_a_limit():
    found = converted("03")
    decide, ineffective = said(found, Effect.DECIDE), said(found, Effect.NONE)
    assert "cpu is not measured here, so the same decisions cannot be had" in decide
    assert "consider containerConcurrency: 1" in decide
    assert f"{ANNOTATIONS}.autoscaling.knative.dev/window: 2m" in ineffective
    assert "there is no queue-proxy" in ineffective
    assert not found.is_strict


def test_a_template_that_nobody_rendered_is_refused_with_each_line():
    with pytest.raises(DocumentError) as refused:
        converted("04")
    problems = refused.value.problems
    unrendered = [each for each in problems if "is not rendered; render it first" in each]
    assert [each.split(":")[1] for each in unrendered] == [
        *("6", "7", "9", "10", "17", "18", "19", "28", "29", "35", "38")
    ]
    besides = [each for each in problems if each not in unrendered]
    assert "in.yaml:20:" in besides[0]
    assert "the nearest is scale-to-zero-pod-retention-period" in besides[0]
    assert "metric: rps: a rate has no equal" in besides[1]
    assert len(besides) == 2


def test_a_canary_and_its_domains_become_one_service_with_all_hosts():
    found = converted("05")
    spec = spec_of(found)
    assert (spec["minReplicas"], spec["maxReplicas"], spec["containerConcurrency"]) == (1, 12, 2)
    assert policy_of(found).spec.target == pytest.approx(1.6)
    assert spec["algorithm"] == {"kpa": {"activationScale": 2, "scaleDownDelay": "5m"}}
    traffic = spec["traffic"]
    assert (traffic["requestTimeout"], traffic["timeouts"]) == ("4m", {"responseStart": "3m", "streamIdle": "1m"})
    assert traffic["port"] == 8888
    assert traffic["hosts"] == ["upscaler.media.example.com", "upscale.example.org", "hd.example.net"]


def test_the_report_says_that_all_requests_would_go_to_the_template():
    found = converted("05")
    assert "90 % of the requests go to upscaler-v7, whose template is not in the file" in said(found, Effect.DECIDE)
    ineffective = said(found, Effect.NONE)
    for tag in ("stable", "candidate", "latest"):
        assert f"the host of the tag, {tag}-upscaler" in ineffective
    assert "spec.tls: TLS ends in front of the gateway" in ineffective
    assert "rollout-duration" in ineffective
    assert "spec.minReplicas: 1; it never goes to zero" in said(found, Effect.MAPPED)
    assert not found.is_strict


def test_the_reference_service_keeps_its_class_its_cookie_and_its_gpus():
    found = converted("reference-service")
    objects, spec = objects_of(found), spec_of(found)
    assert spec == {
        "scaleTargetRef": {"name": "knative-sd-demo"},
        "maxReplicas": 10,
        "containerConcurrency": 1,
        "targetUtilization": "100%",
        "algorithm": {"mpa": {}},
        "traffic": {
            "hosts": ["knative-sd-demo.default.example.com"],
            "port": 7860,
            "requestTimeout": "5m",
            "affinity": {"cookie": {"name": "sd", "timeout": "30m"}},
        },
    }
    template = objects["Deployment"]["spec"]["template"]
    kinds = "ecs.gn5-c4g1.xlarge,ecs.gn5i-c8g1.2xlarge,ecs.gn5-c8g1.2xlarge"
    assert template["metadata"]["annotations"] == {"k8s.aliyun.com/eci-use-specs": kinds}
    assert "--nodes ours writes 3 pools" in said(found, Effect.KEPT)
    assert template["spec"]["containers"][0]["readinessProbe"] == {
        "tcpSocket": {"port": 7860},
        "initialDelaySeconds": 5,
        "periodSeconds": 1,
        "failureThreshold": 3,
    }


def test_where_we_choose_the_nodes_the_gpu_kinds_become_pools_in_their_order():
    found = converted("reference-service", nodes="ours")
    assert spec_of(found)["pools"] == [
        {"name": "gn5-c4g1-xlarge", "instanceTypes": ["ecs.gn5-c4g1.xlarge"]},
        {"name": "gn5i-c8g1-2xlarge", "instanceTypes": ["ecs.gn5i-c8g1.2xlarge"]},
        {"name": "gn5-c8g1-2xlarge", "instanceTypes": ["ecs.gn5-c8g1.2xlarge"]},
    ]
    assert [pool.name for pool in policy_of(found).spec.pools] == [each["name"] for each in spec_of(found)["pools"]]
    assert "annotations" not in objects_of(found)["Deployment"]["spec"]["template"]["metadata"]
    assert "eci-use-specs" in said(found, Effect.MAPPED)


def test_a_size_that_is_no_kind_of_a_gpu_is_left_to_decide():
    found = conversion_of(ksvc({"k8s.aliyun.com/eci-use-specs": "ecs.gn5-c4g1.xlarge,2-4Gi"}), nodes="ours")
    assert [each["name"] for each in spec_of(found)["pools"]] == ["gn5-c4g1-xlarge"]
    assert "2-4Gi is no type of an instance" in said(found, Effect.DECIDE)


@pytest.mark.parametrize("name", ["01", "02", "03", "05", "reference-service"])
def test_pods_have_what_knative_gave_them_unasked(name):
    found = converted(name)
    objects, pod = objects_of(found), pod_of(found)
    service = objects["ScalingPolicy"]["metadata"]["name"]
    serving = next(each for each in pod["containers"] if {"ports"} <= set(each))
    variables = {each["name"]: each.get("value") for each in serving["env"]}
    assert variables["PORT"] == str(objects["ScalingPolicy"]["spec"]["traffic"]["port"])
    assert (variables["K_SERVICE"], variables["K_CONFIGURATION"]) == (service, service)
    assert variables["K_REVISION"].startswith(service)
    assert serving["readinessProbe"]
    assert pod["enableServiceLinks"] is False
    assert "replicas" not in objects["Deployment"]["spec"]
    timeout_s = policy_of(found).spec.traffic.request_timeout
    assert pod["terminationGracePeriodSeconds"] >= timeout_s


def test_without_a_maximum_ten_are_written_and_the_report_says_so_first():
    found = conversion_of(ksvc())
    assert spec_of(found)["maxReplicas"] == 10
    assert "the input says no maximum: maxReplicas: 10 is written" in said(found).splitlines()[0]
    assert not found.is_strict


def test_a_maximum_can_be_given_for_a_service_that_has_none():
    found = conversion_of(ksvc(scaling(max_scale="0")), max_replicas=25)
    assert spec_of(found)["maxReplicas"] == 25
    assert "the input says no maximum" not in said(found, Effect.DECIDE)


def test_a_maximum_of_the_input_wins_and_the_report_says_so():
    found = conversion_of(ksvc(scaling(max_scale="3")), max_replicas=25)
    assert spec_of(found)["maxReplicas"] == 3
    assert "maxReplicas: 3; --max is for a service without a maximum" in said(found, Effect.MAPPED)
    assert "--max" not in said(conversion_of(ksvc(scaling(max_scale="3")), max_replicas=3))


def test_a_service_that_knative_states_fully_leaves_nothing_to_decide():
    text = ksvc(scaling(max_scale="3", target_utilization_percentage="100"))
    with_status = yaml.safe_load(text) | {"status": {"url": "https://sd.example.org"}}
    found = conversion_of(to_yaml(with_status))
    assert found.is_strict
    assert spec_of(found)["traffic"]["hosts"] == ["sd.example.org"]


def test_a_target_that_is_no_limit_never_becomes_one():
    spec = spec_of(conversion_of(ksvc(scaling(target="150"))))
    assert (spec["containerConcurrency"], spec["targetPerReplica"]) == (0, 150)
    below = spec_of(conversion_of(ksvc(scaling(target="3.5"), template={"containerConcurrency": 4})))
    assert (below["containerConcurrency"], below["targetPerReplica"]) == (4, 3.5)
    above = spec_of(conversion_of(ksvc(scaling(target="9"), template={"containerConcurrency": 4})))
    assert (above["containerConcurrency"], above.get("targetPerReplica")) == (4, None)


def test_a_service_inside_of_the_cluster_gets_its_names_there():
    label = {"networking.knative.dev/visibility": "cluster-local"}
    found = conversion_of(ksvc(metadata={"namespace": "team", "labels": label}))
    assert spec_of(found)["traffic"]["hosts"] == ["sd.team", "sd.team.svc", "sd.team.svc.cluster.local"]
    assert "guess" not in said(found)
    (service,) = found.services
    assert not [step for step in service.hand_over if "DNS" in step]
    assert "create service externalname sd --namespace team" in service.hand_over[-1]
    assert "add " not in service.hand_over[-1]


def test_the_config_map_replaces_knatives_defaults():
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "config-autoscaler", "namespace": "knative-serving"},
        "data": {
            "container-concurrency-target-percentage": "0.9",
            "container-concurrency-target-default": "40",
            "stable-window": "2m",
            "max-scale": "6",
            "activator-capacity": "50",
        },
    }
    found = conversion_of(ksvc(scaling(window="30s")) + "---\n" + to_yaml(config))
    spec = spec_of(found)
    assert (spec["targetUtilization"], spec["targetPerReplica"], spec["maxReplicas"]) == ("90%", 40, 6)
    assert spec["algorithm"] == {"kpa": {"window": "30s"}}
    assert "activator-capacity: '50': a service's slots are given in one place" in said(found, Effect.NONE)
    assert said(found, Effect.LEFT_OUT).count("an annotation of the service replaces it") == 1  # the window
    assert found.unused == ()


def test_all_that_knative_refuses_is_named_at_once_with_file_and_line():
    text = ksvc(scaling(window="5s", min_scale="4", max_scale="2", target="x"), template={"containers": []})
    with pytest.raises(DocumentError) as refused:
        conversion_of(text)
    problems = "\n".join(refused.value.problems)
    assert "in.yaml:9: spec.template.metadata.annotations.autoscaling.knative.dev/window: 5s: must be" in problems
    for part in ("min-scale: '4': must be at most 2", "target: x: must be", "has no containers"):
        assert part in problems


def test_a_name_that_knative_never_had_is_named_with_the_nearest():
    for wrong, right in (("minscale", "min-scale"), ("targetUtilization", "target-utilization-percentage")):
        found = conversion_of(ksvc({f"autoscaling.knative.dev/{wrong}": "1"}))
        assert f"Knative has no such setting; the nearest is {right}" in said(found, Effect.NONE)


def test_a_scale_that_only_an_unlimited_service_may_have_is_legal_here_too():
    text = ksvc(scaling(activation_scale="20", min_scale="12"))
    options = policy_of(conversion_of(text, max_replicas=50)).spec.kpa_options()
    assert (options.min_scale, options.activation_scale) == (12, 20)
    assert spec_of(conversion_of(text))["maxReplicas"] == 12


def test_several_services_come_out_one_by_one():
    text = ksvc(metadata={"name": "a"}) + "---\n" + ksvc(metadata={"name": "b", "namespace": "team"})
    assert [each.service for each in conversion_of(text).services] == ["default/a", "team/b"]


def test_an_inference_service_of_kserve_is_refused_with_the_command_that_helps():
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "llama", "namespace": "ml"},
        "spec": {"predictor": {"model": {}}, "transformer": {}},
    }
    with pytest.raises(DocumentError) as refused:
        conversion_of(to_yaml(document))
    (problem,) = refused.value.problems
    for part in ("predictor", "transformer"):
        assert f"kubectl get ksvc llama-{part} --namespace ml --output yaml | autoscaler convert -f -" in problem


def test_a_service_that_kserve_made_ends_with_what_made_it():
    owners = [{"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "llama"}]
    (service,) = conversion_of(ksvc(metadata={"namespace": "ml", "ownerReferences": owners})).services
    assert "kubectl delete inferenceservice llama --namespace ml" in service.hand_over[3]
    (alone,) = conversion_of(ksvc()).services
    assert alone.hand_over[-1].endswith(
        "add sd.default, sd.default.svc, sd.default.svc.cluster.local to spec.traffic.hosts"
    )
    assert "kubectl delete ksvc sd." in alone.hand_over[3]


def test_an_octal_number_is_what_kubectl_reads():
    volume = "      volumes:\n      - name: cfg\n        configMap: {name: cfg, defaultMode: 0644}\n"
    found = conversion_of(ksvc() + volume)
    assert pod_of(found)["volumes"] == [{"name": "cfg", "configMap": {"name": "cfg", "defaultMode": 0o644}}]
    assert "the octal number, as kubectl reads it" in said(found, Effect.MAPPED)
    with pytest.raises(DocumentError, match="0980 is octal to kubectl"):
        conversion_of(ksvc() + volume.replace("0644", "0980"))


def test_a_template_of_the_program_itself_is_none_of_a_chart():
    container = {
        "name": "server",
        "image": "server:1",
        "command": ["sh", "-c", "exec server --home ${HOME}"],
        "args": ["--chat-template", "{% for m in messages %}{{ m.content }}{% endfor %}"],
    }
    found = conversion_of(ksvc(template={"containers": [container]}))
    assert pod_of(found)["containers"][0]["args"] == container["args"]
    of_helm = container | {"args": ["--model", "{{ .Values.model }}"]}
    with pytest.raises(DocumentError, match="is not rendered"):
        conversion_of(ksvc(template={"containers": [of_helm]}))


def test_a_class_of_others_gets_the_default_algorithm_and_no_minimum_of_the_hpa():
    annotations = scaling(**{"class": "custom.example.com"}, metric="tokens", target="30", max_scale="3")
    deadline = {"serving.knative.dev/progress-deadline": "20m"}
    found = conversion_of(ksvc(annotations | deadline))
    assert spec_of(found)["algorithm"] == {"concurrency": {}}
    assert spec_of(found).get("minReplicas", 0) == 0
    assert "the class is not Knative's own" in said(found, Effect.DECIDE)
    assert "metric: tokens: only that class uses it" in said(found, Effect.NONE)
    assert objects_of(found)["Deployment"]["spec"]["progressDeadlineSeconds"] == 1200
    assert "to the Deployment's progressDeadlineSeconds" in said(found, Effect.MAPPED)


def test_a_service_without_a_name_is_refused():
    with pytest.raises(DocumentError, match=r"in.yaml:\d+: metadata.name: is required"):
        conversion_of(ksvc().replace("  name: sd\n", "  labels: {}\n", 1))
