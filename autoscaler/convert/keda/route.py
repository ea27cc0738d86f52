"""What an HTTPScaledObject or an InterceptorRoute of KEDA's HTTP add-on says of requests.

Both say where requests go, how many of them each replica should have, and how long each part of them may take.
"""

from collections.abc import Iterator
from typing import Any

from autoscaler.convert.draft import Draft
from autoscaler.convert.keda.triggers import TRIGGERS
from autoscaler.convert.measures import ask_for_a_target
from autoscaler.convert.source import Source, Sources
from autoscaler.documents.document import DocumentError, KeyPath
from autoscaler.documents.fields import format_duration, parse_duration
from autoscaler.documents.go_values import SECOND_NS, duration_ns

GROUP = "http.keda.sh"
_DEFAULT_TARGET = 100
"""The add-on's target of concurrent requests where neither object says one."""
_RESPONSE_START_S, _REQUEST_S = 300, 300
"""The add-on's limit for the start of a response, and our limit for a request, where nothing is said."""
_DAY_S = 86_400
_POLLING = "30s"
"""pollingInterval where a ScaledObject does not say it."""
_SCALING: KeyPath = ("spec", "scalingMetric")
_RATE: KeyPath = (*_SCALING, "requestRate")
_NO_COUNT = "a rate is no count: requests in flight are the rate x the time of a request"
_OLD_HOST: KeyPath = ("spec", "host")
_PENDING: KeyPath = ("spec", "targetPendingRequests")
_CAPS_NOTHING = (
    "a target and no limit: the add-on lets a pod have more. If the server takes no more at a time, write "
    "containerConcurrency instead"
)
_WITHOUT_EFFECT = (
    (("spec", "coldStart", "placeholder"), "a request waits for a replica here; there is no waiting page"),
    (("spec", "coldStart", "fallback"), "a request waits for a replica here; there is no fallback service"),
    (("spec", "coldStartTimeoutFailoverRef"), "a request waits for a replica here; there is no fallback service"),
    (("spec", "placeholderConfig"), "a request waits for a replica here; there is no waiting page"),
    (("spec", "sessionPersistence"), "traffic.affinity leads a client to its replica, with a cookie of the gateway"),
)
_LIKE_HERE = (("spec", "proxyMode"), "the gateway sends requests to pods, as Endpoint does")


def route_of(source: Source, sources: Sources) -> Source | None:
    """Find the route that a trigger of a ScaledObject names.

    Raises:
        DocumentError: a trigger names a route that the input has not.
    """
    for number in range(len(source.items(*TRIGGERS))):
        for key, kind in (("interceptorRoute", "InterceptorRoute"), ("httpScaledObject", "HTTPScaledObject")):
            path = (*TRIGGERS, number, "metadata", key)
            name = source.get(*path)
            if name is None:
                continue
            found = sources.named(GROUP, kind, source.namespace, str(name))
            if found is None:
                get = f"kubectl get {kind.lower()} {name} -o yaml"
                raise DocumentError(
                    [source.problem(path, f"the {kind} has hosts, port and target and must be in the input too: {get}")]
                )
            return found
    return None


def _target(route: Source) -> KeyPath:
    return ("spec", "target" if route.kind == "InterceptorRoute" else "scaleTargetRef")


def service_of(route: Source) -> str | None:
    """Give the name of the Service to which a route leads."""
    name = route.get(*_target(route), "service")
    return None if name is None else str(name)


def port_of(route: Source) -> int | str | None:
    """Give the port of that Service, as a number or a name."""
    port: int | str | None = route.get(*_target(route), "port", default=route.get(*_target(route), "portName"))
    return port


def map_route(draft: Draft, route: Source) -> None:
    """Map a route: hosts, target of requests, timeouts.

    Raises:
        DocumentError: a value cannot be read.
    """
    if route is not draft.source:
        draft.use(route)
    draft.set("containerConcurrency", 0)
    _map_target(route)
    _map_hosts(draft, route)
    _map_metric(draft, route)
    _map_timeouts(draft, route)
    _map_cold_start(draft, route)
    _map_static_routes(draft, route)
    for path, text in _WITHOUT_EFFECT:
        if route.get(*path) is not None:
            route.ineffective(path, text)
    if route.get(*_LIKE_HERE[0]) is not None:
        route.mapped(*_LIKE_HERE)


def say_how_it_wakes(draft: Draft) -> None:
    """Say that the add-on wakes a service by a push, and KEDA's own algorithm by its polls; after all is mapped."""
    keda = draft.spec.get("algorithm", {}).get("keda")
    if keda is not None and draft.spec.get("minReplicas", 0) == 0:
        interval = keda.get("pollingInterval", _POLLING)
        draft.source.added(
            f"the add-on wakes a service at zero at once; algorithm.keda does at its next poll, up to {interval} "
            "later. The default algorithm (--algorithm concurrency) wakes it at once"
        )


def _map_target(route: Source) -> None:
    for key in ("service", "port", "portName"):
        if route.get(*_target(route), key) is not None:
            route.mapped((*_target(route), key), "the gateway sends requests to the pods behind it: traffic.port")


def _map_hosts(draft: Draft, route: Source) -> None:
    hosts = [route.text(*_OLD_HOST)] if route.get(*_OLD_HOST) is not None else []
    hosts = list(dict.fromkeys([*hosts, *(host for path in _host_lists(route) for host in route.items(*path))]))
    draft.set("traffic.hosts", hosts or ["*"])
    for path in (_OLD_HOST, *_host_lists(route)):
        if route.get(*path) is not None:
            draft.lines["spec", "traffic", "hosts"] = route.document.line(path)
            wildcard = any(host.startswith("*.") for host in hosts)
            more = "; *. takes any labels in front, as there; in an Ingress it takes one label" if wildcard else ""
            route.mapped(path, f"to the policy's spec.traffic.hosts{more}")
    if not hosts:
        route.decide((), "the route has no hosts: spec.traffic.hosts is any host that no other policy has; name them")
    for path, text in _narrower(route):
        if route.get(*path) is not None:
            route.ineffective(path, text)


