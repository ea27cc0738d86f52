"""Gateways that are killed, stopped and started again while others serve the same pods."""

import asyncio

import pytest
from fault_kit import until
from gateway_sums import Sums
from gateways_kit import BUSY, NEVER_S, session, several_gateways
from idle_time import longest_idle_s

pytestmark = [pytest.mark.real_time, pytest.mark.program]

BROKEN = (0, "broken")
PAST_THE_PERMIT_S = 12.0
"""A permit, as long as clocks may run unequally fast, and a second."""
WITHOUT_GRANTS_S = 4.0
"""Two seconds, twice as long on a busy machine."""


async def test_when_gateways_are_killed_the_others_go_on_and_only_their_own_clients_lose(tmp_path):
    async with several_gateways(tmp_path, names="abc", busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        it.start_load("web", 9)
        await it.answered(20)
        for lost in (it.others_of("web")[0], it.owner("web")):
            life, killed_s = it.roster.members[lost].life, asyncio.get_running_loop().time()
            it.kill(lost)
            await it.members_are(*{"a", "b", "c"} - {lost})
            await it.answered(20)
            now_s = asyncio.get_running_loop().time()
            of_others = lambda request, lost=lost: it.went_by[request.name] != lost  # noqa: E731
            assert longest_idle_s(it.services["web"], killed_s, now_s, counts=of_others) < WITHOUT_GRANTS_S
            await it.start(lost)
            assert it.roster.members[lost].life != life
        lost = it.owner("web")
        it.kill(lost)
        await it.start(lost)
        await it.answered(20)
        for name in "abc":
            it.kill(name)
        await it.start("b")
        await it.members_are("b")
        await it.answered(20)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(BROKEN)
        assert sum(request.status == 0 for request in it.requests) <= 6 * 3


async def test_slots_of_a_killed_gateway_are_held_and_told_until_its_requests_end_or_as_the_policy_says(tmp_path):
    async with several_gateways(tmp_path, ["web", "now"], names="abc") as it:
        it.write_config(web={"busy": BUSY}, now={"takeover": "Immediate"})
        it.fleet.service_s = lambda: NEVER_S
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        owner, lost, another = it.owner("web"), *it.others_of("web")
        async with Sums().following(*map(it.__getitem__, (owner, another))) as sums, session() as client:
            ran = [asyncio.create_task(it.send(client, each, lost)) for each in ("web", "now") for _ in range(3)]
            await until(lambda: len(it.order("web") + it.order("now")) == len(ran), "a request at each pod")
            it.kill(lost)
            await asyncio.gather(*ran)
            await until(lambda: sum(sums.latest_held("default/web").values()) == 3, "held slots")
            assert set(sums.latest_held("default/web")) == set(it.services["web"].backends)
            metrics = await it[owner].metrics(client)
            assert metrics['gateway_held_slots{namespace="default",service="web"}'] == 3
            await sums.is_("default/now", 0)
            waits = asyncio.create_task(it.send(client, "web", another))
            await sums.is_("default/web", 4)
            for service in it.services.values():
                for pod in service.pods:
                    it.fleet.finish(pod)
            await until(lambda: len(it.order("web")) == 4, "the request that waited, at a pod")
            it.finish_oldest("web")
            assert (await waits).status == 200
        it.settle(BROKEN)


async def test_a_gateway_that_was_stopped_for_longer_than_its_permit_starts_nothing_that_was_granted_before(tmp_path):
    async with several_gateways(tmp_path, names="abc", busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        stopped = it.others_of("web")[0]
        it.start_load("web", 12)
        await it.answered(50)
        async with it.stopped(stopped):
            await it.members_are(*{"a", "b", "c"} - {stopped})
            await asyncio.sleep(PAST_THE_PERMIT_S)
        await it.agree("a", "b", "c")
        await it.answered(50)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(503)
        assert {it.went_by[request.name] for request in it.requests if request.status == 503} <= {stopped}
