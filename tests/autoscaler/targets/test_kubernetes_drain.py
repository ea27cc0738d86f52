"""Before a number falls, the pods that leave get nothing new; what they run meanwhile changes which ones leave."""

import asyncio
import random

import pytest
from api_kit import DEPLOYMENTS, NAMESPACE, PODS, REPLICA_SETS, ApiServer, heard, pod, replica_set, workload
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.objects import DELETION_COST
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.policy.pod_ending import PodEnding
from autoscaler.ports import PodCounts, Replica, ScaleRequest
from autoscaler.targets.kubernetes import KubernetesTarget, Target
from autoscaler.targets.kubernetes_drain import choose, choose_again

WEB, SHOP = "ns/web", "ns/shop"


# Which pods leave.

RUNNING = st.integers(0, 2)
NAMES = "abcdef"


@st.composite
def moments(draw):
    """Give pods at two moments: some come, some go, and what they run changes."""
    first = draw(st.lists(st.sampled_from(NAMES), unique=True))
    second = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return [
        [Replica(name, draw(st.booleans()), draw(RUNNING), ord(name)) for name in names] for names in (first, second)
    ]


@given(moments(), st.integers(0, 6), st.lists(st.sampled_from(NAMES)))
def test_no_pod_leaves_that_is_busy_beyond_what_was_chosen_as_busy_and_idle_ones_leave_first(moments, staying, named):
    before, now = moments
    chosen = choose(before, staying, named)
    assert len(chosen.names) == max(len(before) - staying, 0)
    again = choose_again(chosen, now, staying)
    busy = {replica.name for replica in now if replica.ready and replica.running}
    leaving = set(again.names)
    assert len(leaving & busy) <= chosen.most_busy
    assert len(again.names) + len(again.kept) == max(len(now) - staying, 0)
    assert set(again.kept) <= busy - leaving
    if leaving & busy:
        assert {replica.name for replica in now} - busy <= leaving, "an idle pod stays while a busy one leaves"


@given(
    st.lists(
        st.builds(Replica, st.sampled_from(NAMES), st.booleans(), RUNNING, st.integers(0, 9)),
        unique_by=lambda r: r.name,
    ),
    st.integers(0, 6),
)
def test_a_choice_stands_while_nothing_changes(replicas, staying):
    chosen = choose(replicas, staying, ())
    assert choose_again(chosen, replicas, staying) == chosen


# What is written, and when.


class World:
    """A Deployment of three pods with a gateway that a test speaks for."""

    def __init__(self):
        self.api, self.now_s, self.leads = ApiServer(), 1_767_229_200.0, True
        self.load, self.draining, self.asked = {}, set(), []
        self.count = None
        for name in ("web", "shop"):
            self.api.put(DEPLOYMENTS, workload(name, replicas=3))
            self.api.put(REPLICA_SETS, replica_set(f"{name}-1", name))
            for age in range(3):
                owner = ("ReplicaSet", f"{name}-1")
                self.api.put(PODS, pod(f"{name}-{age}", {"app": name}, owner, age=age))
        self.target = KubernetesTarget(
            self.api,
            lambda: self.now_s,
            random.Random(1),  # noqa: S311
            running=lambda _service: self.load,
            undrained=self.undrained,
            count=lambda _service: self.count,
            leads=lambda: self.leads,
        )

    def undrained(self, _service, pods):
        self.asked.append(tuple(pods))
        return "gateway gw has not confirmed" if set(pods) - self.draining else ""

    def starts(self, pod, service=WEB):
        self.load[pod] = self.load.get(pod, 0) + 1
        self.target.load_changed(service)

    def confirms(self, *pods, service=WEB):
        self.draining |= set(pods)
        self.target.load_changed(service)

    def marked(self):
        found = (self.api.find(PODS, f"{name}-{age}")["metadata"] for name in ("web", "shop") for age in range(3))
        return {each["name"] for each in found if (each.get("annotations") or {}).get(DELETION_COST)}

    def replicas(self, name="web"):
        return self.api.find(DEPLOYMENTS, name)["spec"]["replicas"]

    def lower(self, replicas, *named, service=WEB):
        return asyncio.create_task(self.target.scale([ScaleRequest(service, replicas, named)]))


@pytest.fixture
async def world():
    world = World()
    async with world.target:
        kind = NamespacedKind(NAMESPACE, "apps/v1", "Deployment")
        world.target.set_targets({WEB: Target(kind, "web", 0.0), SHOP: Target(kind, "shop", 0.0)})
        await heard()
        yield world


