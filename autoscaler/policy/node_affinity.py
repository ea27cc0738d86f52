"""Which nodes a pod may run on, in the words of a pod's `spec.affinity`."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from autoscaler.documents.fields import RULES, ResourceModel, Shape, rule

_DNS = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_KEY = rf"({_DNS}(\.{_DNS})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
LONGEST_KEY = 317
LabelKey = Annotated[str, Shape(LABEL_KEY, "the key of a label such as cloud.google.com/gke-accelerator", LONGEST_KEY)]
LabelValue = Annotated[
    str,
    Shape(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", "the value of a label: letters, digits, -, _ and dots", 63),
]

_VALUES = "values: In and NotIn need one or more, Gt and Lt exactly one, Exists and DoesNotExist none"
_COUNT = "size(self.?values.orValue([]))"


class NodeRequirement(ResourceModel):
    """What a label of a node must be."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule(
                    f"self.operator in ['In', 'NotIn'] ? {_COUNT} > 0 : "
                    f"{_COUNT} == (self.operator in ['Gt', 'Lt'] ? 1 : 0)",
                    _VALUES,
                )
            ]
        }
    )

    key: LabelKey
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How its value is compared."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()
    """What it is compared with."""

    @model_validator(mode="after")
    def _has_as_many_values_as_its_operator_needs(self) -> Self:
        count = len(self.values)
        fits = count > 0 if self.operator in ("In", "NotIn") else count == (1 if self.operator in ("Gt", "Lt") else 0)
        if not fits:
            raise ValueError(_VALUES)
        return self


class NodeSelectorTerm(ResourceModel):
    """Requirements that a node must all meet."""

    match_expressions: Annotated[tuple[NodeRequirement, ...], Field(min_length=1, max_length=16)]
    """The requirements."""


class RequiredNodes(ResourceModel):
    """Terms of which a node must meet one."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=16)]
    """The terms."""


class PreferredNodes(ResourceModel):
    """Nodes that are better than others."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """How much better."""
    preference: NodeSelectorTerm
    """Which nodes."""


class NodeAffinity(ResourceModel):
    """Which nodes a pod may run on, and which are better than others."""

    required_during_scheduling_ignored_during_execution: RequiredNodes | None = None
    """Only on these nodes."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=16)
    ] = ()
    """Rather on these nodes."""


class PoolAffinity(ResourceModel):
    """The part of a pod's `spec.affinity` that is about nodes."""

    node_affinity: NodeAffinity
    """Which nodes a pod may run on, as in the spec of a pod."""
