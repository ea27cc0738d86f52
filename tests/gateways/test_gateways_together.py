"""One, two, three and five gateways over the same pods, and gateways that come and go in good order."""

import asyncio

import pytest
from fault_kit import together
from gateway_sums import Sums
from gateways_kit import NEVER_S, several_gateways
from idle_time import longest_idle_s

pytestmark = [pytest.mark.real_time, pytest.mark.program]

IDLE_S = 1.0
"""A pod may be idle beside a waiting request for a round trip and two turns of busy loops on a busy machine."""


async def test_one_to_five_gateways_keep_each_pod_busy_with_one_request_at_a_time_and_refuse_nobody(tmp_path):
    async with several_gateways(tmp_path, ["web", "api"]) as it:
        await it.start("a")
        begun_s = asyncio.get_running_loop().time()
        it.start_load("web", 10)
        it.start_load("api", 5)
        for more in ("", "b", "c", "de"):
            await it.start(*more)
            await it.agree(*it.open)
            for name in it.open:
                await it.answered(10, by=name)
        for leaving in ("ad", "bc"):
            await together(it.leave(name) for name in leaving)
        await it.members_are("e")
        await it.answered(20)
        now_s = asyncio.get_running_loop().time()
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle()
        assert set(it.statuses()) == {200}
        assert not it.refused
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
        before, after = it.order("web")[:6], it.order("web")[6:]
        assert before == [0, 1, 2, 3, 4, 5]
        for name in "abc":
            # Ages of different gateways differ by what their messages take.
            of_one = [number for number in after if it.went_by[f"web/{number}"] == name]
            assert of_one == sorted(of_one)
        assert it.statuses() == {200: 11}
