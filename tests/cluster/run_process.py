"""`autoscaler run` as a process that a test asks, reads the log of, and ends."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import aiohttp
from cluster_kit import free_port
from prometheus_client.parser import text_string_to_metric_families

PATIENCE_S = 60


class Controller:
    def __init__(self, process, address, log):
        self.process, self.address, self._log = process, address, log

    async def get(self, path):
        """Ask, from when it listens on."""
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.address}{path}") as answer:
                        return answer.status, await answer.text()
                except aiohttp.ClientConnectionError:
                    assert self.process.returncode is None, self._log.read_text()
                    await asyncio.sleep(0.1)

    async def metric(self, name):
        _, text = await self.get("/metrics")
        families = text_string_to_metric_families(text)
        return {tuple(s.labels.values()): s.value for family in families for s in family.samples if s.name == name}

    def lines(self):
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    async def ended(self):
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def running(cluster, folder, *options):
    port, log = free_port(), folder / "run.log"
    command = [sys.executable, "-m", "autoscaler", "run", f"--namespace={cluster.namespace}", "--tick=500ms"]
    command += [f"--own-namespace={cluster.namespace}", "--identity=me", f"--port={port}", "--host=127.0.0.1", *options]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=cluster.control_plane.environment()
        )
    try:
        yield Controller(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
