"""Replicas as real processes: none outlives us, each end is noticed and told, none is cut while it serves."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from autoscaler.ports import Outcome, ScaleRequest
from autoscaler.targets.local import LocalProcesses, Router
from autoscaler.targets.local_replica import Lifetimes

pytestmark = pytest.mark.real_time

SERVICE = "default/sd"
PATIENCE_S = 30
HASTY = Lifetimes(first_backoff_s=0.05, longest_backoff_s=0.1, grace_s=0.1)
PYTHON = [sys.executable, "-I", "-S", "-c"]

SERVER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("serving as", *sys.argv[2:], flush=True)
while True:
    server.accept()[0].close()
"""
STUBBORN_SERVER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVER
FORKING_SERVER = "import os, signal; os.fork()" + SERVER.replace(
    "server =", "if os.getpid() != os.getpgid(0): signal.pause()\nserver ="
)
SLEEPER = "import time; time.sleep(600)"
FAILURE = "raise SystemExit(3)"

OWNER = """
import asyncio, sys
from pathlib import Path
from autoscaler.ports import Outcome, ScaleRequest
from autoscaler.targets.local import LocalProcesses, Router

async def main():
    ignore = lambda *_: None
    router = Router(lambda *_: 0, ignore, lambda *_: print("ready", flush=True), ignore, ignore)
    target = LocalProcesses({"default/sd": sys.argv[2:]}, router, Path(sys.argv[1]))
    await target.scale([ScaleRequest("default/sd", 3, ())])
    print("asked", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def processes_with(mark):
    """Every living process that has the mark among its arguments; a zombie has no arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            arguments = (entry / "cmdline").read_bytes() if entry.name.isdecimal() else b""
        except OSError:
            continue
        if mark.encode() in arguments.split(b"\0"):
            found.append(int(entry.name))
    return found


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # processes tell nobody
            await asyncio.sleep(0.01)


class Told:
    """What a target told its router, in order, and what it was answered: `serving` requests for each replica."""

    def __init__(self):
        self.events = []
        self.addresses = {}
        self.serving = 0
        self.asked = 0

    @property
    def router(self):
        return Router(self._running, self._event("starting"), self._ready, self._event("leaving"), self._event("gone"))

    def _running(self, _service, _name):
        self.asked += 1
        return self.serving

    def _ready(self, service, name, address):
        self._event("ready")(service, name)
        self.addresses[name] = address

    def _event(self, kind):
        return lambda service, name: self.events.append((kind, service, name))

    def about(self, name):
        return [kind for kind, _, about in self.events if about == name]


@pytest.fixture
async def mark():
    """An argument that nobody else's processes have: at the end of a test nobody must have it."""
    mark = uuid.uuid4().hex
    yield mark
    try:
        await until(lambda: not processes_with(mark))
    except TimeoutError:
        left = processes_with(mark)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        pytest.fail(f"{len(left)} processes were left behind")


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def opened(told, mark, tmp_path):
    def open_with(script, lifetimes=HASTY):
        command = [*PYTHON, script, "{port}", "{name}", "{number}", mark]
        return LocalProcesses({SERVICE: command}, told.router, tmp_path, lifetimes)

    return open_with


async def order(target, replicas, *leaving):
    (outcome,) = await target.scale([ScaleRequest(SERVICE, replicas, leaving)])
    assert not outcome.error


# From start to end.


async def test_the_router_is_told_where_a_replica_serves_and_that_it_leaves_before_it_is_gone(opened, told):
    async with opened(SERVER) as target:
        await order(target, 1)
        await until(lambda: told.addresses)

        host, _, port = told.addresses["sd-1"].partition(":")
        with socket.create_connection((host, int(port))):
            pass
        await order(target, 0)
        assert told.about("sd-1") == ["starting", "ready", "leaving"]
        await until(lambda: not target.processes())

    assert told.events == [(kind, SERVICE, "sd-1") for kind in ("starting", "ready", "leaving", "gone")]


