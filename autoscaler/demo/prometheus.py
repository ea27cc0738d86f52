"""The demo's own Prometheus, which scrapes the gateway and the controller every second."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp

from autoscaler.targets.local_replica import DIE_WITH_PARENT

CONFIGURATION = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
"""
_JOB = """\
  - job_name: {name}
    honor_labels: true
    static_configs:
      - targets: ["{address}"]
"""
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class PrometheusError(Exception):
    """Prometheus did not start; the message has the last line of its output."""


@contextlib.asynccontextmanager
async def prometheus(program: Path, folder: Path, targets: Mapping[str, str]) -> AsyncIterator[str]:
    """Run Prometheus while the block runs, and give its base address when it is ready.

    Args:
        program: the program to run.
        folder: for its configuration, data and log.
        targets: each `host:port` that it scrapes, by the name of its job.

    Raises:
        PrometheusError: it ended, or was not ready in time.
    """
    configuration = _configuration(folder, targets)
    address = f"127.0.0.1:{_free_port()}"
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", DIE_WITH_PARENT, program),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdin=asyncio.subprocess.PIPE,  # it ends with us, however we end
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C must reach only us
        )
    try:
        await _ready(process, f"http://{address}", log)
        yield f"http://{address}"
    finally:
        await _stop(process)


def _configuration(folder: Path, targets: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "prometheus.yaml"
    jobs = (_JOB.format(name=name, address=address) for name, address in targets.items())
    path.write_text(CONFIGURATION + "".join(jobs))
    return path


def _last_line(log: Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def _ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT_S), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/-/ready") as answer:
                        if answer.ok:
                            return
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise PrometheusError(f"Prometheus was not ready within {START_TIMEOUT_S:g} s; its log: {log}") from error
    raise PrometheusError(f"Prometheus ended with status {process.returncode}: {_last_line(log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    try:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()  # this kills the remaining processes
    await process.wait()
