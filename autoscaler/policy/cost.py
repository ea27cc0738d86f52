"""What replicas cost: the field `cost` of a policy, and the prices that follow from it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field, StringConstraints

from autoscaler.documents.fields import ResourceModel
from autoscaler.policy.pools import GpuPool

Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$", max_length=3)]
PER_REPLICA = (
    "!has(self.cost) || has(self.cost.perReplicaHour) || "
    "(has(self.pools) && self.pools.all(pool, has(pool.pricePerHour)))"
)
NEEDS_A_PRICE = "cost: needs perReplicaHour, unless each pool has a pricePerHour"


class Cost(ResourceModel):
    """What replicas cost, for the page, the metrics and the reports. It changes no decision."""

    per_replica_hour: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """What a replica costs in an hour. A pool's `pricePerHour` replaces it for the replicas of that pool; it may be
    absent only if each pool has one."""
    currency: Currency = "USD"
    """The currency of all prices of the policy, as the three letters of ISO 4217."""


class Prices(NamedTuple):
    """What a replica costs in an hour."""

    currency: str
    per_replica: float
    of_pools: Mapping[str, float] = {}
    """Of the pools that have a price of their own."""

    def of(self, pool: str) -> float:
        """Give the price of a replica of a pool; the pool of a service without pools is empty."""
        return self.of_pools.get(pool, self.per_replica)


def prices(cost: Cost | None, pools: Sequence[GpuPool] | None) -> Prices | None:
    """Give the prices of a policy; None if it says no cost: what is not known is not free."""
    if cost is None:
        return None
    return Prices(cost.currency, cost.per_replica_hour or 0.0, _own_prices(pools))


def _own_prices(pools: Sequence[GpuPool] | None) -> dict[str, float]:
    return {pool.name: pool.price_per_hour for pool in pools or () if _has_price(pool)}


def _has_price(pool: GpuPool) -> bool:
    return "price_per_hour" in pool.model_fields_set


def check_cost(cost: Cost | None, pools: Sequence[GpuPool] | None) -> None:
    """Check that every replica has a price; raises ValueError if not."""
    if cost is None or cost.per_replica_hour is not None:
        return
    if not pools or not all(map(_has_price, pools)):
        raise ValueError(NEEDS_A_PRICE)
