"""Behaviours 80 to 89 of docs/gateway.md: the gateway as a process: its logs, signals, limits and names."""

import json
import os
import signal

import pytest
from gateway_kit import answer_ok, in_time
from gateway_program import document

pytestmark = pytest.mark.real_time


@pytest.fixture
def full_pipe():
    """A pipe that is full and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(1 << 10))
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


async def test_b80_logs_that_nobody_reads_hold_up_no_request_no_metric_and_no_end(kit, programs, full_pipe, tmp_path):
    requests = tmp_path / "requests"
    os.mkfifo(requests)
    pod = await kit.pod(answer_ok)
    gateway = await programs.start(document(backends=[pod.address]), f"--request-log={requests}", stderr=full_pipe)
    client = await gateway.connected(kit)
    while not await gateway.metric("gateway_request_log_lost_lines_total"):
        assert (await client.get("/" + "x" * 15_000).response()).status == 200
    assert await gateway.observe("/healthz") == (200, "ok\n")
    gateway.process.send_signal(signal.SIGTERM)
    assert await gateway.ended() == 0


async def test_b81_a_hangup_ends_nothing_reads_files_again_and_leaves_a_log_that_was_renamed(kit, programs, tmp_path):
    pod = await kit.pod()
    log, old = tmp_path / "requests", tmp_path / "requests.1"
    gateway = await programs.start(document(backends=[pod.address]), f"--request-log={log}")
    client = (await gateway.connected(kit)).get("/1")
    job = await pod.next()
    held = (await kit.connect(gateway.port)).get("/2")
    for renamed, number in ((old, signal.SIGHUP), (tmp_path / "requests.2", signal.SIGUSR1)):
        gateway.process.send_signal(number)
        await gateway.said("logs are opened anew")
        if number == signal.SIGHUP:
            await gateway.said("configuration reloaded")
            job.reply()
            await client.response()
            job = await pod.next()
        else:
            job.reply()
            await held.response()
        while not log.exists() or not log.read_text():
            await in_time(gateway.observe("/healthz"))
        log.rename(renamed)
    gateway.process.send_signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    paths = [json.loads(file.read_text())["path"] for file in (old, tmp_path / "requests.2")]
    assert paths == ["/1", "/2"]
