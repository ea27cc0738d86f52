"""What the network does to a connection of two gateways: each fault ends it or delays it, and loses no order."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from links_kit import ENDED, REFUSED, Gateway, connected, gateways
from peer_proxy import BACK, BOTH, THERE, PeerProxy, cut_in_a_line, delay, split, swallow, through

pytestmark = pytest.mark.real_time

WAYS = pytest.mark.parametrize("ways", [(THERE,), (BACK,), BOTH], ids=["there", "back", "both"])


@asynccontextmanager
async def two_gateways():
    """Have two gateways that are connected through a proxy; the other one dials directly, as one without a fault."""
    a, b = Gateway("a", handshake_s=0.3), Gateway("b", handshake_s=0.3)
    async with gateways(a, b), PeerProxy(b.links.port).running() as proxy:
        a.links.dial({"b": proxy.address})
        b.dial(a)
        await connected(a, b)
        yield a, b, proxy
        for each in (a, b):
            await each.links.close()


def numbered(gateway, peer):
    return [message["n"] for message in gateway.messages(peer) if "n" in message]


def noting(lost):
    """Pass nothing on, and put into a queue what is lost."""

    async def noted(piece):
        lost.put_nowait(piece)
        return
        yield

    return noted


async def test_lines_that_are_cut_in_two_arrive_as_one():
    async with two_gateways() as (a, b, proxy):
        proxy.does(split)
        for number in range(10):
            a.links.send("b", [{"n": number}, {"text": "x" * 1000}])
            b.links.send("a", [{"n": number}])
        await a.until(lambda: len(numbered(a, "b")) == 10)
        await b.until(lambda: len(numbered(b, "a")) == 10)
        assert numbered(a, "b") == numbered(b, "a") == list(range(10))
        assert not [news for news in a.told + b.told if news[0] == "disconnected"]


async def test_lines_that_are_late_arrive_in_order():
    async with two_gateways() as (a, b, proxy):
        proxy.does(delay(0.05))
        for number in range(10):
            a.links.send("b", [{"n": number}])
        await b.until(lambda: len(numbered(b, "a")) == 10)
        assert numbered(b, "a") == list(range(10))


@WAYS
async def test_lines_that_are_lost_end_the_connection_when_lines_come_again(ways):
    async with two_gateways() as (a, b, proxy):
        lost = asyncio.Queue()
        proxy.does(noting(lost), ways)
        a.links.send("b", [{"n": 1}])
        b.links.send("a", [{"n": 1}])
        for _ in ways:
            await lost.get()
        proxy.does(through)
        a.links.send("b", [{"n": 2}])
        b.links.send("a", [{"n": 2}])
        await a.told_so("disconnected", "b", ENDED)
        await connected(a, b)
        if THERE in ways:
            assert numbered(b, "a") == []
        if BACK in ways:
            assert numbered(a, "b") == []


@WAYS
async def test_a_connection_that_is_cut_in_a_line_is_made_again_and_the_half_line_is_not_delivered(ways):
    async with two_gateways() as (a, b, proxy):
        proxy.does(cut_in_a_line, ways)
        a.links.send("b", [{"n": 1, "text": "x" * 1000}])
        b.links.send("a", [{"n": 1, "text": "x" * 1000}])
        await a.told_so("disconnected", "b", ENDED)
        await b.told_so("disconnected", "a", ENDED)
        proxy.heal()
        await connected(a, b)
        assert numbered(b, "a") == [] or THERE not in ways
        assert numbered(a, "b") == [] or BACK not in ways


async def test_a_way_that_is_cut_stays_cut_though_the_other_one_could_connect():
    async with two_gateways() as (a, b, proxy):
        proxy.refuse()
        await a.told_so("disconnected", "b", ENDED)
        await b.told_so("disconnected", "a", ENDED)
        told = len(a.told), len(b.told)
        await a.until_dials(3)
        assert (len(a.told), len(b.told)) == told
        assert ("disconnected", "b", REFUSED) not in a.told
        proxy.heal()
        await connected(a, b)


async def test_a_way_that_swallows_all_is_left_after_the_time_of_a_handshake():
    async with two_gateways() as (a, b, proxy):
        proxy.does(swallow)
        proxy.reset()
        await a.until_dials(2)
        proxy.heal()
        await connected(a, b)


async def test_connections_that_end_again_and_again_lose_no_order_within_each():
    async with two_gateways() as (a, b, proxy):
        for number in range(20):
            await a.until(lambda: a.is_connected(b))
            a.links.send("b", [{"n": number}])
            if number % 5 == 4:
                ended = a.told.count(("disconnected", "b", ENDED))
                proxy.reset()
                await a.until(lambda ended=ended: a.told.count(("disconnected", "b", ENDED)) > ended)
        await connected(a, b)
        assert numbered(b, "a") == sorted(set(numbered(b, "a")))
