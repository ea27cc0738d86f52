"""What a line of a decision log may contain, with the names of the current version.

Every key is required: a missing number is not zero. Only services with pools of GPUs have `pools`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from algorithms.plausibility import LAST_S, MOST
from autoscaler.policy.spec import ScalingPolicy

FIRST_S = -62135596800.0
"""The beginning of the year 1, the first time that has a date."""

_Seconds = Annotated[float, Field(ge=FIRST_S, le=LAST_S)]
_Count = Annotated[float, Field(ge=0, le=MOST)]
_Replicas = Annotated[int, Field(ge=0, le=2**63)]
_Requests = Annotated[int, Field(ge=0, le=2**53)]


class _Part(BaseModel):
    """A part of a line: JSON's own types, and no other keys."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _PoolState(_Part):
    name: str
    asked: _Replicas
    ready: _Replicas
    busy: _Replicas
    unplaced: _Replicas
    refused: bool
    why: str


class _Observation(_Part):
    now_s: _Seconds
    since_s: _Seconds
    inflight: _Count | None
    replicas: _Replicas
    ready: _Replicas
    latest: _Count
    passing: _Requests
    problem: str
    pools: list[_PoolState] = []


class _Recommendation(_Part):
    replicas: int | None
    why: str


class ReasonLine(_Part):
    """One rule that changed the number."""

    rule: str
    before: int
    after: _Replicas
    why: str


class DecisionLine(_Part):
    """A decision with its observation."""

    service: str
    observation: _Observation
    recommendation: _Recommendation
    reasons: list[ReasonLine]
    desired: _Replicas
    written: bool | None
    error: str
    drain: list[ReasonLine] = []
    """Lines of version 1 have none."""


class PolicyLine(_Part):
    """A policy that takes effect, with the state of its decider then."""

    service: str
    policy: ScalingPolicy
    state: dict[str, Any]
