"""What can happen on the way to a gateway, with real connections; what the lines mean is tested with the aggregate."""

import asyncio
import json
import random
import time

import pytest
from metrics_peers import GatewayServer, free_port, replying, until

from autoscaler.ports import Query
from autoscaler.runtime.backoff import Backoff
from autoscaler.sources.gateway_stream import StreamSource
from autoscaler.testing import FakeStreams

pytestmark = pytest.mark.real_time

A = "ns/a"
SILENT_S = 1.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n"


@pytest.fixture
async def rises():
    return asyncio.Queue()


@pytest.fixture
async def source(session, rises):
    rng = random.SystemRandom()
    source = StreamSource(session, time.time, rng, rises.put_nowait, silent_s=SILENT_S, max_line_bytes=10_000)
    async with source:
        yield source


async def read(source, service=A):
    return (await source.read({service: Query("", "", "", 5)}, time.time()))[service]


async def until_read(good, source):
    return await until(lambda: read(source), good)


def good(reading):
    return reading.value is not None and not reading.problem


def unknown(reading):
    return reading.value is None


async def test_a_gateway_is_awaited_until_it_is_heard(source, rises):
    gateway = GatewayServer()
    async with gateway.served() as port:
        gateway.says(A, running=1)
        source.set_gateways([f"127.0.0.1:{port}"])
        assert source.awaited(time.time()) == f"gateway 127.0.0.1:{port} has not reported yet: no connection yet"
        assert await rises.get() == A
        assert source.awaited(time.time()) == ""


async def test_a_gateway_that_is_not_there_is_awaited_until_it_would_count_as_silent(source):
    source.set_gateways(["127.0.0.1:1"])
    now_s = time.time()
    assert source.awaited(now_s).startswith("gateway 127.0.0.1:1 has not reported yet: no connection")
    assert source.awaited(now_s + SILENT_S) == ""


async def test_a_queue_that_grows_is_known_at_once(source, rises):
    gateway = GatewayServer()
    async with gateway.served() as port:
        gateway.says(A, running=1)
        source.set_gateways([f"127.0.0.1:{port}"])
        assert await rises.get() == A
        gateway.says(A, running=1, queued=1)
        assert await rises.get() == A
        assert (await read(source)).value == 2


async def test_what_a_gateway_counts_is_all_at_hand(source):
    gateway = GatewayServer()
    async with gateway.served() as port:
        gateway.says(A, running=1, pods={"p": 1}, passed_total=5)
        source.set_gateways([f"127.0.0.1:{port}"])
        since = await until_read(good, source)
        gateway.says(A, running=3, pods={"p": 3}, holding_pass=2, passed_total=9)
        await until_read(lambda reading: reading.value == 3, source)
        live = source.live(A, since.sampled_s, time.time())
    assert (live.latest, live.passing, live.problem) == (3, 4 + 2, "")
    assert 0 < live.mean < 3
    assert source.pods(A) == {"p": 3}
    assert source.known() == 1


async def test_gateways_come_and_go(source):
    gateways = [GatewayServer("g1"), GatewayServer("g2")]
    async with gateways[0].served() as first, gateways[1].served() as second:
        gateways[0].says(A, running=1)
        gateways[1].says(A, running=2)
        for ports, total in [((first,), 1), ((first, second), 3), ((second,), 2)]:
            source.set_gateways(f"127.0.0.1:{port}" for port in ports)
            reading = await until_read(good, source)
            assert reading.value == total
        source.set_gateways([])
        assert (await read(source)).problem == "no gateway is known"


async def test_a_gateway_that_stays_is_not_connected_to_again(source):
    gateway = GatewayServer()
    gateway.says(A, running=1)
    async with gateway.served() as port:
        for _ in range(3):
            source.set_gateways([f"127.0.0.1:{port}"])
            await until_read(good, source)
    assert gateway.connections == 1


async def test_a_stream_that_ends_is_opened_again_and_nothing_is_unknown_meanwhile(source):
    gateway = GatewayServer()
    gateway.says(A, running=1)
    async with gateway.served() as port:
        source.set_gateways([f"127.0.0.1:{port}"])
        await until_read(good, source)
        gateway.hang_up()
        seen = []
        await until_read(lambda reading: seen.append(reading.value) or gateway.connections == 2, source)
        assert set(seen) == {1}


async def test_a_gateway_that_restarts_is_found_again(source):
    gateway = GatewayServer()
    gateway.says(A, running=1, seconds_total=1000)
    async with gateway.served() as port:
        source.set_gateways([f"127.0.0.1:{port}"])
        since = await until_read(good, source)
    reading = await until_read(unknown, source)
    assert f"gateway 127.0.0.1:{port} does not report: no connection" in reading.problem
    gateway.started = 2.0
    gateway.says(A, running=2, seconds_total=0)
    async with gateway.served(port):
        await until_read(lambda reading: reading.value == 2, source)
        assert source.live(A, since.sampled_s, time.time()).mean < 2


async def test_a_gateway_that_falls_silent_is_asked_anew(source):
    gateway = GatewayServer()
    gateway.says(A, running=1)
    async with gateway.served() as port:
        source.set_gateways([f"127.0.0.1:{port}"])
        await until_read(good, source)
        gateway.mute = True
        reading = await until_read(unknown, source)
        assert "does not report" in reading.problem
        gateway.mute = False
        await until_read(good, source)
        assert gateway.connections > 1


async def test_a_garbled_line_costs_the_connection_and_takes_back_what_was_said(source):
    gateway = GatewayServer()
    gateway.says(A, running=1)
    async with gateway.served() as port:
        source.set_gateways([f"127.0.0.1:{port}"])
        await until_read(good, source)
        gateway.send(b"{}\n")
        await until_read(unknown, source)
        await until_read(good, source)
        assert gateway.connections == 2


