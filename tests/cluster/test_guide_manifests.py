"""The examples of the guides name what the shipped manifests have."""

from pathlib import Path

import pytest
from kubectl import kubectl, objects

pytestmark = [pytest.mark.program, pytest.mark.real_time]

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
EXAMPLES = MANIFESTS / "examples"


def test_the_examples_in_front_of_the_gateway_name_its_service_and_port(control_plane):
    (service,) = [
        each
        for each in objects(control_plane, MANIFESTS)
        if (each["kind"], each["metadata"]["name"]) == ("Service", "inflight-gateway")
    ]
    (ingress,) = objects(control_plane, EXAMPLES / "ingress-nginx")
    route, grant = objects(control_plane, EXAMPLES / "gateway-api")
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert ingress["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert (backend["name"], backend["port"]["name"] in ports) == ("inflight-gateway", True)
    (to,) = route["spec"]["rules"][0]["backendRefs"]
    assert to == {"name": "inflight-gateway", "namespace": "inflight-system", "port": ports["http"]}
    assert grant["metadata"]["namespace"] == to["namespace"]
    assert grant["spec"]["to"] == [{"group": "", "kind": "Service", "name": to["name"]}]
    assert grant["spec"]["from"][0]["namespace"] == route["metadata"]["namespace"]


def test_the_api_server_takes_the_ingress(control_plane):
    namespaces = kubectl(control_plane, "get", "namespaces", "-o", "name")
    if "namespace/inflight-system" not in namespaces:
        kubectl(control_plane, "create", "namespace", "inflight-system")
    said = kubectl(control_plane, "apply", "--dry-run=server", "-k", str(EXAMPLES / "ingress-nginx"))
    assert "ingress.networking.k8s.io/inflight created (server dry run)" in said
