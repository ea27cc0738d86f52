"""The API server is killed and started again, etcd stands still for 20 s: under load, on a control plane of its own."""

import asyncio
import os
import signal

import pytest
from control_plane import started
from fault_kit import installed, known
from fault_processes import ApiServer, found

pytestmark = [pytest.mark.program, pytest.mark.real_time]

CLIENTS = 2
PAUSE_S = 20
BUSY, ASLEEP = "under load", "at zero"


async def story(server, folder):
    """Give the ledgers, and how the replicas under load had gone when all was over."""
    async with installed(server.control_plane, folder, [BUSY, ASLEEP]) as it:
        busy, asleep = it[BUSY], it[ASLEEP]
        for service in (busy, asleep):
            await service.install()
        busy.start_load(CLIENTS)
        await busy.serves(CLIENTS)

        server.kill()
        waiting = asyncio.create_task(asleep.one())
        await busy.answered(3 * CLIENTS)
        await server.start()
        await waiting
        await asleep.replicas_are(0)

        etcd, _ = found(f"--data-dir={server.control_plane.folder / 'etcd'}")
        os.kill(etcd, signal.SIGSTOP)
        waiting = asyncio.create_task(asleep.one())
        await asyncio.sleep(PAUSE_S)
        os.kill(etcd, signal.SIGCONT)
        await waiting
        await it.leads(*it.controllers)
        await busy.decided(known)
        held = list(busy.ledger.replicas)
        await busy.stop_load()
        for service in (busy, asleep):
            await service.replicas_are(0, deadline_s=60)
    return busy.ledger, asleep.ledger, held


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hurt")
    (folder / "control-plane").mkdir()
    with started(folder / "control-plane", cold_start_s=1) as own, ApiServer(own) as server:
        return asyncio.run(story(server, folder))


def test_load_is_served_on_and_its_pods_stay_while_the_api_server_restarts_and_etcd_stands_still(told):
    busy, _, held = told
    busy.settle()
    assert held == sorted(held)
    assert held[-1] == CLIENTS


def test_requests_at_zero_wait_until_the_api_server_is_back_and_etcd_goes_on(told):
    _, asleep, _ = told
    asleep.settle()
    assert asleep.replicas == [0, 1, 0, 1, 0]
    assert asleep.statuses() == {200: 2}
    assert any(record["error"] for record in asleep.orders), "the first writes had failed"
