"""The demo's own Prometheus: ready when it is given, gone when the block ends, and heard when it cannot start."""

import asyncio
import os
import signal
import sys

import aiohttp
import pytest

from autoscaler.demo import prometheus as module
from autoscaler.demo.prometheus import PrometheusError, prometheus

pytestmark = pytest.mark.real_time

TARGETS = {"gateway": "127.0.0.1:1"}


@pytest.fixture
def program(tmp_path):
    """Write a program that stands in for Prometheus; gives its path and where it notes its process id."""

    def write(script):
        path = tmp_path / "prometheus-stand-in"
        path.write_text(
            f"#!{sys.executable}\nimport os, sys, time, signal\nprint('pid', os.getpid(), flush=True)\n{script}\n"
        )
        path.chmod(0o755)
        return path

    return write


SERVE = """
import http.server
address = next(word for word in sys.argv if word.startswith('--web.listen-address=')).partition('=')[2]
host, _, port = address.partition(':')
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer((host, int(port)), Ready).serve_forever()
"""
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def noted_pid(folder):
    words = (folder / "prometheus.log").read_text().split()
    return int(words[words.index("pid") + 1])


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def targets(address):
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{address}/api/v1/targets") as answer:
                if found := (await answer.json())["data"]["activeTargets"]:
                    return found
            await asyncio.sleep(0.05)


@pytest.mark.program
async def test_a_real_one_is_ready_scrapes_the_target_and_is_gone_afterwards(prometheus_binary, tmp_path):
    async with prometheus(prometheus_binary, tmp_path, TARGETS) as address:
        (target,) = await targets(address)
        assert target["discoveredLabels"]["__address__"] == TARGETS["gateway"]
        assert target["scrapeInterval"] == "1s"
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(f"{address}/-/ready"):
            pass


@pytest.mark.parametrize("script", [SERVE, STUBBORN + SERVE])
async def test_however_it_takes_the_end_it_is_gone_when_the_block_is(program, tmp_path, monkeypatch, script):
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.2)
    async with prometheus(program(script), tmp_path, TARGETS):
        pid = noted_pid(tmp_path)
        assert lives(pid)
    assert not lives(pid)


async def test_one_that_died_meanwhile_does_not_spoil_the_end(program, tmp_path):
    async with prometheus(program(SERVE), tmp_path, TARGETS):
        os.kill(noted_pid(tmp_path), signal.SIGKILL)


async def test_one_that_does_not_start_is_told_with_its_last_words(program, tmp_path):
    broken = program("print('opening storage failed: lock in use', file=sys.stderr)\nsys.exit(3)")
    with pytest.raises(PrometheusError, match=r"ended with status 3: opening storage failed: lock in use$"):
        async with prometheus(broken, tmp_path, TARGETS):
            pytest.fail("it is not there")


async def test_one_that_is_no_program_is_told_as_such(tmp_path):
    (tmp_path / "prometheus").write_text("not a program")
    with pytest.raises(PrometheusError, match="cannot be started"):
        async with prometheus(tmp_path / "prometheus", tmp_path / "folder", TARGETS):
            pytest.fail("it is not there")


async def test_one_that_is_never_ready_is_told_and_ended(program, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "START_TIMEOUT_S", 1.0)
    with pytest.raises(PrometheusError, match=r"was not ready within 1 s; its log: .*prometheus\.log"):
        async with prometheus(program("time.sleep(600)"), tmp_path, TARGETS):
            pytest.fail("it is not there")
    if "pid" in (tmp_path / "prometheus.log").read_text():
        assert not lives(noted_pid(tmp_path))


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20, 100])
async def test_cancelled_while_it_starts_it_leaves_no_process(program, tmp_path, turns):
    async def run():
        async with prometheus(program("time.sleep(600)"), tmp_path, TARGETS):
            pytest.fail("it is not there")

    task = asyncio.create_task(run())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    log = tmp_path / "prometheus.log"
    if log.exists() and "pid" in log.read_text():
        assert not lives(noted_pid(tmp_path))
