"""What the other tests of this folder take for granted about the control plane."""

import json
import os
import re
import runpy
import secrets
import signal
import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from control_plane import SERVE, RefusedError, attached

pytestmark = [pytest.mark.program, pytest.mark.real_time]


def deployment(*, replicas=0, annotations=None, gpus=1, grace_s=30):
    limits = {"nvidia.com/gpu": gpus}
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": annotations or {}},
                "spec": {
                    "terminationGracePeriodSeconds": grace_s,
                    "containers": [{"name": "web", "image": "none", "resources": {"limits": limits}}],
                },
            },
        },
    }


def condition(pod, kind):
    return next((c for c in pod["status"].get("conditions", ()) if c["type"] == kind), {"status": "Unknown"})


def is_ready(pod):
    return condition(pod, "Ready")["status"] == "True"


def all_ready(count, pods):
    return len(pods) == count and all(map(is_ready, pods.values()))


def is_going(pod):
    return "deletionTimestamp" in pod["metadata"]


class Service:
    """A Deployment of the test's namespace, and its pods."""

    def __init__(self, control_plane, namespace):
        self.control_plane, self.namespace = control_plane, namespace
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.collection = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def made(self, **options):
        self.control_plane.create(self.collection, deployment(**options))
        return self

    def scale(self, replicas):
        self.control_plane.patch(f"{self.collection}/web/scale", {"spec": {"replicas": replicas}})

    def annotate(self, pod, annotations):
        self.control_plane.patch(f"{self.pods}/{pod}", {"metadata": {"annotations": annotations}})

    def wait(self, condition):
        return self.control_plane.wait(self.pods, condition, selector="app=web")


@pytest.fixture
def service(control_plane, namespace):
    return Service(control_plane, namespace)


class EchoLocalAddress(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.connection.getsockname()[0].encode())


@contextmanager
def one_server_for_all_addresses():
    with socketserver.ThreadingTCPServer(("0.0.0.0", 0), EchoLocalAddress) as server:  # noqa: S104 - the point of it
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def answer_of(address, port):
    with socketserver.socket.create_connection((address, port), timeout=5) as connection:
        return connection.recv(100).decode()


def test_five_pods_asked_for_are_five_pods_ready_at_addresses_of_their_own(service):
    service.made().scale(5)
    pods = service.wait(partial(all_ready, 5))
    addresses = {pod["status"]["podIP"] for pod in pods.values()}
    assert len(addresses) == 5
    assert all(ip_address(address) in ip_network("127.1.0.0/24") for address in addresses)


def test_one_server_tells_the_pods_apart_by_the_address_it_was_called_at(service):
    service.made(replicas=3)
    addresses = {pod["status"]["podIP"] for pod in service.wait(partial(all_ready, 3)).values()}
    with one_server_for_all_addresses() as port:
        assert {answer_of(address, port) for address in addresses} == addresses


def test_a_pod_runs_before_it_is_ready_for_as_long_as_its_cold_start(service):
    service.made(replicas=1, annotations={"inflight.test/cold-start-s": "2"})
    (pod,) = service.wait(lambda pods: any("podIP" in pod["status"] for pod in pods.values())).values()
    assert not is_ready(pod)
    due = datetime.fromisoformat(condition(pod, "ContainersReady")["message"])
    service.wait(partial(all_ready, 1))
    assert datetime.now(UTC) >= due


def test_writing_to_a_pod_does_not_prolong_its_cold_start(service):
    service.made(replicas=1)
    (name,) = service.wait(lambda pods: len(pods) == 1)

    def write_again_unless_ready(pods):
        if not is_ready(pods[name]):
            service.annotate(name, {"nonce": secrets.token_hex()})
        return is_ready(pods[name])

    service.wait(write_again_unless_ready)


def test_the_pods_with_the_lowest_deletion_cost_go_first(service):
    service.made(replicas=5, annotations={"inflight.test/exit-s": "3600"})
    chosen = set(sorted(service.wait(partial(all_ready, 5)))[1:4])
    for pod in chosen:
        service.annotate(pod, {"controller.kubernetes.io/pod-deletion-cost": "-1"})
    service.scale(2)
    pods = service.wait(lambda pods: sum(map(is_going, pods.values())) == len(chosen))
    assert {name for name, pod in pods.items() if is_going(pod)} == chosen


def test_a_deleted_pod_is_seen_going_before_it_is_gone(service):
    service.made(replicas=1)
    service.wait(partial(all_ready, 1))
    service.scale(0)
    assert service.wait(lambda pods: all(map(is_going, pods.values())))
    assert not service.wait(lambda pods: not pods)


