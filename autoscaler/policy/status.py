"""The `status` of a policy in the cluster, written by the controller: the state of one service, and why.

It is a model like the policy, so that one generator makes the schema of both. `schema` has the columns of `kubectl
get`, and `autoscaler.kubernetes.policy_status` makes the values.
"""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema
from pydantic.config import JsonDict

from autoscaler.documents.fields import ResourceModel

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Replicas = Annotated[int, Field(ge=0)]

_BY_NAME: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
_BY_TYPE: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class Condition(ResourceModel):
    """One of Ready, ScalingActive, AbleToScale, ScalingLimited, PodsReady and PoolExhausted.

    The reasons are those of the HPA. PodsReady exists only while pods are missing and Kubernetes says why; its reason
    is that of Kubernetes. PoolExhausted exists if the policy has pools. It is true while one of them has no room for
    what was asked of it. DrainsSafely exists only while pods that leave are killed before their requests can end.
    """

    type: str
    """The name of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition is true."""
    reason: str
    """The cause, in one word."""
    message: str = ""
    """The cause, in a sentence."""
    observed_generation: int | None = None
    """The generation of the policy that the condition describes."""
    last_transition_time: Time
    """When `status` last changed."""


class RuleApplied(ResourceModel):
    """One rule that changed the number on its way from the recommendation to the decision."""

    rule: str
    """The name of the rule."""
    before: int
    """The number before the rule."""
    after: int
    """The number after the rule."""
    why: str
    """Why."""


class AlgorithmRecommendation(ResourceModel):
    """The recommendation of the algorithm."""

    replicas: int | None = None
    """Absent: no recommendation; the number is held."""
    why: str
    """Why."""


class LastDecision(ResourceModel):
    """The last decision that changed anything, with its reasons."""

    time: Time
    """The time of the decision."""
    before: Replicas | None = None
    """The replicas asked for until then."""
    desired: Replicas
    """The desired replicas."""
    recommendation: AlgorithmRecommendation | None = None
    """The recommendation of the algorithm. Absent: release 0.1.0 wrote the decision."""
    reasons: tuple[RuleApplied, ...] = ()
    """The rules that changed the number, in order."""
    written: bool | None = None
    """Whether the number was written to the target. Absent: nothing had to be written."""
    error: str = ""
    """Why the number could not be written."""


class PoolStatus(ResourceModel):
    """One pool of GPUs."""

    name: str
    """The name of the pool."""
    desired: Replicas
    """The replicas that are asked for in this pool."""
    ready: Replicas
    """The replicas that can serve."""
    unplaced: Replicas
    """The replicas that have no place: no node has room, or Kubernetes does not create them."""
    exhausted_since: Time | None = None
    """Since when the pool has had no room for what was asked of it. Absent: it has room."""


class CandidateStatus(ResourceModel):
    """What one candidate of the policy would ask for."""

    name: str
    """The name of the candidate."""
    desired_replicas: Replicas
    """The replicas that it would ask for."""


class PolicyStatus(ResourceModel):
    """The state of one service, as last written by the controller."""

    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra=_BY_TYPE)] = ()
    """Whether the service is scaled, and if not, why. Read the reason of Ready first."""
    observed_generation: int | None = None
    """The generation of the policy that is in force."""
    min_replicas: Replicas | None = None
    """The lower bound of the policy in force, with defaults."""
    max_replicas: Replicas | None = None
    """The upper bound of the policy in force, with defaults."""
    desired_replicas: Replicas | None = None
    """The desired replicas."""
    ready_replicas: Replicas | None = None
    """The replicas that can serve."""
    pools: Annotated[tuple[PoolStatus, ...], Field(json_schema_extra=_BY_NAME)] = ()
    """The pools of the policy, the most wanted first. Absent: the policy has none."""
    candidates: Annotated[tuple[CandidateStatus, ...], Field(json_schema_extra=_BY_NAME)] = ()
    """What the candidates of the policy would ask for. Absent: the policy has none."""
    inflight: Annotated[float, Field(ge=0)] | None = None
    """Requests queued or running. Absent: unknown."""
    last_scale_time: Time | None = None
    """When the replicas were last changed."""
    last_decision: LastDecision | None = None
    """The last decision that changed anything, with its reasons."""


COLUMNS = (
    ("Min", "integer", ".status.minReplicas"),
    ("Max", "integer", ".status.maxReplicas"),
    ("Desired", "integer", ".status.desiredReplicas"),
    ("Ready", "integer", ".status.readyReplicas"),
    ("Inflight", "number", ".status.inflight"),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
    ("Pools", "string", '.status.conditions[?(@.type=="PoolExhausted")].message'),
    ("Age", "date", ".metadata.creationTimestamp"),
)
"""The columns of `kubectl get spol`: name, type and path in the object."""
