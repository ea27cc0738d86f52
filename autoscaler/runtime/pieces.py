"""A long HTTP response in pieces, so that other requests are served between two pieces."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from aiohttp import web


async def respond(request: web.Request, pieces: Iterable[bytes], content_type: str) -> web.StreamResponse:
    """Respond with these pieces; a client that disconnects is no error."""
    response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-store"})
    with suppress(ConnectionError):
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
    return response
