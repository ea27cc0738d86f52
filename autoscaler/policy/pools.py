"""Settings of `spec.pools`: kinds of GPUs in order of preference.

`algorithms.pools` has the rules that place replicas in them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from algorithms.pools import Placement, Pool
from autoscaler.documents.fields import RULES, Duration, ResourceModel, Shape, lasting, rule
from autoscaler.policy.node_affinity import LABEL_KEY, LONGEST_KEY, LabelValue, PoolAffinity
from autoscaler.policy.target_ref import LABEL, ScaleTargetRef

PoolName = Annotated[str, Shape(LABEL, "a DNS label: lower-case letters, digits and -", 63)]
InstanceType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=63)]

_ORDERED = "minReplicas: must be at most maxReplicas of the pool"
_NODES = "scaleTargetRef: its own pods say where they run; nodeSelector, affinity and instanceTypes must be absent"
_KEYS = "nodeSelector: has a key that is not the key of a label"


class GpuPool(ResourceModel):
    """GPUs of one kind, and the pods that use them."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("!has(self.maxReplicas) || self.?minReplicas.orValue(0) <= self.maxReplicas", _ORDERED),
                rule(
                    "!has(self.scaleTargetRef) || !(has(self.nodeSelector) || has(self.affinity) || "
                    "has(self.instanceTypes))",
                    _NODES,
                ),
                rule(
                    "!has(self.nodeSelector) || "
                    f"self.nodeSelector.all(key, size(key) <= {LONGEST_KEY} && key.matches(r'''^({LABEL_KEY})$'''))",
                    _KEYS,
                ),
            ]
        }
    )

    name: PoolName
    """Its name in decisions, in the status, and in the name of the copy of the Deployment."""
    scale_target_ref: ScaleTargetRef | None = None
    """The object whose pods run in this pool. Absent: the controller makes a copy of the policy's own target."""
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=16)] | None = None
    """Labels of the pool's nodes; they are added to the node selector of the copy's pods."""
    affinity: PoolAffinity | None = None
    """Which nodes belong to the pool, as in the spec of a pod; it is added to the copy's pods."""
    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1, max_length=64)] | None = None
    """Instance types of the pool's nodes: values of their label `node.kubernetes.io/instance-type`."""
    price_per_hour: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """What a replica costs in an hour, in any currency. It changes no decision: pools are used in their order."""
    speed: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """How fast a replica works, compared to other pools. It changes no decision: at half the speed a request is counted
    for twice as long. `explain-policy` shows what the same work costs in each pool."""
    min_replicas: Annotated[int, Field(ge=0, le=10_000)] = 0
    """A reserve: these replicas are kept at rest and answer the first requests. When the service needs more than all
    reserves together, replicas in better pools take over one by one."""
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The most replicas in this pool. Absent: `maxReplicas` of the policy."""
    cold_start: Annotated[Duration, lasting("0s", "1h")] | None = None
    """How long a replica in this pool takes until it is ready; `schedule` begins so much earlier. Absent: unknown."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.max_replicas is not None and self.min_replicas > self.max_replicas:
            raise ValueError(_ORDERED)
        if self.scale_target_ref and (self.node_selector or self.affinity or self.instance_types):
            raise ValueError(_NODES)
        if not all(len(key) <= LONGEST_KEY and re.fullmatch(LABEL_KEY, key) for key in self.node_selector or ()):
            raise ValueError(_KEYS)
        return self


def placement(pools: Sequence[GpuPool] | None, spill_after_s: float) -> Placement | None:
    """Build what places the replicas of one service; None without pools."""
    if pools is None:
        return None
    known = [Pool(pool.name, pool.min_replicas, pool.max_replicas) for pool in pools]
    return Placement(known, spill_after_s=spill_after_s)


_REFS = "self.pools.exists(pool, has(pool.scaleTargetRef))"
_RESERVE = "self.pools.map(pool, pool.?minReplicas.orValue(0)).sum()"
_ROOM = "self.pools.map(pool, pool.?maxReplicas.orValue(10000)).sum()"
_SAME = (
    "(has(other.scaleTargetRef) && other.scaleTargetRef.name == pool.scaleTargetRef.name && "
    "(has(other.scaleTargetRef.kind) ? other.scaleTargetRef.kind : 'Deployment') == "
    "(has(pool.scaleTargetRef.kind) ? pool.scaleTargetRef.kind : 'Deployment'))"
)
_A_DEPLOYMENT = (
    "(self.?scaleTargetRef.?kind.orValue('Deployment') == 'Deployment' && "
    "self.?scaleTargetRef.?apiVersion.orValue('apps/v1') == 'apps/v1')"
)
_UNIQUE = "pools: must have unique names"
_ALIKE = "pools: either all have a scaleTargetRef or none has"
_OWN_TARGETS = "pools: two must not have the same scaleTargetRef"
_COPIED = "scaleTargetRef: must be a Deployment of apps/v1 if pools are copies of it"
_ENOUGH = "pools: the sum of their maxReplicas must be at least minReplicas, also that of each window of the schedule"
_RESERVED = "pools: the sum of their minReplicas must be at most maxReplicas, also that of each window of the schedule"


def pool_rules() -> list[Any]:
    """Give the rules of a spec with pools in CEL, without those on its bounds."""
    rules = [
        ("self.pools.all(pool, self.pools.exists_one(other, other.name == pool.name))", _UNIQUE),
        (f"!{_REFS} || self.pools.all(pool, has(pool.scaleTargetRef))", _ALIKE),
        (f"self.pools.all(pool, !has(pool.scaleTargetRef) || self.pools.exists_one(other, {_SAME}))", _OWN_TARGETS),
        (
            f"{_REFS} || {_A_DEPLOYMENT}",
            _COPIED,
        ),
    ]
    return [rule(f"!has(self.pools) || {cel}", message) for cel, message in rules]


def pool_bound_rules(least: str, most: str, *, all_windows: Callable[[str], str]) -> list[Any]:
    """Give the rules on the bounds of a spec with pools in CEL.

    Args:
        least: the spec's minReplicas in CEL.
        most: its maxReplicas in CEL.
        all_windows: says in CEL that a condition holds for each window of the schedule, which is called `each` in it.
    """
    rules = [
        (f"{_ROOM} >= {least}", _ENOUGH),
        (f"{_RESERVE} <= {most}", _RESERVED),
        (all_windows(f"{_ROOM} >= each.?minReplicas.orValue(0)"), _ENOUGH),
        (all_windows(f"{_RESERVE} <= each.?maxReplicas.orValue(10000)"), _RESERVED),
    ]
    return [rule(f"!has(self.pools) || {cel}", message) for cel, message in rules]


def check_pools(
    pools: Sequence[GpuPool], target: ScaleTargetRef | None, *, min_replicas: int, max_replicas: int
) -> None:
    """Check what the rules of a spec with pools say; raises ValueError on the first that does not hold."""
    refs = [pool.scale_target_ref for pool in pools if pool.scale_target_ref]
    room = sum(10_000 if pool.max_replicas is None else pool.max_replicas for pool in pools)
    checks = {
        _UNIQUE: len({pool.name for pool in pools}) == len(pools),
        _ALIKE: len(refs) in (0, len(pools)),
        _OWN_TARGETS: len({(ref.kind, ref.name) for ref in refs}) == len(refs),
        _COPIED: bool(refs) or target is None or (target.kind, target.api_version) == ("Deployment", "apps/v1"),
        _ENOUGH: room >= min_replicas,
        _RESERVED: sum(pool.min_replicas for pool in pools) <= max_replicas,
    }
    for message, holds in checks.items():
        if not holds:
            raise ValueError(message)
