"""What the controller writes under `status` has a place in the schema: the API server would drop the rest silently."""

import pytest

from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.kubernetes.policy_status import Facts, status
from autoscaler.policy.schema import custom_resource_definition
from autoscaler.policy.status import PolicyStatus
from autoscaler.ports import Outcome, Record

LOOK = Observation(now_s=10.0, since_s=8.0, inflight=4.5, replicas=1, ready=1)
UNKNOWN = LOOK._replace(inflight=None, problem="the stream is silent")
DECISION = Decision(3, Recommendation(5, "5 requests in flight"), (Reason("maxReplicas", 5, 3, "no more are allowed"),))
HOLDING = Decision(1, Recommendation(None, "unknown"), ())


def facts(observation, decision, outcome):
    record = Record("default/web", observation, decision, outcome)
    return Facts(generation=2, record=record, changed=(record, 20.0) if decision is DECISION else None)


@pytest.mark.parametrize(
    "facts",
    [
        Facts(generation=1),
        Facts(generation=1, invalid="spec: is required"),
        facts(LOOK, DECISION, Outcome("default/web")),
        facts(LOOK, DECISION, Outcome("default/web", "409: conflict")),
        facts(LOOK, DECISION, None),
        facts(UNKNOWN, HOLDING, None),
    ],
)
def test_all_of_a_status_has_a_place(facts):
    PolicyStatus.model_validate(status(facts, {}, 20.0))


def test_a_status_that_was_written_before_is_kept_and_has_a_place():
    before = status(facts(LOOK, DECISION, Outcome("default/web")), {}, 20.0)
    after = status(facts(UNKNOWN, HOLDING, None), before, 30.0)
    assert PolicyStatus.model_validate(after).last_decision == PolicyStatus.model_validate(before).last_decision


def test_there_is_one_condition_of_each_type():
    (version,) = custom_resource_definition()["spec"]["versions"]
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
