"""What docs/how-to/ingress.md shows is what manifests/examples has, and fits the reference service behind it."""

import re

import yaml
from documentation import DOCS, ROOT

from autoscaler.policy.loading import read_policies

EXAMPLES = ROOT / "manifests" / "examples"
SHOWN = [
    document
    for block in re.findall(r"(?s)```yaml\n(.*?)```", (DOCS / "how-to" / "ingress.md").read_text())
    for document in yaml.safe_load_all(block)
]


def example(*parts):
    return yaml.safe_load(EXAMPLES.joinpath(*parts).read_text())


def shown(kind):
    (found,) = [document for document in SHOWN if document.get("kind") == kind]
    return found


def reference_service():
    (policy,) = read_policies([EXAMPLES / "stable-diffusion" / "policy.yaml"])
    return policy.spec.traffic


def test_the_page_shows_the_examples():
    assert shown("Ingress") == example("ingress-nginx", "ingress.yaml")
    assert shown("HTTPRoute") == example("gateway-api", "route.yaml")
    assert shown("ReferenceGrant") == example("gateway-api", "grant.yaml")


def test_the_examples_lead_the_reference_services_host_to_the_gateway():
    (host,) = reference_service().hosts
    (rule,) = shown("Ingress")["spec"]["rules"]
    assert rule["host"] == host
    assert shown("HTTPRoute")["spec"]["hostnames"] == [host]


def test_in_front_is_more_patience_than_a_request_may_take():
    traffic = reference_service()
    annotations = shown("Ingress")["metadata"]["annotations"]
    longest_s = traffic.queue.timeout + traffic.request_timeout
    for timeout in ("proxy-read-timeout", "proxy-send-timeout"):
        assert int(annotations[f"nginx.ingress.kubernetes.io/{timeout}"]) > longest_s