def rules(outcomes):
    (outcome,) = outcomes
    assert outcome.error == ""
    return [(reason.rule, reason.before, reason.after) for reason in outcome.drain]


async def test_the_number_is_written_as_soon_as_the_gateway_sends_the_marked_pods_nothing_more(world):
    lowering = world.lower(2, "web-2")
    await asyncio.sleep(0.3)
    assert (world.marked(), world.replicas()) == ({"web-2"}, 3)
    world.confirms("web-2")
    assert rules(await lowering) == []
    assert (world.marked(), world.replicas()) == ({"web-2"}, 2)


async def test_a_gateway_that_confirms_nothing_is_waited_for_one_second_and_the_reason_says_so(world):
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    (outcome,) = await world.lower(2)
    assert loop.time() - begun_s == pytest.approx(1.0)
    assert world.replicas() == 2
    (reason,) = outcome.drain
    assert reason == ("drainUnconfirmed", 2, 2, "after 1 s gateway gw has not confirmed")


async def test_an_idle_pod_leaves_instead_of_one_that_became_busy(world):
    lowering = world.lower(2, "web-2")
    await heard()
    world.starts("web-2")
    await heard()
    assert (world.marked(), world.replicas()) == ({"web-1"}, 3)
    world.confirms("web-1")
    assert rules(await lowering) == []
    assert (world.marked(), world.replicas()) == ({"web-1"}, 2)


async def test_the_number_falls_less_if_no_idle_pod_is_left(world):
    world.load["web-0"] = 1
    lowering = world.lower(1)
    await heard()
    assert world.marked() == {"web-1", "web-2"}
    world.confirms("web-1", "web-2")
    world.starts("web-2")
    assert rules(await lowering) == [("podsBusy", 1, 2)]
    assert (world.marked(), world.replicas()) == ({"web-1"}, 2)


async def test_nothing_is_written_if_all_pods_became_busy(world):
    lowering = world.lower(2)
    await heard()
    for name in ("web-0", "web-1", "web-2"):
        world.starts(name)
    assert rules(await lowering) == [("podsBusy", 2, 3)]
    assert (world.marked(), world.replicas()) == (set(), 3)


async def test_the_least_busy_pod_leaves_if_none_was_idle_from_the_beginning(world):
    world.load.update({"web-0": 2, "web-1": 1, "web-2": 2})
    lowering = world.lower(2, "web-2")
    await heard()
    assert world.marked() == {"web-1"}
    world.confirms("web-1")
    assert rules(await lowering) == []
    assert world.replicas() == 2


async def test_a_wake_up_cancels_the_drain_and_the_pods_serve_again(world):
    lowering = world.lower(1)
    await heard()
    world.target.wake(WEB)
    assert rules(await lowering) == [("drainCancelled", 1, 3)]
    assert world.replicas() == 3
    await world.target.observe([WEB])
    await heard()
    assert world.marked() == set()


async def test_a_pod_that_is_gone_is_not_waited_for(world):
    lowering = world.lower(2, "web-2")
    await heard()
    world.api.delete(PODS, "web-2")
    await heard()
    assert rules(await lowering) == []
    assert world.replicas() == 2


async def test_no_other_service_waits_for_a_drain(world):
    lowering = [world.lower(number) for number in (2,)]
    await heard()
    (raised,) = await world.target.scale([ScaleRequest(SHOP, 5, ())])
    assert (raised.error, world.replicas("shop"), world.replicas()) == ("", 5, 3)
    await asyncio.gather(*lowering)


async def test_forty_drains_at_once_take_no_longer_than_one():
    world = World()
    kind, names = NamespacedKind(NAMESPACE, "apps/v1", "Deployment"), [f"s{number}" for number in range(40)]
    for name in names:
        world.api.put(DEPLOYMENTS, workload(name, replicas=1))
        world.api.put(REPLICA_SETS, replica_set(f"{name}-1", name))
        world.api.put(PODS, pod(name, {"app": name}, ("ReplicaSet", f"{name}-1")))
    async with world.target:
        world.target.set_targets({f"ns/{name}": Target(kind, name, 0.0) for name in names})
        await heard()
        begun_s = asyncio.get_running_loop().time()
        outcomes = await world.target.scale([ScaleRequest(f"ns/{name}", 0, ()) for name in names])
        assert asyncio.get_running_loop().time() - begun_s == pytest.approx(1.0)
    assert [reason.rule for outcome in outcomes for reason in outcome.drain] == ["drainUnconfirmed"] * 40
    assert {world.replicas(name) for name in names} == {0}


