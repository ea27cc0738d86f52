"""Gateways between which the network does as it likes, and gateways without their store."""

import asyncio

import pytest
from fault_kit import until
from gateways_kit import BUSY, several_gateways
from idle_time import longest_idle_s
from peer_proxy import BACK, BOTH, THERE, cut_in_a_line, delay, split, swallow

pytestmark = [pytest.mark.real_time, pytest.mark.program]

BAD = [(swallow, [THERE]), (swallow, [BACK]), (delay(5), BOTH), (cut_in_a_line, BOTH), (swallow, BOTH)]
IDLE_S = 5.0
"""Until a link counts as cut, an epoch and a round trip, on a busy machine."""


async def test_a_bad_link_between_two_of_three_puts_nobody_out_and_costs_no_request(tmp_path):
    async with several_gateways(tmp_path, names="abc", proxied=True, busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        it.start_load("web", 9)
        begun_s = asyncio.get_running_loop().time()
        for act, directions in BAD:
            for way in it.ways_between("a", "b"):
                way.does(act, directions)
            await until(lambda: it.owners() == {"c"}, "the third owns all")
            for name in "abc":
                await it.answered(10, by=name)
            for way in it.ways_between("a", "b"):
                way.heal()
        now_s = asyncio.get_running_loop().time()
        await it.stop_load()
        assert set(it.roster.members) == {"a", "b", "c"}
        await it.each_slot_can_be_used()
        it.settle()
        assert set(it.statuses()) == {200}
        assert longest_idle_s(it.services["web"], begun_s, now_s) < IDLE_S


async def test_a_gateway_that_is_cut_off_is_put_out_and_comes_back(tmp_path):
    async with several_gateways(tmp_path, names="abc", proxied=True, busy=BUSY) as it:
        for way in it.ways.values():
            way.does(split)
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        lost = it.owner("web")
        it.start_load("web", 9)
        await it.answered(20)
        for way in it.ways.values():
            way.reset()
        await it.answered(20)
        for way in it.ways_of(lost):
            way.refuse()
        await it.members_are(*{"a", "b", "c"} - {lost})
        await it.answered(20)
        for way in it.ways_of(lost):
            way.heal()
        await it.agree("a", "b", "c")
        await it.answered(20)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(503)
        assert {it.went_by[request.name] for request in it.requests if request.status == 503} <= {lost}


async def test_while_the_store_is_away_all_goes_on_and_a_rollout_waits(tmp_path):
    async with several_gateways(tmp_path, names="abcd", busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        it.start_load("web", 9)
        await it.answered(20)
        with it.store_away():
            before = it.roster
            it["d"].start()
            leaving = asyncio.create_task(it.leave("a"))
            await it.answered(100)
            assert it.roster == before
        await it["d"].ready()
        await leaving
        await it.agree("b", "c", "d")
        await it.answered(20)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle()
        assert set(it.statuses()) == {200}
