"""The pages on installing and operating, typed word for word on a real control plane.

All but the pages on installing share one installation: that of the first-service page. The containers of controller and
gateway run as processes under the shipped accounts; the page's model runs once for all of its pods, because KWOK, which
plays the kubelet, starts none.
"""

import json
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from cluster_kit import CRDS, condition, is_ready, new_namespace, workload
from control_plane import started
from installation import OWN, Containers, Ports, copied
from pages import Page, alone_with_their_port, run

from autoscaler.testing import policy_document

pytestmark = [pytest.mark.program, pytest.mark.real_time]

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
POLICIES = "/apis/inflight.dev/v1alpha1/namespaces/{}/scalingpolicies"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"
INGRESSES = f"/apis/networking.k8s.io/v1/namespaces/{OWN}/ingresses"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases/inflight-controller"
GATEWAY = {"name": "inflight-gateway", "port": 80}
HOST = "my-model.example.com"
PATIENCE_S = 60


class World:
    """An installation of the first-service page, and what its reader sees of it."""

    def __init__(self, plane, containers, folder, ports):
        self.plane, self.containers, self.folder, self.ports = plane, containers, folder, ports

    def page(self, path):
        return Page(path, self.ports)

    def run(self, commands):
        return run(commands, self.plane, self.folder)

    def ask(self):
        """Ask the gateway for a picture; give it when it is there."""
        return get(f"http://127.0.0.1:{self.ports.gateway}/", {"Host": HOST})

    def replicas(self, name="my-model", namespace="default"):
        return self.plane.get(f"{DEPLOYMENTS.format(namespace)}/{name}/scale")["spec"].get("replicas", 0)

    def wait_replicas(self, number, name="my-model", namespace="default"):
        path = DEPLOYMENTS.format(namespace)
        self.plane.wait(path, lambda found: found[name]["spec"]["replicas"] == number, deadline_s=PATIENCE_S)

    def wait_status(self, is_so, name="my-model", namespace="default"):
        """Wait until a policy's status is so, and give the policy."""
        path = POLICIES.format(namespace)
        found = self.plane.wait(path, lambda all_: is_so(all_[name].get("status", {})), deadline_s=PATIENCE_S)
        return found[name]

    def address(self, workload):
        """Give the address of a pod of controller or gateway."""
        labels = f"labelSelector=app.kubernetes.io/name={workload}"
        return self.plane.get(f"/api/v1/namespaces/{OWN}/pods?{labels}")["items"][0]["status"]["podIP"]

    def until_decided_on(self, is_so):
        """Wait for a decision on such a number of requests; a policy's status tells of it 15 s later."""
        url = f"http://{self.address('inflight-controller')}:{self.ports.controller}/status"
        self.until(lambda: is_so(json.loads(get(url))["default/my-model"]["observation"]["inflight"]))

    def until(self, is_so):
        """Wait for what no watch tells."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def wait_reason(self, reason, name="my-model", namespace="default"):
        """Wait for the reason of ScalingActive, such as `Paused`."""
        return self.wait_status(
            lambda status: (condition(status, "ScalingActive") or "  ")[1] == reason, name, namespace
        )


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    ports = Ports()
    with alone_with_their_port(), started(folder, cold_start_s=1, forward_to=ports.gateway) as own:
        yield own, ports


@pytest.fixture(scope="module")
def world(plane, tmp_path_factory):
    plane, ports = plane
    folder = tmp_path_factory.mktemp("world")
    copied(folder, ports)
    with Containers(plane, OWN, folder, controllers=1, gateways=1) as containers:
        made = World(plane, containers, folder, ports)
        made.run(made.page("start/first-service.md").commands("Install Inflight"))
        containers.start()
        yield made


@pytest.fixture
def my_model(world):
    """The service of the first-service page, at zero."""
    page = world.page("start/first-service.md")
    world.run(page.commands("Run a model"))
    try:
        with model(world):
            world.run(page.commands("Write a policy"))
            yield world
    finally:
        world.run(page.commands("Clean up").replace("kill %1\n", ""))


@contextmanager
def model(world):
    """Run what the page's Deployment runs in each pod, once for all addresses."""
    deployment = world.plane.get(f"{DEPLOYMENTS.format('default')}/my-model")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    with subprocess.Popen([sys.executable, *container["command"][1:]], stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def test_the_first_service_page_leads_from_a_cluster_to_a_service_that_wakes_and_goes_back_to_zero(world):
    page = world.page("start/first-service.md")
    world.run(page.commands("Run a model"))
    with model(world):
        rest = ("Write a policy", "Send the first request", "Send five at once", "See why", "Wait for zero", "Clean up")
        printed = world.run(page.commands(*rest))
    (shown,) = page.blocks("Send the first request", "text")
    answer, header, row = shown.splitlines()
    assert printed.count(answer) == 6
    lines = [line.split() for line in printed.splitlines()]
    at = lines.index(header.split())
    assert lines[at + 1][:5] == row.split()[:5], "name, least, most, desired, ready; the rest moves"
    assert "my-model" not in {
        each["metadata"]["name"] for each in world.plane.get(DEPLOYMENTS.format("default"))["items"]
    }


def test_the_page_on_pauses_holds_a_number_and_sets_one_by_hand(my_model):
    page = my_model.page("how-to/pause-and-override.md")
    pause, paused, resume = page.blocks("Pause a service")
    my_model.run(pause + paused)
    with ThreadPoolExecutor() as client:
        answer = client.submit(my_model.ask)
        my_model.until_decided_on(lambda inflight: inflight)
        assert my_model.replicas() == 0
        my_model.run(resume)
        assert answer.result() == "a pretty dog\n"

    override, back = page.blocks("Set a number by hand")
    my_model.run(override)
    my_model.wait_replicas(3)
    my_model.wait_reason("ManualOverride")
    my_model.run(back)
    my_model.wait_reason("ValidMetricFound")


def test_one_command_stops_deciding_everywhere_without_a_restart_and_one_goes_on(my_model):
    page = my_model.page("how-to/stop-deciding.md")
    stop, see, *_ = page.blocks("")
    with new_namespace(my_model.plane) as other:
        my_model.plane.create(DEPLOYMENTS.format(other), workload("web", replicas=1))
        my_model.plane.create(POLICIES.format(other), policy_document("web", minReplicas=2))
        my_model.wait_replicas(2, "web", other)
        illegal = {"metadata": {"annotations": {"inflight.dev/paused": "true"}}, "spec": {"minReplicas": 3}}
        my_model.plane.patch(f"{POLICIES.format(other)}/web", illegal)
        my_model.wait_status(lambda status: condition(status, "Ready") == ("False", "InvalidPolicy"), "web", other)

        my_model.run(stop)
        my_model.wait_reason("Paused")
        my_model.wait_reason("Paused", "web", other)
        assert {"Paused", "InvalidPolicy"} <= set(my_model.run(see).split())
        legal = {"metadata": {"annotations": {"inflight.dev/paused": None}}, "spec": {"minReplicas": 4}}
        changed = my_model.plane.patch(f"{POLICIES.format(other)}/web", legal)
        generation = changed["metadata"]["generation"]
        my_model.wait_status(lambda status: status.get("observedGeneration") == generation, "web", other)
        with ThreadPoolExecutor() as client:
            answer = client.submit(my_model.ask)
            my_model.until_decided_on(lambda inflight: inflight)
            assert (my_model.replicas("web", other), my_model.replicas()) == (2, 0)

            my_model.run(page.blocks("Go on")[0])
            assert answer.result() == "a pretty dog\n"
        my_model.wait_replicas(4, "web", other)


def test_without_the_controller_one_command_sets_the_number_and_it_is_taken_over_when_it_returns(my_model):
    page = my_model.page("how-to/serve-without-controller.md")
    scale, is_it, which, keep = page.blocks("")
    my_model.containers.kill("inflight-controller")
    my_model.run(scale + is_it + which)
    assert my_model.ask() == "a pretty dog\n"
    my_model.run(keep)
    my_model.plane.delete(LEASE)  # Else the one that returns waits for it to run out.
    my_model.containers.start()
    my_model.wait_reason("ManualOverride")
    assert my_model.replicas() == 2
    my_model.run(my_model.page("how-to/pause-and-override.md").blocks("Set a number by hand")[1])
    my_model.wait_reason("ValidMetricFound")


def test_without_the_gateway_one_command_sends_clients_to_the_pods_and_one_sends_them_back(my_model):
    page = my_model.page("how-to/serve-without-gateway.md")
    *around, expose = page.blocks("")
    release, *back, decide = page.blocks("Go back")
    my_model.run(expose)

    def all_through(*entries):
        with ThreadPoolExecutor() as clients:
            return list(clients.map(lambda entry: through(entry(), my_model), entries))

    with route(my_model.plane) as by_route, ingress(my_model.plane) as by_ingress:
        assert all_through(by_route, by_ingress) == ["a pretty dog\n"] * 2

        my_model.containers.kill("inflight-gateway")
        my_model.run("".join(around))
        my_model.wait_replicas(3)
        my_model.wait_status(lambda status: status["readyReplicas"] == 3)
        assert all_through(by_route, by_ingress) == ["a pretty dog\n"] * 2

        my_model.containers.start()
        my_model.until_decided_on(lambda inflight: inflight == 3)  # What the killed gateway left there is not known.
        my_model.run(release)
        my_model.until_decided_on(lambda inflight: inflight == 0)
        assert my_model.replicas() == 3
        my_model.run("".join(back))
        assert [entry() for entry in (by_route, by_ingress)] == [(OWN, "inflight-gateway")] * 2
        assert my_model.ask() == "a pretty dog\n"
    my_model.run(decide + "kubectl delete service/my-model\n")
    my_model.wait_reason("ValidMetricFound")


def test_the_commands_of_troubleshooting_show_why_there_are_so_many_pods_and_who_else_has_written(my_model):
    page = my_model.page("how-to/troubleshooting.md")
    assert my_model.ask() == "a pretty dog\n"
    (why,) = page.blocks("Why are there five pods?")
    decision = json.loads(my_model.run(why))
    assert (decision["before"], decision["desired"]) == (0, 1)
    metrics = f"{my_model.address('inflight-gateway')}:{my_model.ports.metrics}"
    (of_pods,) = page.blocks("Requests wait though pods are idle")
    assert 'gateway_pod_running_requests{namespace="default"' in my_model.run(
        of_pods.replace("127.0.0.1:9090", metrics)
    )
    (ended,) = page.blocks("Errors from the gateway")
    assert my_model.run(ended.replace("127.0.0.1:9090", metrics)).count('reason="served"} 1') == 1

    my_model.run("kubectl scale deployment/my-model --replicas=3")
    my_model.wait_reason("ForeignWriter")
    (events,) = page.blocks("ForeignWriter")
    my_model.until(lambda: "has written 3 replicas" in my_model.run(events))
    for section in page.sections:
        my_model.run("".join(each for each in page.blocks(section) if "curl" not in each and "--watch" not in each))


@contextmanager
def route(plane):
    """Have an HTTPRoute that leads to the gateway; gives a function that names where it leads."""
    define_routes(plane)
    body = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "my-model"}}
    plane.create(ROUTES, body | {"spec": {"rules": [{"backendRefs": [{**GATEWAY, "namespace": OWN}]}]}})

    def backend():
        (found,) = plane.get(f"{ROUTES}/my-model")["spec"]["rules"][0]["backendRefs"]
        return found.get("namespace", "default"), found["name"]

    yield backend
    plane.delete(f"{ROUTES}/my-model")


