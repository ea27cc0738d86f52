"""Gateways are asked for what they have measured, and one that lies, hangs or dies is named."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from test_measured_answers import SERVICE, service

from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.sources import gateway_figures as module
from autoscaler.sources.gateway_figures import FiguresPoller, Known

pytestmark = pytest.mark.real_time
TOKEN = "0123456789abcdef-a-token"  # noqa: S105 - of this test


class Gateway:
    """Answers what it is told to."""

    def __init__(self):
        self.services = {SERVICE: service()}
        self.answer = None
        self.asked = []

    async def figures(self, request):
        self.asked.append(request.headers.get("Authorization"))
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({"gateway": "a", "started": 0.0, "at": 1e6, "services": self.services})

    @asynccontextmanager
    async def serving(self):
        application = web.Application()
        application.add_routes([web.get("/v1/figures", self.figures)])
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


class World:
    def __init__(self, poller, gateway, changed):
        self.poller, self.gateway, self.changed = poller, gateway, changed

    def figures(self, name=SERVICE):
        return self.poller.measured.figures(name, asyncio.get_running_loop().time())


@pytest.fixture
async def world(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n")
    gateway, changed = Gateway(), []
    async with gateway.serving() as address, aiohttp.ClientSession() as session:
        known = Known(lambda: [address], lambda: {SERVICE})
        now = asyncio.get_running_loop().time
        yield World(FiguresPoller(session, known, now, changed.append, BearerTokens(file)), gateway, changed)


async def test_what_was_counted_is_taken_in_and_its_service_has_changed(world):
    await world.poller.poll()
    world.gateway.services[SERVICE] = service(ok=6)
    await world.poller.poll()
    assert world.figures().answers_per_s == pytest.approx(0.1)
    assert world.figures().problem == ""
    assert world.changed == [SERVICE]
    assert world.gateway.asked == [f"Bearer {TOKEN}"] * 2


async def test_services_that_are_not_known_are_not_kept(world):
    world.gateway.services = {f"default/s{number}": service() for number in range(200)}
    await world.poller.poll()
    (gateway,) = world.poller.measured._gateways.values()
    assert gateway.services == {}


async def hang(_request):
    await asyncio.Event().wait()


async def trickle(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


async def much(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 2**16)


async def elsewhere(_request):
    return web.Response(status=302, headers={"Location": "/v1/figures"})


def says(body, status=200):
    async def answer(_request):
        return web.Response(body=body, status=status)

    return answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hang, "no answer for"),
        (trickle, "no answer for"),
        (much, "has more than 1 MiB"),
        (elsewhere, "HTTP 302"),
        (says(b"", 404), "HTTP 404"),
        (says(b"<html>"), "JSON"),
        (says(b'{"gateway": "a", "started": 0, "at": 1, "services": []}'), "object"),
        (says(json.dumps({"gateway": "a", "started": 0, "at": 1, "services": {SERVICE: {}}}).encode()), "queued"),
    ],
)
async def test_a_gateway_that_does_not_answer_as_it_should_is_named_and_read_again(world, monkeypatch, answer, why):
    await world.poller.poll()
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(module, "_MOST_BYTES", 2**20)
    world.gateway.answer = answer
    await world.poller.poll()
    assert why in world.figures().problem
    world.gateway.answer = None
    monkeypatch.setattr(module, "_PATIENCE_S", 4.0)
    await world.poller.poll()
    assert world.figures().problem == ""


async def test_a_gateway_that_is_gone_is_named():
    async with aiohttp.ClientSession() as session:
        known = Known(lambda: ["127.0.0.1:1", "no address"], lambda: {SERVICE})
        poller = FiguresPoller(session, known, asyncio.get_running_loop().time, lambda _service: None)
        await poller.poll()
        assert set(poller.measured._problems) == {"127.0.0.1:1", "no address"}
