"""The roster in a file: under a lock that nobody keeps for ever, never half written, never replaced if corrupt."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from autoscaler.gateway.peers.file_roster import FileRoster
from autoscaler.gateway.peers.roster import Member, Roster
from autoscaler.gateway.peers.roster_store import RosterUnavailableError

pytestmark = pytest.mark.real_time

FIRST = Roster.first("a", Member("127.0.0.1:9091", "life-a"))
SECOND = FIRST.joined("b", Member("127.0.0.1:9092", "life-b"))
HOLDER = """
import asyncio, sys
from pathlib import Path
from autoscaler.gateway.peers.file_roster import FileRoster
asyncio.run(FileRoster(Path(sys.argv[1])).hold("b", "life-b"))
print("held", flush=True)
sys.stdin.read()
"""
LOCKER = """
import fcntl, sys
lock = open(sys.argv[1] + ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gateway.yaml.roster"


@pytest.fixture
def store(path):
    made = FileRoster(path, patience_s=0.1)
    yield made
    made.close()


@pytest.fixture
def process(path):
    """Start programs of these tests, and wait until each has its lock; all end with the test."""
    running = []

    def start(program):
        command = [sys.executable, "-c", program, str(path)]
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(started)
        assert started.stdout.readline() == b"held\n"
        return started

    yield start
    for each in running:
        each.kill()
        each.communicate()


async def test_a_reader_needs_no_lock(store, path):
    await store.write(FIRST, 0)
    with path.with_name(f"{path.name}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert await store.read() == FIRST
        with pytest.raises(RosterUnavailableError, match=r"roster\.lock: another process has had the lock for 0\.1 s"):
            await store.write(SECOND, 1)
    assert await store.write(SECOND, 1)


async def test_a_process_that_is_stopped_with_the_lock_makes_the_store_unavailable_and_one_that_dies_gives_it_back(
    store, process
):
    await store.write(FIRST, 0)
    locker = process(LOCKER)
    os.kill(locker.pid, signal.SIGSTOP)
    with pytest.raises(RosterUnavailableError, match="if it is stopped, let it go on or kill it"):
        await store.write(SECOND, 1)
    assert await store.read() == FIRST
    locker.kill()
    locker.wait()
    assert await store.write(SECOND, 1)


async def test_a_second_gateway_of_a_name_is_refused_while_the_first_one_runs(store, path, process):
    holder = process(HOLDER)
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(
        ValueError, match=rf"{path.name}\.b\.lock: another gateway with the name b runs on this machine"
    ):
        await store.hold("b", "life-c")
    assert not await store.is_dead("b", "life-b")
    await store.hold("a", "life-a")
    holder.kill()
    holder.wait()
    assert await store.is_dead("b", "life-b")
    await store.hold("b", "life-c")


async def test_who_looks_whether_a_gateway_is_dead_does_not_keep_it_from_starting(path):
    looking, starting = FileRoster(path), FileRoster(path)
    await starting.hold("b", "life-b")
    starting.close()
    for _ in range(20):
        _, dead = await asyncio.gather(starting.hold("b", "life-b"), looking.is_dead("b", "life-b"))
        assert dead in {True, False}
        assert not await looking.is_dead("b", "life-b")
        starting.close()


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a b"])
async def test_a_name_that_could_be_another_file_is_refused(store, name, path):
    with pytest.raises(ValueError, match="is no name: a name has 1 to 253 letters"):
        await store.hold(name, "life")
    assert not await store.is_dead(name, "life")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"epoch": "one", "members": {}}',
        b'{"epoch": 1, "members": {"a": 1}}',
        b'{"epoch": 1, "members": {}}' + b" " * 2**20,
    ],
    ids=lambda content: content[:30].decode(errors="replace"),
)
async def test_a_file_that_is_no_roster_is_an_error_that_says_what_to_do_and_is_never_replaced(store, path, content):
    path.write_bytes(content)
    for call in (store.read(), store.write(FIRST, 0), store.write(SECOND, 1)):
        with pytest.raises(RosterUnavailableError) as refused:
            await call
        assert str(refused.value).startswith(f"{path}: is no roster of gateways, and is not replaced: ")
        assert "stop all gateways that use this one, remove it and start them again" in str(refused.value)
    assert path.read_bytes() == content


async def test_a_write_that_died_half_way_changes_nothing(store, path):
    await store.write(FIRST, 0)
    path.with_name(f"{path.name}.new").write_text('{"epoch": 2, "mem')
    assert await store.read() == FIRST
    assert await store.write(SECOND, 1)
    assert json.loads(path.read_text())["epoch"] == 2


async def test_a_lock_that_was_replaced_protects_nothing_and_is_not_used(store, path, monkeypatch):
    lock = path.with_name(f"{path.name}.lock")
    flock = fcntl.flock

    def replaced_first(descriptor, how):
        lock.unlink()
        lock.touch()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", replaced_first)
    with pytest.raises(RosterUnavailableError, match="never remove it while a gateway runs"):
        await store.write(FIRST, 0)


async def test_a_folder_that_is_not_there_is_said(tmp_path):
    store = FileRoster(tmp_path / "nowhere" / "roster")
    with pytest.raises(RosterUnavailableError, match=r"nowhere/roster: No such file or directory"):
        await store.write(FIRST, 0)
    with pytest.raises(FileNotFoundError):
        await store.hold("a", "life")
