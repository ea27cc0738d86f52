"""Copies of a Deployment, one for each pool of GPUs: what each must be, and which are too many. No I/O.

Rules:
1. A copy has the whole spec of its template, with the pool's nodes added and a label that tells its pods from others.
   Annotations of pods are copied as they are.
2. The number of replicas is never a part of it, except when the copy is made (0), and while nobody else has written it:
   a field that is applied once and then left out would be reset.
3. A copy has none of the labels and annotations of its template's own metadata: tools such as Argo CD find by them what
   they may delete.
4. A Deployment of the name of a copy that does not say that it is one of this policy is left alone.
5. The template owns its copies, so that Kubernetes deletes them with it. Without the policy they stay, like any target.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from autoscaler.policy.pools import GpuPool

Json = Mapping[str, Any]

POOL_LABEL = "inflight.dev/pool"
POLICY_ANNOTATION = "inflight.dev/policy"
MANAGER = "inflight-pools"
"""Our name in managedFields as who makes copies; the numbers are written under another one."""
_INSTANCE_TYPE = "node.kubernetes.io/instance-type"


class Deployment(NamedTuple):
    """The parts of a Deployment that matter to its copies."""

    name: str
    uid: str
    version: str
    pool: str
    """Its label; empty if it is no copy."""
    policy: str
    """The policy whose copy it is."""
    spec: Json
    """Without the number of replicas."""
    replicas: int
    pods: int
    ready: int
    replicas_are_ours: bool
    """Nobody has written the number since the copy was made."""


class Copies(NamedTuple):
    """The copies that a policy asks for."""

    policy: str
    template: str
    pools: tuple[GpuPool, ...]
    writes: bool = True
    """False in DryRun: nothing is made, changed or removed."""

    @property
    def names(self) -> dict[str, str]:
        """The pool of each copy, by the copy's name."""
        return {copy_name(self.template, pool.name): pool.name for pool in self.pools}


def copy_name(template: str, pool: str) -> str:
    """Name the copy for a pool."""
    return f"{template}-{pool}"


def deployment(item: Json) -> Deployment:
    """Read a Deployment."""
    metadata, spec, status = item["metadata"], dict(item["spec"]), item.get("status") or {}
    replicas = spec.pop("replicas", 1)
    return Deployment(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        pool=(metadata.get("labels") or {}).get(POOL_LABEL, ""),
        policy=(metadata.get("annotations") or {}).get(POLICY_ANNOTATION, ""),
        spec=spec,
        replicas=replicas,
        pods=status.get("replicas") or 0,
        ready=status.get("readyReplicas") or 0,
        replicas_are_ours=any(map(_applies_replicas, metadata.get("managedFields") or ())),
    )


def _applies_replicas(managed: Json) -> bool:
    is_ours = managed.get("manager") == MANAGER and managed.get("operation") == "Apply"
    return is_ours and "f:replicas" in ((managed.get("fieldsV1") or {}).get("f:spec") or {})


def copy_of(template: Deployment, policy: str, pool: GpuPool) -> dict[str, Any]:
    """Give the copy for a pool, without a number of replicas, as it is applied."""
    spec, pods = template.spec, template.spec["template"]
    metadata = pods.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), POOL_LABEL: pool.name}
    chosen = {**(spec["selector"].get("matchLabels") or {}), POOL_LABEL: pool.name}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": template.name, "uid": template.uid}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": copy_name(template.name, pool.name),
            "labels": {POOL_LABEL: pool.name},
            "annotations": {POLICY_ANNOTATION: policy},
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}],
        },
        "spec": {
            **spec,
            "selector": {**spec["selector"], "matchLabels": chosen},
            "template": {**pods, "metadata": {**metadata, "labels": labels}, "spec": _on_nodes_of(pool, pods["spec"])},
        },
    }


def with_replicas(copy: dict[str, Any], existing: Deployment | None) -> dict[str, Any]:
    """Add what rule 2 says of the number; a number that somebody has just written is a conflict."""
    if existing is None:
        return {**copy, "spec": {**copy["spec"], "replicas": 0}}
    if not existing.replicas_are_ours:
        return copy
    return {
        **copy,
        "metadata": {**copy["metadata"], "resourceVersion": existing.version},
        "spec": {**copy["spec"], "replicas": existing.replicas},
    }


def foreign(existing: Deployment | None, copies: Copies, namespace: str) -> str:
    """Say why a Deployment of the name of a copy is not ours; empty if it is, or if there is none."""
    if existing is None or (existing.pool and existing.policy == copies.policy):
        return ""
    whose = f"is a copy for policy {existing.policy}" if existing.pool else "is no copy of ours"
    return f"Deployment {namespace}/{existing.name} {whose}; rename the pool, or delete that Deployment"


def superfluous(deployments: Iterable[Deployment], copies: Copies) -> list[Deployment]:
    """Give the copies of a policy that no pool of it needs any more."""
    return [
        each for each in deployments if each.pool and each.policy == copies.policy and each.name not in copies.names
    ]


# Nodes.


def _on_nodes_of(pool: GpuPool, pods: Json) -> dict[str, Any]:
    """Give the spec of pods that run on the nodes of a pool, besides what the spec says of nodes itself."""
    found = dict(pods)
    if pool.node_selector:
        found["nodeSelector"] = {**(pods.get("nodeSelector") or {}), **pool.node_selector}
    wanted = _node_affinity(pool)
    if wanted:
        affinity = pods.get("affinity") or {}
        found["affinity"] = {**affinity, "nodeAffinity": _both(affinity.get("nodeAffinity") or {}, wanted)}
    return found


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _node_affinity(pool: GpuPool) -> Json:
    given: Json = {}
    if pool.affinity is not None:
        given = pool.affinity.node_affinity.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if pool.instance_types is None:
        return given
    types = {"key": _INSTANCE_TYPE, "operator": "In", "values": list(pool.instance_types)}
    return _both(given, {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [types]}]}})


def _both(one: Json, other: Json) -> dict[str, Any]:
    """Give the node affinity that holds where both do: of the required terms one of each side must hold."""
    preferred = [*(one.get(_PREFERRED) or ()), *(other.get(_PREFERRED) or ())]
    terms = _all_of(_terms(one), _terms(other))
    return {
        **({_REQUIRED: {"nodeSelectorTerms": terms}} if terms else {}),
        **({_PREFERRED: preferred} if preferred else {}),
    }


def _terms(affinity: Json) -> Sequence[Json]:
    return (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()


def _all_of(one: Sequence[Json], other: Sequence[Json]) -> list[Json]:
    if not one or not other:
        return [*one, *other]
    keys = ("matchExpressions", "matchFields")
    return [
        {key: [*(a.get(key) or ()), *(b.get(key) or ())] for key in keys if a.get(key) or b.get(key)}
        for a in one
        for b in other
    ]
