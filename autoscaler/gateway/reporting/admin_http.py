"""The metrics port: `/metrics`, `/v1/inflight`, `/v1/figures`, `/v1/hints` and probes.

It never waits for a held request.
"""

from contextlib import aclosing

from aiohttp import web

from autoscaler.gateway.reporting import figures
from autoscaler.gateway.reporting.hint_post import takes_hints
from autoscaler.gateway.reporting.inflight_stream import lines
from autoscaler.gateway.reporting.metrics import text
from autoscaler.gateway.router import Router
from autoscaler.runtime.bearer_tokens import BearerTokens, authenticated
from autoscaler.runtime.pieces import respond
from autoscaler.runtime.prometheus_text import asked_for


def metrics_app(gateway: Router, tokens: BearerTokens | None = None) -> web.Application:
    """Build the application of the metrics port; with tokens, every path except the probes requires one."""

    async def exposition(request: web.Request) -> web.StreamResponse:
        form = asked_for(request.headers.get("Accept", ""))
        return await respond(request, text(gateway, form), form.content_type)

    async def answers(request: web.Request) -> web.StreamResponse:
        return await respond(request, figures.pieces(gateway, request.query.get("service")), "application/json")

    async def inflight(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        try:
            async with aclosing(lines(gateway)) as state:
                async for line in state:
                    await response.write(line)
        except ConnectionError:
            # The reader has disconnected.
            return response
        return response

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        problem = gateway.not_ready
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    app = authenticated(tokens)
    app.add_routes(
        [
            web.get("/metrics", exposition),
            web.get("/v1/inflight", inflight),
            web.get("/v1/figures", answers),
            web.post("/v1/hints", takes_hints(gateway, tokens)),
            web.get("/healthz", alive),
            web.get("/readyz", ready),
        ]
    )
    return app
