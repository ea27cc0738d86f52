"""History in a real Prometheus, and what is no Prometheus at its address."""

import asyncio
import time

import pytest
from metrics_peers import Exporter, replying, until

from autoscaler.sources.prometheus_export import MOST_POINTS, Grid, HistoryError, Prometheus

pytestmark = pytest.mark.real_time

SELECTOR = 'inflight_requests{service="%s",state="running"}'


async def read(prometheus, service, grid):
    found = await asyncio.to_thread(Prometheus(prometheus.server).read, SELECTOR % service, grid)
    return next(iter(found.values()), {})


@pytest.mark.program
async def test_a_sample_is_not_carried_on_for_the_five_minutes_in_which_a_query_still_finds_it(prometheus):
    exporter, sampled_s = Exporter(), int(time.time()) - 30
    exporter.says("ns/once", running=7, timestamp_ms=sampled_s * 1000)
    grid = Grid(sampled_s - 10, step_s=5, instants=8)
    async with exporter.served(prometheus.exporter_ports[0]):
        points = await until(lambda: read(prometheus, "once", grid), bool)
    assert points == {2: 7.0, 3: 7.0}, "at its time and a step later; two steps later it is not known"


@pytest.mark.program
async def test_more_instants_than_prometheus_gives_at_once_are_asked_for_in_chunks_that_meet(prometheus):
    exporter, sampled_s, told = Exporter(), int(time.time()) - 30, []
    exporter.says("ns/long", running=3, timestamp_ms=sampled_s * 1000)
    grid = Grid(sampled_s - MOST_POINTS + 1, step_s=1, instants=2 * MOST_POINTS)
    async with exporter.served(prometheus.exporter_ports[0]):
        await until(lambda: read(prometheus, "long", Grid(sampled_s, 1, 2)), bool)
        client = Prometheus(prometheus.server, lambda *progress: told.append(progress))
        (points,) = (await asyncio.to_thread(client.read, SELECTOR % "long", grid)).values()
    assert points == {MOST_POINTS - 1: 3.0, MOST_POINTS: 3.0}
    assert told == [(1, 2), (2, 2)]


@pytest.mark.program
async def test_time_is_that_of_prometheus(prometheus):
    assert await asyncio.to_thread(Prometheus(prometheus.server).now_s) == pytest.approx(time.time(), abs=30)


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b"[]", b'{"data": {}}'], ids=["HTML", "empty", "a list", "no result"]
)
async def test_what_is_no_answer_of_prometheus_is_told_in_a_line(body):
    async def reply(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with replying(reply) as address:
        with pytest.raises(HistoryError, match=r"the response is not from Prometheus|Expecting value") as raised:
            await asyncio.to_thread(Prometheus(f"http://{address}").read, "up", Grid(0, 15, 2))
    assert str(raised.value).startswith(f"http://{address}: ")


@pytest.mark.parametrize(
    "address", ["http://me:secret@127.0.0.1:1", "http://me:secret@127.0.0.1:99999", "http://me:secret@"]
)
async def test_a_password_in_an_address_is_not_shown(address):
    with pytest.raises(HistoryError) as raised:
        await asyncio.to_thread(Prometheus(address).read, "up", Grid(0, 15, 2))
    assert "secret" not in str(raised.value)
