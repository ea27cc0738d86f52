"""The status that a policy has after a decision, and when it is worth writing."""

import pytest

from algorithms.observation import Observation, PoolState
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.host_claims import Conflict
from autoscaler.kubernetes.objects import NotReady
from autoscaler.kubernetes.policy_status import Facts, conditions, last_rescale, matters, status
from autoscaler.kubernetes.pool_status import PoolReport
from autoscaler.policy.pod_ending import DrainProblem
from autoscaler.policy.status import PolicyStatus
from autoscaler.ports import Outcome, Record

NOW_S = 1795456800.0
NOW, LATER = "2026-11-23T18:00:00Z", "2026-11-23T18:01:00Z"


def record(desired=2, *rules, replicas=2, inflight=2.0, error=None, written=None, problem=""):
    observation = Observation(NOW_S, NOW_S - 1, inflight, replicas, 2, problem=problem)
    reasons = tuple(Reason(rule, 1, desired, f"why {rule}") for rule in rules)
    outcome = Outcome("ns/sd", error or "") if error or written else None
    return Record("ns/sd", observation, Decision(desired, Recommendation(desired, "2 are needed"), reasons), outcome)


LOST = (Conflict("x", "a/p", "x belongs to the policy a/p"),)
REFUSED = (Conflict("y", None, "y: not granted"),)


def told(facts, kind):
    found = next(each for each in conditions(facts) if each.type == kind)
    return found.holds, found.reason, found.message


@pytest.mark.parametrize(
    ("facts", "kind", "expected"),
    [
        (Facts(1, record=record()), "Ready", (True, "ScalingActive", "the target follows the policy")),
        (Facts(1, record=record()), "ScalingActive", (True, "ValidMetricFound", "2 are needed")),
        (
            Facts(1, record=record()),
            "ScalingLimited",
            (False, "DesiredWithinRange", "the recommendation is within the range"),
        ),
        (Facts(1, record=record(5, "maxReplicas", "budget")), "ScalingLimited", (True, "BudgetExceeded", "why budget")),
        (Facts(1, record=record(5, "maxReplicas")), "ScalingLimited", (True, "TooManyReplicas", "why maxReplicas")),
        (Facts(1, record=record(5, "minReplicas")), "ScalingLimited", (True, "TooFewReplicas", "why minReplicas")),
        (Facts(1), "Ready", (False, "NotDecidedYet", "no decision has been made yet")),
        (Facts(1, invalid="spec: wrong", record=record()), "Ready", (False, "InvalidPolicy", "spec: wrong")),
        (Facts(1, problem="no web"), "Ready", (False, "FailedGetScale", "no web")),
        (Facts(1, record=record(error="forbidden")), "AbleToScale", (False, "FailedUpdateScale", "forbidden")),
        (
            Facts(1, record=record(1, "scaleDown.toZeroDelay")),
            "AbleToScale",
            (True, "ScaleDownStabilized", "scaleDown.toZeroDelay"),
        ),
        (
            Facts(1, record=record(inflight=None, problem="silence")),
            "Ready",
            (False, "FailedGetExternalMetric", "silence"),
        ),
        (
            Facts(1, dry_run=True, record=record()),
            "ScalingActive",
            (False, "DryRun", "decided and recorded, never written"),
        ),
        (Facts(1, record=record(2, "paused")), "ScalingActive", (False, "Paused", "why paused")),
        (
            Facts(1, record=record(2, "paused", "override")),
            "ScalingActive",
            (False, "ManualOverride", "why override"),
        ),
        (
            Facts(1, record=record(2, "override", "foreignWriter")),
            "Ready",
            (False, "ForeignWriter", "why foreignWriter"),
        ),
        (Facts(1, record=record(2, "deciderFailed")), "Ready", (False, "DeciderFailed", "why deciderFailed")),
        (Facts(1, record=record(2, "deciderFailed", "paused")), "Ready", (False, "Paused", "why paused")),
        (Facts(1, record=record(2, "secondPolicy")), "Ready", (False, "AmbiguousTarget", "why secondPolicy")),
        (Facts(1, conflicts=LOST, record=record()), "Ready", (False, "HostConflict", "x belongs to the policy a/p")),
        (Facts(1, conflicts=LOST, record=record()), "ScalingActive", (True, "ValidMetricFound", "2 are needed")),
        (Facts(1, conflicts=REFUSED, record=record()), "Ready", (False, "HostNotAllowed", "y: not granted")),
        (
            Facts(1, conflicts=(*REFUSED, *LOST), record=record()),
            "Ready",
            (False, "HostConflict", "y: not granted; x belongs to the policy a/p"),
        ),
        (Facts(1, "spec: wrong", LOST, record=record()), "Ready", (False, "InvalidPolicy", "spec: wrong")),
    ],
)
def test_a_condition_says_what_keeps_a_service_from_being_scaled(facts, kind, expected):
    assert told(facts, kind) == expected


