"""What `kubectl apply -k` installs, on a real API server."""

import argparse
import dataclasses
import os
import subprocess
import time
from http import HTTPStatus
from importlib.metadata import entry_points
from ipaddress import ip_address, ip_network
from pathlib import Path

import image
import pytest
import yaml
from control_plane import RefusedError
from kubectl import apply, kubectl, objects

from autoscaler.commands import gateway
from autoscaler.gateway.lifecycle import ShutdownTimeouts
from autoscaler.policy.loading import read_policies

pytestmark = [pytest.mark.program, pytest.mark.real_time]

MANIFESTS = Path(__file__).parents[2] / "manifests"
BASE = MANIFESTS / "base"
EXAMPLES = MANIFESTS / "examples"
OVERLAYS = [MANIFESTS / "overlays" / name for name in ("local", "namespaced")]
POD_COST = "controller.kubernetes.io/pod-deletion-cost"
OWN = "inflight-system"
IN_THE_CLUSTER_AS_A_WHOLE = {
    *("Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    "PriorityClass",
}
METADATA_SERVICES = ("169.254.169.254", "100.100.100.200", "fd00:ec2::254")
"""Of clouds: they give a node's credentials to whoever asks from it."""


@pytest.fixture(scope="module")
def installed(control_plane):
    """What the first lines of the install page do, and the controller's account as kubectl's."""
    apply(control_plane, MANIFESTS)
    kubectl(control_plane, "wait", "--for=condition=Established", "crd/scalingpolicies.inflight.dev", "--timeout=20s")
    control_plane.wait(f"/api/v1/namespaces/{OWN}/serviceaccounts", lambda found: "inflight-controller" in found)
    account = control_plane.service_account(OWN, "inflight-controller")
    _until_it_is_in_force(as_account(control_plane, account), control_plane)
    return account


def _until_it_is_in_force(account, control_plane):
    """The API server takes up a new admission policy within some seconds, and tells nobody when it has."""
    name = next(iter(control_plane.wait(f"/api/v1/namespaces/{OWN}/pods", bool)))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            account.patch(f"/api/v1/namespaces/{OWN}/pods/{name}?dryRun=All", {"metadata": {"labels": {"a": "b"}}})
        except RefusedError as error:
            assert "labels, finalizers or owners" in str(error)  # noqa: PT017 - raised by what is waited for
            return
    raise TimeoutError("the admission policy is not in force")


def test_all_of_it_can_be_applied_twice(control_plane, installed):
    apply(control_plane, MANIFESTS)


def test_it_has_no_policy_in_it_because_kubectl_could_not_apply_one(control_plane):
    assert "ScalingPolicy" not in {each["kind"] for each in objects(control_plane, MANIFESTS)}


def test_controller_and_gateway_become_as_many_pods_as_they_should(control_plane, installed):
    def names(pods):
        """Of all but those that a replaced Deployment leaves behind."""
        staying = [pod["metadata"] for pod in pods.values() if "deletionTimestamp" not in pod["metadata"]]
        return sorted(each["labels"]["app.kubernetes.io/name"] for each in staying)

    wanted = ["inflight-controller"] * 2 + ["inflight-gateway"] * 3
    found = control_plane.wait(f"/api/v1/namespaces/{OWN}/pods", lambda pods: names(pods) == wanted)
    assert names(found) == wanted


def test_no_pod_of_ours_could_do_more_than_it_must(control_plane):
    for each in objects(control_plane, MANIFESTS):
        if each["kind"] != "Deployment":
            continue
        spec = each["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["priorityClassName"] == "inflight"
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert {"memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()
        assert container["readinessProbe"]
        assert container["livenessProbe"]


@pytest.mark.parametrize("folder", [MANIFESTS, *OVERLAYS], ids=lambda folder: folder.name)
def test_every_deployment_starts_a_command_with_options_that_it_has(control_plane, folder):
    for each in objects(control_plane, folder):
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            name, *options = container["args"]
            (entry,) = entry_points(group="autoscaler.commands", name=name)
            parser = argparse.ArgumentParser()
            entry.load().add_arguments(parser)
            assert parser.parse_args(options)


@pytest.mark.parametrize(
    "installed_by", [MANIFESTS, MANIFESTS / "overlays" / "namespaced"], ids=["whole", "namespaced"]
)
def test_with_secrets_each_option_names_a_file_that_is_mounted(control_plane, tmp_path, installed_by):
    own = {
        "resources": [os.path.relpath(installed_by, tmp_path)],
        "components": [os.path.relpath(MANIFESTS / "components" / "secrets", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    found = {}
    for each in objects(control_plane, tmp_path):
        if each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            (container,) = spec["containers"]
            volumes = {volume["name"] for volume in spec["volumes"]}
            mounted = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in volumes}
            options = [option.partition("=") for option in container["args"] if "/etc/" in option]
            found[each["metadata"]["name"]] = {name for name, _, _ in options}
            assert all(os.path.dirname(path) in mounted for _, _, path in options)  # noqa: PTH120 - of a container
    assert found["inflight-controller"] >= {"--token-file"}
    assert found["inflight-gateway"] >= {"--token-file", "--cookie-key"}


def test_the_gateway_may_take_as_long_to_go_as_a_request_may(control_plane):
    (deployment,) = [each for each in objects(control_plane, BASE / "gateway") if each["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    parser = argparse.ArgumentParser()
    gateway.add_arguments(parser)
    shutdown = ShutdownTimeouts(grace_s=parser.parse_args(container["args"][1:]).grace)
    (minimal,) = read_policies([EXAMPLES / "minimal.yaml"])
    assert minimal.spec.traffic.request_timeout < shutdown.grace_s
    assert sum(shutdown) < spec["terminationGracePeriodSeconds"]


def test_gateways_are_replaced_one_by_one_and_leave_nodes_one_by_one(control_plane):
    found = {each["kind"]: each for each in objects(control_plane, BASE / "gateway")}
    spec = found["Deployment"]["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1 < spec["replicas"]
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert spread["labelSelector"] == spec["selector"]


def test_only_gateways_reach_the_port_of_their_peers(control_plane):
    (policy,) = [each for each in objects(control_plane, BASE / "gateway") if each["kind"] == "NetworkPolicy"]
    for_peers = [rule for rule in policy["spec"]["ingress"] if {"port": "peer"} in rule["ports"]]
    assert for_peers == [{"from": [{"podSelector": policy["spec"]["podSelector"]}], "ports": [{"port": "peer"}]}]


def test_an_hpa_of_the_gateways_can_be_added_and_owns_their_number(control_plane, installed, tmp_path):
    own = {
        "resources": [os.path.relpath(MANIFESTS, tmp_path)],
        "components": [os.path.relpath(MANIFESTS / "components" / "gateway-hpa", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects(control_plane, tmp_path)}
    deployment = found["Deployment", "inflight-gateway"]
    hpa = found["HorizontalPodAutoscaler", "inflight-gateway"]
    assert "replicas" not in deployment["spec"]
    assert hpa["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert hpa["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    stored = control_plane.create(f"/apis/autoscaling/v2/namespaces/{OWN}/horizontalpodautoscalers?dryRun=All", hpa)
    assert stored["spec"]["minReplicas"] == 3
    assert stored["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_on_ones_own_machine_one_of_each_and_a_port_of_the_node_are_installed(control_plane, installed):
    """What the overlay leaves out stays from the installation before, which is put back."""
    try:
        apply(control_plane, MANIFESTS / "overlays" / "local")
        for name in ("inflight-controller", "inflight-gateway"):
            deployment = control_plane.get(f"/apis/apps/v1/namespaces/{OWN}/deployments/{name}")
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            assert deployment["spec"]["replicas"] == 1
            assert (container["image"], container["imagePullPolicy"]) == (image.NAME, "Never")
        service = control_plane.get(f"/api/v1/namespaces/{OWN}/services/inflight-gateway")
        assert service["spec"]["ports"][0]["nodePort"] == 30080
    finally:
        apply(control_plane, MANIFESTS)


def test_one_namespace_needs_nothing_of_the_cluster_as_a_whole(control_plane):
    found = objects(control_plane, MANIFESTS / "overlays" / "namespaced")
    assert not {each["kind"] for each in found} & IN_THE_CLUSTER_AS_A_WHOLE
    assert {each["metadata"].get("namespace") for each in found} == {"default"}


def test_one_namespace_gets_its_policies_from_a_file_that_is_legal(control_plane):
    (policy,) = read_policies([MANIFESTS / "overlays" / "namespaced" / "policies.yaml"])
    (mounted,) = [
        each for each in objects(control_plane, MANIFESTS / "overlays" / "namespaced") if each["kind"] == "ConfigMap"
    ]
    assert yaml.safe_load(mounted["data"]["policies.yaml"])["metadata"]["name"] == policy.metadata.name


def test_one_namespace_grants_what_the_whole_cluster_does_but_for_the_resources_it_has_not(control_plane):
    def granted(folder, kind, name):
        (role,) = [
            each
            for each in objects(control_plane, folder)
            if each["kind"] == kind and each["metadata"]["name"] == f"inflight-{name}"
        ]
        return {
            (group, resource, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    for name in ("controller", "gateway"):
        whole = granted(MANIFESTS, "ClusterRole", name)
        one = granted(MANIFESTS / "overlays" / "namespaced", "Role", name)
        # Policies of one file need no leave of namespaces, and have no status.
        of_the_whole = {grant for grant in whole if grant[0] in {"inflight.dev", "events.k8s.io"}} | {
            ("", "namespaces", "list"),
            ("", "namespaces", "watch"),
        }
        assert whole - of_the_whole == one


def test_an_operated_prometheus_is_told_by_a_component(other_kinds, installed, tmp_path):
    own = {
        "resources": [os.path.relpath(MANIFESTS, tmp_path)],
        "components": [os.path.relpath(MANIFESTS / "components" / "prometheus-operator", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    apply(other_kinds, tmp_path)
    path = f"/apis/monitoring.coreos.com/v1/namespaces/{OWN}/podmonitors/inflight"
    assert other_kinds.get(path)["spec"]["podMetricsEndpoints"][0]["honorLabels"] is True


def test_prometheus_understands_the_scrape_config(promtool_binary, tmp_path):
    config = yaml.safe_load((BASE / "prometheus" / "scrape.yaml").read_text())
    (job,) = config["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": [OWN]}}]
    job["static_configs"] = [{"targets": ["a:1"]}]  # Debian's build of Prometheus knows no Kubernetes
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    checked = subprocess.run([promtool_binary, "check", "config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_reference_service_can_be_applied_and_gets_a_gpu_for_each_replica(control_plane, installed):
    apply(control_plane, EXAMPLES / "stable-diffusion")
    try:
        pods = control_plane.wait("/api/v1/namespaces/default/pods", lambda pods: pods, selector="app=knative-sd-demo")
        (container,) = next(iter(pods.values()))["spec"]["containers"]
        assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
        assert container["image"].partition("@")[2].startswith("sha256:")
        (row,) = kubectl(control_plane, "get", "spol", "knative-sd-demo", "--no-headers").splitlines()
        assert row.split()[0] == "knative-sd-demo"
    finally:
        kubectl(control_plane, "delete", "-k", str(EXAMPLES / "stable-diffusion"), "--wait=false")


def test_applying_the_reference_service_again_leaves_its_replicas_to_the_autoscaler(control_plane, namespace):
    body = yaml.safe_load((EXAMPLES / "stable-diffusion" / "deployment.yaml").read_text().split("---")[0])
    text = yaml.safe_dump(body)
    scale = f"/apis/apps/v1/namespaces/{namespace}/deployments/knative-sd-demo/scale"
    kubectl(control_plane, "apply", "--server-side", "-n", namespace, "-f", "-", body=text)
    control_plane.patch(scale, {"spec": {"replicas": 3}})
    kubectl(control_plane, "apply", "--server-side", "-n", namespace, "-f", "-", body=text)
    assert control_plane.get(scale)["spec"]["replicas"] == 3


def test_what_stands_in_front_in_the_examples_names_the_gateways_service_and_port(control_plane):
    (service,) = [
        each
        for each in objects(control_plane, MANIFESTS)
        if (each["kind"], each["metadata"]["name"]) == ("Service", "inflight-gateway")
    ]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    (ingress,) = objects(control_plane, EXAMPLES / "ingress-nginx")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert ingress["metadata"]["namespace"] == OWN
    assert backend == {"name": "inflight-gateway", "port": {"name": "http"}}
    route, grant = objects(control_plane, EXAMPLES / "gateway-api")
    (to,) = route["spec"]["rules"][0]["backendRefs"]
    assert to == {"name": "inflight-gateway", "namespace": OWN, "port": ports["http"]}
    assert grant["metadata"]["namespace"] == OWN
    assert grant["spec"]["to"] == [{"group": "", "kind": "Service", "name": "inflight-gateway"}]
    assert grant["spec"]["from"][0]["namespace"] == route["metadata"]["namespace"]


def test_the_least_that_a_policy_says_can_be_applied_and_is_shown(control_plane, installed, namespace):
    kubectl(control_plane, "apply", "-n", namespace, "-f", str(EXAMPLES / "minimal.yaml"))
    header, row = kubectl(control_plane, "get", "spol", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "MIN", "MAX", "DESIRED", "READY", "INFLIGHT", "REASON", "POOLS", "AGE"]
    assert row.split()[0] == "my-model"
    of_the_status = {"minReplicas": 0, "maxReplicas": 10}
    path = f"/apis/inflight.dev/v1alpha1/namespaces/{namespace}/scalingpolicies/my-model/status"
    control_plane.patch(path, {"status": of_the_status})
    _, row = kubectl(control_plane, "get", "spol", "-n", namespace).splitlines()
    assert row.split()[:3] == ["my-model", "0", "10"]


# Who may do what.


@pytest.mark.parametrize("who", ["controller", "gateway"])
def test_neither_pod_may_ask_a_clouds_metadata_service(control_plane, who):
    (policy,) = [each for each in objects(control_plane, BASE / who) if each["kind"] == "NetworkPolicy"]
    spec = policy["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    blocks = [peer["ipBlock"] for rule in spec["egress"] for peer in rule.get("to", ()) if "ipBlock" in peer]
    for block in blocks:
        network = ip_network(block["cidr"])
        inside = [each for each in map(ip_address, METADATA_SERVICES) if each in network]
        assert inside
        assert all(any(each in ip_network(out) for out in block["except"]) for each in inside)
    unbounded = [rule for rule in spec["egress"] if "to" not in rule]
    assert all(port["port"] == 53 for rule in unbounded for port in rule["ports"])


READING = {"get", "list", "watch"}
ALL_VERBS = READING | {"create", "update", "patch", "delete"}


@pytest.mark.parametrize(("role", "verbs"), [("view", READING), ("edit", ALL_VERBS), ("admin", ALL_VERBS)])
def test_the_clusters_own_roles_give_tenants_policies_but_no_status(control_plane, installed, namespace, role, verbs):
    name = f"somebody-{role}"
    kubectl(control_plane, "create", "rolebinding", name, f"--clusterrole={role}", f"--user={name}", "-n", namespace)

    def may(verb, *more, where=namespace):
        asked = ("auth", "can-i", verb, "scalingpolicies.inflight.dev", *more, f"--as={name}", "-n", where)
        return succeeds(kubectl, control_plane, *asked)

    # The role is put together by a controller, and each API server hears of it a little later.
    within(30, lambda: {verb for verb in ALL_VERBS if may(verb)} == verbs)
    assert not [verb for verb in ("update", "patch") if may(verb, "--subresource=status")]
    assert not may("get", where=OWN)


def succeeds(ask, *arguments):
    try:
        ask(*arguments)
    except RefusedError:
        return False
    return True


def within(seconds, condition):
    """Ask again until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline


# What the controller's account may do to a pod.


@pytest.fixture
def pod(control_plane, installed, namespace):
    container = {"name": "web", "image": "before"}
    body = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"theirs": "before"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    return control_plane.create(f"/api/v1/namespaces/{namespace}/pods", body)


def as_account(control_plane, kubeconfig):
    """The same cluster to somebody else; kubectl would read what it is to patch, which the account may not."""
    (user,) = yaml.safe_load(kubeconfig.read_text())["users"]
    return dataclasses.replace(control_plane, token=user["user"]["token"])


def patch(cluster, pod, body):
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
    return cluster.patch(path, body, "application/strategic-merge-patch+json")


def annotated(**annotations):
    return {"metadata": {"annotations": annotations}}


@pytest.mark.parametrize("cost", ["-100", "7", None])
def test_the_deletion_cost_can_be_set_changed_and_taken_off(control_plane, installed, pod, cost):
    patch(as_account(control_plane, installed), pod, annotated(**{POD_COST: "1"}))
    patched = patch(as_account(control_plane, installed), pod, annotated(**{POD_COST: cost}))
    assert patched["metadata"]["annotations"].get(POD_COST) == cost
    assert patched["metadata"]["annotations"]["theirs"] == "before"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"spec": {"containers": [{"name": "web", "image": "after"}]}}, "may not change a pod's spec"),
        ({"spec": {"activeDeadlineSeconds": 1}}, "may not change a pod's spec"),
        (annotated(theirs="after"), "may change no annotation"),
        (annotated(theirs=None), "may change no annotation"),
        (annotated(ours="after"), "may change no annotation"),
        ({"metadata": {"labels": {"app": "after"}}}, "labels, finalizers or owners"),
        ({"metadata": {"labels": {"app": None}}}, "labels, finalizers or owners"),
        ({"metadata": {"finalizers": ["inflight.dev/after"]}}, "labels, finalizers or owners"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_nothing_else_of_a_pod_can_be_changed_by_the_controller(control_plane, installed, pod, change, why):
    with pytest.raises(RefusedError, match=why):
        patch(as_account(control_plane, installed), pod, change)


def test_in_another_namespace_and_under_another_name_it_may_change_no_more(
    control_plane, installed, namespace, tmp_path
):
    """Kustomize changes the account's namespace and name, and no text in which they stand."""
    own = {"resources": [os.path.relpath(MANIFESTS, tmp_path)], "namespace": f"{namespace}-own"}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own | {"namePrefix": "our-", "nameSuffix": "-2"}))
    apply(control_plane, tmp_path)
    try:
        control_plane.wait(
            f"/api/v1/namespaces/{namespace}-own/serviceaccounts", lambda found: "our-inflight-controller-2" in found
        )
        account = control_plane.service_account(f"{namespace}-own", "our-inflight-controller-2")
        container = {"name": "web", "image": "before"}
        body = {"metadata": {"name": "web"}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
        pod = control_plane.create(f"/api/v1/namespaces/{namespace}/pods", body)
        asked = as_account(control_plane, account)
        within(30, lambda: succeeds(patch, asked, pod, annotated(**{POD_COST: "1"})))
        within(30, lambda: not succeeds(patch, asked, pod, annotated(theirs="after")))
        with pytest.raises(RefusedError, match="may not change a pod's spec"):
            patch(asked, pod, {"spec": {"containers": [{"name": "web", "image": "after"}]}})
    finally:
        ours = [each for each in objects(control_plane, tmp_path) if each["kind"] != "CustomResourceDefinition"]
        kubectl(control_plane, "delete", "--wait=false", "-f", "-", body=yaml.safe_dump_all(ours))


def test_what_the_controller_may_not_change_others_may(control_plane, pod):
    body = {"spec": {"containers": [{"name": "web", "image": "after"}]}}
    assert patch(control_plane, pod, body)["spec"]["containers"][0]["image"] == "after"


@pytest.mark.parametrize(
    "asked",
    [
        "delete pods",
        "create pods",
        "get secrets",
        "create pods/exec",
        "update deployments.apps",
        "patch deployments.apps",
        "patch scalingpolicies.inflight.dev",
        "patch gpubudgets.inflight.dev",
        "create serviceaccounts/token",
        "update clusterroles.rbac.authorization.k8s.io",
    ],
)
def test_the_accounts_can_do_no_harm(control_plane, installed, asked):
    for account in ("inflight-controller", "inflight-gateway"):
        with pytest.raises(RefusedError):
            kubectl(control_plane, "auth", "can-i", *asked.split(), f"--as=system:serviceaccount:{OWN}:{account}", "-A")


@pytest.mark.parametrize(
    ("name", "kind", "may"),
    [
        ("inflight-gateway-peers", "Opaque", True),
        ("inflight-gateway-peers", "kubernetes.io/service-account-token", False),
        ("another", "Opaque", False),
    ],
)
def test_the_gateway_may_create_no_secret_but_the_key_of_its_peers(control_plane, installed, name, kind, may):
    """One that holds the token of another account would be as good as that account."""
    account = as_account(control_plane, control_plane.service_account(OWN, "inflight-gateway"))
    annotations = {"kubernetes.io/service-account.name": "inflight-controller"}
    body = {"metadata": {"name": name, "annotations": annotations}, "type": kind, "stringData": {"key": "k"}}

    def permitted():
        try:
            account.create(f"/api/v1/namespaces/{OWN}/secrets?dryRun=All", body)
        except RefusedError as error:
            # The gateway of another test may have created it: that is found out after the permission.
            return error.status == HTTPStatus.CONFLICT
        return True

    within(30, lambda: permitted() == may)


@pytest.mark.parametrize(
    ("asked", "may"),
    [
        ("get secrets/inflight-gateway-peers", True),
        ("get secrets/inflight", False),
        ("update secrets/inflight-gateway-peers", False),
        ("update leases.coordination.k8s.io/inflight-gateways", True),
        ("update leases.coordination.k8s.io/inflight-controller", False),
    ],
)
def test_the_gateway_reads_one_secret_and_writes_one_lease(control_plane, installed, asked, may):
    account = f"--as=system:serviceaccount:{OWN}:inflight-gateway"
    assert succeeds(kubectl, control_plane, "auth", "can-i", *asked.split(), account, "-n", OWN) == may
