"""The peers of metrics sources in tests: gateways to scrape and to listen to, real Prometheus processes, and liars."""

import asyncio
import contextlib
import http.client
import json
import socket
import subprocess
import time
from http import HTTPStatus

from aiohttp import web

PATIENCE_S = 30
"""Real seconds after which a state that should come is taken for one that never will."""

EXPRESSION = "sum by (namespace, service) (inflight_requests)"
SERIES = "inflight_requests"


async def until(observe, good):
    """Look again and again until what is seen is good, and give that."""
    seen = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not good(seen := await observe()):  # noqa: ASYNC110 - another program's state sends no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"this never came; the last seen was {seen}") from None
    return seen


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@contextlib.asynccontextmanager
async def served(path, handler, port=0):
    """Serve one path at 127.0.0.1 and give the port."""
    app = web.Application()
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def replying(reply):
    """Answer every connection with `reply(reader, writer)`, byte for byte, and give the address."""
    answering = set()

    async def answer(reader, writer):
        answering.add(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await reply(reader, writer)
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


class Exporter:
    """A gateway's `/metrics`: the samples are what a test sets."""

    def __init__(self):
        self.samples = []
        self.broken = False

    def says(self, service, running, queued=0, timestamp_ms=None):
        namespace, name = service.split("/")
        self.samples += [
            f'inflight_requests{{namespace="{namespace}",service="{name}",state="{state}"}} {value}'
            + (f" {timestamp_ms}" if timestamp_ms else "")
            for state, value in (("running", running), ("queued", queued))
        ]

    async def metrics(self, _request):
        if self.broken:
            raise web.HTTPInternalServerError
        return web.Response(text="# TYPE inflight_requests gauge\n" + "".join(f"{line}\n" for line in self.samples))

    def served(self, port):
        return served("/metrics", self.metrics, port)


class Prometheus:
    """A real Prometheus that scrapes two ports of this machine twice a second; it begins 5 s after its start.

    With a web configuration it is spoken to as that says, at an `https` address.
    """

    def __init__(self, binary, folder, *, remote_read="", scrape_configs=None, web=None, flags=()):
        self.port = free_port()
        self.exporter_ports = [free_port(), free_port()]
        self._binary = binary
        self._folder = folder
        self._starts = 0
        self._web = web
        self._flags = flags
        targets = [f"127.0.0.1:{port}" for port in self.exporter_ports]
        self._config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": scrape_configs or [{"job_name": "gateways", "static_configs": [{"targets": targets}]}],
            "remote_read": [{"url": remote_read, "read_recent": True}] if remote_read else [],
        }

    @property
    def server(self):
        return f"{'https' if self._web else 'http'}://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self):
        """Run it from an empty store to its end."""
        self._starts += 1
        config = self._folder / "prometheus.yml"
        config.write_text(json.dumps(self._config))
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    self._binary,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._folder / f'data{self._starts}'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    *self._web_flags(),
                    *self._flags,
                ],
                stdout=log,
                stderr=log,
            )
        try:
            self._await_ready()
            yield self
        finally:
            process.kill()
            process.wait()

    def _web_flags(self):
        if self._web is None:
            return []
        (self._folder / "web.yml").write_text(json.dumps(self._web))
        return [f"--web.config.file={self._folder / 'web.yml'}"]

    def _await_ready(self):
        patient_until_s = time.monotonic() + PATIENCE_S
        while not self._is_ready():
            assert time.monotonic() < patient_until_s, (self._folder / "log").read_text()
            time.sleep(0.02)

    def _is_ready(self):
        if self._web is not None:
            # It asks who we are; that it listens is all that a stranger can see.
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == HTTPStatus.OK
        return False


class GatewayServer:
    """A gateway's `/v1/inflight`: sends the whole state, each change, and a sign of life twenty times a second."""

    def __init__(self, uid="g1"):
        self.uid = uid
        self.started = 1.0
        self.services = {}
        self.connections = 0
        self.mute = False
        self.streams = set()

    def says(self, service, running, queued=0, seconds_total=0.0, **more):
        count = {"queued": queued, "running": running, "seconds_total": seconds_total, **more}
        self.services[service] = count
        self.send(self.line({service: count}))

    def send(self, line):
        for stream in self.streams:
            stream.put_nowait(line)

    def hang_up(self):
        self.send(None)

    def line(self, services):
        return json.dumps({"gateway": self.uid, "started": self.started, "services": services}).encode() + b"\n"

    async def inflight(self, request):
        self.connections += 1
        response = web.StreamResponse()
        await response.prepare(request)
        lines = asyncio.Queue()
        lines.put_nowait(self.line(self.services))
        self.streams.add(lines)
        try:
            while (line := await self._next(lines)) is not None:
                if not self.mute:
                    await response.write(line)
        finally:
            self.streams.discard(lines)
        return response

    async def _next(self, lines):
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(lines.get(), 0.05)
        return self.line({})

    def served(self, port=0):
        return served("/v1/inflight", self.inflight, port)
