"""The Deployment and the Service that a Knative Service implies, with what Knative puts into pods unasked."""

from math import ceil
from typing import Any

from autoscaler.convert.annotations import meaning_of, sift
from autoscaler.convert.draft import Draft, Object
from autoscaler.convert.findings import Effect
from autoscaler.convert.knative.scaling import ANNOTATIONS_PATH
from autoscaler.convert.source import Source
from autoscaler.documents.document import DocumentError, KeyPath
from autoscaler.documents.go_values import SECOND_NS, duration_ns
from autoscaler.policy.knative_settings import PREFIX, PROGRESS_DEADLINE

TEMPLATE: KeyPath = ("spec", "template")
POD: KeyPath = (*TEMPLATE, "spec")
SERVICE_LABEL = "inflight.dev/service"
"""Distinguishes the pods of a service; Knative's pods, which stand beside them until the end, do not have it."""
GPU_KINDS = "k8s.aliyun.com/eci-use-specs"
"""GPU kinds in order of preference, for a cloud that makes the node of a pod."""
DEFAULT_PORT = 8080
_OF_THE_POLICY = {"containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds"}
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_HANDLERS = ("httpGet", "tcpSocket", "grpc")
_IN_PODS = "in the Deployment's pods"


def deployment(draft: Draft) -> Object:
    """Make the Deployment; sets the policy's port.

    Raises:
        DocumentError: the template has no container, or is no template.
    """
    source = draft.source
    containers = source.items(*POD, "containers")
    if not containers:
        raise DocumentError([source.problem(POD, "has no containers; a Knative Service is needed as it is applied")])
    pod = _pod(source)
    serving = next((place for place, each in enumerate(containers) if each.get("ports")), 0)
    port = _port(draft, pod["containers"][serving], (*POD, "containers", serving))
    for place, container in enumerate(pod["containers"]):
        _name(source, container, place, len(containers))
        _environment(draft, container, port if place == serving else None)
    _probes(source, pod["containers"][serving], (*POD, "containers", serving), port)
    if "enableServiceLinks" not in pod:
        pod["enableServiceLinks"] = False
        source.added(f"enableServiceLinks: false {_IN_PODS}, as Knative has it")
    labels = sift(source, (*TEMPLATE, "metadata", "labels"), _IN_PODS) | {SERVICE_LABEL: draft.name}
    source.added(f"the label {SERVICE_LABEL}: {draft.name} {_IN_PODS}, and in the selector")
    template: Object = {"metadata": _template_metadata(source, labels), "spec": pod}
    spec: Object = {"selector": {"matchLabels": {SERVICE_LABEL: draft.name}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(draft),
        "spec": _progress_deadline(source) | spec,
    }


def service(draft: Draft, port: int) -> Object:
    """Make the Service; until the end Knative owns the Service with the service's own name."""
    name = f"{draft.name}-pods"
    draft.source.added(
        f"the Service {name}, for callers who ask a pod directly; {draft.name} is Knative's until it is deleted"
    )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": draft.metadata(name),
        "spec": {
            "selector": {SERVICE_LABEL: draft.name},
            "ports": [{"name": "http", "port": 80, "targetPort": port}],
        },
    }


def _metadata(draft: Draft) -> Object:
    source, place = draft.source, "on the Deployment"
    own = [key for key in source.mapping("metadata", "annotations") if key.startswith((PREFIX, *_OF_OTHERS))]
    for key in own:
        if key.startswith(PREFIX):
            where = "Knative reads it only below spec.template.metadata.annotations"
            source.ineffective(("metadata", "annotations", key), where)
    labels = sift(source, ("metadata", "labels"), place, [VISIBILITY])
    annotations = sift(source, ("metadata", "annotations"), place, own)
    return draft.metadata(labels=labels, annotations=annotations)


VISIBILITY = "networking.knative.dev/visibility"
"""The label that keeps a service inside of the cluster."""
AFFINITY = "serving.knative.dev.alibabacloud/"
_OF_OTHERS = (AFFINITY, "kubectl.kubernetes.io/last-applied-configuration")
"""Annotations for which other modules account."""


def _template_metadata(source: Source, labels: dict[str, Any]) -> Object:
    of_others = (PREFIX, AFFINITY, PROGRESS_DEADLINE, GPU_KINDS)
    own = [key for key in source.mapping(*ANNOTATIONS_PATH) if key.startswith(of_others)]
    annotations = sift(source, ANNOTATIONS_PATH, _IN_PODS, own)
    if source.text(*ANNOTATIONS_PATH, GPU_KINDS):
        annotations[GPU_KINDS] = source.get(*ANNOTATIONS_PATH, GPU_KINDS)
    if "creationTimestamp" in source.mapping(*TEMPLATE, "metadata"):
        source.note((*TEMPLATE, "metadata", "creationTimestamp"), Effect.LEFT_OUT, "written by a program")
    return {"labels": labels, **({"annotations": annotations} if annotations else {})}


