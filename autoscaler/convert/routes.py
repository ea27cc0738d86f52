"""The route that leads a service's hosts to the gateway: an Ingress, or an HTTPRoute of the Gateway API."""

from math import ceil
from typing import Any

from autoscaler.convert.draft import Draft, Object, Options
from autoscaler.convert.findings import Effect
from autoscaler.documents.fields import parse_duration

_GATEWAY = "inflight-gateway"
_ITS_NAMESPACE = "inflight-system"
_MARGIN_S = 30
_DEFAULTS = {"queue": "10m", "request": "5m"}


def add_route(draft: Draft, options: Options) -> None:
    """Add the route that was asked for, if the service has hosts."""
    if options.route is None or not draft.hosts:
        return
    draft.routes = [_ingress(draft)] if options.route == "ingress" else _http_route(draft)


def _ingress(draft: Draft) -> Object:
    """An Ingress can name a Service of its own namespace only, so it stands in the gateway's."""
    name = f"{draft.namespace}-{draft.name}" if draft.namespace else draft.name
    seconds = _longest_silence_s(draft)
    draft.source.added(
        f"the Ingress {name} in {_ITS_NAMESPACE}: a held request is silent for up to {seconds} s. The annotations are "
        "those of ingress-nginx; add spec.ingressClassName and tls"
    )
    service = {"service": {"name": _GATEWAY, "port": {"name": "http"}}}
    paths = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": service}]}}
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": _ITS_NAMESPACE,
            "annotations": {
                f"{prefix}read-timeout": str(seconds),
                f"{prefix}send-timeout": str(seconds),
                f"{prefix}body-size": "0",
                f"{prefix}next-upstream": "off",
            },
        },
        "spec": {"rules": [paths if host == "*" else {"host": host} | paths for host in draft.hosts]},
    }


def _http_route(draft: Draft) -> list[Object]:
    namespace = draft.namespace or "default"
    text = "the HTTPRoute's parentRefs: put the name and the namespace of your Gateway in"
    draft.source.note((), Effect.DECIDE, text)
    draft.source.added(f"a ReferenceGrant in {_ITS_NAMESPACE}, which lets the route name {_GATEWAY}")
    hosts = [host for host in draft.hosts if host != "*"]
    rule: dict[str, Any] = {
        "backendRefs": [{"name": _GATEWAY, "namespace": _ITS_NAMESPACE, "port": 80}],
        "timeouts": {"request": "0s"},
    }
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": draft.metadata(),
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "infra"}],
            **({"hostnames": hosts} if hosts else {}),
            "rules": [rule],
        },
    }
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": f"{_GATEWAY}-{namespace}", "namespace": _ITS_NAMESPACE},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": namespace}],
            "to": [{"group": "", "kind": "Service", "name": _GATEWAY}],
        },
    }
    return [route, grant]


def _longest_silence_s(draft: Draft) -> int:
    """Give the longest time in which not a byte may move: the wait and the request, and some margin."""
    traffic = draft.spec["traffic"]
    wait = traffic.get("queue", {}).get("timeout", _DEFAULTS["queue"])
    request = traffic.get("requestTimeout", _DEFAULTS["request"])
    return ceil(parse_duration(wait) + parse_duration(request)) + _MARGIN_S