FULL = NotReady("FailedCreate", "0 of 2 replicas are ready: exceeded quota")


def test_what_is_in_the_way_of_pods_is_a_condition_while_it_is_and_the_reason_of_ready():
    facts = Facts(1, record=record(), not_ready=FULL)
    assert told(facts, "PodsReady") == told(facts, "Ready") == (False, *FULL)
    assert told(facts, "ScalingActive")[0], "the number is right"
    assert "PodsReady" not in {each.type for each in conditions(Facts(1, record=record()))}
    PolicyStatus.model_validate(status(facts, {}, NOW_S))


def test_pods_that_are_killed_too_early_are_a_condition_and_keep_no_service_from_being_ready():
    short = DrainProblem("GracePeriodTooShort", "a pod that leaves is killed after 30 s")
    facts = Facts(1, record=record(), cuts=short)
    assert told(facts, "DrainsSafely") == (False, *short)
    assert told(facts, "Ready")[0]
    assert "DrainsSafely" not in {each.type for each in conditions(Facts(1, record=record()))}
    PolicyStatus.model_validate(status(facts, {}, NOW_S))


def test_what_keeps_the_number_from_being_right_is_told_before_what_keeps_pods():
    assert told(Facts(1, record=record(2, "paused"), not_ready=FULL), "Ready")[1] == "Paused"


def test_the_bounds_of_the_policy_in_force_stay_in_the_status_when_it_is_broken():
    first = status(Facts(1, bounds=(0, 10)), {}, NOW_S)
    assert (first["minReplicas"], first["maxReplicas"]) == (0, 10)
    broken = status(Facts(2, invalid="spec: wrong"), first, NOW_S)
    assert (broken["minReplicas"], broken["maxReplicas"]) == (0, 10)
    raised = status(Facts(3, bounds=(0, 20)), broken, NOW_S)
    assert matters(raised) != matters(broken)


def after(made, at_s=NOW_S, **more):
    return Facts(1, record=made, changed=(made, at_s), **more)


def test_a_status_has_the_form_that_the_definition_allows():
    made = status(after(record(5, "maxReplicas", replicas=2, written=True))._replace(generation=3), {}, NOW_S)
    PolicyStatus.model_validate(made)
    assert made["lastScaleTime"] == made["lastDecision"]["time"] == NOW
    assert (made["desiredReplicas"], made["readyReplicas"], made["inflight"], made["observedGeneration"]) == (
        5,
        2,
        2,
        3,
    )
    unknown = status(Facts(3, record=record(inflight=None)), made, NOW_S)
    assert unknown["inflight"] is None, "null takes it away"
    PolicyStatus.model_validate(unknown)


