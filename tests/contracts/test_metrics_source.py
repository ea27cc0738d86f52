"""What every MetricsSource promises, asked of all of them: Prometheus, the gateways' streams, and the fake."""

import asyncio
import contextlib
import itertools
import random
import time

import pytest
from metrics_peers import EXPRESSION, SERIES, Exporter, GatewayServer, until

from autoscaler.ports import Query, Reading
from autoscaler.sources.gateway_stream import StreamSource
from autoscaler.sources.prometheus import PrometheusSource
from autoscaler.testing import FakeMetricsSource

pytestmark = pytest.mark.real_time

NUMBERS = itertools.count()


class OfPrometheus:
    """Two exporters, scraped by a real Prometheus."""

    def __init__(self, source, server, exporters):
        self.source = source
        self.query = Query(server, EXPRESSION, SERIES, max_age_s=10)
        self._exporters = exporters

    def says(self, counts, gateway=0):
        self._exporters[gateway].samples.clear()
        for service, running in counts.items():
            self._exporters[gateway].says(service, running)

    def dies(self, gateway=0):
        self._exporters[gateway].broken = True


class OfStreams:
    """Two gateways, listened to."""

    query = Query("", "", "", max_age_s=10)

    def __init__(self, source, gateways):
        self.source = source
        self._gateways = gateways

    def says(self, counts, gateway=0):
        for service, running in counts.items():
            self._gateways[gateway].says(service, running)

    def dies(self, gateway=0):
        self._gateways[gateway].mute = True


class OfFake:
    """Two gateways as a test would tell of them."""

    query = Query("", "", "", max_age_s=10)

    def __init__(self):
        self.source = FakeMetricsSource()
        self._counts = [{}, {}]

    def says(self, counts, gateway=0):
        self._counts[gateway] = counts
        for service in {*self._counts[0], *self._counts[1]}:
            known = [counts[service] for counts in self._counts if service in counts]
            self.source.tell(service, Reading(sum(known), time.time(), len(known)))

    def dies(self, gateway=0):
        dead, self._counts[gateway] = self._counts[gateway], {}
        for service in dead:
            self.source.forget(service)
        self.says(self._counts[gateway], gateway)


@contextlib.asynccontextmanager
async def of_prometheus(request, session):
    prometheus = request.getfixturevalue("prometheus")
    exporters = [Exporter(), Exporter()]
    async with contextlib.AsyncExitStack() as stack:
        for exporter, port in zip(exporters, prometheus.exporter_ports, strict=True):
            await stack.enter_async_context(exporter.served(port))
        yield OfPrometheus(PrometheusSource(session, deadline_s=10), prometheus.server, exporters)


@contextlib.asynccontextmanager
async def of_streams(request, session):
    gateways = [GatewayServer("g1"), GatewayServer("g2")]
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(gateway.served()) for gateway in gateways]
        source = StreamSource(session, time.time, random.SystemRandom(), lambda _: None, silent_s=1)
        await stack.enter_async_context(source)
        source.set_gateways(f"127.0.0.1:{port}" for port in ports)
        yield OfStreams(source, gateways)


@contextlib.asynccontextmanager
async def of_fake(request, session):
    yield OfFake()


@pytest.fixture(params=[pytest.param(of_prometheus, marks=pytest.mark.program), of_streams, of_fake])
async def world(request, session):
    async with request.param(request, session) as world:
        yield world


@pytest.fixture
def a():
    """Name a service as no other test does: a Prometheus remembers."""
    return f"contract/a{next(NUMBERS)}"


async def read(world, *services):
    return await world.source.read(dict.fromkeys(services, world.query), time.time())


async def reads(world, service, good):
    async def observe():
        return (await read(world, service))[service]

    return await until(observe, good)


async def test_asked_for_nothing_it_answers_nothing(world):
    assert await read(world) == {}


async def test_a_count_comes_with_the_time_of_its_sample_and_the_number_of_its_gateways(world, a):
    world.says({a: 2}, gateway=0)
    world.says({a: 3}, gateway=1)
    reading = await reads(world, a, lambda reading: reading.value == 5)
    assert (reading.series, reading.problem) == (2, "")
    assert time.time() - world.query.max_age_s - 1 <= reading.sampled_s <= time.time()


async def test_zero_is_a_count(world, a):
    world.says({a: 0})
    reading = await reads(world, a, lambda reading: reading.value is not None and not reading.problem)
    assert reading.value == 0


async def test_a_count_is_followed_up_and_down(world, a):
    for running in (1, 7, 0, 3):
        world.says({a: running})
        await reads(world, a, lambda reading, running=running: reading.value == running)


async def test_what_nobody_counts_is_unknown_and_hides_nothing_else(world, a):
    world.says({a: 4})
    await reads(world, a, lambda reading: reading.value == 4 and not reading.problem)
    b = f"{a}-nobodys"
    readings = await read(world, a, b)
    assert set(readings) == {a, b}
    assert readings[a].value == 4
    assert readings[b].value is None
    assert "nobodys" in readings[b].problem


async def test_a_count_that_is_gone_becomes_unknown_and_never_zero(world, a):
    world.says({a: 4})
    await reads(world, a, lambda reading: reading.value == 4)
    world.dies(0)
    world.dies(1)
    seen = []
    reading = await reads(world, a, lambda reading: seen.append(reading.value) or reading.value is None)
    assert reading.problem
    assert 0 not in seen


async def test_a_part_is_told_from_the_whole(world, a):
    world.says({a: 4}, gateway=0)
    world.says({a: 4}, gateway=1)
    await reads(world, a, lambda reading: reading.value == 8)
    world.dies(1)
    reading = await reads(world, a, lambda reading: reading.value == 4)
    assert reading.series == 1


# The past, of those who know it.


@pytest.fixture(params=[pytest.param(of_prometheus, marks=pytest.mark.program), of_fake])
async def remembering(request, session):
    async with request.param(request, session) as world:
        yield world


async def test_the_past_is_what_was_read_then(remembering, a):
    world, began_s = remembering, time.time()
    for running in (3, 5):
        world.says({a: running})
        await reads(world, a, lambda reading, running=running: reading.value == running)
        await asyncio.sleep(1)
    now_s, nobodys = time.time(), f"{a}-nobodys"
    pasts = await world.source.history(dict.fromkeys((a, nobodys), world.query), now_s, span_s=60, step_s=0.5)
    assert set(pasts) == {a, nobodys}
    times = [moment.at_s for moment in pasts[a].readings]
    assert times == pytest.approx([now_s - 0.5 * ago for ago in range(120, -1, -1)], abs=1e-3)
    values = [moment.reading.value for moment in pasts[a].readings]
    assert [value for value, _ in itertools.groupby(values)] == [None, 3, 5]
    assert all(moment.reading.sampled_s <= moment.at_s for moment in pasts[a].readings)
    assert all(moment.reading.series == 1 for moment in pasts[a].readings if moment.reading.value is not None)
    assert not any(moment.reading.value for moment in pasts[a].readings if moment.at_s < began_s - 1)
    assert {moment.reading.value for moment in pasts[nobodys].readings} == {None}


async def test_asked_for_no_past_it_answers_none(remembering):
    assert await remembering.source.history({}, time.time(), span_s=60, step_s=2) == {}
