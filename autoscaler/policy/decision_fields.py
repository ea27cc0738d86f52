"""The fields of a policy that decide and that a candidate may have too: their types, and the rules across them in CEL.

The rules hold for the policy alone, and for the policy with each of its candidates. In the second form a field is the
candidate's where it has it, and the policy's where not. `PolicySpec` checks the same in Python.
"""

from typing import Annotated, Any, NamedTuple

from pydantic import Field

from autoscaler.documents.fields import Percent, between, rule
from autoscaler.policy.knative_settings import TARGET_MIN
from autoscaler.policy.kpa import MAX_LOAD
from autoscaler.policy.pools import pool_bound_rules
from autoscaler.policy.schedule.windows import BY_NAME, Window, schedule_rules

CANDIDATE = "candidate"
"""The name of a candidate in rules; `self` is the spec."""

MinReplicas = Annotated[int, Field(ge=0, le=10_000)]
MaxReplicas = Annotated[int, Field(ge=1, le=10_000)]
Schedule = Annotated[tuple[Window, ...], Field(max_length=16, json_schema_extra=BY_NAME)]
Standby = Annotated[int, Field(ge=0, le=1000)]
MaxCold = Annotated[int, Field(ge=1, le=10_000)]
TargetPerReplica = Annotated[float, Field(ge=TARGET_MIN, le=MAX_LOAD)]
TargetUtilization = Annotated[Percent, between("1%", "100%")]

BELOW_THE_MOST = "must not be above maxReplicas"
IDLE_BELOW = "must be below minReplicas"
BELOW_THE_LIMIT = "must not be above containerConcurrency"
STANDBY_NEEDS = "standby: needs concurrency or mpa; kpa, hpa and keda decide as the original, without spare replicas"
WORTH_A_START_NEEDS = "scaleUp.worthAStart: needs concurrency or mpa; kpa, hpa and keda decide as the original"


class _Fields(NamedTuple):
    """How a rule reads the fields that decide."""

    candidate: bool

    def optional(self, field: str) -> str:
        """Give a field, or a field of a field, as an optional value."""
        first, _, inner = field.partition(".?")
        if not self.candidate:
            return f"self.?{field}"
        if inner:
            return f"(has({CANDIDATE}.{first}) ? {CANDIDATE}.?{field} : self.?{field})"
        return f"{CANDIDATE}.?{field}.or(self.?{field})"

    def follows(self, algorithm: str) -> str:
        """Tell whether an algorithm is chosen."""
        if not self.candidate:
            return f"self.?algorithm.?{algorithm}.hasValue()"
        theirs = f"self.?algorithm.?{algorithm}.hasValue()"
        return f"(has({CANDIDATE}.algorithm) ? has({CANDIDATE}.algorithm.{algorithm}) : {theirs})"

    def all_windows(self, condition: str) -> str:
        """Tell whether a condition holds for each window of the schedule; it is called `each` there."""
        theirs = f"(!has(self.schedule) || self.schedule.all(each, {condition}))"
        if not self.candidate:
            return theirs
        return f"(has({CANDIDATE}.schedule) ? {CANDIDATE}.schedule.all(each, {condition}) : {theirs})"


def decision_rules(*, candidate: bool = False) -> list[Any]:
    """Give the rules across the fields that decide, in CEL, on a spec; with `candidate` as a candidate changes it."""
    fields = _Fields(candidate)
    least, most = (fields.optional(f"{each}Replicas") for each in ("min", "max"))
    least, most = f"{least}.orValue(0)", f"{most}.orValue(10)"
    kpa, idle = fields.follows("kpa"), fields.optional("algorithm.?keda.?idleReplicaCount")
    min_scale = f"{fields.optional('algorithm.?kpa.?minScale')}.orValue({least})"
    max_scale = f"{fields.optional('algorithm.?kpa.?maxScale')}.orValue({most})"
    activation = f"{fields.optional('algorithm.?kpa.?activationScale')}.orValue({min_scale})"
    ours = f"!({' || '.join(map(fields.follows, ('kpa', 'hpa', 'keda')))})"
    target, limit = fields.optional("targetPerReplica"), "self.?containerConcurrency.orValue(1)"
    return [
        rule(f"{least} <= {most}", "minReplicas: must be at most maxReplicas, which is 10 where it is absent"),
        rule(
            f"!{idle}.hasValue() || {idle}.orValue(0) < {least}",
            f"algorithm.keda.idleReplicaCount: {IDLE_BELOW}, which is 0 where it is absent",
        ),
        rule(
            f"!{kpa} || {max_scale} == 0 || {min_scale} <= {max_scale}",
            "algorithm.kpa.minScale: must be at most maxScale; minReplicas and maxReplicas stand for what is absent",
        ),
        rule(
            f"!{kpa} || {min_scale} <= {most}",
            f"algorithm.kpa.minScale: {BELOW_THE_MOST}, which is 10 where it is absent",
        ),
        rule(
            f"!{kpa} || ({activation} >= {min_scale} && ({max_scale} == 0 || {activation} <= {max_scale}))",
            "algorithm.kpa.activationScale: must be within minScale and maxScale",
        ),
        rule(
            f"!{target}.hasValue() || {limit} == 0 || {target}.orValue(0.0) <= double({limit})",
            f"targetPerReplica: {BELOW_THE_LIMIT}, which is 1 where it is absent and no limit where it is 0",
        ),
        *schedule_rules(least, most, least_of_algorithm=f"({ours} ? 0 : {min_scale})", all_windows=fields.all_windows),
        rule(f"{fields.optional('standby')}.orValue(0) == 0 || {ours}", STANDBY_NEEDS),
        rule(f"!{fields.optional('scaleUp.?worthAStart')}.hasValue() || {ours}", WORTH_A_START_NEEDS),
        *pool_bound_rules(least, most, all_windows=fields.all_windows),
    ]
