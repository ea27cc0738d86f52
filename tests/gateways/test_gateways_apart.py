"""Gateways between which the network does as it likes, and gateways without their store."""

import asyncio

import pytest
from fault_kit import until
from gateways_kit import BUSY, several_gateways
from idle_time import longest_idle_s
from peer_proxy import BACK, BOTH, THERE, cut_in_a_line, delay, split, swallow

pytestmark = [pytest.mark.real_time, pytest.mark.program]

IDLE_S = 4.0
"""Detection of what is silent, an epoch and a round trip, twice as long on a busy machine."""


@pytest.mark.parametrize(
    ("act", "directions"),
    [(swallow, BOTH), (swallow, [THERE]), (swallow, [BACK]), (delay(5), BOTH), (cut_in_a_line, BOTH)],
    ids=["silent", "silent one way", "silent the other way", "5 s late", "cut in a line"],
)
async def test_a_bad_link_between_two_of_three_puts_nobody_out_and_the_others_serve(tmp_path, act, directions):
    async with several_gateways(tmp_path, names="abc", proxied=True, busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        it.start_load("web", 9)
        await it.answered(20)
        begun_s = asyncio.get_running_loop().time()
        for way in it.ways_between("a", "b"):
            way.does(act, directions)
        await until(lambda: not it.roster.members["a"].own, "the lower of the two owns nothing")
        assert set(it.roster.members) == {"a", "b", "c"}
        await it.answered(50)
        now_s = asyncio.get_running_loop().time()
        served = lambda request: it.went_by[request.name] != "a"  # noqa: E731
        assert longest_idle_s(it.services["web"], begun_s, now_s, counts=served) < IDLE_S
        for way in it.ways_between("a", "b"):
            way.heal()
        await until(lambda: it.roster.members["a"].own, "it owns again")
        await it.answered(20)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle(503)


async def test_lines_that_arrive_in_two_pieces_are_lines(tmp_path):
    async with several_gateways(tmp_path, names="abc", proxied=True) as it:
        for way in it.ways.values():
            way.does(split)
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        async with it.load("web", 9):
            await it.answered(100)
        it.settle()
        assert set(it.statuses()) == {200}


async def test_a_connection_that_is_reset_again_and_again_costs_no_request(tmp_path):
    async with several_gateways(tmp_path, names="abc", proxied=True) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        async with it.load("web", 9):
            for _ in range(5):
                await it.answered(20)
                for way in it.ways_between("a", "b"):
                    way.reset()
        it.settle()
        assert set(it.statuses()) == {200}


async def test_a_gateway_that_is_cut_off_is_put_out_and_comes_back(tmp_path):
    async with several_gateways(tmp_path, names="abc", proxied=True, busy=BUSY) as it:
        await it.start("a", "b", "c")
        await it.agree("a", "b", "c")
        lost = it.owner("web")
        it.start_load("web", 9)
        await it.answered(20)
        for way in it.ways_of(lost):
            way.refuse()
        await it.members_are(*{"a", "b", "c"} - {lost})
        await it.answered(50)
        for way in it.ways_of(lost):
            way.heal()
        await it.agree("a", "b", "c")
        await it.answered(50)
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
        await it.answered(50)
        await it.stop_load()
        await it.each_slot_can_be_used()
        it.settle()
        assert set(it.statuses()) == {200}
