"""One, two, three and five gateways over the same pods, and gateways that come and go in good order."""

import asyncio

import pytest
from gateway_sums import Sums
from gateways_kit import NAMES, NEVER_S, several_gateways
from idle_time import longest_idle_s

pytestmark = [pytest.mark.real_time, pytest.mark.program]

IDLE_S = 1.0
"""A pod may be idle beside a waiting request for a round trip and two turns of busy loops on a busy machine."""


@pytest.mark.parametrize("number", [1, 2, 3, 5])
async def test_pods_run_one_request_at_a_time_and_none_is_idle_while_one_waits(tmp_path, number):
    async with several_gateways(tmp_path, ["web", "api"]) as it:
        await it.start(*NAMES[:number])
        await it.agree(*NAMES[:number])
        begun_s = asyncio.get_running_loop().time()
        it.start_load("web", 10)
        it.start_load("api", 5)
        await it.answered(200)
        now_s = asyncio.get_running_loop().time()
        await it.stop_load()
        it.settle()
        assert set(it.statuses()) == {200}
        assert longest_idle_s(it.services["web"], begun_s, now_s) < IDLE_S


async def test_requests_keep_their_order_and_their_sum_while_gateways_join_and_leave(tmp_path):
    async with several_gateways(tmp_path, options=["--grace=60s"]) as it:
        it.fleet.service_s = lambda: NEVER_S
        await it.start("a")
        async with Sums().following(*it.gateways.values()) as sums:
            sent = [await it.one_more("web", "a", sums) for _ in range(6)]
            sums.begin_again()
            await it.start("b", "c")
            await it.agree("a", "b", "c")
            await sums.is_("default/web", 6)
            assert set(sums.whole["default/web"]) == {6}
            sent += [await it.one_more("web", gateway, sums) for gateway in ("b", "c", "a", "c", "b")]
            sums.begin_again()
            stays = next(name for name in ("b", "c") if name != it.owner("web"))
            leaving = [asyncio.create_task(it.leave(name)) for name in {"a", "b", "c"} - {stays}]
            await it.owns("web", stays)
            await sums.is_("default/web", 11)
            assert set(sums.whole["default/web"]) == {11}
            for answered in range(1, 12):
                it.finish_oldest("web")
                await sums.is_("default/web", 11 - answered)
        for task in leaving:
            await task
        await asyncio.gather(*sent)
        it.settle()
        assert it.order("web") == sorted(it.order("web"))
        assert it.statuses() == {200: 11}


async def test_nobody_is_refused_while_one_gateway_becomes_three_and_one_again(tmp_path):
    async with several_gateways(tmp_path, ["web", "api"]) as it:
        await it.start("a")
        begun_s = asyncio.get_running_loop().time()
        it.start_load("web", 10)
        it.start_load("api", 4)
        await it.answered(50)
        await it.start("b")
        await it.start("c")
        await it.answered(50)
        await it.leave("a")
        await it.leave("b")
        await it.members_are("c")
        await it.answered(50)
        now_s = asyncio.get_running_loop().time()
        await it.stop_load()
        it.settle()
        assert set(it.statuses()) == {200}
        assert not it.refused
        assert longest_idle_s(it.services["web"], begun_s, now_s) < IDLE_S