def _progress_deadline(source: Source) -> Object:
    text = source.text(*ANNOTATIONS_PATH, PROGRESS_DEADLINE)
    return {"progressDeadlineSeconds": ceil(duration_ns(text) / SECOND_NS)} if text else {}


def _pod(source: Source) -> Object:
    pod: Object = {}
    for key in source.mapping(*POD):
        path = (*POD, key)
        if key == "nodeSelector":
            pod |= {key: kept} if (kept := _node_selector(source, path)) else {}
        elif key == "serviceAccountName" and "@" in source.text(*path):
            why = "an account of the platform that exported it means nothing in a cluster, and pods would stay Pending"
            source.ineffective(path, why)
        elif key not in _OF_THE_POLICY:
            pod[key] = source.keep(path, _IN_PODS)
    return pod


def _node_selector(source: Source, path: KeyPath) -> dict[str, Any]:
    kept = {}
    for key in source.mapping(*path):
        if meaning_of(key):
            why = "means nothing in a cluster, and pods would stay Pending; select your nodes by a label that they have"
            source.ineffective((*path, key), why)
        else:
            kept[key] = source.keep((*path, key), _IN_PODS)
    return kept


def _port(draft: Draft, container: Object, path: KeyPath) -> int:
    """Give the port on which the container serves; Knative's default is 8080."""
    source = draft.source
    ports = container["ports"] = container.get("ports") or [{}]
    port: int | None = source.whole(*path, "ports", 0, "containerPort")
    if port:
        draft.map(source, (*path, "ports", 0, "containerPort"), "traffic.port", port)
    else:
        port = ports[0]["containerPort"] = DEFAULT_PORT
        draft.default("traffic.port", port, "Knative's default; the container has it as containerPort")
    if ports[0].get("name") in {"h2c", "h2"}:
        why = "the gateway speaks HTTP/1.1 to pods: the server must understand it too"
        source.decide((*path, "ports", 0, "name"), why)
    return port


def _name(source: Source, container: Object, place: int, number: int) -> None:
    if container.get("name"):
        return
    name = "user-container" if number == 1 else f"user-container-{place}"
    source.added(f"the container's name: {name}, as Knative names it")
    container |= {"name": name}


def _environment(draft: Draft, container: Object, port: int | None) -> None:
    """Add the variables that Knative sets; PORT only where requests are served."""
    source = draft.source
    revision = source.text(*TEMPLATE, "metadata", "name")
    if revision:
        source.mapped((*TEMPLATE, "metadata", "name"), f"to the variable K_REVISION {_IN_PODS}; there are no revisions")
    values = {
        **({"PORT": str(port)} if port else {}),
        "K_REVISION": revision or f"{draft.name}-00001",
        "K_CONFIGURATION": draft.name,
        "K_SERVICE": draft.name,
    }
    given = container.get("env", [])
    names = {each.get("name") for each in given}
    new = [{"name": name, "value": value} for name, value in values.items() if name not in names]
    container["env"] = [*new, *given]
    written = ", ".join(f"{each['name']}={each['value']}" for each in new)
    source.added(f"{written} in the container {container['name']}, which Knative sets")


def _probes(source: Source, container: Object, path: KeyPath, port: int) -> None:
    """Give each probe its port, and add the readiness probe that Knative has by default."""
    for name in _PROBES:
        probe = container.get(name)
        if not probe:
            continue
        for handler in (each for each in _HANDLERS if each in probe):
            _probe_port(source, probe[handler], (*path, name, handler), port)
    readiness = container["readinessProbe"] = container.get("readinessProbe") or {}
    if not any(handler in readiness for handler in (*_HANDLERS, "exec")):
        readiness["tcpSocket"] = {"port": port}
        source.added(f"a readiness probe by TCP on port {port}, as Knative has it by default")
    if not readiness.get("periodSeconds"):
        _often(source, readiness, (*path, "readinessProbe", "periodSeconds"))


def _probe_port(source: Source, handler: Object, path: KeyPath, port: int) -> None:
    if handler.get("port"):
        return
    if not handler:
        source.mapped(path, f"to port: {port}, the port on which the container serves")
    elif "port" in handler:
        source.mapped((*path, "port"), f"to {port}, the port on which the container serves")
    else:
        source.added(f"port: {port} in the {path[-2]}, the port on which the container serves")
    handler["port"] = port


def _often(source: Source, probe: Object, path: KeyPath) -> None:
    """Probe once a second; Knative probes more often than that until a pod is ready."""
    if "periodSeconds" in probe:
        source.mapped(path, "to 1: Kubernetes probes once a second at most")
    else:
        source.added("periodSeconds: 1 in the readinessProbe; Knative probes a starting pod several times a second")
    probe["periodSeconds"] = 1
