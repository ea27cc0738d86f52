"""Policies as custom resources: each is read and validated like a file; an invalid one is kept with its problem."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from autoscaler.documents.document import Document, DocumentError
from autoscaler.documents.fields import sharing_parts
from autoscaler.host_claims import LONGEST_HOST
from autoscaler.kubernetes.objects import Resource
from autoscaler.kubernetes.store import key_of
from autoscaler.kubernetes.timestamps import unix_s
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import API_VERSION, NO_BACKENDS, ScalingPolicy
from autoscaler.ports import ServiceName

POLICIES = Resource(API_VERSION, "scalingpolicies")
_METADATA = ("name", "namespace", "annotations", "labels")


class PolicyResource(NamedTuple):
    """One custom resource."""

    policy: ScalingPolicy | None
    """None if it is not valid; `problem` then says why."""
    problem: str
    uid: str
    generation: int
    created_s: float
    hosts: tuple[str, ...] = ()
    """The hosts that it claims; an invalid policy keeps its hosts until it is corrected or deleted."""
    annotations: Mapping[str, str] = MappingProxyType({})
    """Annotations of an invalid policy, whose pause still counts."""


class StoredPolicy(NamedTuple):
    """One custom resource and its status; users of the policy watch only the resource."""

    resource: PolicyResource
    status: Mapping[str, Any]


def stored_policy(item: Mapping[str, Any]) -> StoredPolicy:
    """Read a custom resource."""
    return StoredPolicy(_resource(item), _status(item))


class PolicyReader:
    """Reads as `stored_policy` does, but keeps the same policy object if only the status has changed."""

    def __init__(self) -> None:
        self._known: dict[ServiceName, tuple[Any, PolicyResource]] = {}

    def __call__(self, item: Mapping[str, Any]) -> StoredPolicy:
        """Read a custom resource."""
        service = key_of(item)
        version = [item["metadata"].get(key) for key in ("uid", "generation", "annotations", "labels")]
        known = self._known.get(service)
        if known is None or known[0] != version:
            known = self._known[service] = version, _resource(item)
        return StoredPolicy(known[1], _status(item))

    def forget(self, service: ServiceName) -> None:
        """Forget a deleted policy."""
        self._known.pop(service, None)


def _status(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the status; equal conditions, which most policies have, share one object."""
    status = item.get("status") or {}
    if "conditions" not in status:
        return status
    return {**status, "conditions": [_condition(tuple(each.items())) for each in status["conditions"]]}


@lru_cache(maxsize=1024)
def _condition(items: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    return dict(items)


def _resource(item: Mapping[str, Any]) -> PolicyResource:
    metadata = item["metadata"]
    policy, problem = _read(item)
    created_s = unix_s(metadata["creationTimestamp"])
    generation = metadata.get("generation", 0)
    hosts, annotations = _hosts(policy, item.get("spec")), {} if policy else metadata.get("annotations") or {}
    return PolicyResource(policy, problem, metadata["uid"], generation, created_s, hosts, annotations)


def _read(item: Mapping[str, Any]) -> tuple[ScalingPolicy | None, str]:
    """Read it as a document, with only the metadata that a document may have."""
    metadata = {key: item["metadata"][key] for key in _METADATA if key in item["metadata"]}
    value = {"apiVersion": API_VERSION, "kind": "ScalingPolicy", "metadata": metadata, "spec": item.get("spec")}
    source = f"ScalingPolicy {metadata['namespace']}/{metadata['name']}"
    try:
        policy = validated(Document(source, value, {}), ScalingPolicy)
    except DocumentError as error:
        return None, "; ".join(problem.removeprefix(f"{source}:1: ") for problem in error.problems)
    if policy.spec.backends is not None:
        return None, f"spec.{NO_BACKENDS}"
    return sharing_parts(policy, value), ""


def _hosts(policy: ScalingPolicy | None, spec: Any) -> tuple[str, ...]:
    """Give the hosts of a policy, also of one that is invalid in another place."""
    if policy is not None:
        return policy.spec.traffic.hosts if policy.spec.traffic else ()
    traffic = spec.get("traffic") if isinstance(spec, Mapping) else None
    hosts = traffic.get("hosts") if isinstance(traffic, Mapping) else None
    named = hosts if isinstance(hosts, list) else []
    return tuple(host for host in named if isinstance(host, str) and len(host) <= LONGEST_HOST)