def test_a_condition_keeps_the_time_of_its_last_change_and_a_decision_its_own():
    first = status(after(record(5, replicas=2, written=True)), {}, NOW_S)
    second = status(Facts(1, record=record(5, replicas=5, inflight=None)), first, NOW_S + 60)
    times = {each["type"]: each["lastTransitionTime"] for each in second["conditions"]}
    assert times == {"Ready": LATER, "ScalingActive": LATER, "AbleToScale": NOW, "ScalingLimited": NOW}
    assert second["lastDecision"] == first["lastDecision"]
    assert second["lastScaleTime"] == NOW


def test_a_decision_that_changed_the_number_is_told_with_its_time_whatever_was_decided_since():
    change = record(5, replicas=2, written=True)
    made = status(Facts(1, record=record(5, replicas=5), changed=(change, NOW_S)), {}, NOW_S + 60)
    assert (made["lastDecision"]["time"], made["lastDecision"]["before"], made["lastScaleTime"]) == (NOW, 2, NOW)
    again = status(Facts(1, record=record(5, replicas=5), changed=(change, NOW_S)), made, NOW_S + 120)
    assert matters(again) == matters(made)


def test_a_decision_in_a_status_that_an_earlier_release_wrote_stays_until_the_number_changes():
    first = status(after(record(5, replicas=2, written=True)), {}, NOW_S)
    # The API server has pruned what the definition no longer knows: `lastDecision.wish`.
    first["lastDecision"].pop("recommendation")
    second = status(Facts(1, record=record(5, replicas=5)), first, NOW_S + 60)
    assert second["lastDecision"] == first["lastDecision"]
    PolicyStatus.model_validate(second)
    third = status(after(record(4, replicas=5, written=True), NOW_S + 60), second, NOW_S + 60)
    assert third["lastDecision"]["recommendation"] == {"replicas": 4, "why": "2 are needed"}


def test_what_another_controller_decided_later_stays():
    theirs = status(after(record(4, replicas=5, written=True), NOW_S + 60), {}, NOW_S + 60)
    ours = status(after(record(5, replicas=2, written=True), NOW_S), theirs, NOW_S + 90)
    assert ours["lastDecision"] == theirs["lastDecision"]
    assert ours["lastScaleTime"] == LATER


def test_what_is_decided_again_and_again_in_vain_is_written_once():
    for outcome in ({}, {"error": "forbidden"}):
        first = status(after(record(5, replicas=2, **outcome), dry_run=True), {}, NOW_S)
        second = status(after(record(5, replicas=2, **outcome), NOW_S + 60, dry_run=True), first, NOW_S + 60)
        assert second["lastDecision"] == first["lastDecision"]
        assert matters(second) == matters(first)


def test_a_message_that_counts_seconds_is_no_reason_to_write():
    first = status(Facts(1, record=record(inflight=None, problem="16.1 s old")), {}, NOW_S)
    second = status(Facts(1, record=record(inflight=None, problem="18.1 s old")), first, NOW_S + 2)
    assert matters(second) == matters(first)


def test_a_count_alone_matters_only_where_it_is_asked_for():
    first = status(Facts(1, record=record(inflight=2.0)), {}, NOW_S)
    second = status(Facts(1, record=record(inflight=3.0)), first, NOW_S)
    assert matters(second, counts=False) == matters(first, counts=False)
    assert matters(second) != matters(first)


def with_candidates(**numbers):
    decisions = tuple((name, Decision(number, Recommendation(number, ""), ())) for name, number in numbers.items())
    return Facts(1, record=record()._replace(candidates=decisions))


def test_what_candidates_ask_for_is_in_the_status_and_leaves_it_with_them():
    first = status(with_candidates(short=3, long=5), {}, NOW_S)
    assert first["candidates"] == [{"name": "short", "desiredReplicas": 3}, {"name": "long", "desiredReplicas": 5}]
    assert PolicyStatus.model_validate(first).candidates[0].desired_replicas == 3
    assert status(Facts(1), first, NOW_S)["candidates"] == first["candidates"], "nothing newer is known"
    assert status(Facts(1, record=record()), first, NOW_S)["candidates"] is None
    assert "candidates" not in status(Facts(1, record=record()), {}, NOW_S)


