"""The page of a gateway: what waits and runs there, and how it is answered, without a controller."""

import asyncio

import pytest
from gateway_kit import NAME, answer_ok, in_time, until

from autoscaler.app import gateway_page
from autoscaler.app.gateway_page import GatewayPage
from autoscaler.app.gateway_page import gateway_page as serve
from autoscaler.page.address import PageAddress

pytestmark = pytest.mark.real_time


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(gateway_page, "SAMPLE_EVERY_S", 0.01)
    monkeypatch.setattr(gateway_page, "EVERY_S", 0.01)


async def test_it_shows_what_waits_and_runs_and_how_it_was_answered(kit, quick):
    go = asyncio.Event()

    async def answer_later(request):
        await go.wait()
        await answer_ok(request)

    gateway = await kit.gateway(pods=[await kit.pod(answer_later)])
    page = GatewayPage(gateway)
    running = asyncio.create_task(page.run())
    clients = [await kit.client(gateway) for _ in range(3)]
    asked = [client.get() for client in clients]

    async def shown():
        service = await page.board.service(NAME)
        return service["figures"]["running"], service["figures"]["queued"], service["series"]["queued"][-1:]

    async def comes(wanted):
        while await shown() != wanted:  # noqa: ASYNC110 - a page sends no event to a test
            await asyncio.sleep(0.01)

    await in_time(comes((1, 2, [2])))
    go.set()
    for each in asked:
        assert (await each.response()).status == 200
    await in_time(comes((0, 0, [0])))

    async def counted():
        while (await page.board.service(NAME))["quality"]["count"][-1] != 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)

    await in_time(counted())
    service, fleet = await page.board.service(NAME), await page.board.fleet()
    running.cancel()
    assert (service["role"], service["decisions"], service["figures"]["asked"]) == ("gateway", [], None)
    assert service["quality"]["success"][-1] == 1.0
    assert fleet["services"][0]["p95"] is not None
    assert (fleet["totals"]["asked"], fleet["totals"]["queued"]) == (None, 0)


async def test_a_service_that_is_idle_is_not_sampled_again_and_one_that_is_gone_is_forgotten(kit, quick):
    gateway = await kit.gateway()
    page = GatewayPage(gateway)
    running = asyncio.create_task(page.run())
    await until(lambda: page._live.history.rows(NAME) == 1)
    seen_s = page._live.changed_s(NAME)
    await asyncio.sleep(0.1)
    assert page._live.changed_s(NAME) == seen_s
    gateway.reload({})
    await until(lambda: page._live.history.rows(NAME) == 0)
    running.cancel()
    assert await page.board.service(NAME) is None


async def test_a_port_that_is_in_use_ends_it(kit):
    gateway = await kit.gateway()
    with pytest.raises(OSError, match="in use"):
        await serve(gateway, PageAddress("127.0.0.1", gateway.port))