def define_routes(plane):
    """Make the Gateway API's HTTPRoute known, whatever is in it."""
    group, schema = "gateway.networking.k8s.io", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    # The API server wants to know who has reviewed a definition of this group.
    approved = {"api-approved.kubernetes.io": "unapproved, for tests"}
    plane.create(CRDS, {"metadata": {"name": f"httproutes.{group}", "annotations": approved}, "spec": spec})
    plane.wait_established(f"httproutes.{group}")


@contextmanager
def ingress(plane):
    """Have an Ingress beside the gateway that leads to it; gives a function that names where it leads."""
    path = {
        "path": "/",
        "pathType": "Prefix",
        "backend": {"service": {"name": GATEWAY["name"], "port": {"name": "http"}}},
    }
    rule = {"host": HOST, "http": {"paths": [path]}}
    plane.create(INGRESSES, {"metadata": {"name": "inflight"}, "spec": {"rules": [rule]}})

    def backend():
        (found,) = plane.get(f"{INGRESSES}/inflight")["spec"]["rules"][0]["http"]["paths"]
        name = found["backend"]["service"]["name"]
        external = plane.get(f"/api/v1/namespaces/{OWN}/services/{name}")["spec"].get("externalName")
        return tuple(external.split(".")[1::-1]) if external else (OWN, name)

    yield backend
    plane.delete(f"{INGRESSES}/inflight")


def through(backend, world):
    """Ask as an Ingress controller does that has read where to send a client."""
    namespace, name = backend
    if name == GATEWAY["name"]:
        return world.ask()
    spec = world.plane.get(f"/api/v1/namespaces/{namespace}/services/{name}")["spec"]
    labels = ",".join(f"{key}={value}" for key, value in spec["selector"].items())
    pods = world.plane.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={labels}")["items"]
    pod = next(each for each in pods if is_ready(each))
    return get(f"http://{pod['status']['podIP']}:{spec['ports'][0]['targetPort']}/")


def get(url, headers=None):
    """Get a text."""
    request = urllib.request.Request(url, headers=headers or {})  # noqa: S310 - an address of our own
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - an address of our own
        return answer.read().decode()
