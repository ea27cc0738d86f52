"""The controller's HTTP port: `/status` with the last decision of each service, `/metrics`, and probes."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from autoscaler.controller.recorders import Latest
from autoscaler.runtime.bearer_tokens import BearerTokens, authenticated
from autoscaler.runtime.listeners import listeners
from autoscaler.runtime.pieces import respond
from autoscaler.runtime.prometheus_text import Exposition, asked_for


@asynccontextmanager
async def serve_status(
    latest: Latest,
    port: int,
    hosts: Sequence[str] = ("127.0.0.1",),
    *,
    unready: Callable[[], str] = lambda: "",
    metrics: Callable[[Exposition], Iterable[bytes]] = lambda _: (),
    tokens: BearerTokens | None = None,
) -> AsyncIterator[str]:
    """Serve while the block runs, and give the base address for programs of this machine.

    Args:
        latest: the records for `/status`.
        port: the port to listen on; 0 takes a free one.
        hosts: names or addresses to listen on; none is all of IPv4 and IPv6.
        unready: says why this controller is not ready; empty if it is.
        metrics: gives `/metrics` in a format, in pieces; other work goes on between two of them.
        tokens: tokens that `/status` and `/metrics` require; without them both are open.

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

    async def show_metrics(request: web.Request) -> web.StreamResponse:
        form = asked_for(request.headers.get("Accept", ""))
        return await respond(request, metrics(form), form.content_type)

    application = authenticated(tokens)
    handlers = {"/status": status, "/healthz": healthz, "/readyz": readyz, "/metrics": show_metrics}
    application.add_routes([web.get(path, handler) for path, handler in handlers.items()])
    # A slow client must not delay the shutdown, which releases the Lease.
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        for listener in listeners(hosts, port):
            await web.SockSite(runner, listener).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
