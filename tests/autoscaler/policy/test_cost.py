"""What replicas cost, by the policy."""

import pytest

from autoscaler.documents.document import DocumentError
from autoscaler.policy.cost import NEEDS_A_PRICE, Prices, prices
from autoscaler.testing import policy

POOLS = [{"name": "p100", "pricePerHour": 1.46}, {"name": "p4"}]


def priced(**spec):
    found = policy(**spec).spec
    return prices(found.cost, found.pools)


def test_a_policy_without_cost_has_no_price_and_not_a_price_of_zero():
    assert priced() is None
    assert priced(pools=POOLS) is None


def test_a_replica_costs_what_the_policy_says():
    assert priced(cost={"perReplicaHour": 2.4, "currency": "EUR"}) == Prices("EUR", 2.4)


def test_the_price_of_a_pool_replaces_that_of_the_policy():
    found = priced(cost={"perReplicaHour": 2.4}, pools=POOLS)
    assert (found.of("p100"), found.of("p4"), found.currency) == (1.46, 2.4, "USD")


def test_a_pool_may_cost_nothing_if_the_policy_says_so():
    found = priced(cost={"perReplicaHour": 2.4}, pools=[{"name": "own", "pricePerHour": 0}])
    assert found.of("own") == 0.0


@pytest.mark.parametrize("spec", [{"cost": {}}, {"cost": {}, "pools": POOLS}])
def test_a_cost_without_a_price_for_each_replica_is_refused(spec):
    with pytest.raises((ValueError, DocumentError), match=NEEDS_A_PRICE):
        policy(**spec)
