"""`autoscaler gateway` as a process of its own."""

import asyncio
import json
import sys

from gateway_kit import HOST, in_time, refused_port

from autoscaler.testing import policy_document

PATIENCE_S = 60
"""A process starts on a machine that may be busy."""


def document(name="sd", host=HOST, **spec):
    traffic = {"hosts": [host], "port": 80, **spec.pop("traffic", {})}
    return json.dumps(policy_document(name, **{"containerConcurrency": 1, "maxReplicas": 1, "traffic": traffic} | spec))


class Program:
    """A gateway that runs, and what it says."""

    def __init__(self, process, config, port, metrics_port):
        self.process = process
        self.config = config
        self.port = port
        self.metrics_port = metrics_port

    async def said(self, words):
        """Read the log up to a line with these words; gives the line."""
        async with asyncio.timeout(PATIENCE_S):
            while words not in (line := (await self.process.stderr.readline()).decode()):
                assert line, "it has ended"
        return line

    async def connected(self, kit, host="127.0.0.1"):
        """Connect a client, as soon as it listens."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await kit.connect(self.port, host)
                except OSError:
                    assert self.process.returncode is None
                    await asyncio.sleep(0.01)

    async def observe(self, path, host="127.0.0.1"):
        """Ask the metrics port; gives status and body."""
        reader, writer = await in_time(asyncio.open_connection(host, self.metrics_port))
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = (await in_time(reader.read())).decode().partition("\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body

    async def metric(self, name):
        """Give the number of a metric without labels."""
        _, body = await self.observe("/metrics")
        return next(float(line.split()[1]) for line in body.splitlines() if line.startswith(f"{name} "))

    async def ended(self):
        """Wait for its end; gives the exit status."""
        return await in_time(self.process.wait())


class Programs:
    """Starts gateways, and ends them all."""

    def __init__(self, folder):
        self._folder = folder
        self._started = []

    async def start(self, text, *options, stderr=asyncio.subprocess.PIPE, before=None, **environment):
        """Start one with a configuration; `before` is called in the new process."""
        config = self._folder / "services.yaml"
        config.write_text(text)
        port, metrics_port = refused_port(), refused_port()
        arguments = (f"--config={config}", f"--port={port}", f"--metrics-port={metrics_port}", *options)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "autoscaler", "gateway", *arguments),
            stderr=stderr,
            env={"PATH": "", **environment},
            preexec_fn=before,
        )
        self._started.append(process)
        return Program(process, config, port, metrics_port)

    async def close(self):
        for process in self._started:
            if process.returncode is None:
                process.kill()
            await process.wait()
