"""The leader is killed, the clock of the next one steps, and then both are killed: under load, with no dip."""

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest
from fault_kit import Prometheus, installed, known

pytestmark = [pytest.mark.program, pytest.mark.real_time]

HOUR_S = 3600
WINDOW_S = 6


async def story(control_plane, folder, binary):
    """Give the ledger, and how the replicas had gone when each part ended."""
    went = {}
    async with installed(control_plane, folder, ["web"], controllers=1) as it, AsyncExitStack() as stack:
        (first,), service = it.controllers, it["web"]

        async def started(**options):
            controller = it.add_controller(**options)
            await stack.enter_async_context(controller.started())
            return controller

        prometheus = Prometheus(binary, folder / "prometheus", it.gateways[0].scraped)
        await stack.enter_async_context(prometheus.started())
        await it.leads(first)
        second = await started(ahead_s=HOUR_S)
        await second.ready()
        await service.install(prometheus=prometheus.url)
        service.start_load(2)
        await service.serves(2)
        await service.decided(known, 2)

        first.kill()
        service.start_load(1)
        await it.leads(second)
        await service.serves(3)
        went["the leader is killed"] = list(service.ledger.replicas)

        for step in (signal.SIGUSR1, signal.SIGUSR2):
            second.signal(step)
            await service.answered(6)
        await service.decided(known, WINDOW_S)
        went["the clock steps"] = list(service.ledger.replicas)

        second.kill()
        both = [await started(), await started()]
        await it.leads(*both)
        await service.decided(known, WINDOW_S + 1)
        went["both are killed"] = list(service.ledger.replicas)
        await service.stop_load()
        await service.replicas_are(0)
    return service.ledger, went


@pytest.fixture(scope="module")
def told(control_plane, tmp_path_factory, prometheus_binary):
    return asyncio.run(story(control_plane, tmp_path_factory.mktemp("controllers"), prometheus_binary))


def test_every_request_is_answered_and_every_change_explained(told):
    ledger, _ = told
    ledger.settle()


@pytest.mark.parametrize("part", ["the leader is killed", "the clock steps", "both are killed"])
def test_nothing_falls_and_what_is_needed_comes_when(told, part):
    _, went = told
    assert went[part][-1] == 3
    assert went[part] == sorted(went[part])


def test_one_controller_wrote_at_a_time_and_each_in_its_turn(told):
    ledger, _ = told
    writers = [any(line.get("written") is not None for line in log) for log in ledger.logs]
    assert writers[:2] == [True, True]
    assert writers[2:].count(True) == 1
