"""The API server is killed and started again, etcd stands still for 20 s: under load, on a control plane of its own."""

import asyncio
import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from control_plane import RefusedError, started
from fault_kit import installed, known, until

pytestmark = [pytest.mark.program, pytest.mark.real_time]

CLIENTS = 2
PAUSE_S = 20
BUSY, ASLEEP = "under load", "at zero"


def found(word):
    """Give id and command of the process that has this word in its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:
            continue
        if word in command:
            return int(folder.name), command
    raise LookupError(word)


class ApiServer:
    """That of a control plane, which can be killed and started again; it ends before etcd does, and after its users."""

    def __init__(self, control_plane):
        self.control_plane = control_plane
        self._number, self._command = found(f"--cert-dir={control_plane.folder}")
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    def kill(self):
        os.kill(self._number, signal.SIGKILL)

    async def start(self):
        self._stack.enter_context(running(self._command, self.control_plane.folder / "kube-apiserver-2.log"))
        await until(lambda: serves(self.control_plane), "an API server that serves")


@contextmanager
def running(command, log):
    with log.open("wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.kill()


def serves(control_plane):
    try:
        return control_plane.get("/api/v1/nodes")["items"]
    except (OSError, RefusedError):
        return False


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
