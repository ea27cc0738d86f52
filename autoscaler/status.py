"""The controller's own HTTP port: `/status` with the newest decision of every service, and `/healthz`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from autoscaler.recorders import Latest


@asynccontextmanager
async def serve_status(latest: Latest, port: int, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve while the block runs, and give the base address.

    Args:
        latest: what `/status` shows.
        port: 0 takes a free one.
        host: address to listen on.

    Raises:
        OSError: the port is in use.
    """

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(latest.to_json())

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    application = web.Application()
    application.add_routes([web.get("/status", status), web.get("/healthz", healthz)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield site.name if port else f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
