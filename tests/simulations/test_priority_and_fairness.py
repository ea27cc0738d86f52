"""Priority classes and fairness in the simulator: the gateway's own rules and its own dispatcher."""

from math import inf

import numpy as np
import pytest

from autoscaler.app.gateway_config import gateway_service
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.dispatch.turn_rules import Asking, ClassMatch, Fairness, Identity, PriorityClass, TurnRules
from autoscaler.testing import policy
from simulations import compare, simulate
from simulations.comparison import comparison_text, figures_text
from simulations.model import invariants
from simulations.model.run_inputs import Arrival
from simulations.results.tables import request_columns
from simulations.scenario.document import Scenario

FIXED = {"tick_s": inf, "coalesce_s": inf, "initial": 1}
PAID = (PriorityClass("paid", (ClassMatch(header=("X-Tier", "paid")),)), PriorityClass("others"))
PAYS = (("x-tier", "paid"),)
CLASSES = [{"name": "paid", "match": [{"header": {"name": "X-Tier", "value": "paid"}}]}, {"name": "others"}]


@pytest.fixture
def starts(simulate):
    """Run requests on one replica, and give when each of them started."""

    def starts(*arrivals, **changes):
        history = simulate(*arrivals, **FIXED, **changes)
        invariants.check(history, concurrency=1, fifo=False)
        return history.requests.start_s.tolist()

    return starts


def test_a_request_of_a_higher_class_starts_first(starts):
    waiting = [Arrival(1.0, 10.0), Arrival(2.0, 10.0), Arrival(3.0, 10.0, headers=PAYS)]
    assert starts((0.0, 10.0), *waiting, classes=PAID) == [0.0, 20.0, 30.0, 10.0]
    assert starts((0.0, 10.0), *waiting) == [0.0, 10.0, 20.0, 30.0]


def test_a_lower_class_has_its_share(starts):
    paid = [Arrival(2.0, 10.0, headers=PAYS) for _ in range(4)]
    shares = Limits(queue_timeout_s=inf, shares=(0, 0.5))
    assert starts((0.0, 10.0), Arrival(1.0, 10.0), *paid, classes=PAID, limits=shares)[1] == 20.0


def test_clients_take_turns(starts):
    fair = {"fairness": Fairness(Identity.ADDRESS)}
    many = [Arrival(1.0, 10.0, session=0) for _ in range(3)]
    assert starts((0.0, 10.0), *many, Arrival(2.0, 10.0, session=1), **fair) == [0.0, 10.0, 30.0, 40.0, 20.0]
    alone = [Arrival(1.0, 10.0) for _ in range(3)]
    assert starts((0.0, 10.0), *alone, Arrival(2.0, 10.0), **fair) == [0.0, 10.0, 20.0, 30.0, 40.0]


def test_a_header_may_be_the_client(starts):
    many = [Arrival(1.0, 10.0, headers=(("X-Tenant", "a"),)) for _ in range(2)]
    order = starts(
        (0.0, 10.0),
        *many,
        Arrival(2.0, 10.0, headers=(("x-tenant", "b"),)),
        fairness=Fairness(Identity.HEADER, "x-tenant"),
    )
    assert order == [0.0, 10.0, 30.0, 20.0]


def scenario(**spec):
    workloads = [
        {"poisson": {"rate": 0.05}, "serviceTime": "8s", "headers": {"X-Tier": "paid"}},
        {"poisson": {"rate": 0.4}, "serviceTime": "8s", "host": "Batch.example.com"},
    ]
    return Scenario.model_validate(
        {
            "apiVersion": "inflight.dev/v1alpha1",
            "kind": "Scenario",
            "metadata": {"name": "two-classes"},
            "spec": {
                "workloads": workloads,
                "fleet": {"initialReplicas": 4, "pools": [{"name": "gpu"}]},
                "run": {"duration": "10m"},
                **spec,
            },
        }
    )


def priority(name="classes", **traffic):
    return policy(name, minReplicas=4, maxReplicas=4, traffic={"hosts": ["*"], **traffic})


def test_the_report_has_the_waits_of_each_class():
    result = simulate(scenario(), priority(priority={"classes": CLASSES}))
    assert "requests take turns" in result.history.engine
    means = {name: result.estimates[f"class_{name}_wait_mean_s"].mean for name in ("paid", "others")}
    assert means["paid"] < means["others"]
    served = sum(result.estimates[f"class_{name}_served"].mean for name in ("paid", "others"))
    assert served == result.estimates["served"].mean
    assert "class_paid_wait_p95_s" in figures_text(result)
    assert set(request_columns(result.history)["priority_class"]) == {"paid", "others"}


def test_policies_with_and_without_classes_stand_in_one_table():
    plain, classes = compare(scenario(), [priority("plain"), priority(priority={"classes": CLASSES})])
    assert "class paid, wait, P95 (s)" in comparison_text([plain, classes])
    assert "priority_class" not in request_columns(plain.history)


def test_the_order_changes_who_waits_and_not_how_much_is_served():
    by_arrival, fair = (
        simulate(scenario(), priority(**traffic), engine="reference").history.requests
        for traffic in ({}, {"priority": {"classes": CLASSES}, "fairness": {"by": "address"}})
    )
    assert np.array_equal(by_arrival.arrival_s, fair.arrival_s)
    assert np.array_equal(np.sort(by_arrival.start_s), np.sort(fair.start_s), equal_nan=True)


@pytest.mark.parametrize("fairness", [{"by": "header", "name": "X-Tenant"}, {"by": "address"}, None])
def test_the_simulated_gateway_finds_the_class_that_the_live_one_finds(fairness):
    asked = priority(priority={"classes": CLASSES}, **({"fairness": fairness} if fairness else {}))
    live = gateway_service(asked)
    rules = TurnRules(live.name, live.classes, live.fairness, key=b"")
    asking = Asking("", "/", {b"x-tier": [b"paid"], b"x-tenant": [b"a"]}, "", trusted=True)
    history = simulate(scenario(), asked).history
    assert rules.turn(asking).level == 0
    assert set(history.levels.tolist()) == {0, 1}
