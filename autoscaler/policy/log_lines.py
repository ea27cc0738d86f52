"""What a line of a decision log may contain, with the names of the current version.

Every key is required, except those that earlier releases did not write: a missing number is not zero. Only services
with pools of GPUs have `pools`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from algorithms.plausibility import LAST_S, MOST
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Unwritten

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


class _ColdStart(_Part):
    seconds: _Count
    pool: str = ""


class ObservationLine(_Part):
    """What was seen."""

    now_s: _Seconds
    since_s: _Seconds
    inflight: _Count | None
    replicas: _Replicas
    ready: _Replicas
    latest: _Count
    passing: _Requests
    problem: str
    pools: list[_PoolState] = []
    queued: _Count | None = None
    running: _Count | None = None
    starting: _Replicas | None = None
    unplaced: _Replicas = 0
    arrived: _Requests | None = None
    """This and the next three are only in lines of services whose policy uses them."""
    finished: _Requests | None = None
    served_s: _Count | None = None
    starts: list[_ColdStart] = []
    hinted: _Count = 0.0
    """This and the next are only in lines of services to which requests are announced."""
    hinted_s: _Count = 0.0


class _Average(_Part):
    name: str
    value: _Count
    over_s: _Count
    known_s: _Count


class RecommendationLine(_Part):
    """What the algorithm asked for."""

    replicas: int | None
    why: str
    averages: list[_Average] = []
    per_replica: Annotated[float, Field(gt=0)] | None = None
    panic: bool = False


class ReasonLine(_Part):
    """One rule that changed the number."""

    rule: str
    before: int
    after: _Replicas
    why: str


class CandidateLine(_Part):
    """What a candidate of the policy decided on the same observation."""

    name: str
    recommendation: RecommendationLine
    reasons: list[ReasonLine]
    unchanged: list[str]
    desired: _Replicas


class DecisionLine(_Part):
    """A decision with its observation."""

    service: str
    observation: ObservationLine
    recommendation: RecommendationLine
    reasons: list[ReasonLine]
    desired: _Replicas
    written: bool | None
    error: str
    drain: list[ReasonLine] = []
    """Lines of version 1 have none."""
    unchanged: list[str] = []
    """This and the next are not in lines of earlier releases."""
    unwritten: Unwritten = ""
    candidates: list[CandidateLine] = []
    """Only if the policy has some."""


class PolicyLine(_Part):
    """A policy that takes effect, with the state of its decider then."""

    service: str
    policy: ScalingPolicy
    state: dict[str, Any]