async def test_those_who_leave_together_leave_in_the_order_they_were_named_in(opened, told):
    async with opened(SERVER) as target:
        await order(target, 3)
        await until(lambda: len(told.addresses) == 3)

        await order(target, 0, "sd-2", "sd-3", "sd-1")

        assert [name for kind, _, name in told.events if kind == "leaving"] == ["sd-2", "sd-3", "sd-1"]


async def test_a_replica_gets_its_port_name_and_number_and_what_it_prints_is_kept(opened, told, mark, tmp_path):
    async with opened(SERVER) as target:
        await order(target, 2)
        await until(lambda: len(told.addresses) == 2)

    assert (tmp_path / "default" / "sd-2.log").read_text() == f"serving as sd-2 2 {mark}\n"


async def test_a_replica_that_never_was_ready_starts_and_leaves_and_is_not_announced(opened, told, mark):
    async with opened(SLEEPER) as target:
        await order(target, 1)
        await until(lambda: processes_with(mark))
        await order(target, 0)
        await until(lambda: not target.processes())

    assert told.about("sd-1") == ["starting", "leaving"]


async def test_a_replica_that_is_slow_to_start_stays_unready_and_is_reported(opened, caplog, tmp_path):
    async with opened(SLEEPER, Lifetimes(slow_start_s=0.1)) as target:
        await order(target, 1)
        await until(lambda: caplog.messages)

        (replica,) = (await target.observe([SERVICE]))[SERVICE].replicas
        assert not replica.ready

    assert re.match(r"sd-1: accepts no connections on port \d+ after 0.1 s", caplog.messages[0])
    assert str(tmp_path / "default" / "sd-1.log") in caplog.messages[0]


async def test_a_replica_is_not_told_to_stop_while_it_serves(opened, told):
    async with opened(SERVER) as target:
        await order(target, 1)
        await until(lambda: told.addresses)
        told.serving, told.asked = 1, 0

        await order(target, 0)
        await until(lambda: told.asked >= 5)
        assert list(target.processes()) == ["sd-1"]
        assert told.about("sd-1") == ["starting", "ready", "leaving"]

        told.serving = 0
        await until(lambda: not target.processes())

    assert told.about("sd-1") == ["starting", "ready", "leaving", "gone"]


async def test_a_replica_that_does_not_heed_sigterm_is_killed_after_its_grace_and_that_is_reported(
    opened, told, caplog
):
    async with opened(STUBBORN_SERVER) as target:
        await order(target, 1)
        await until(lambda: told.addresses)
        await order(target, 0)
        await until(lambda: not target.processes())

    assert any("sd-1: does not end within 0.1 s of SIGTERM; killed" in message for message in caplog.messages)
    assert told.about("sd-1") == ["starting", "ready", "leaving", "gone"]


# Deaths.


async def test_a_replica_that_dies_is_taken_back_and_announced_anew_under_its_name(opened, told, caplog):
    async with opened(SERVER) as target:
        await order(target, 1)
        await until(lambda: told.addresses)
        first = target.processes()["sd-1"]

        os.kill(first, signal.SIGKILL)
        await until(lambda: told.about("sd-1") == ["starting", "ready", "gone", "starting", "ready"])

        assert target.processes()["sd-1"] != first
        (replica,) = (await target.observe([SERVICE]))[SERVICE].replicas
        assert (replica.name, replica.ready) == ("sd-1", True)

    assert re.match(r"sd-1: killed by SIGKILL after \d.* restart in 0 s", caplog.messages[0])


async def test_a_replica_that_keeps_failing_is_restarted_after_longer_and_longer_waits(opened, told, caplog):
    async with opened(FAILURE) as target:
        await order(target, 1)
        await until(lambda: len(caplog.messages) >= 4)

    waits = [message.rpartition("restart in ")[2] for message in caplog.messages]
    assert all("sd-1: ended with status 3" in message for message in caplog.messages)
    assert waits[:4] == ["0 s", "0.05 s", "0.1 s", "0.1 s"]
    assert set(told.about("sd-1")) == {"starting"}