WHOLE = json.dumps({"gateway": "g", "started": 1, "services": {A: {"queued": 0, "running": 1, "seconds_total": 0}}})


@pytest.mark.parametrize(
    ("reply", "explained"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answered HTTP 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "it answered HTTP 302"),
        (HEAD, "it closed the stream"),
        (HEAD + b"<html>\n", "it sent a line that is not of this format"),
        (HEAD + WHOLE.encode() + b"\n{}\n", "it sent a line without 'services'"),
        (HEAD + b"[" * 9_000 + b"\n", "it sent a line that is not of this format"),
        (HEAD + b"x" * 10_001, "it sent a line that is longer than 10000 bytes"),
        (b"220 smtp.example ESMTP\r\n", "no connection"),
        (b"", "no connection"),
    ],
)
async def test_what_is_no_stream_is_unknown_and_explained(source, reply, explained):
    async def answer(_, writer):
        writer.write(reply)

    async with replying(answer) as address:
        source.set_gateways([address])
        reading = await until_read(lambda reading: explained in reading.problem, source)
    assert reading.value is None
    assert f"gateway {address} does not report" in reading.problem


async def test_a_gateway_that_never_answers_is_unknown_and_explained(source):
    async def never(_, __):
        await asyncio.Event().wait()

    async with replying(never) as address:
        source.set_gateways([address])
        reading = await until_read(lambda reading: "no line for 1 s" in reading.problem, source)
    assert reading.value is None


async def test_a_line_that_never_ends_is_silence(source):
    async def drip(_, writer):
        writer.write(HEAD)
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.05)

    async with replying(drip) as address:
        source.set_gateways([address])
        reading = await until_read(lambda reading: "no line for 1 s" in reading.problem, source)
    assert reading.value is None


@pytest.mark.parametrize("address", [f"127.0.0.1:{free_port()}", "gateway.invalid:9090", "..", "", "host:port"])
async def test_an_address_where_no_gateway_is_leaves_the_others_heard(source, address):
    gateway = GatewayServer()
    gateway.says(A, running=1)
    async with gateway.served() as port:
        source.set_gateways([f"127.0.0.1:{port}", address])
        reading = await until_read(
            lambda reading: reading.value == 1 and "no connection yet" not in reading.problem, source
        )
    assert f"gateway {address} does not report: " in reading.problem


async def test_leaving_it_closes_all_streams(session):
    gateway = GatewayServer()
    gateway.says(A, running=1)
    async with gateway.served() as port:
        async with StreamSource(session, time.time, random.SystemRandom(), lambda _: None) as source:
            source.set_gateways([f"127.0.0.1:{port}"])
            await until_read(good, source)

        async def open_streams():
            return len(gateway.streams)

        assert await until(open_streams, lambda number: number == 0) == 0


# What the controller is promised of its gateways' streams, asked of the real ones and of the fake.


class OfGateway:
    """A gateway that is listened to."""

    def __init__(self, streams, gateway):
        self.streams = streams
        self._gateway = gateway

    def says(self, service, count):
        self._gateway.says(service, running=count)

    def falls_silent(self):
        self._gateway.mute = True


class OfFake:
    """A gateway as a test would tell of it."""

    def __init__(self):
        self.streams = FakeStreams()

    def says(self, service, count):
        self.streams.counts[service] = float(count)

    def falls_silent(self):
        self.streams.silent = True


@pytest.fixture(params=[OfGateway, OfFake])
async def world(request, source):
    if request.param is OfFake:
        yield OfFake()
        return
    gateway = GatewayServer()
    async with gateway.served() as port:
        source.set_gateways([f"127.0.0.1:{port}"])
        yield OfGateway(source, gateway)


async def until_live(world, service, good):
    async def observe():
        return world.streams.live(service, time.time() - 0.1, time.time())

    return await until(observe, good)


async def test_a_count_of_now_is_given_and_a_mean_that_is_none_of_its_own(world):
    for count in (2, 0, 7):
        world.says(A, count)
        live = await until_live(world, A, lambda live, count=count: live.latest == count)
        assert (live.passing, live.problem) == (0, "")
        assert live.mean is None or 0 <= live.mean <= 7
    assert world.streams.known() == 1
    assert world.streams.complete(time.time())


async def test_a_service_that_the_gateway_does_not_count_is_unknown_and_explained(world):
    world.says(A, 4)
    await until_live(world, A, lambda live: live.latest == 4)
    live = world.streams.live("ns/nobodys", time.time() - 0.1, time.time())
    assert (live.latest, live.mean, live.passing) == (None, None, 0)
    assert "ns/nobodys" in live.problem


async def test_a_silent_gateway_is_known_and_not_heard_and_nothing_that_it_said_counts(world):
    world.says(A, 4)
    await until_live(world, A, lambda live: live.latest == 4)
    world.falls_silent()
    live = await until_live(world, A, lambda live: live.latest is None)
    assert live.mean is None
    assert live.problem
    assert world.streams.known() == 1
    assert not world.streams.complete(time.time())


class Least(random.Random):
    def random(self):
        return 0.0


class Most(random.Random):
    def random(self):
        return 1.0


def test_pauses_double_up_to_two_seconds_and_begin_anew_after_a_line():
    backoff = Backoff(Most())
    assert [backoff.pause_s() for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    backoff.reset()
    assert backoff.pause_s() == 0.1


def test_pauses_are_spread_down_to_their_half():
    backoff = Backoff(Least())
    assert [backoff.pause_s() for _ in range(3)] == [0.05, 0.1, 0.2]
