"""What is written about a policy, when, and by whom: in virtual time, to an API server that keeps what it is sent."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from api_kit import NAMESPACE, ApiServer, workload

from algorithms.observation import Observation, PoolState
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.host_claims import Conflict
from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.objects import NotReady
from autoscaler.kubernetes.policies import stored_policy
from autoscaler.kubernetes.reporting import Reporter
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.policy.pod_ending import PodEnding
from autoscaler.ports import Outcome, Record
from autoscaler.runtime.clock import SystemClock
from autoscaler.targets.kubernetes import KubernetesTarget, Target

SD = "team/sd"
START_S = 1_795_456_800.0
POLICY = {
    "metadata": {
        "name": "sd",
        "namespace": "team",
        "uid": "u1",
        "generation": 1,
        "creationTimestamp": "2026-11-23T17:00:00Z",
    },
    "spec": {"scaleTargetRef": {"name": "sd"}},
}


class Api:
    """Keeps statuses and events, with the times of their writes; it can refuse."""

    def __init__(self, now):
        self._now = now
        self.statuses, self.events = [], []
        self.refuses = False
        self.on_status = lambda _status: None

    async def patch(self, path, body):
        assert path == "/apis/inflight.dev/v1alpha1/namespaces/team/scalingpolicies/sd/status"
        if self.refuses:
            raise ApiError(500, "", "no")
        self.statuses.append((self._now() - START_S, body["status"]))
        self.on_status(body["status"])

    async def create(self, path, body):
        assert path == "/apis/events.k8s.io/v1/namespaces/team/events"
        self.events.append((self._now() - START_S, body["reason"], body["note"]))


class Targets:
    """Knows why the target cannot be observed, and whether orders are under way."""

    why = general = ""
    pods_end = None
    annotations = ()

    def __init__(self):
        self.no_orders = asyncio.Event()
        self.no_orders.set()

    async def quiet(self):
        await self.no_orders.wait()

    def shared_problem(self):
        return self.general

    def problem(self, _service):
        return self.why or self.general

    def own_annotations(self, _service):
        return self.annotations

    def ending(self, _service):
        return self.pods_end


class World:
    def __init__(self):
        self.clock = SystemClock(START_S)
        self.api, self.targets, self.leading = Api(self.clock.now), Targets(), True
        self.reporter = Reporter(self.api, "me", self.clock.now, lambda: self.leading)
        self.replicas = 0

    @asynccontextmanager
    async def running(self):
        self.reporter.keep(SD, stored_policy(POLICY), "")
        task = asyncio.create_task(self.reporter.run(self.targets))
        await asyncio.sleep(0.5)
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    def decides(self, desired, *, inflight=0.0, error="", rules=(), pools=()):
        observation = Observation(
            self.clock.now(), self.clock.now() - 2, inflight, self.replicas, self.replicas, pools=pools
        )
        reasons = tuple(Reason(rule, desired, desired, "why") for rule in rules)
        outcome = None if desired == self.replicas else Outcome(SD, error)
        self.reporter.record(
            Record(SD, observation, Decision(desired, Recommendation(desired, "a wish"), reasons), outcome)
        )
        self.replicas = self.replicas if error else desired

    @property
    def times(self):
        return [at_s for at_s, _ in self.api.statuses]


@pytest.fixture
async def world():
    async with World().running() as world:
        yield world


async def test_while_nothing_changes_nothing_is_written(world):
    for _ in range(300):
        world.decides(0)
        await asyncio.sleep(2)
    assert world.times == [0.5]
    assert world.api.events == []


async def test_the_first_decision_is_told_in_the_moment_it_is_taken(world):
    await asyncio.sleep(0.25)
    world.decides(1)
    await asyncio.sleep(0.01)
    ((at_s, status),) = world.api.statuses
    assert at_s == 0.75
    assert (status["minReplicas"], status["maxReplicas"], status["desiredReplicas"]) == (0, 10, 1)


async def test_the_bounds_in_the_status_follow_the_schedule_without_a_decision(world):
    window = {"name": "w", "timeZone": "UTC", "start": "1 18 * * *", "end": "2 18 * * *", "minReplicas": 2}
    spec = {**POLICY["spec"], "schedule": [window]}
    world.reporter.keep(SD, stored_policy({**POLICY, "spec": spec}), "")
    world.decides(0)
    await asyncio.sleep(300)
    known = [(at_s, status["minReplicas"]) for at_s, status in world.api.statuses]
    assert [least for _, least in known] == [0, 2, 0]
    assert 60 <= known[1][0] <= 61
    assert 120 <= known[2][0] <= 121


async def test_the_changes_of_a_second_are_one_write_that_keeps_the_last_decision_that_changed_anything(world):
    for desired in (0, 1, 2, 5, 5, 5):
        world.decides(desired, inflight=5.0)
        await asyncio.sleep(0.05)
    await asyncio.sleep(60)
    _first, (at_s, status), *rest = world.api.statuses
    assert (at_s, rest) == (1.5, [])
    assert status["desiredReplicas"] == 5
    assert (status["lastDecision"]["before"], status["lastDecision"]["desired"]) == (2, 5)
    assert status["lastScaleTime"] == status["lastDecision"]["time"] == "2026-11-23T18:00:00Z"


async def test_a_policy_that_may_be_followed_after_all_says_so_though_it_is_the_same(world):
    world.reporter.keep(SD, stored_policy(POLICY), "its server may not be used")
    await asyncio.sleep(60)
    world.reporter.keep(SD, stored_policy(POLICY), "")
    await asyncio.sleep(60)
    reasons = [status["conditions"][0]["reason"] for _, status in world.api.statuses]
    assert reasons == ["InvalidPolicy", "NotDecidedYet"]


async def reasons_told(world, counts):
    """Decide every two seconds; give when the status became another, and the reason of Ready then."""
    world.decides(1, inflight=2.0)
    await asyncio.sleep(20)
    for count in counts:
        world.decides(1, inflight=count)
        await asyncio.sleep(2)
    return [(at_s - 20, status["conditions"][0]["reason"]) for at_s, status in world.api.statuses if at_s > 25]


async def test_scrapes_that_are_farther_apart_than_samples_may_be_old_leave_the_status_as_it_is(world):
    """Of each 30 s a count is known for 14: that scales rightly, and nothing is wrong with it."""
    assert await reasons_told(world, ([2.0] * 7 + [None] * 8) * 10) == []
    assert world.api.statuses[-1][1]["inflight"] == 2


async def test_a_count_that_stays_away_is_told_of_after_the_gap_and_so_is_its_return(world):
    told = await reasons_told(world, [2.0] * 5 + [None] * 30 + [2.0] * 5)
    assert told == [
        (pytest.approx(30, abs=2), "FailedGetExternalMetric"),
        (pytest.approx(70, abs=2), "ScalingActive"),
    ]


async def test_a_count_that_was_never_known_is_told_of_at_once(world):
    world.decides(0, inflight=None)
    await asyncio.sleep(10)
    ((at_s, status),) = world.api.statuses
    assert (at_s <= 1, status["conditions"][0]["reason"]) == (True, "FailedGetExternalMetric")


async def test_a_count_alone_is_written_rarely(world):
    for count in range(60):
        world.decides(0, inflight=float(count))
        await asyncio.sleep(1)
    assert world.times == [0.5, 15.5, 30.5, 45.5]
    assert world.api.statuses[-1][1]["inflight"] == 45


async def test_what_could_not_be_written_is_tried_again_a_while_later(world, caplog):
    world.api.refuses = True
    world.decides(3)
    await asyncio.sleep(10)
    world.api.refuses = False
    await asyncio.sleep(20)
    assert world.times == [15.5]
    assert caplog.text.count("status of team/sd not written: no") == 1


async def test_who_does_not_lead_writes_nothing_and_says_all_when_it_begins_to(world):
    world.leading = False
    world.decides(3)
    await asyncio.sleep(10)
    assert (world.api.statuses, world.api.events) == ([], [])
    world.leading = True
    await asyncio.sleep(2)
    ((_, status),) = world.api.statuses
    assert status["desiredReplicas"] == 3
    assert "lastDecision" not in status, "it was the other one's"


async def test_a_target_that_cannot_be_observed_is_told_without_any_decision(world):
    await asyncio.sleep(5)
    world.targets.why = "Deployment team/sd does not exist"
    world.reporter.changed(SD)
    await asyncio.sleep(2)
    conditions = {each["type"]: each for each in world.api.statuses[-1][1]["conditions"]}
    assert conditions["AbleToScale"]["reason"] == "FailedGetScale"
    assert conditions["AbleToScale"]["message"] == "Deployment team/sd does not exist"


async def test_a_problem_of_one_target_is_an_event_and_one_of_many_is_none(world):
    world.targets.why = "the scale of Server team/sd cannot be read: 403"
    world.reporter.changed(SD)
    await asyncio.sleep(2)
    world.reporter.changed(SD)
    world.targets.why, world.targets.general = "", "pods of team cannot be listed"
    await asyncio.sleep(60)
    told = [(reason, note) for _, reason, note in world.api.events]
    assert told == [("FailedGetScale", "the scale of Server team/sd cannot be read: 403")]


async def test_a_problem_of_one_target_is_told_at_once_while_many_have_another(world):
    world.targets.why, world.targets.general = (
        "the scale of Server team/sd cannot be read: 403",
        "pods cannot be listed",
    )
    world.reporter.changed(SD)
    await asyncio.sleep(2)
    ((_, status),) = world.api.statuses
    assert {each["type"]: each["message"] for each in status["conditions"]}["AbleToScale"] == world.targets.why


async def test_what_is_in_the_way_of_pods_is_a_condition_and_an_event_until_it_is_gone(world):
    world.decides(2)
    await asyncio.sleep(2)
    world.reporter.not_ready(SD, NotReady("Unschedulable", "0 of 2 replicas are ready; pod sd-1: no node has room"))
    await asyncio.sleep(2)
    conditions = {each["type"]: each for each in world.api.statuses[-1][1]["conditions"]}
    assert (conditions["PodsReady"]["status"], conditions["Ready"]["reason"]) == ("False", "Unschedulable")
    assert world.api.events[-1][1:] == ("Unschedulable", "0 of 2 replicas are ready; pod sd-1: no node has room")
    for number in range(20):
        world.reporter.not_ready(SD, NotReady("Unschedulable", f"{number} of 20 replicas are ready"))
        await asyncio.sleep(30)
    assert len(world.api.events) == 2, "one of the decision, one of the trouble"
    world.reporter.not_ready(SD, None)
    await asyncio.sleep(2)
    conditions = {each["type"]: each for each in world.api.statuses[-1][1]["conditions"]}
    assert ("PodsReady" in conditions, conditions["Ready"]["status"]) == (False, "True")


async def test_a_grace_period_that_is_shorter_than_a_request_is_a_condition_until_it_is_long_enough(world):
    routed = {**POLICY, "spec": {**POLICY["spec"], "traffic": {"hosts": ["a.example.com"]}}}
    world.reporter.keep(SD, stored_policy(routed), "")
    world.decides(2)
    for grace_s, expected in ((30, ["False"]), (330, [])):
        world.targets.pods_end = PodEnding(grace_s)
        world.reporter.changed(SD)
        await asyncio.sleep(20)
        conditions = world.api.statuses[-1][1]["conditions"]
        assert [each["status"] for each in conditions if each["type"] == "DrainsSafely"] == expected


SERVERS = f"/apis/example.com/v1/namespaces/{NAMESPACE}/servers"
POLICIES = f"/apis/inflight.dev/v1alpha1/namespaces/{NAMESPACE}/scalingpolicies"


async def test_a_scale_that_may_not_be_read_is_told_as_the_api_server_said_it_until_it_is_read():
    clock, api = SystemClock(START_S), ApiServer()
    reporter = Reporter(api, "me", clock.now, lambda: True)
    resources = [{"name": "servers", "kind": "Server"}, {"name": "servers/scale", "kind": "Scale"}]
    api.discovered["/apis/example.com/v1"] = {"resources": resources}
    api.put(SERVERS, workload("llm"))
    api.refusals[f"{SERVERS}/llm/scale"] = ApiError(403, "Forbidden", 'cannot get resource "servers/scale"')
    reference = {"apiVersion": "example.com/v1", "kind": "Server", "name": "llm"}
    metadata = {**POLICY["metadata"], "namespace": NAMESPACE, "name": "llm"}
    api.put(POLICIES, {"metadata": metadata, "spec": {"scaleTargetRef": reference}})
    service = f"{NAMESPACE}/llm"
    reporter.keep(service, stored_policy(api.find(POLICIES, "llm")), "")

    def able():
        conditions = api.find(POLICIES, "llm").get("status", {}).get("conditions", ())
        return next(((each["status"], each["message"]) for each in conditions if each["type"] == "AbleToScale"), None)

    async with KubernetesTarget(
        api,
        clock.now,
        random.Random(1),  # noqa: S311
        running=lambda _service: {},
        on_change=reporter.changed,
    ) as target:
        task = asyncio.create_task(reporter.run(target))
        target.set_targets({service: Target(NamespacedKind(NAMESPACE, "example.com/v1", "Server"), "llm", 0.0)})
        await asyncio.sleep(60)
        why = f'the scale of Server {NAMESPACE}/llm cannot be read: cannot get resource "servers/scale"'
        assert able() == ("False", why)
        assert [(each["reason"], each["note"]) for each in api.created] == [("FailedGetScale", why)]
        api.refusals.clear()
        await asyncio.sleep(60)
        assert able()[0] == "True"
        assert (await target.observe([service]))[service].asked == 1
        task.cancel()
        await asyncio.wait([task])


async def test_while_lists_are_read_no_status_says_that_nothing_is_known_yet(world):
    world.targets.general = "Deployments of team have not been listed yet"
    await asyncio.sleep(10)
    world.targets.general = ""
    await asyncio.sleep(1)
    world.decides(0)
    await asyncio.sleep(60)
    (status,) = [status for _, status in world.api.statuses]
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == "True"


async def test_a_list_that_cannot_be_read_is_told_after_a_while(world):
    world.targets.general = "Deployments of team cannot be listed: forbidden"
    await asyncio.sleep(60)
    ((at_s, status),) = world.api.statuses
    assert at_s == 15
    assert {each["type"]: each["message"] for each in status["conditions"]}["AbleToScale"] == world.targets.general


async def test_statuses_and_events_let_orders_go_first_and_are_not_held_up_for_ever(world):
    world.targets.no_orders.clear()
    world.decides(3)
    await asyncio.sleep(1)
    assert (world.api.statuses, world.api.events) == ([], [])
    await asyncio.sleep(1)
    assert (len(world.api.statuses), len(world.api.events)) == (1, 1)


async def test_a_status_that_comes_back_before_the_answer_is_known_to_have_been_written(world):
    world.api.on_status = lambda made: world.reporter.keep(SD, stored_policy({**POLICY, "status": made}), "")
    world.decides(3)
    await asyncio.sleep(2)
    world.reporter.keep(SD, stored_policy(POLICY), "")  # somebody wipes it
    world.decides(3, inflight=1.0)
    world.decides(3)
    await asyncio.sleep(20)
    assert [status["desiredReplicas"] for _, status in world.api.statuses] == [3, 3]


async def test_every_change_is_an_event_and_a_storm_of_them_is_few(world):
    for desired in range(1, 101):
        world.decides(desired)
        await asyncio.sleep(0.1)
    assert len(world.api.events) == 10
    assert {reason for _, reason, _ in world.api.events} == {"SuccessfulRescale"}
    await asyncio.sleep(60)
    world.decides(0)
    await asyncio.sleep(1)
    assert world.api.events[-1][2].startswith("team/sd: 100 -> 0")


async def test_what_fails_again_and_again_is_told_once(world):
    for _ in range(20):
        world.decides(3, error="forbidden")
        await asyncio.sleep(2)
    assert [(reason, note) for _, reason, note in world.api.events] == [("FailedUpdateScale", "forbidden")]
    assert len(world.times) == 1


async def test_a_policy_that_is_gone_is_told_of_no_more(world):
    world.decides(3)
    world.reporter.forget(SD)
    await asyncio.sleep(10)
    assert world.api.statuses == []


def ready(status):
    return next(
        (each["status"], each["reason"], each["message"]) for each in status["conditions"] if each["type"] == "Ready"
    )


async def test_a_host_that_belongs_to_another_is_told_by_status_and_event_until_it_is_free(world):
    world.decides(0)
    await asyncio.sleep(2)
    for owner in ("team/old", "team/older"):
        world.reporter.set_host_conflicts({SD: (Conflict("x", owner, f"x belongs to the policy {owner}"),)})
        await asyncio.sleep(2)
        assert ready(world.api.statuses[-1][1]) == ("False", "HostConflict", f"x belongs to the policy {owner}")
    world.reporter.set_host_conflicts({})
    await asyncio.sleep(2)
    assert ready(world.api.statuses[-1][1])[:2] == ("True", "ScalingActive")
    assert [(reason, note) for _, reason, note in world.api.events] == [
        ("HostConflict", f"x belongs to the policy {owner}") for owner in ("team/old", "team/older")
    ]


async def test_a_conflict_that_stays_is_told_once(world):
    for _ in range(10):
        world.reporter.set_host_conflicts({SD: (Conflict("x", "a/p", "taken"),), "other/p": ()})
        await asyncio.sleep(2)
    assert len(world.api.statuses) == len(world.api.events) == 1


async def test_what_fails_for_one_service_is_an_event_and_what_keeps_it_from_being_observed_its_condition(world):
    async with world.running():
        world.decides(2)
        await asyncio.sleep(3)
        world.reporter.failing(SD, "decider", "ZeroDivisionError: division by zero")
        world.reporter.failing(SD, "observation", "KeyError: 'spec'")
        await asyncio.sleep(20)
        assert [(reason, note) for _, reason, note in world.api.events[-2:]] == [
            ("DeciderFailed", "ZeroDivisionError: division by zero"),
            ("FailedGetScale", "it cannot be observed: KeyError: 'spec'"),
        ]
        ready = world.api.statuses[-1][1]["conditions"][0]
        assert (ready["reason"], ready["message"]) == ("FailedGetScale", "it cannot be observed: KeyError: 'spec'")
        world.reporter.failing(SD, "observation", "")
        await asyncio.sleep(20)
        assert world.api.statuses[-1][1]["conditions"][0]["reason"] == "ScalingActive"


async def test_a_status_that_cannot_be_made_keeps_no_other_one_from_being_written(world, caplog):
    odd = {**POLICY, "metadata": {**POLICY["metadata"], "name": "odd"}, "status": {"conditions": [{"type": "Ready"}]}}
    async with world.running():
        world.reporter.keep("team/odd", stored_policy(odd), "it is not legal")
        await asyncio.sleep(1)
        world.decides(2)
        await asyncio.sleep(60)
        assert world.api.statuses[-1][1]["desiredReplicas"] == 2
        assert [line.message for line in caplog.records if "status fails" in line.message] == [
            "team/odd: its status fails; it holds and the others go on: KeyError: 'status'"
        ]


async def test_nothing_is_kept_of_policies_that_came_and_went(world):
    async with world.running():
        for number in range(20):
            service = f"team/passing-{number}"
            resource = {**POLICY, "metadata": {**POLICY["metadata"], "name": f"passing-{number}"}}
            decided = Decision(2, Recommendation(2, "a wish"), ())
            record = Record(service, Observation(1.0, 0.0, 2.0, 0, 0), decided, None)
            world.reporter.keep(service, stored_policy(resource), "it is not legal" if number % 2 else "")
            world.reporter.record(record)
            world.reporter.failing(service, "observation", "KeyError: 'spec'")
            world.reporter.changed(service)
            world.reporter.forget(service)
            # What was under way when it went comes after it.
            world.reporter.record(record)
            world.reporter.failing(service, "observation", "KeyError: 'spec'")
            world.reporter.changed(service)
        await asyncio.sleep(5)
        kept = {key: value for key, value in vars(world.reporter).items() if "passing" in str(value)}
        assert kept == {}


# Pools.


async def test_a_pool_without_room_is_in_status_and_events_until_it_has_room(world):
    world.decides(3, pools=(PoolState("a10", 3, 3), PoolState("l20", 0)))
    await asyncio.sleep(2)
    world.decides(3, pools=(PoolState("a10", 3, 1, unplaced=2, why="Unschedulable: no node"), PoolState("l20", 0)))
    await asyncio.sleep(2)
    _, made = world.api.statuses[-1]
    assert [(each["name"], each["desired"], each["unplaced"]) for each in made["pools"]] == [
        ("a10", 3, 2),
        ("l20", 0, 0),
    ]
    assert reason_of(made, "PoolExhausted") == "Unschedulable"

    world.decides(3, pools=(PoolState("a10", 1, 1), PoolState("l20", 2, 2)))
    await asyncio.sleep(2)
    world.decides(3, pools=(PoolState("a10", 3, 3), PoolState("l20", 0)))
    await asyncio.sleep(2)
    _, made = world.api.statuses[-1]
    assert reason_of(made, "PoolExhausted") == "PoolsHaveRoom"
    told = [reason for _, reason, _ in world.api.events if reason.startswith("Pool")]
    assert told == ["PoolExhausted", "PoolSpilled", "PoolRecovered"]


def reason_of(status, kind):
    return next(each["reason"] for each in status["conditions"] if each["type"] == kind)


async def test_an_annotation_of_the_target_is_an_event_and_a_condition_until_it_is_gone(world):
    world.decides(0)
    async with world.running():
        for annotations in (("inflight.dev/paused",), ()):
            world.targets.annotations = annotations
            world.reporter.changed(SD)
            await asyncio.sleep(5)
        assert [reason for _, reason, _ in world.api.events] == ["AnnotationIgnored"]
        first, last = ([each["type"] for each in status["conditions"]] for _, status in world.api.statuses[-2:])
        assert "AnnotationIgnored" in first
        assert "AnnotationIgnored" not in last


async def test_a_number_that_is_contested_is_an_event_once_in_five_minutes(world):
    async with world.running():
        for _ in range(3):
            world.decides(0, rules=["replicasContested"])
            await asyncio.sleep(5)
        assert [reason for _, reason, _ in world.api.events] == ["ReplicasContested"]
