"""Scales of kinds that do not tell them themselves: read after each change, and again until a read succeeds."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from api_kit import NAMESPACE, ApiServer, heard, workload

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.scales import NamespacedKind, ScaleWatch

SERVERS = f"/apis/example.com/v1/namespaces/{NAMESPACE}/servers"
SCALE = f"{SERVERS}/llm/scale"
LONG_S = 120
REFUSALS = [
    ApiError(403, "Forbidden", 'servers.example.com "llm" is forbidden: cannot get resource "servers/scale"'),
    ApiError(404, "NotFound", "the server could not find the requested resource"),
    ApiError(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    ApiError(0, "Timeout", "the API server did not answer in time"),
]


def discovered(kind, plural):
    resources = [{"name": plural, "kind": kind}, {"name": f"{plural}/scale", "kind": "Scale"}]
    return {"kind": "APIResourceList", "resources": resources}


class World:
    def __init__(self, kind):
        self.api, self.seen, self.unread = ApiServer(), {}, []
        self.watch = ScaleWatch(self.api, kind, random.Random(1), self.seen.__setitem__, self.unread.append)  # noqa: S311

    @asynccontextmanager
    async def running(self, *names):
        self.watch.follow_only(names)
        task = asyncio.create_task(self.watch.run())
        await heard()
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    def reads(self, path=SCALE):
        return self.api.asked.count(("GET", path))


@pytest.fixture
def world():
    world = World(NamespacedKind(NAMESPACE, "example.com/v1", "Server"))
    world.api.discovered["/apis/example.com/v1"] = discovered("Server", "servers")
    world.api.put(SERVERS, workload("llm", replicas=2))
    return world


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.reason)
async def test_a_scale_that_cannot_be_read_is_read_again_until_it_can_and_it_is_said_why(world, refusal):
    world.api.refusals[SCALE] = refusal
    async with world.running("llm"):
        assert world.watch.problem("llm") == f"the scale of Server {NAMESPACE}/llm cannot be read: {refusal}"
        assert set(world.unread) == {"llm"}
        await asyncio.sleep(LONG_S)
        assert world.seen == {}
        assert str(refusal) in world.watch.problem("llm")
        del world.api.refusals[SCALE]
        await asyncio.sleep(30)
        assert world.seen["llm"].replicas == 2
        assert world.watch.problem("llm") == ""


async def test_reads_grow_apart_while_they_fail_though_the_object_changes_all_the_time(world):
    world.api.refusals[SCALE] = REFUSALS[0]
    async with world.running("llm"):
        for number in range(100):
            world.api.put(SERVERS, workload("llm", labels={"number": str(number)}))
            await asyncio.sleep(0.1)
        before = world.reads()
        await asyncio.sleep(600)
        assert 20 <= world.reads() - before <= 45


async def test_a_read_that_fails_after_others_have_succeeded_is_a_problem_until_it_succeeds(world):
    async with world.running("llm"):
        world.api.refusals[SCALE] = REFUSALS[2]
        world.api.put(SERVERS, workload("llm", replicas=7))
        await heard()
        assert (world.seen["llm"].replicas, "unable to handle" in world.watch.problem("llm")) == (2, True)
        del world.api.refusals[SCALE]
        await asyncio.sleep(2)
        assert (world.seen["llm"].replicas, world.watch.problem("llm")) == (7, "")


async def test_what_cannot_be_read_delays_no_other_object(world):
    for name in ("a", "b", "c", "d", "e"):
        world.api.put(SERVERS, workload(name))
        world.api.refusals[f"{SERVERS}/{name}/scale"] = REFUSALS[3]
    async with world.running("a", "b", "c", "d", "e", "llm"):
        assert set(world.seen) == {"llm"}


async def test_what_is_gone_or_followed_no_more_is_read_no_more(world):
    world.api.refusals[SCALE] = REFUSALS[0]
    async with world.running("llm"):
        world.watch.follow_only(())
        before = world.reads()
        await asyncio.sleep(LONG_S)
        assert world.reads() == before
        world.watch.follow_only({"llm"})
        world.watch.repeat("llm")
        await heard()
        assert world.reads() == before + 1
        world.api.delete(SERVERS, "llm")
        await asyncio.sleep(LONG_S)
        assert world.reads() <= before + 2
        assert world.seen == {"llm": None}
        assert "does not exist" in world.watch.problem("llm")


@pytest.mark.parametrize(
    "lie",
    [
        {},
        {"metadata": None},
        {"metadata": {"resourceVersion": "new"}},
        {"metadata": {"resourceVersion": "9"}, "spec": {"replicas": None}},
        {"metadata": {"resourceVersion": "9"}, "spec": {"replicas": "many"}},
        {"metadata": {"resourceVersion": "9"}, "spec": 3},
        {"metadata": {"resourceVersion": "9"}, "spec": {"replicas": 1}, "status": {"selector": {"app": "llm"}}},
    ],
)
async def test_an_answer_that_is_no_scale_is_a_problem_of_its_object_alone(world, lie):
    world.api.discovered[SCALE] = lie
    world.api.put(SERVERS, workload("other"))
    async with world.running("llm", "other"):
        assert "the response is not a scale" in world.watch.problem("llm")
        assert set(world.seen) == {"other"}
        del world.api.discovered[SCALE]
        await asyncio.sleep(30)
        assert world.seen["llm"].replicas == 2


@pytest.mark.parametrize("lie", [{"kind": "APIResourceList"}, {"resources": None}, {"resources": [{}]}])
async def test_a_group_that_tells_of_no_kinds_is_asked_again(world, lie):
    world.api.discovered["/apis/example.com/v1"] = lie
    async with world.running("llm"):
        assert "there is no such kind" in world.watch.problem("llm")
        world.api.discovered["/apis/example.com/v1"] = discovered("Server", "servers")
        await asyncio.sleep(30)
        assert world.seen["llm"].replicas == 2


async def test_a_kind_of_the_core_group_is_found_where_that_is():
    world = World(NamespacedKind(NAMESPACE, "v1", "ReplicationController"))
    controllers = f"/api/v1/namespaces/{NAMESPACE}/replicationcontrollers"
    world.api.discovered["/api/v1"] = discovered("ReplicationController", "replicationcontrollers")
    world.api.put(controllers, workload("old", replicas=3))
    async with world.running("old"):
        assert world.seen["old"].replicas == 3
        assert (await world.watch.write("old", 1, "")).replicas == 1


async def test_while_scales_are_read_for_the_first_time_that_is_nobodys_own_problem(world):
    answered = asyncio.Event()
    read = world.api.get

    async def slow(path, *arguments, **options):
        if path == SCALE:
            await answered.wait()
        return await read(path, *arguments, **options)

    world.api.get = slow
    world.api.put(SERVERS, workload("quick"))
    async with world.running("llm", "quick"):
        assert world.watch.problem("quick") == ""
        assert (
            world.watch.problem("llm")
            == world.watch.shared_problem
            == f"the scales of Servers of {NAMESPACE} are being read"
        )
        answered.set()
        await heard()
        assert world.watch.problem("llm") == world.watch.shared_problem == ""


async def test_before_anything_is_known_no_health_is_invented(world):
    assert "have not been listed yet" in world.watch.problem("llm")
    world.api.refusals[SERVERS] = ApiError(403, "Forbidden", "servers is forbidden: cannot list")
    async with world.running("llm"):
        assert "cannot list" in world.watch.problem("llm")
        del world.api.refusals[SERVERS]
        await asyncio.sleep(1)
        assert world.watch.problem("llm") == ""
