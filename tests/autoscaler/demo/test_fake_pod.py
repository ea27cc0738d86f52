"""The stand-in as a process: its port is its readiness, SIGTERM lets it finish, and its last line is its account."""

import asyncio
import json
import signal
import socket
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

PATIENCE_S = 60
TXT2IMG = "/sdapi/v1/txt2img"


class Standin:
    def __init__(self, port, process):
        self.port = port
        self.process = process

    async def post(self, path):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.port}{path}", json={"prompt": "pretty dog"}) as response,
        ):
            return response.status

    async def listening(self):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def ended(self):
        """Wait for the end; give the exit status and what it printed."""
        output, complaint = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        return self.process.returncode, output.decode(), complaint.decode()


@pytest.fixture
async def start():
    processes = []

    @asynccontextmanager
    async def start(*arguments, port=None):
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", port or 0))
            port = holder.getsockname()[1]
            command = [sys.executable, "-m", "autoscaler.demo.fake_pod", "--port", str(port), *arguments]
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
            processes.append(process)
            yield Standin(port, process)

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_serves_and_reports_by_address_when_it_is_told_to_stop(start):
    async with start("--service-time", "0.01") as standin:
        await standin.listening()
        assert await standin.post(TXT2IMG) == 200
        standin.process.terminate()

        status, output, complaint = await standin.ended()

    (report,) = json.loads(output).values()
    assert (status, complaint) == (0, "")
    assert report.items() >= {"served": 1, "interrupted": 0, "overlaps": 0, "peak": 1}.items()
    assert report["busy_s"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_runs_when_it_is_told_to_stop_is_finished_and_answered(start, number):
    async with start("--service-time", "1") as standin:
        await standin.listening()
        running = asyncio.create_task(standin.post(TXT2IMG))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{standin.port}") as session:
            while (await (await session.get("/sdapi/v1/progress")).json())["state"]["job_count"] == 0:
                pass

        standin.process.send_signal(number)

        assert await running == 200
        status, output, _ = await standin.ended()

    (report,) = json.loads(output).values()
    assert status == 0
    assert report["served"] == 1


async def test_what_a_gone_client_had_asked_for_is_finished_before_it_ends(start):
    async with start("--service-time", "1") as standin:
        await standin.listening()
        running = asyncio.create_task(standin.post(TXT2IMG))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{standin.port}") as session:
            while (await (await session.get("/sdapi/v1/progress")).json())["state"]["job_count"] == 0:
                pass
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        standin.process.terminate()
        status, output, _ = await standin.ended()

    (report,) = json.loads(output).values()
    assert status == 0
    assert report["served"] == 1


async def test_it_refuses_connections_during_its_cold_start_and_ends_in_it_when_told_to(start):
    async with start("--cold-start", "3600") as standin:
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", standin.port)):
            pass
        standin.process.terminate()

        status, output, _ = await standin.ended()

    assert status in {0, -signal.SIGTERM}
    assert output == ""


async def test_a_port_in_use_is_named_as_the_reason(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "autoscaler.demo.fake_pod", "--port", str(port)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        status, output, complaint = await Standin(port, process).ended()

    assert (status, output) == (1, "")
    assert "address already in use" in complaint


@pytest.mark.parametrize("arguments", [["--service-time", "often"], ["--cold-start", "uniform(3, 1)"], ["--seed", "x"]])
async def test_settings_that_make_no_sense_are_refused_with_their_name(start, arguments):
    async with start(*arguments) as standin:
        status, _, complaint = await standin.ended()

    assert status == 2
    assert arguments[0] in complaint
    assert arguments[1] in complaint
