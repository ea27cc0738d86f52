"""Which objects a policy scales: its target, or one for each of its pools. The gateway sends requests to their pods."""

from typing import NamedTuple

from autoscaler.kubernetes.pool_copy import Copies, copy_name
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.policy.pools import GpuPool
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.policy.target_ref import ScaleTargetRef
from autoscaler.pool_members import member_of
from autoscaler.ports import ServiceName


class ScaledObject(NamedTuple):
    """An object whose replicas are written."""

    kind: NamespacedKind
    name: str


def scaled_objects(policy: ScalingPolicy) -> dict[ServiceName, ScaledObject]:
    """Give the object of each member of a service; none if the policy names backends."""
    spec, service = policy.spec, policy.service
    if spec.pools is None:
        return {} if spec.scale_target_ref is None else {service: _object(policy, spec.scale_target_ref)}
    references = {pool.name: pool.scale_target_ref or _copy(policy, pool) for pool in spec.pools}
    return {member_of(service, pool): _object(policy, found) for pool, found in references.items() if found}


def serving_objects(policy: ScalingPolicy) -> dict[ServiceName, ScaledObject]:
    """Give the objects whose pods serve: those that are scaled, and the template of copies while it has pods."""
    found, template = scaled_objects(policy), policy.spec.scale_target_ref
    if policy.spec.pools and template:
        found[member_of(policy.service, "")] = _object(policy, template)
    return found


def copies_of(policy: ScalingPolicy, *, had_pools: bool = False) -> Copies | None:
    """Give the copies that a policy asks for: none of them, if it had pools and has none any more."""
    template, pools = policy.spec.scale_target_ref, policy.spec.pools or ()
    if template is None or not (pools or had_pools):
        return None
    return Copies(policy.metadata.name, template.name, pools, writes=policy.spec.mode == "Active")


def _object(policy: ScalingPolicy, reference: ScaleTargetRef) -> ScaledObject:
    kind = NamespacedKind(policy.metadata.namespace, reference.api_version, reference.kind)
    return ScaledObject(kind, reference.name)


def _copy(policy: ScalingPolicy, pool: GpuPool) -> ScaleTargetRef | None:
    template = policy.spec.scale_target_ref
    return template and template.model_copy(update={"name": copy_name(template.name, pool.name)})