async def test_a_replica_that_waits_for_its_restart_can_leave_at_once(opened, caplog):
    async with opened(FAILURE, Lifetimes(first_backoff_s=3600, longest_backoff_s=3600)) as target:
        await order(target, 1)
        await until(lambda: len(caplog.messages) == 2)
        await order(target, 0)
        await order(target, 1)
        await until(lambda: len(caplog.messages) == 4)

    assert [message[:5] for message in caplog.messages] == ["sd-1:", "sd-1:", "sd-2:", "sd-2:"]


async def test_a_command_that_is_not_there_is_reported_and_its_output_says_so(told, tmp_path, caplog):
    async with LocalProcesses({SERVICE: ["/no/such/program"]}, told.router, tmp_path, HASTY) as target:
        await order(target, 1)
        await until(lambda: caplog.messages)

    assert "sd-1: ended with status 1" in caplog.messages[0]
    assert "/no/such/program cannot be started: No such file" in (tmp_path / "default" / "sd-1.log").read_text()


async def test_an_output_folder_that_cannot_be_is_reported_and_tried_again(told, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    async with LocalProcesses({SERVICE: ["true"]}, told.router, tmp_path / "file", HASTY) as target:
        await order(target, 1)
        await until(lambda: len(caplog.messages) >= 2)

    assert "sd-1: cannot be started (" in caplog.messages[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_ordered_and_killed_the_router_is_told_a_life_that_makes_sense(opened, told, seed):
    rng = np.random.default_rng(seed)
    async with opened(SERVER) as target:
        for _ in range(30):
            processes = list(target.processes().values())
            if processes and rng.random() < 0.3:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(processes), signal.SIGKILL)
            else:
                await order(target, int(rng.integers(0, 5)))
            await asyncio.sleep(rng.exponential(0.05))
            fleet = (await target.observe([SERVICE]))[SERVICE]
            assert len(fleet.replicas) == fleet.asked
        await order(target, 5)
        await until(lambda: len(told.addresses) >= 5)

    for name in told.addresses:
        events = "".join(f"{kind} " for kind in told.about(name))
        assert re.fullmatch("(starting (ready gone )?)*(leaving |starting ready leaving gone )?", events)


# Nothing is left behind.


@pytest.mark.parametrize("turns", [*range(12), 20, 50, 200])
async def test_closing_after_any_number_of_turns_of_the_loop_leaves_no_process_and_no_open_file(opened, turns):
    before = open_files()

    async with opened(SERVER) as target:
        await order(target, 2)
        for _ in range(turns):
            await asyncio.sleep(0)

    assert not target.processes()
    assert open_files() == before


async def test_closing_kills_what_serves_and_takes_it_back(opened, told):
    async with opened(STUBBORN_SERVER) as target:
        await order(target, 2)
        await until(lambda: len(told.addresses) == 2)
        told.serving = 1
        await order(target, 1, "sd-1")

    assert told.about("sd-1") == ["starting", "ready", "leaving", "gone"]
    assert told.about("sd-2") == ["starting", "ready", "gone"]


async def test_a_closed_target_refuses_orders_and_can_be_closed_again(opened):
    async with opened(SERVER) as target:
        pass

    (outcome,) = await target.scale([ScaleRequest(SERVICE, 1, ())])
    await target.close()

    assert outcome == Outcome(SERVICE, "the target is closed")


async def test_what_a_replica_has_started_goes_with_it(opened, told, mark):
    async with opened(FORKING_SERVER) as target:
        await order(target, 1)
        await until(lambda: told.addresses)
        assert len(processes_with(mark)) == 3  # the server, its child, its watcher

        await order(target, 0)
        await until(lambda: not processes_with(mark))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["asked", "ready"])
async def test_no_replica_outlives_whoever_asked_for_it_however_he_ends(mark, tmp_path, number, moment):
    replicas = [*PYTHON, SERVER, "{port}", mark]
    command = [sys.executable, "-c", OWNER, str(tmp_path), *replicas]
    owner = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    async for line in owner.stdout:
        if line.decode().strip() == moment:
            break
    else:
        pytest.fail("the owner ended by itself")

    owner.send_signal(number)
    await owner.wait()

    await until(lambda: not processes_with(mark))
