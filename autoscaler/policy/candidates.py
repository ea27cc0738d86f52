"""`spec.candidates`: policies that decide beside the active one on the same data, and never write.

A candidate has the fields of a policy that decide. A field that it does not have is the active policy's; one that it
has replaces the active policy's as a whole.
"""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from autoscaler.documents.fields import RULES, ResourceModel, rule
from autoscaler.policy.algorithm import AlgorithmChoice, ScaleDown, ScaleUp
from autoscaler.policy.decision_fields import (
    CANDIDATE,
    MaxCold,
    MaxReplicas,
    MinReplicas,
    Schedule,
    Standby,
    TargetPerReplica,
    TargetUtilization,
    decision_rules,
)

MOST = 8
"""Candidates of one policy."""
UNIQUE = "candidates: must have each name once"
_DECIDING = (
    "min_replicas",
    "max_replicas",
    "schedule",
    "standby",
    "max_cold",
    "target_per_replica",
    "target_utilization",
    "algorithm",
    "scale_up",
    "scale_down",
)
_SETS_SOMETHING = f"must have at least one of {', '.join(map(to_camel, _DECIDING))}"


class Candidate(ResourceModel):
    """A policy that decides beside the active one on the same data, and never writes.

    A field that is absent is the policy's own. A field that is there replaces the policy's as a whole: what is absent
    inside of it has its default.
    """

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [rule(" || ".join(f"has(self.{to_camel(each)})" for each in _DECIDING), _SETS_SOMETHING)]
        }
    )

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    """Its name in the status, in metrics and in the decision log; unique in the policy."""
    min_replicas: MinReplicas | None = None
    """As in the policy."""
    max_replicas: MaxReplicas | None = None
    """As in the policy."""
    schedule: Schedule | None = None
    """As in the policy; an empty list is no schedule."""
    standby: Standby | None = None
    """As in the policy."""
    max_cold: MaxCold | None = None
    """As in the policy."""
    target_per_replica: TargetPerReplica | None = None
    """As in the policy."""
    target_utilization: TargetUtilization | None = None
    """As in the policy."""
    algorithm: AlgorithmChoice | None = None
    """As in the policy."""
    scale_up: ScaleUp | None = None
    """As in the policy."""
    scale_down: ScaleDown | None = None
    """As in the policy."""

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if not self.changes:
            raise ValueError(_SETS_SOMETHING)
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """What it has in place of the policy's, by the names of the model."""
        return {name: getattr(self, name) for name in _DECIDING if getattr(self, name) is not None}


Candidates = Annotated[
    tuple[Candidate, ...],
    Field(
        max_length=MOST,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]


def candidate_rules() -> list[Any]:
    """Give the rules across fields that the policy keeps with each of its candidates, in CEL."""
    return [
        rule(
            f"!has(self.candidates) || self.candidates.all({CANDIDATE}, {each['rule']})",
            f"candidates: {each['message']}",
        )
        for each in decision_rules(candidate=True)
    ]
