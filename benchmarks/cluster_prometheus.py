"""A stand-in for Prometheus that responds immediately, so that only the controller is measured."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from autoscaler.ports import ServiceName

_NOW = "1700000000.123"
"""The placeholder of the time in prepared responses; it has the length of a time."""


class StubPrometheus:
    """Has a fresh count for each service, from one gateway, and counts the queries of each client.

    The first segment of the path is the client's name: use `http://HOST:PORT/NAME` as the server of client NAME.
    """

    def __init__(self, services: Sequence[ServiceName]) -> None:
        self._values = dict.fromkeys(services, 0)
        self._answer = b""
        self.asked: Counter[str] = Counter()

    def set(self, service: ServiceName, value: int) -> None:
        """Set the requests in flight of a service."""
        self._values[service] = value
        self._answer = b""

    async def answer(self, request: web.Request) -> web.Response:
        """Respond to any query as Prometheus responds to `short_query`."""
        self.asked[request.match_info["who"]] += 1
        if not self._answer:
            self._answer = _prepared(self._values.items())
        body = self._answer.replace(_NOW.encode(), f"{time.time():.3f}".encode())
        return web.Response(body=body, content_type="application/json")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve during the block, and give the base URL."""
        app = web.Application()
        app.router.add_post("/{who}/api/v1/query", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def _prepared(values: Iterable[tuple[ServiceName, int]]) -> bytes:
    elements = [
        f'{{"metric":{{"f":"value","namespace":"{namespace}","service":"{name}"}},"value":[{_NOW},"{value}"]}}'
        for service, value in values
        for namespace, name in [service.split("/")]
    ]
    elements += [
        f'{{"metric":{{"f":"{f}"}},"value":[{_NOW},"{text}"]}}' for f, text in (("oldest", _NOW), ("series", 1))
    ]
    body = f'{{"status":"success","data":{{"resultType":"vector","result":[{",".join(elements)}]}}}}'
    return body.encode()


async def _serve(services: Sequence[ServiceName]) -> None:
    async with StubPrometheus(services).serving() as address:
        print(f"{address}/start", flush=True)
        # The parent's end closes stdin, and ends this process.
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve for another process and print the URL; the arguments are a namespace and a number of services."""
    namespace, number = sys.argv[1:]
    asyncio.run(_serve([f"{namespace}/s-{index:05}" for index in range(int(number))]))
