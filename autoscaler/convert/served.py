"""What stands beside the object that scales: the workload, its Service, and the Ingress or HTTPRoute in front of it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.source import Source, Sources
from autoscaler.convert.workload import (
    adopt,
    container_port,
    for_requests,
    lengthen_grace,
    port_of_service,
    service_beside,
)
from autoscaler.documents.document import DocumentError, KeyPath

_POD: KeyPath = ("spec", "template", "spec")
_GATEWAY = "the Service inflight-gateway of the namespace inflight-system, port 80"
_UNKNOWN = (
    "hosts and port are unknown: the input has no Service and no port of a container. No traffic is written, so "
    "nothing is counted and the number is held: add the workload and its Service to the input, or write traffic.hosts "
    "and traffic.port"
)


class Beside(NamedTuple):
    """The workload that is scaled and the Service in front of its pods, if the input has them."""

    workload: Source | None
    service: Source | None

    @property
    def shows_pods(self) -> bool:
        """Whether the input has the workload with the template of its pods, where it stands in most kinds."""
        return self.workload is not None and self.workload.get(*_POD) is not None

    @property
    def ports(self) -> set[int]:
        """The ports that the containers of the workload name, without those of metrics and the like."""
        containers = [] if self.workload is None else self.workload.get(*_POD, "containers", default=[])
        ports = [port for each in containers for port in each.get("ports") or []]
        return {int(port["containerPort"]) for port in for_requests(ports) if port.get("containerPort")}


def map_target(draft: Draft, path: KeyPath) -> None:
    """Name what is scaled, as there.

    Raises:
        DocumentError: there is no name.
    """
    source = draft.source
    if not source.get(*path, "name"):
        raise DocumentError([source.problem(path, "name is required: it says what is scaled")])
    for key in ("apiVersion", "kind", "name"):
        if source.get(*path, key) is not None:
            draft.map(source, (*path, key), f"scaleTargetRef.{key}", source.get(*path, key))
    if source.get(*path, "envSourceContainerName") is not None:
        source.ineffective((*path, "envSourceContainerName"), "no trigger reads the environment of a container")


def find_beside(draft: Draft, sources: Sources, ref: Mapping[str, Any], service: str | None = None) -> Beside:
    """Take the workload that a scaleTargetRef names, and the Service of a name or the one that finds its pods.

    If the input has no workload, its Service is the one with the same name.
    """
    group = str(ref.get("apiVersion") or "apps/v1").rpartition("/")[0]
    workload = sources.named(group, str(ref.get("kind") or "Deployment"), draft.namespace, str(ref.get("name")))
    if workload is not None and not workload.used:
        draft.use(workload)
    else:
        workload = None
    found = service or (None if workload else str(ref.get("name")))
    return Beside(workload, service_beside(draft, sources, workload, found))


def lead_traffic(
    draft: Draft, sources: Sources, beside: Beside, options: Options, port: int | str | None = None
) -> None:
    """Set port and hosts of the traffic; hosts that the input says are set already.

    Args:
        draft: the service.
        sources: the input, perhaps with the Ingress or HTTPRoute in front.
        beside: what stands beside.
        options: what the user asked for.
        port: the port of the Service, if the input says which.
    """
    fronts = list(_fronts(sources, beside.service, draft.hosts))
    number = _port(draft, beside, port or next((_port_behind(front, beside.service) for front in fronts), None))
    says_hosts = not draft.hosts
    hosts = draft.hosts or [host for front in fronts for host in _hosts_of(front)]
    if number is None and not hosts:
        draft.source.decide((), _UNKNOWN)
        return
    rest = {key: value for key, value in draft.spec.get("traffic", {}).items() if key not in {"hosts", "port"}}
    draft.spec["traffic"] = {
        "hosts": hosts or _guessed_hosts(draft, beside),
        **({} if number is None else {"port": number}),
        **rest,
    }
    if number is None:
        draft.source.decide((), "the port of the pods is unknown: 80 is the default; write traffic.port")
    for front in fronts:
        _use_front(draft, front, options, says_hosts=says_hosts)


def write_beside(draft: Draft, beside: Beside) -> None:
    """Write the workload and the Service, when the rest of the policy is known."""
    if beside.workload is not None:
        written = adopt(draft, beside.workload)
        if beside.shows_pods and "traffic" in draft.spec:
            lengthen_grace(draft, written, beside.workload)
    if beside.service is not None:
        adopt(draft, beside.service)


def _port(draft: Draft, beside: Beside, port: int | str | None) -> int | None:
    """Give the port of the pods: the one behind the Service's, the only one of the workload, or the Service's."""
    behind = port_of_service(beside.service, port) if beside.service else None
    if beside.service and behind is not None and (beside.workload or isinstance(behind, int)):
        number = container_port(beside.workload, behind) if beside.workload else int(behind)
        why = f"where the Service {beside.service.name} leads" + (f" from its port {port}" if port else "")
    elif len(beside.ports) == 1:
        (number,), why = beside.ports, "the only port of the workload"
    elif isinstance(port, int):
        draft.source.decide(
            (), f"the Service is not in the input: its port {port} is written as traffic.port; do the pods serve there?"
        )
        return port
    else:
        return None
    draft.source.added(f"the policy's spec.traffic.port: {number}, {why}")
    return number


def _guessed_hosts(draft: Draft, beside: Beside) -> list[str]:
    name = beside.service.name if beside.service else draft.spec["scaleTargetRef"]["name"]
    why = (
        "no Ingress or HTTPRoute of the input leads to the Service. Its names in the cluster are written as "
        "traffic.hosts"
        if beside.service
        else f"the input has no Service. The names that a Service {name} has are written as traffic.hosts"
    )
    short = f"{name}.{draft.namespace or 'default'}"
    draft.source.decide((), f"hosts are unknown: {why}; add the hosts that clients call")
    return [short, f"{short}.svc", f"{short}.svc.cluster.local"]


# The Ingress or HTTPRoute in front.


def _fronts(sources: Sources, service: Source | None, hosts: list[str]) -> Iterator[Source]:
    """Find what leads to a Service, or to another proxy under one of the hosts."""
    for group, kind in (("networking.k8s.io", "Ingress"), ("gateway.networking.k8s.io", "HTTPRoute")):
        for front in sources.find(group, kind, None):
            leads_here = service is not None and _same_place(front, service) and service.name in _backends(front)
            if leads_here or set(hosts) & set(_hosts_of(front)):
                yield front


def _same_place(one: Source, other: Source) -> bool:
    return None in (one.namespace, other.namespace) or one.namespace == other.namespace


def _hosts_of(front: Source) -> list[str]:
    rules = [] if front.kind == "HTTPRoute" else front.get("spec", "rules", default=[])
    return list(dict.fromkeys([*front.get("spec", "hostnames", default=[]), *_each(rules, "host")]))


def _backends(front: Source) -> dict[str, int | str | None]:
    """Give the ports of the Services to which it leads."""
    rules = front.get("spec", "rules", default=[])
    if front.kind == "HTTPRoute":
        return {str(ref.get("name")): ref.get("port") for rule in rules for ref in rule.get("backendRefs") or []}
    paths = [path for rule in rules for path in (rule.get("http") or {}).get("paths") or []]
    backends = [*(path.get("backend") or {} for path in paths), front.get("spec", "defaultBackend", default={})]
    services = [each["service"] for each in backends if isinstance(each.get("service"), dict)]
    return {str(each.get("name")): _number_or_name(each.get("port")) for each in services}


def _number_or_name(port: object) -> int | str | None:
    return port.get("number") or port.get("name") if isinstance(port, dict) else None


def _port_behind(front: Source, service: Source | None) -> int | str | None:
    return None if service is None else _backends(front).get(service.name)


def _each(items: list[dict[str, Any]], key: str) -> list[str]:
    return [str(item[key]) for item in items if item.get(key)]


def _use_front(draft: Draft, front: Source, options: Options, *, says_hosts: bool) -> None:
    """Account for what is in front: it must lead to our gateway, which is a step of the hand-over."""
    if front.used:
        return
    draft.use(front)
    front.note(("metadata",), Effect.LEFT_OUT, f"the {front.title} stays as it is in the cluster")
    to = "its hosts are traffic.hosts; " if says_hosts else ""
    if options.route:
        front.mapped(("spec",), f"{to}the route of --route takes its place")
    else:
        front.decide(("spec",), f"{to}lead its hosts to {_GATEWAY}, or let --route write a route that does")