async def test_a_number_that_somebody_else_writes_meanwhile_stays(world):
    lowering = world.lower(1)
    await heard()
    before = world.api.find(DEPLOYMENTS, "web")
    world.api.put(DEPLOYMENTS, {**before, "spec": {**before["spec"], "replicas": 7}})
    (outcome,) = await lowering
    assert "has written 7" in outcome.error
    assert world.replicas() == 7


async def test_the_drain_of_a_target_that_the_policy_no_longer_names_is_cancelled(world):
    lowering = world.lower(1)
    await heard()
    world.target.set_targets({})
    assert rules(await lowering) == [("drainCancelled", 1, 3)]
    assert world.replicas() == 3


async def test_a_controller_that_no_longer_leads_writes_nothing_after_the_wait(world):
    lowering = world.lower(1)
    await heard()
    world.leads = False
    (outcome,) = await lowering
    assert outcome.error == "another controller leads"
    assert world.replicas() == 3


async def test_a_mark_that_cannot_be_written_ends_the_drain_with_its_error(world):
    world.api.refusals[f"{PODS}/web-2"] = ApiError(500, "InternalError", "etcd is away")
    (outcome,) = await world.lower(2)
    assert "etcd is away" in outcome.error
    assert world.replicas() == 3


async def test_a_raise_waits_for_no_gateway(world):
    (outcome,) = await world.target.scale([ScaleRequest(WEB, 5, ())])
    assert (outcome.error, outcome.drain, world.asked) == ("", (), [])


# Without a gateway.


def counted(world, problem="", **running):
    """Let Prometheus say what pods run; no gateway routes to them."""

    async def count():
        return PodCounts({f"web-{name[1:]}": number for name, number in running.items()}, problem)

    world.count = count
    world.draining = {"web-0", "web-1", "web-2"}


async def test_the_pods_that_are_idle_by_prometheus_leave_first(world):
    counted(world, p0=0, p1=0, p2=3)
    assert rules(await world.lower(1)) == []
    assert (world.marked(), world.replicas()) == ({"web-0", "web-1"}, 1)


async def test_a_pod_of_which_prometheus_has_no_count_leaves_after_the_idle_ones_and_after_the_busy_ones(world):
    counted(world, p0=0, p1=2)
    (outcome,) = await world.lower(1)
    assert outcome.drain == (("podsUnknown", 1, 1, "Prometheus has no count of web-2"),)
    assert (world.marked(), world.replicas()) == ({"web-0", "web-1"}, 1)


async def test_the_youngest_leave_if_nothing_is_known(world):
    counted(world, problem="Prometheus at x: refused")
    (outcome,) = await world.lower(1)
    assert outcome.drain == (("podsUnknown", 1, 1, "Prometheus at x: refused"),)
    assert (world.marked(), world.replicas()) == ({"web-1", "web-2"}, 1)


async def test_a_prometheus_that_hangs_is_waited_for_one_second(world):
    async def hang():
        await asyncio.Event().wait()

    counted(world)
    world.count = hang
    begun_s = asyncio.get_running_loop().time()
    (outcome,) = await world.lower(2)
    assert asyncio.get_running_loop().time() - begun_s == pytest.approx(1.0)
    assert outcome.drain[0].why == "Prometheus has not answered within 1 s what the pods run"
    assert (world.marked(), world.replicas()) == ({"web-2"}, 2)


async def test_a_raise_asks_prometheus_nothing(world):
    world.count = "never called"
    (outcome,) = await world.target.scale([ScaleRequest(WEB, 5, ())])
    assert (outcome.error, world.replicas()) == ("", 5)


async def test_how_pods_end_is_read_from_the_target_or_else_from_the_pods(world):
    assert world.target.ending(WEB) is None
    world.api.put(PODS, pod("web-2", {"app": "web"}, ("ReplicaSet", "web-1"), age=2) | {"spec": {"containers": []}})
    await heard()
    assert world.target.ending(WEB) == PodEnding(30)
    deployment = world.api.find(DEPLOYMENTS, "web")
    template = {"spec": {"terminationGracePeriodSeconds": 330}}
    world.api.put(DEPLOYMENTS, {**deployment, "spec": {**deployment["spec"], "template": template}})
    await heard()
    assert world.target.ending(WEB) == PodEnding(330)
    assert world.target.ending("ns/unknown") is None
