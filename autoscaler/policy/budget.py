"""The document `GpuBudget`: how many GPUs, or how much money an hour, some services may use together.

`algorithms.budget` divides it. The document is a cluster-scoped resource, because it limits services of several
namespaces, and it can stand in a file beside policies.
"""

from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from autoscaler.documents.fields import RULES, ResourceModel, exactly_one, exactly_one_rule, rule
from autoscaler.policy.spec import Namespace
from autoscaler.policy.status import Replicas
from autoscaler.policy.target_ref import Name

_UNITS = 10_000
"""Money is counted in units of this part, so that sums are exact."""
Amount = Annotated[float, Field(ge=0)]
Glob = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.*?-]+$", max_length=253)]


class BudgetedService(ResourceModel):
    """Some services of the budget, and their terms."""

    namespace: Namespace | None = None
    """Their namespace. Absent: each namespace of the budget."""
    name: Glob = "*"
    """Their name; `*` stands for any characters, and `?` for one."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Beyond the guarantees, higher priorities are served first."""
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    """Among equal priorities, what is left is divided in proportion to this."""
    guaranteed: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Replicas that each of these services gets before anybody gets more. What it does not want is free for others."""
    gpus_per_replica: Annotated[int, Field(ge=1, le=1024)] | None = None
    """GPUs of one replica, in a budget of `gpus`. Absent: 1."""
    price_per_hour: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """What one replica costs an hour, in a budget of `costPerHour`; with several pools the highest price."""

    @property
    def cost(self) -> int:
        """Units of the budget that one replica needs."""
        return self.gpus_per_replica or 1 if self.price_per_hour is None else round(self.price_per_hour * _UNITS)


_PRICES = "services: a budget of costPerHour needs services, each with pricePerHour and without gpusPerReplica"
_NO_PRICES = "services: pricePerHour is for a budget of costPerHour only"
_ALL = BudgetedService()


class BudgetSpec(ResourceModel):
    """How much there is, and who shares it."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                exactly_one_rule("gpus", "cost_per_hour"),
                rule(
                    "!has(self.costPerHour) || (has(self.services) && "
                    "self.services.all(each, has(each.pricePerHour) && !has(each.gpusPerReplica)))",
                    _PRICES,
                ),
                rule(
                    "!has(self.gpus) || !has(self.services) || self.services.all(each, !has(each.pricePerHour))",
                    _NO_PRICES,
                ),
            ]
        }
    )

    gpus: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """GPUs that the services may use together; exactly one of this and `costPerHour`."""
    cost_per_hour: Annotated[float, Field(ge=0, le=1_000_000_000)] | None = None
    """What the services may cost together an hour, in any currency; exactly one of this and `gpus`."""
    namespaces: Annotated[tuple[Namespace, ...], Field(min_length=1, max_length=100)] | None = None
    """The namespaces whose services share the budget. Absent: all."""
    services: Annotated[tuple[BudgetedService, ...], Field(min_length=1, max_length=100)] | None = None
    """The services that share the budget. The first entry that names a service has its terms; a service that no entry
    names is not in the budget. Absent: all services of the namespaces, on equal terms."""

    @model_validator(mode="after")
    def _counts_one_thing(self) -> Self:
        exactly_one(self, "gpus", "cost_per_hour")
        given = self.services or ()
        if self.gpus is not None and any(each.price_per_hour is not None for each in given):
            raise ValueError(_NO_PRICES)
        has_prices = given and all(each.price_per_hour and each.gpus_per_replica is None for each in given)
        if self.cost_per_hour is not None and not has_prices:
            raise ValueError(_PRICES)
        return self


class ServiceShare(ResourceModel):
    """The share of one service."""

    service: str
    """Namespace and name."""
    wanted: Replicas
    """The replicas that it would ask for without the budget."""
    allowed: Replicas
    """The replicas that it may ask for now."""
    used: Amount
    """What its replicas occupy, those that are being removed included."""


class BudgetStatus(ResourceModel):
    """How the budget is used, as last written by the controller."""

    used: Amount | None = None
    """What the services occupy, in GPUs or in money an hour."""
    wanted: Amount | None = None
    """What they would ask for without the budget."""
    limited: Replicas | None = None
    """How many of them may ask for less than they want."""
    services: tuple[ServiceShare, ...] = ()
    """Those that use or want most, at most 100."""


BUDGET_COLUMNS = (
    ("GPUs", "integer", ".spec.gpus"),
    ("Cost", "number", ".spec.costPerHour"),
    ("Used", "number", ".status.used"),
    ("Wanted", "number", ".status.wanted"),
    ("Limited", "integer", ".status.limited"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
"""The columns of `kubectl get gpubudgets`: name, type and path in the object."""


class BudgetMetadata(ResourceModel):
    """The name of the budget."""

    name: Name
    """The budget's name."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Not read."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Not read."""


class GpuBudget(ResourceModel):
    """What some services may use together."""

    api_version: Literal["inflight.dev/v1alpha1"]
    """The version of this document."""
    kind: Literal["GpuBudget"]
    """The kind of this document."""
    metadata: BudgetMetadata
    """The name of the budget."""
    spec: BudgetSpec
    """How much there is, and who shares it."""

    @property
    def name(self) -> str:
        """The budget's name."""
        return self.metadata.name

    @property
    def total(self) -> int:
        """The units of the budget."""
        return round((self.spec.cost_per_hour or 0.0) * _UNITS) if self.spec.gpus is None else self.spec.gpus

    def amount(self, units: int) -> float:
        """Give units as GPUs, or as money an hour."""
        return units / _UNITS if self.spec.gpus is None else units

    @property
    def of_what(self) -> str:
        """What the budget counts, for messages."""
        return "GPUs" if self.spec.gpus is not None else "per hour"

    def terms(self, service: str) -> BudgetedService | None:
        """Give the terms of a service, by `namespace/name`; None if it is not in the budget."""
        namespace, _, name = service.partition("/")
        if self.spec.namespaces is not None and namespace not in self.spec.namespaces:
            return None
        for each in self.spec.services or (_ALL,):
            if each.namespace in (None, namespace) and fnmatchcase(name, each.name):
                return each
        return None
