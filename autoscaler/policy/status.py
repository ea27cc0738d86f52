"""What the controller writes under `status` of a policy that is a custom resource: the state of one service, and why.

Nobody writes it by hand. It is modelled as the policy is, so that one generator makes the schema of both.
"""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema
from pydantic.config import JsonDict

from autoscaler.documents.fields import ResourceModel

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Replicas = Annotated[int, Field(ge=0)]

_BY_TYPE: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class Condition(ResourceModel):
    """One of Ready, ScalingActive, AbleToScale, ScalingLimited and PodsReady, with the HPA's names for the reasons.

    PodsReady is there only while pods are missing and Kubernetes says why; its reason is Kubernetes' own.
    """

    type: str
    """Which of them."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """Why, in one word."""
    message: str = ""
    """Why, for people."""
    observed_generation: int | None = None
    """The generation of the policy that it is about."""
    last_transition_time: Time
    """When `status` was last another."""


class RuleApplied(ResourceModel):
    """One rule that changed the number on its way from the recommendation to the decision."""

    rule: str
    """Its name."""
    before: int
    """The number it was given."""
    after: int
    """The number it gave."""
    why: str
    """Why."""


class AlgorithmRecommendation(ResourceModel):
    """What the algorithm asked for."""

    replicas: int | None = None
    """Absent: no opinion, so that what there is is held."""
    why: str
    """Why."""


class LastDecision(ResourceModel):
    """The last decision that changed anything, with its reasons."""

    time: Time
    """When it was taken."""
    before: Replicas | None = None
    """What was asked for until then."""
    desired: Replicas
    """What should be."""
    recommendation: AlgorithmRecommendation | None = None
    """What the algorithm asked for. Absent: release 0.1.0 wrote the decision."""
    reasons: tuple[RuleApplied, ...] = ()
    """The rules that changed the number, in order."""
    written: bool | None = None
    """Whether it was written. Absent: there was nothing to write."""
    error: str = ""
    """Why it could not be written."""


class PolicyStatus(ResourceModel):
    """The state of one service as the controller last wrote it."""

    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra=_BY_TYPE)] = ()
    """Whether it is scaled, and what keeps it from being; the reason of Ready is the one to read first."""
    observed_generation: int | None = None
    """The generation of the policy that is in force."""
    min_replicas: Replicas | None = None
    """Never fewer, by the policy that is in force: what it says, or the default."""
    max_replicas: Replicas | None = None
    """Never more, by the policy that is in force: what it says, or the default."""
    desired_replicas: Replicas | None = None
    """What should be."""
    ready_replicas: Replicas | None = None
    """What can serve."""
    inflight: Annotated[float, Field(ge=0)] | None = None
    """Requests queued or running. Absent: unknown."""
    last_scale_time: Time | None = None
    """When the number of replicas was last changed."""
    last_decision: LastDecision | None = None
    """The last decision that changed anything, with its reasons."""
