"""The controller's own HTTP port: `/status` with the newest decision of every service, `/metrics`, and probes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from autoscaler.recorders import Latest


@asynccontextmanager
async def serve_status(
    latest: Latest,
    port: int,
    host: str = "127.0.0.1",
    *,
    unready: Callable[[], str] = lambda: "",
    metrics: Callable[[], Callable[[], bytes]] = lambda: bytes,
) -> AsyncIterator[str]:
    """Serve while the block runs, and give the base address.

    Args:
        latest: what `/status` shows.
        port: 0 takes a free one.
        host: address to listen on.
        unready: says why this controller cannot do its work yet; empty if it can.
        metrics: takes down what `/metrics` shows, and gives what writes it; that is done in a thread.

    Raises:
        OSError: the port is in use.
    """

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(latest.to_json())

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        why = unready()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=await asyncio.to_thread(metrics()), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    handlers = {"/status": status, "/healthz": healthz, "/readyz": readyz, "/metrics": show_metrics}
    application.add_routes([web.get(path, handler) for path, handler in handlers.items()])
    # Whoever still reads must not hold up the end, after which the Lease is given back.
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield site.name if port else f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
