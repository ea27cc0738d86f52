"""The route that is asked for leads the hosts of the policy to the gateway."""

from convert_kit import converted, objects_of, said

from autoscaler.convert.findings import Effect

HOSTS = ["upscaler.media.example.com", "upscale.example.org", "hd.example.net"]


def test_an_ingress_stands_beside_the_gateway_and_waits_as_long_as_a_request_may():
    found = converted("05", route="ingress")
    ingress = objects_of(found)["Ingress"]
    assert (ingress["metadata"]["name"], ingress["metadata"]["namespace"]) == ("media-upscaler", "inflight-system")
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == HOSTS
    backends = {str(rule["http"]["paths"][0]["backend"]) for rule in ingress["spec"]["rules"]}
    assert backends == {str({"service": {"name": "inflight-gateway", "port": {"name": "http"}}})}
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "870"  # 10 min of wait, 4 min of work
    assert "ingressClassName" in said(found, Effect.ADDED)


def test_a_route_of_the_gateway_api_has_the_grant_that_it_needs():
    found = converted("05", route="gateway-api")
    route, grant = objects_of(found)["HTTPRoute"], objects_of(found)["ReferenceGrant"]
    assert route["metadata"] == {"name": "upscaler", "namespace": "media"}
    assert route["spec"]["hostnames"] == HOSTS
    assert route["spec"]["rules"][0]["backendRefs"] == [
        {"name": "inflight-gateway", "namespace": "inflight-system", "port": 80}
    ]
    assert grant["metadata"]["namespace"] == "inflight-system"
    assert grant["spec"]["from"][0]["namespace"] == "media"
    assert "parentRefs" in said(found, Effect.DECIDE)


def test_without_hosts_there_is_no_route():
    found = converted("11", route="ingress")
    assert [each["kind"] for service in found.services for each in service.objects] == ["ScalingPolicy"] * 2


def test_without_a_route_that_is_asked_for_none_is_written():
    assert set(objects_of(converted("05"))) == {"Deployment", "Service", "ScalingPolicy"}
