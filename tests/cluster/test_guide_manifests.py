"""Kustomizations and examples of the guides render on the shipped manifests, and name what is there."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from kubectl import kubectl, objects

pytestmark = [pytest.mark.program, pytest.mark.real_time]

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
EXAMPLES = MANIFESTS / "examples"
KUSTOMIZATIONS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md"))
    for number, block in enumerate(re.findall(r"(?s)```yaml\n(.*?)```", page.read_text()), 1)
    if "\nkind: Kustomization" in block
]


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_a_kustomization_of_the_guides_changes_what_it_names(control_plane, tmp_path, kustomization):
    own = shutil.copytree(MANIFESTS, tmp_path / "manifests") / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(kustomization)
    rendered = {(each["kind"], each["metadata"]["name"]): each for each in objects(control_plane, own)}
    shipped = {(each["kind"], each["metadata"]["name"]): each for each in objects(control_plane, MANIFESTS)}
    for patch in yaml.safe_load(kustomization)["patches"]:
        named = (patch["target"]["kind"], patch["target"]["name"])
        assert rendered[named] != shipped.get(named)


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
