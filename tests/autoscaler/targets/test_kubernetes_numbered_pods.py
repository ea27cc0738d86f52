"""Kinds that number their pods always remove the last ones: exactly these are marked, and their number tells."""

import asyncio
import random

import pytest
from api_kit import NAMESPACE, PODS, STATEFUL_SETS, ApiServer, heard, pod, workload
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.kubernetes.objects import DELETION_COST
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.ports import Replica, ScaleRequest
from autoscaler.removal_order import ordinal
from autoscaler.targets.kubernetes import KubernetesTarget, Target
from autoscaler.targets.kubernetes_drain import choose, choose_again

WEB = "ns/web"
MOST = 12
NUMBERS = st.sets(st.integers(0, MOST - 1))


@st.composite
def moments(draw):
    """Give the number of the first pod, and the pods at two moments; some may be missing."""
    first = draw(st.integers(0, 3))
    found = []
    for _ in range(2):
        numbers = draw(st.permutations(sorted(draw(NUMBERS))))
        found.append(
            [Replica(f"web-{first + each}", draw(st.booleans()), draw(st.integers(0, 2)), each) for each in numbers]
        )
    return first, *found


def removed_by_kubernetes(replicas, first, number):
    return {replica.name for replica in replicas if ordinal(replica.name) >= first + number}


@given(moments(), st.integers(0, MOST), st.lists(st.sampled_from([f"web-{each}" for each in range(MOST)])))
def test_the_pods_that_leave_are_those_that_kubernetes_removes_for_the_number_that_is_written(moments, staying, named):
    first, before, now = moments
    chosen = choose(before, staying, named, first)
    assert set(chosen.names) == removed_by_kubernetes(before, first, staying)
    again = choose_again(chosen, now, staying, first)
    assert again.staying >= staying
    assert set(again.names) == removed_by_kubernetes(now, first, again.staying)
    busy = {replica.name for replica in now if replica.ready and replica.running}
    assert len(busy.intersection(again.names)) <= chosen.most_busy
    assert list(again.names) == sorted(again.names, key=ordinal, reverse=True)


class World:
    """A StatefulSet of three pods, the first of which is number 5, and the requests that a test says they run."""

    def __init__(self):
        self.api, self.load, self.draining = ApiServer(), {}, set()
        item = workload("web", replicas=3)
        item["spec"]["ordinals"] = {"start": 5}
        self.api.put(STATEFUL_SETS, item)
        for number in (5, 6, 7):
            # The last one is the oldest, as after a node of the others was replaced.
            self.api.put(PODS, pod(f"web-{number}", {"app": "web"}, ("StatefulSet", "web"), age=10 - number))
        self.target = KubernetesTarget(
            self.api,
            lambda: 1_767_229_200.0,
            random.Random(1),  # noqa: S311
            running=lambda _service: self.load,
            undrained=lambda _service, pods: "" if set(pods) <= self.draining else "gateway gw has not confirmed",
        )

    def says(self, *draining, **load):
        self.draining, self.load = set(draining), {name.replace("_", "-"): count for name, count in load.items()}
        self.target.load_changed(WEB)

    def lower(self, replicas, *named):
        return asyncio.create_task(self.target.scale([ScaleRequest(WEB, replicas, named)]))

    def marked(self):
        found = (self.api.find(PODS, name)["metadata"] for name in self.api.names(PODS))
        return {each["name"] for each in found if (each.get("annotations") or {}).get(DELETION_COST)}

    def replicas(self):
        return self.api.find(STATEFUL_SETS, "web")["spec"]["replicas"]


@pytest.fixture
async def world():
    world = World()
    async with world.target:
        world.target.set_targets({WEB: Target(NamespacedKind(NAMESPACE, "apps/v1", "StatefulSet"), "web", 0.0)})
        await heard()
        yield world


async def test_the_gateways_confirm_the_last_pod_although_another_one_was_named(world):
    world.load["web-7"] = 1
    lowering = world.lower(2, "web-5")
    await heard()
    assert (world.marked(), world.replicas()) == ({"web-7"}, 3)
    world.says("web-7", web_7=1)
    (outcome,) = await lowering
    assert (outcome.drain, world.replicas()) == ((), 2)


async def test_the_number_falls_only_to_the_last_pod_that_became_busy(world):
    lowering = world.lower(0)
    await heard()
    assert world.marked() == {"web-5", "web-6", "web-7"}
    world.says("web-7", web_6=1)
    (outcome,) = await lowering
    assert (world.marked(), world.replicas()) == ({"web-7"}, 2)
    assert outcome.drain == (("podsBusy", 0, 2, "web-6 became busy, and no other pod can leave instead"),)


async def test_a_mark_that_is_not_needed_any_more_is_removed_from_the_lowest_number_first(world):
    world.says("web-6", "web-7")
    await world.lower(1)
    assert world.marked() == {"web-6", "web-7"}
    await world.target.scale([ScaleRequest(WEB, 2, ())])
    await world.target.observe([WEB])
    await heard()
    assert world.marked() == {"web-7"}
