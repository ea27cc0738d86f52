"""Gateways that are killed, stopped and started again while others serve the same pods."""

import asyncio

import pytest
from fault_kit import until
from gateway_sums import Sums
from gateways_kit import BUSY, NEVER_S, session, several_gateways
from idle_time import longest_idle_s

pytestmark = [pytest.mark.real_time, pytest.mark.program]

BROKEN = (0, "broken")
PERMIT_S, PAST_THE_PERMIT_S = 10.0, 13.0
WITHOUT_GRANTS_S = 4.0
"""Two seconds, twice as long on a busy machine."""


@pytest.mark.parametrize("victim", ["the owner", "another"])
async def test_when_a_gateway_is_killed_the_others_go_on_and_only_its_own_clients_lose(tmp_path, victim):
    async with several_gateways(tmp_path, names="abc", busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        lost = it.owner("web") if victim == "the owner" else it.others_of("web")[0]
        it.start_load("web", 9)
        await it.answered(50)
        killed_s = asyncio.get_running_loop().time()
        it.kill(lost)
        await it.members_are(*{"a", "b", "c"} - {lost})
        await it.answered(50)
        await it.start(lost)
        await it.answered(50)
        now_s = asyncio.get_running_loop().time()
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(BROKEN)
        broken = {request.name for request in it.requests if request.status == 0}
        assert {it.went_by[name] for name in broken} <= {lost}
        assert len(broken) <= 3
        of_others = lambda request: it.went_by[request.name] != lost  # noqa: E731
        assert longest_idle_s(it.services["web"], killed_s, now_s, counts=of_others) < WITHOUT_GRANTS_S


async def test_slots_of_a_killed_gateway_are_held_and_told_until_its_requests_end(tmp_path):
    async with several_gateways(tmp_path, names="abc", busy=BUSY) as it:
        it.fleet.service_s = lambda: NEVER_S
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        owner, lost, another = it.owner("web"), *it.others_of("web")
        async with Sums().following(*map(it.__getitem__, (owner, another))) as sums, session() as client:
            ran = [asyncio.create_task(it.send(client, "web", lost)) for _ in it.services["web"].pods]
            await until(lambda: len(it.order("web")) == len(ran), "a request at each pod")
            it.kill(lost)
            await asyncio.gather(*ran)
            await until(lambda: sum(sums.latest_held("default/web").values()) == len(ran), "held slots")
            assert set(sums.latest_held("default/web")) == set(it.services["web"].backends)
            metrics = await it[owner].metrics(client)
            assert metrics['gateway_held_slots{namespace="default",service="web"}'] == len(ran)
            waits = asyncio.create_task(it.send(client, "web", another))
            await sums.is_("default/web", len(ran) + 1)
            for pod in it.services["web"].pods:
                it.fleet.finish(pod)
            await until(lambda: len(it.order("web")) == len(ran) + 1, "the request that waited, at a pod")
            it.finish_oldest("web")
            assert (await waits).status == 200
        it.settle(BROKEN)


async def test_a_policy_may_have_the_slots_of_a_killed_gateway_given_at_once(tmp_path):
    async with several_gateways(tmp_path, names="abc", pods=1, takeover="Immediate") as it:
        it.fleet.service_s = lambda: NEVER_S
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        lost, another = it.others_of("web")
        async with session() as client:
            ran = asyncio.create_task(it.send(client, "web", lost))
            await until(lambda: it.order("web") == [0], "a request at the pod")
            it.kill(lost)
            assert (await ran).status == 0
            it.fleet.finish(it.services["web"].pods[0])
            waits = asyncio.create_task(it.send(client, "web", another))
            await until(lambda: it.order("web") == [0, 1], "the next request at the pod")
            it.finish_oldest("web")
            assert (await waits).status == 200
        it.settle(BROKEN)


async def test_gateways_that_were_stopped_for_longer_than_their_permit_start_nothing_that_was_granted_before(tmp_path):
    async with several_gateways(tmp_path, busy=BUSY) as it:
        await it.start("a", "b", "c", "d", "e")
        await it.agree("a", "b", "c", "d", "e")
        stopped = [it.owner("web"), it.others_of("web")[0]]
        others = set("abcde") - set(stopped)
        it.start_load("web", 15)
        await it.answered(50)
        async with it.stopped(stopped[0]), it.stopped(stopped[1]):
            await it.members_are(*others)
            await asyncio.sleep(PAST_THE_PERMIT_S)
            await it.answered(50)
        await it.agree("a", "b", "c", "d", "e")
        await it.answered(50)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(503)
        assert {it.went_by[request.name] for request in it.requests if request.status == 503} <= set(stopped)


async def test_a_gateway_that_is_killed_and_started_at_once_is_a_new_member_with_nothing(tmp_path):
    async with several_gateways(tmp_path, names="abc", busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        it.start_load("web", 9)
        for _ in range(3):
            await it.answered(20)
            lost = it.owner("web")
            before = it.roster.members[lost].life
            it.kill(lost)
            await it.start(lost)
            assert it.roster.members[lost].life != before
        await it.answered(20)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(BROKEN)


async def test_after_the_death_of_all_gateways_the_next_one_serves(tmp_path):
    async with several_gateways(tmp_path, names="abc", busy=BUSY) as it:
        await it.start("a", "b", "c")
        it.start_load("web", 6)
        await it.answered(20)
        for name in "abc":
            it.kill(name)
        await it.start("b")
        await it.members_are("b")
        await it.answered(20)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(BROKEN)