def _rules(route: Source) -> range:
    return range(len(route.items("spec", "rules")))


def _host_lists(route: Source) -> list[KeyPath]:
    return [("spec", "hosts"), *(("spec", "rules", number, "hosts") for number in _rules(route))]


def _narrower(route: Source) -> Iterator[tuple[KeyPath, str]]:
    """Give the conditions besides the host."""
    places: list[KeyPath] = [("spec",), *(("spec", "rules", number) for number in _rules(route))]
    for place in places:
        for key in ("pathPrefixes", "paths"):
            yield (*place, key), "only requests of these paths came here; a policy has all paths of its hosts"
        yield (*place, "headers"), "only requests with these headers came here; a policy has all requests of its hosts"


def _map_metric(draft: Draft, route: Source) -> None:
    """Map the target of concurrent requests, or ask for one."""
    concurrency, rate = (route.get(*path) for path in ((*_SCALING, "concurrency"), _RATE))
    path = (*_SCALING, "concurrency", "targetValue")
    if route.get(*path) is not None:
        draft.map(route, path, "targetPerReplica", route.whole(*path), _CAPS_NOTHING)
    elif route.get(*_PENDING) is not None:
        note = f"the old name of scalingMetric.concurrency; {_CAPS_NOTHING}"
        draft.map(route, _PENDING, "targetPerReplica", route.whole(*_PENDING), note)
    elif rate is not None and concurrency is None:
        ask_for_a_target(route, _RATE, None)
        return
    else:
        draft.set("targetPerReplica", _DEFAULT_TARGET)
        route.added(f"the policy's spec.targetPerReplica: {_DEFAULT_TARGET}, the add-on's default; {_CAPS_NOTHING}")
    if rate is not None:
        route.ineffective(_RATE, _NO_COUNT)


def _map_timeouts(draft: Draft, route: Source) -> None:
    for key in ("conditionWait", "readiness"):
        _map_timeout(draft, route, key, "traffic.queue.timeout", "how long a request waits for a replica")
    _map_timeout(draft, route, "request", "traffic.requestTimeout", "there with the time of waiting, here without")
    _map_timeout(draft, route, "responseHeader", "traffic.timeouts.responseStart", "")
    traffic = draft.spec["traffic"]
    if "requestTimeout" not in traffic:
        route.added("the policy's traffic.requestTimeout is 5m, our default; the add-on has no limit unless it is set")
        draft.set("traffic.requestTimeout", format_duration(max(_REQUEST_S, _seconds(traffic, "responseStart"))))
    elif parse_duration(traffic["requestTimeout"]) > _RESPONSE_START_S and not _seconds(traffic, "responseStart"):
        draft.set("traffic.timeouts.responseStart", format_duration(_RESPONSE_START_S))
        route.added("the policy's spec.traffic.timeouts.responseStart: 5m, the add-on's default")


def _seconds(traffic: dict[str, Any], key: str) -> float:
    return parse_duration(traffic.get("timeouts", {}).get(key, "0s"))


def _map_timeout(draft: Draft, route: Source, key: str, to: str, note: str) -> None:
    """Map a timeout; 0 is none there, and there is none here."""
    path = ("spec", "timeouts", key)
    given = route.get(*path)
    if given is None:
        return
    try:
        seconds = duration_ns(str(given)) / SECOND_NS
    except ValueError as error:
        raise DocumentError([route.problem(path, "must be a duration such as 30s")]) from error
    if seconds <= 0:
        route.ineffective(path, f"0 is no limit there; here each request has one: {to}")
        return
    allowed = min(max(seconds, 1), _DAY_S)
    if allowed != seconds:
        note = "a policy allows 1s to 24h"
    draft.map(route, path, to, format_duration(allowed), note)


def _map_cold_start(draft: Draft, route: Source) -> None:
    path = ("spec", "coldStart", "maxPendingRequests")
    if route.get(*path) == 0:
        route.ineffective(path, "0 is no limit there; here traffic.queue.maxLength is 100 unless you set it")
    elif route.get(*path) is not None:
        note = "counts requests that wait for a busy replica, too"
        draft.map(route, path, "traffic.queue.maxLength", route.whole(*path), note)
    else:
        route.added(
            "traffic.queue.maxLength is 100, our default: more waiting requests get 503; the add-on has no limit"
        )


def _map_static_routes(draft: Draft, route: Source) -> None:
    """Let paths with a static answer wake no replica; the gateway answers none itself."""
    for number, static in enumerate(route.items("spec", "staticRoutes")):
        path = ("spec", "staticRoutes", number)
        prefixes = [
            str(each["value"])
            for rule in static.get("rules") or []
            for each in rule.get("paths") or []
            if each.get("value")
        ]
        route.ineffective(
            path,
            "the gateway answers no path itself: without a replica clients get 503, with one they get its answer",
        )
        if prefixes:
            match = [pattern for prefix in prefixes for pattern in (prefix, f"{prefix.rstrip('/')}/*")]
            draft.spec["traffic"].setdefault("paths", []).append({"match": match, "class": "Pass", "wake": False})
            route.mapped((*path, "rules"), "to the policy's spec.traffic.paths: Pass without a wake-up")