def test_what_candidates_ask_for_is_written_as_seldom_as_a_count():
    first = status(with_candidates(short=3), {}, NOW_S)
    second = status(with_candidates(short=4), first, NOW_S)
    assert matters(second, counts=False) == matters(first, counts=False)
    assert matters(second) != matters(first)


def test_the_last_change_of_the_number_is_read_from_the_status_with_what_was_before():
    first = status(after(record(5, replicas=2, written=True)), {}, NOW_S)
    assert last_rescale(first) == (NOW_S, 2)


def test_what_was_before_is_not_known_where_a_later_decision_was_not_written():
    first = status(after(record(5, replicas=2, written=True)), {}, NOW_S)
    second = status(after(record(6, replicas=5, error="forbidden"), NOW_S + 60), first, NOW_S + 60)
    assert last_rescale(second) == (NOW_S, None)


@pytest.mark.parametrize("broken", [{}, {"lastScaleTime": None}, {"lastScaleTime": "soon"}])
def test_a_status_without_a_change_tells_of_none(broken):
    assert last_rescale(broken) is None


def test_a_host_that_passes_to_another_owner_is_worth_writing():
    first = status(Facts(1, conflicts=LOST, record=record()), {}, NOW_S)
    again = status(Facts(1, conflicts=LOST, record=record()), first, NOW_S)
    moved = (Conflict("x", "b/p", "x belongs to the policy b/p"),)
    assert matters(again) == matters(first)
    assert matters(status(Facts(1, conflicts=moved, record=record()), first, NOW_S)) != matters(first)


def test_of_many_hosts_a_few_are_told():
    many = tuple(Conflict(f"h{n}", "a/p", f"h{n} is taken") for n in range(100))
    (ready, *_) = conditions(Facts(1, conflicts=many))
    assert ready.message == "h0 is taken; h1 is taken; h2 is taken; h3 is taken; h4 is taken; and 95 more"


def pooled(ready, *, unplaced):
    report = PoolReport()
    report.take([PoolState("a10", 5, ready, unplaced=unplaced, why="Unschedulable: no node")], NOW_S)
    seen = record(5)
    seen = seen._replace(observation=seen.observation._replace(ready=ready, pools=(PoolState("a10", 5),)))
    return Facts(1, record=seen, not_ready=FULL, pools=report)


def test_while_no_pool_has_room_for_what_is_asked_for_ready_says_so_in_one_line():
    facts, line = pooled(3, unplaced=2), "asked for 5, 2 cannot be placed since 18:00 UTC, pool a10"
    assert told(facts, "Ready") == (False, "PoolExhausted", line)
    assert told(facts, "PoolExhausted") == (True, "Unschedulable", line)
    assert told(facts, "PodsReady")[0] is False


def test_if_other_pools_serve_in_place_of_an_exhausted_one_all_is_ready():
    facts = pooled(5, unplaced=1)
    assert told(facts, "Ready")[0] is True
    assert told(facts, "PoolExhausted")[0] is True
    assert "PodsReady" not in {each.type for each in conditions(facts)}


def test_a_policy_without_pools_has_no_condition_about_them():
    assert "PoolExhausted" not in {each.type for each in conditions(Facts(1, record=record()))}


def test_pools_are_in_the_status_and_leave_it_with_the_policys_pools():
    made = status(pooled(3, unplaced=2), {}, NOW_S)
    assert [(each["name"], each["unplaced"]) for each in made["pools"]] == [("a10", 2)]
    PolicyStatus.model_validate(made)
    assert matters(made) != matters(status(pooled(4, unplaced=1), {}, NOW_S))
    assert status(Facts(1), made, NOW_S)["pools"] == made["pools"]
    assert status(Facts(1, record=record()), made, NOW_S)["pools"] is None
