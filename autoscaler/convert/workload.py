"""The Deployment and the Service of a service: ports, the time for a graceful end, and no number of replicas."""

import re
from copy import deepcopy
from math import ceil
from typing import Any

from autoscaler.convert.draft import Draft, Object
from autoscaler.convert.findings import Effect
from autoscaler.convert.source import Source, Sources
from autoscaler.documents.document import DocumentError, KeyPath
from autoscaler.documents.fields import parse_duration

GRACE_MARGIN_S = 30
"""A pod may end what it serves: requestTimeout, and this."""
_DEFAULT_GRACE_S = 30
_REQUEST_TIMEOUT = "300s"
_POD: KeyPath = ("spec", "template", "spec")
_GRACE: KeyPath = (*_POD, "terminationGracePeriodSeconds")
_FOR_OTHERS = re.compile("metric|prom|monitor|health|probe|admin|debug|pprof")
_SERVERS = {"status", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields"}
_SERVERS_ANNOTATIONS = {"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"}


def deployment_beside(draft: Draft, sources: Sources, name: str) -> Source | None:
    """Take the Deployment of a name that stands beside the object that scales it, if one does."""
    found = sources.named("apps", "Deployment", draft.namespace, name)
    if found is None or found.used:
        return None
    draft.use(found)
    return found


def service_beside(draft: Draft, sources: Sources, deployment: Source | None, name: str | None = None) -> Source | None:
    """Take the Service of a name, or the first whose selector finds the Deployment's pods."""
    labels = deployment.get("spec", "template", "metadata", "labels", default={}) if deployment else {}
    for found in sources.find("", "Service", draft.namespace):
        selector = found.get("spec", "selector", default={})
        is_it = found.name == name if name else selector and selector.items() <= labels.items()
        if is_it and not found.used:
            draft.use(found)
            return found
    return None


def adopt(draft: Draft, source: Source) -> Object:
    """Copy an object that stands beside, without what the API server wrote, and without a number of replicas."""
    found: Object = {key: deepcopy(value) for key, value in source.document.value.items() if key not in _SERVERS}
    metadata = {key: value for key, value in (found.get("metadata") or {}).items() if key not in _SERVERS}
    annotations = {
        key: value
        for key, value in (metadata.pop("annotations", None) or {}).items()
        if key not in _SERVERS_ANNOTATIONS
    }
    found["metadata"] = metadata | ({"annotations": annotations} if annotations else {})
    for path in _own_paths(source):
        source.note(path, Effect.KEPT, f"in the {source.title}")
    if source.get("spec", "replicas") is not None:
        del found["spec"]["replicas"]
        source.note(("spec", "replicas"), Effect.LEFT_OUT, "the number is the autoscaler's; Kubernetes starts with 1")
    draft.objects.append(found)
    return found


def _own_paths(source: Source) -> list[KeyPath]:
    """Give the keys of an object that people write."""
    elsewhere = {*_SERVERS, "apiVersion", "kind", "metadata", "spec"}
    top: list[KeyPath] = [(key,) for key in source.document.value if key not in elsewhere]
    top += [("spec", key) for key in source.keys("spec") if key != "replicas"]
    top += [("metadata", key) for key in source.keys("metadata") if key == "labels"]
    top += [
        ("metadata", "annotations", key)
        for key in source.keys("metadata", "annotations")
        if key not in _SERVERS_ANNOTATIONS
    ]
    return top


def lengthen_grace(draft: Draft, deployment: Object, source: Source) -> None:
    """Let a pod that goes end its requests: its grace is at least the policy's requestTimeout, and some more."""
    timeout_s = parse_duration(draft.spec.get("traffic", {}).get("requestTimeout", _REQUEST_TIMEOUT))
    pod = deployment["spec"]["template"]["spec"]
    given = pod.get("terminationGracePeriodSeconds")
    if (_DEFAULT_GRACE_S if given is None else given) >= timeout_s:
        return
    grace_s = ceil(timeout_s) + GRACE_MARGIN_S
    pod["terminationGracePeriodSeconds"] = grace_s
    why = f"a pod that goes must be able to end a request, which may take {timeout_s:g}s"
    if source.get(*_GRACE) is None:
        source.added(f"the pod's terminationGracePeriodSeconds: {grace_s}; {why}")
    else:
        source.mapped(_GRACE, f"to {grace_s}; {why}")


def container_port(source: Source, port: int | str) -> int:
    """Give the number of a pod's port; a name is looked up among the ports of its containers.

    Raises:
        DocumentError: no container has a port of that name.
    """
    if isinstance(port, int) or re.fullmatch("[0-9]+", port):
        return int(port)
    containers: list[Any] = source.get(*_POD, "containers", default=[])
    ports = [each for container in containers for each in container.get("ports") or []]
    found = next((each for each in ports if each.get("name") == port and each.get("containerPort")), None)
    if found is None:
        raise DocumentError(
            [f'{source.where(*_POD, "containers")}: no container of {source.title} has a port "{port}"']
        )
    return int(found["containerPort"])


def port_of_service(service: Source, number: int | str | None = None) -> int | str | None:
    """Give the pod's port behind a port of a Service: its number or name there, else the only one for requests."""
    ports: list[Any] = service.get("spec", "ports", default=[])
    named = [each for each in ports if number == each.get("port") or number == each.get("name")]
    chosen = for_requests(ports) if number is None else named
    if len(chosen) != 1:
        return None
    target: int | str = chosen[0].get("targetPort", chosen[0].get("port"))
    return target


def for_requests(ports: list[Any]) -> list[Any]:
    """Leave out the ports whose names say that they are for something else."""
    return [each for each in ports if not _FOR_OTHERS.search(str(each.get("name", "")))]
