"""The gateway's own stream and its reader, over a real connection: what one says is what the other understands."""

import asyncio
import contextlib
import random
import time

import pytest
from aiohttp import web
from metrics_peers import until

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.dispatch.dispatcher import Limits, SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.server import GatewayServer
from autoscaler.ports import Query
from autoscaler.sources.gateway_stream import StreamSource

pytestmark = pytest.mark.real_time

A = "ns/a"
PAGES = PathRule(("/pages/*",), SlotUse.PASS)
SERVICE = GatewayService(A, hosts=("*",), limits=Limits(concurrency=1), paths=(PAGES,))


class Pod:
    """Answers when the test says so."""

    def __init__(self):
        self.may_answer = asyncio.Event()

    async def answer(self, _request):
        await self.may_answer.wait()
        return web.Response(text="done")


@contextlib.asynccontextmanager
async def running(gateway_port=0):
    gateway = GatewayServer({A: SERVICE})
    await gateway.start(0, gateway_port, ["127.0.0.1"])
    try:
        yield gateway
    finally:
        await gateway.stop()


@pytest.fixture
async def gateway():
    async with running() as gateway:
        yield gateway


@pytest.fixture
async def pod():
    pod = Pod()
    app = web.Application()
    app.router.add_get("/{path:.*}", pod.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pod.address = f"127.0.0.1:{runner.addresses[0][1]}"
    yield pod
    await runner.cleanup()


@pytest.fixture
async def rises():
    return asyncio.Queue()


@pytest.fixture
async def source(session, gateway, rises):
    async with StreamSource(session, time.time, random.SystemRandom(), rises.put_nowait) as source:
        source.set_gateways([f"127.0.0.1:{gateway.metrics_port}"])
        await until_count(source, 0)
        yield source


async def until_count(source, number):
    async def observe():
        return (await source.read({A: Query("", "", "", 5)}, time.time()))[A]

    reading = await until(observe, lambda reading: reading.value == number and not reading.problem)
    assert reading.series == 1
    return reading


@contextlib.asynccontextmanager
async def requests(session, gateway, number, path="/"):
    """Send requests, and see at the end that all were answered."""

    async def get():
        async with session.get(f"http://127.0.0.1:{gateway.port}{path}") as response:
            return response.status

    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(get()) for _ in range(number)]
        yield
    assert [task.result() for task in sent] == [200] * number


async def test_requests_are_followed_from_the_queue_to_their_answers(session, gateway, pod, source, rises):
    since_s = time.time()
    async with requests(session, gateway, 3):
        assert await rises.get() == A
        await until_count(source, 3)
        assert source.pods(A) == {}
        gateway.add_backend(A, "pod-1", pod.address)
        await until(lambda: pods(source), lambda pods: pods == {"pod-1": 1})
        await until_count(source, 3)
        pod.may_answer.set()
    await until_count(source, 0)
    assert source.pods(A) == {"pod-1": 0}
    now_s = time.time()
    counted_by_gateway_s = gateway.dispatcher(A).seconds_total(gateway.loop_time())
    assert 0 < source.live(A, since_s, now_s).mean * (now_s - since_s) <= counted_by_gateway_s + 1e-6


async def pods(source):
    return source.pods(A)


async def test_a_mark_is_confirmed_while_the_pod_serves_and_until_it_is_gone(session, gateway, pod, source, rises):
    gateway.add_backend(A, "pod-1", pod.address)
    async with requests(session, gateway, 1):
        await until(lambda: pods(source), lambda pods: pods == {"pod-1": 1})
        assert "has not confirmed that it sends pod-1 nothing more" in source.undrained(A, ["pod-1"])
        gateway.drain_backend(A, "pod-1", marked=True)
        await until(lambda: undrained(source), lambda why: why == "")
        assert source.pods(A) == {"pod-1": 1}
        pod.may_answer.set()
    await until(lambda: pods(source), lambda pods: pods == {})
    assert source.undrained(A, ["pod-1"]) == ""
    gateway.remove_backend(A, "pod-1")
    await until(lambda: undrained(source), lambda why: why != "")


async def undrained(source):
    return source.undrained(A, ["pod-1"])


async def test_a_page_that_is_asked_for_at_zero_wakes_and_counts_no_slot(session, gateway, pod, source, rises):
    since_s = time.time()
    async with requests(session, gateway, 1, "/pages/index"):
        assert await rises.get() == A
        live = source.live(A, since_s, time.time())
        assert live.latest == 0
        assert live.passing > 0
        pod.may_answer.set()
        gateway.add_backend(A, "pod-1", pod.address)


async def test_a_gateway_that_starts_again_is_heard_again(session, gateway, pod, source):
    port = gateway.metrics_port
    await gateway.stop()
    async with running(port) as another, requests(session, another, 1):
        await until_count(source, 1)
        pod.may_answer.set()
        another.add_backend(A, "pod-1", pod.address)