def test_a_pod_that_does_not_exit_is_gone_when_its_grace_period_ends(service):
    service.made(replicas=1, annotations={"inflight.test/exit-s": "3600"}, grace_s=2)
    service.wait(partial(all_ready, 1))
    service.scale(0)
    assert not service.wait(lambda pods: not pods)


def test_a_pod_for_which_no_gpu_is_left_is_unschedulable(service):
    service.made(replicas=1, gpus=1000)
    service.wait(lambda pods: any(condition(p, "PodScheduled").get("reason") == "Unschedulable" for p in pods.values()))


def test_an_autoscaler_without_metrics_raises_to_its_minimum_and_so_is_another_writer(service):
    service.made(replicas=1)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4}
    autoscalers = f"/apis/autoscaling/v2/namespaces/{service.namespace}/horizontalpodautoscalers"
    service.control_plane.create(autoscalers, {"metadata": {"name": "web"}, "spec": spec})
    service.control_plane.wait(service.collection, lambda deployments: deployments["web"]["spec"]["replicas"] == 2)


def allow(control_plane, namespace, account, rule):
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    metadata = {"name": account}
    control_plane.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": metadata})
    control_plane.create(f"{rbac}/roles", {"metadata": metadata, "rules": [rule]})
    control_plane.create(f"{rbac}/rolebindings", {"metadata": metadata, "roleRef": role, "subjects": [subject]})


def test_an_account_may_do_what_it_was_granted_and_the_audit_log_tells_what_it_tried(control_plane, namespace):
    allow(control_plane, namespace, "reader", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    environment = control_plane.environment(control_plane.service_account(namespace, "reader"))
    for resource in ("pods", "secrets"):
        subprocess.run(["kubectl", "get", resource], env=environment, check=resource == "pods", capture_output=True)
    reader = f"system:serviceaccount:{namespace}:reader"
    tried = [event for event in control_plane.audit() if event["user"]["username"] == reader and "objectRef" in event]
    told = {(e["verb"], e["objectRef"]["resource"], e["responseStatus"]["code"]) for e in tried}
    assert told == {("list", "pods", 200), ("list", "secrets", 403)}


def test_kubectl_and_the_server_are_of_the_version_that_is_pinned(control_plane):
    command = ["kubectl", "version", "-o", "json"]
    told = json.loads(subprocess.check_output(command, env=control_plane.environment()))
    (pinned,) = re.findall(r"k8s\.io/kubernetes (v\S+)", SERVE.with_name("go.mod").read_text())
    assert {told["clientVersion"]["gitVersion"], told["serverVersion"]["gitVersion"]} == {pinned}


def test_a_refusal_carries_the_servers_own_words(control_plane):
    with pytest.raises(RefusedError, match='"no-such" not found') as refused:
        control_plane.get("/api/v1/namespaces/no-such")
    assert refused.value.status == 404


def test_a_wait_that_was_in_vain_shows_what_was_there(control_plane):
    with pytest.raises(TimeoutError, match="name: loopback"):
        control_plane.wait("/api/v1/nodes", lambda _: False, deadline_s=1)


def test_a_kubeconfig_of_a_running_control_plane_is_honoured(control_plane):
    found = attached(control_plane.kubeconfig)
    assert found.get("/version") == control_plane.get("/version")
    assert found.audit_log == control_plane.audit_log


def test_a_kubeconfig_of_another_cluster_is_left_alone(tmp_path):
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text("clusters: [{name: prod, cluster: {server: 'https://127.0.0.1:1'}}]")
    with pytest.raises(LookupError, match="no cluster with certificate-authority and token"):
        attached(kubeconfig)


def folder_given(monkeypatch, assets):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    return runpy.run_path(SERVE.with_name("build.py"))["given"]()


def test_a_folder_with_all_the_programs_is_taken_as_it_is(control_plane, monkeypatch):
    assert folder_given(monkeypatch, control_plane.programs) == control_plane.programs


def test_a_folder_that_lacks_some_of_the_programs_is_not_used(tmp_path, monkeypatch, capsys):
    (tmp_path / "etcd").touch(mode=0o755)
    assert folder_given(monkeypatch, tmp_path) is None
    assert "lacks kube-apiserver" in capsys.readouterr().err


def processes_of(folder):
    listed = subprocess.check_output(["ps", "-A", "-ww", "-o", "args"], text=True)
    return [line for line in listed.splitlines() if str(folder) in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_stays_behind_when_its_owner_is_ended(tmp_path, number):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from control_plane import *\n"
        f"with started(Path({str(tmp_path)!r})):\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0) as owner:
        assert owner.stdout.readline() == "ready\n"
        assert len(processes_of(tmp_path)) > 5
        os.killpg(owner.pid, number)  # as a terminal does
        owner.stderr.read()  # ends with the last process that could write to it: serve.py, when all has stopped
    assert processes_of(tmp_path) == []
