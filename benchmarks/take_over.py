"""Three gateways of which one is killed or leaves: how long until the services that it owned get slots again.

Each trial sends one request to many services that the lost gateway owned, by a gateway that stays, at the moment of the
loss. The time of their answers is the time without grants. `takeover: Immediate` holds no slot, so that only detection,
the new epoch and the reports are measured.
"""

import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from autoscaler.gateway.peers.roster import Roster
from autoscaler.testing import policy_document
from benchmarks.figures import report
from benchmarks.proxies import HOST, free_port

NAMES = ("a", "b", "c")
SERVICES = 3_000
"""A third of them has to be owned anew."""
PROBED = 100
TRIALS = 3
PATIENCE_S = 300.0
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Gateways:
    """Three gateways on this machine, and one server that is every pod of theirs.

    Args:
        folder: for their files.
        pod_port: of the pods, each of which has an address of its own.
    """

    def __init__(self, folder: Path, pod_port: int) -> None:
        self.services = [f"default/s-{number:04}" for number in range(SERVICES)]
        self._folder = folder
        self._ports = {name: (free_port(), free_port()) for name in NAMES}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        documents = (_policy(number, service, pod_port) for number, service in enumerate(self.services))
        (folder / "gateways.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
        (folder / "key").write_text(os.urandom(32).hex())
        (folder / "peers").write_text("".join(f"{name} {HOST}:{free_port()}\n" for name in NAMES))

    @property
    def roster(self) -> Roster:
        """The stored record of the members."""
        return Roster.from_json(json.loads((self._folder / "roster").read_text()))

    async def start(self, session: aiohttp.ClientSession, *names: str) -> None:
        """Start these and wait until all three are ready and know each other."""
        for name in names:
            port, metrics_port = self._ports[name]
            files = (f"--config={self._folder / 'gateways.yaml'}", f"--peer-key={self._folder / 'key'}")
            self._processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "autoscaler", "gateway", *files, f"--name={name}"),
                *(f"--peers={self._folder / 'peers'}", f"--roster={self._folder / 'roster'}", f"--host={HOST}"),
                *(f"--port={port}", f"--metrics-port={metrics_port}"),
                stderr=asyncio.subprocess.DEVNULL,
            )
        async with asyncio.timeout(PATIENCE_S):
            while not all([await self._knows_all(session, name) for name in NAMES]):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.2)

    async def _knows_all(self, session: aiohttp.ClientSession, name: str) -> bool:
        try:
            async with session.get(f"http://{HOST}:{self._ports[name][1]}/v1/inflight") as answer:
                told = json.loads(await answer.content.readline())
                return sorted(told.get("members", ())) == list(NAMES)
        except aiohttp.ClientError:
            return False

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one."""
        self._processes[name].send_signal(number)

    async def ended(self, name: str) -> None:
        """Wait for the end of one."""
        await self._processes[name].wait()

    async def ask(self, session: aiohttp.ClientSession, name: str, service: str) -> float:
        """Send a request to a service by one gateway; give when it was answered."""
        headers = {"Host": _host(service)}
        async with session.post(f"http://{HOST}:{self._ports[name][0]}/", headers=headers) as answer:
            answer.raise_for_status()
        return time.perf_counter()

    def end(self) -> None:
        """End all."""
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()


def _host(service: str) -> str:
    return f"{service.rpartition('/')[2]}.test"


def _policy(number: int, service: str, pod_port: int) -> dict[str, Any]:
    backends = [f"127.3.{number // 250}.{number % 250 + 1}:{pod_port}"]
    traffic = {"hosts": [_host(service)], "takeover": "Immediate"}
    return policy_document(service, backends=backends, maxReplicas=1, containerConcurrency=1, traffic=traffic)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A gateway may connect and ask nothing.
    with suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_OK)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def gateways(folder: Path) -> AsyncIterator[Gateways]:
    """Run the pods while the block runs, and end the gateways after it."""
    server = await asyncio.start_server(_answer, "0.0.0.0", 0, backlog=1024)  # noqa: S104 - each pod is an address
    made = Gateways(folder, server.sockets[0].getsockname()[1])
    try:
        yield made
    finally:
        made.end()
        server.close()


async def trial(all_: Gateways, session: aiohttp.ClientSession, rng: random.Random, number: int | None) -> list[float]:
    """Send a signal to one gateway, or none, and requests to services that it owned; give their seconds."""
    lost = rng.choice(NAMES)
    stays = rng.choice([name for name in NAMES if name != lost])
    probed = rng.sample([each for each in all_.services if all_.roster.owner(each) == lost], PROBED)
    begun = time.perf_counter()
    if number is not None:
        all_.signal(lost, number)
    answered = await asyncio.gather(*(all_.ask(session, stays, service) for service in probed))
    if number is not None:
        await all_.ended(lost)
        await all_.start(session, lost)
    return [each - begun for each in answered]


async def measure(folder: Path) -> list[dict[str, Any]]:
    """Run all trials."""
    rng = random.Random(1)  # noqa: S311 - draws who is lost
    events = (("nothing", None), ("SIGTERM", signal.SIGTERM), ("kill -9", signal.SIGKILL))
    limits = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with (
        aiohttp.ClientSession(timeout=limits, connector=connector) as session,
        gateways(folder) as all_,
    ):
        await all_.start(session, *NAMES)
        rows = []
        for event, number in events:
            trials = [await trial(all_, session, rng, number) for _ in range(TRIALS)]
            rows.append({"the owner gets": event, "services": SERVICES // len(NAMES), **_row(trials)})
        return rows


def _row(trials: Sequence[Sequence[float]]) -> dict[str, float]:
    middle: Callable[[Sequence[float]], float] = statistics.median
    return {
        "first answer, s": middle([min(each) for each in trials]),
        "median, s": middle([middle(each) for each in trials]),
        "last answer, s": middle([max(each) for each in trials]),
        "worst, s": max(max(each) for each in trials),
    }


def main() -> None:
    """Measure and report: medians of the trials, and the worst of all."""
    with tempfile.TemporaryDirectory() as folder:
        report("take-over", asyncio.run(measure(Path(folder))))


if __name__ == "__main__":
    main()
