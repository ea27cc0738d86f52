"""The pages on installing and uninstalling, typed word for word on a real control plane of their own."""

import json

import pytest
from control_plane import started
from installation import OWN, Containers, Ports, copied
from pages import Page, alone_with_their_port, run, typed

pytestmark = [pytest.mark.program, pytest.mark.real_time]

POLICIES = "/apis/inflight.dev/v1alpha1/namespaces/default/scalingpolicies"
INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
AN_INGRESS = """
kubectl create secret generic inflight-tls -n inflight-system --from-literal=tls.key=secret
kubectl apply -k manifests/examples/ingress-nginx
"""
"""What the reader of "Behind an Ingress" has beside the gateway."""
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def test_the_pages_install_upgrade_and_uninstall_and_the_replicas_go_on_running(tmp_path):
    ports = Ports()
    copied(tmp_path, ports)
    (tmp_path / "control-plane").mkdir()
    install, uninstall = Page("how-to/install.md", ports), Page("how-to/uninstall.md", ports)
    with (
        alone_with_their_port(),
        started(tmp_path / "control-plane", cold_start_s=1, forward_to=ports.gateway) as plane,
        Containers(plane, OWN, tmp_path) as containers,
    ):
        run(install.commands("Apply it"), plane, tmp_path)
        containers.start()
        containers.start_model(ports.service)
        with typed(install.commands("Try it"), plane, tmp_path) as printed:
            assert json.loads((tmp_path / "pretty-dog.json").read_text())["images"]
            assert scale(plane) == 1
            (shown,) = install.blocks("Try it", "text")
            header, row = printed.splitlines()[-2:]
            promised_header, promised_row = shown.splitlines()
            assert header.split() == promised_header.split()
            assert row.split()[:5] == promised_row.split()[:5], "name, least, most, desired, ready; the rest moves"

        upgrade = Page("how-to/upgrade.md", ports)
        _, check_those_of_the_cluster = upgrade.blocks("1. Check your policies")
        told = run(check_those_of_the_cluster + upgrade.commands("3. Apply"), plane, tmp_path)
        assert "default/knative-sd-demo: valid" in told
        assert 'deployment "inflight-gateway" successfully rolled out' in told
        assert scale(plane) == 1

        stop, scale_up, _expose, own_ingress, save, remove = (
            block.replace("my-model", "knative-sd-demo") for block in uninstall.blocks("")
        )
        run(AN_INGRESS + stop + scale_up.replace("=3", "=2") + own_ingress + save, plane, tmp_path)
        assert "knative-sd-demo" in (tmp_path / "policies.yaml").read_text()
        # KWOK's pods go before the processes, whose account is then gone with all else.
        containers.kill("inflight-gateway")
        run(remove, plane, tmp_path)
        left = {each["metadata"]["name"] for each in plane.get("/api/v1/namespaces")["items"]}
        assert OWN not in left
        assert "inflight.dev" not in {each["name"] for each in plane.get("/apis")["groups"]}
        assert plane.get(f"{INGRESSES}/knative-sd-demo")["spec"]["tls"][0]["secretName"] == "inflight-tls"
        assert plane.get("/api/v1/namespaces/default/secrets/inflight-tls")["data"]
        run(uninstall.commands("Install again"), plane, tmp_path)
        (policy,) = plane.get(POLICIES)["items"]
        assert "inflight.dev/paused-until" not in policy["metadata"]["annotations"]
        plane.wait(DEPLOYMENTS, lambda found: found["knative-sd-demo"]["status"].get("readyReplicas") == 2)


def scale(plane):
    return plane.get(f"{DEPLOYMENTS}/knative-sd-demo/scale")["spec"]["replicas"]
