"""The page's port: documents, figures as JSON, events, scripts and styles. Read-only, for people of this machine.

Rules:
1. Only GET and HEAD. No cookie, no secret, and nothing of another origin: the policy of each answer forbids it.
2. The header `Host` must be an address, `localhost`, or the name that the page listens on. A site of somebody else that
   points its name at this address (DNS rebinding) reads nothing.
3. Who can reach the loopback interface may read. If the page listens elsewhere, each request needs a token where there
   are some; without tokens the log warns.
4. A viewer that reads slowly is disconnected; nothing waits for it.
"""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict, istr

from autoscaler.page import html
from autoscaler.page.address import PageAddress, names_page
from autoscaler.page.board import Board
from autoscaler.page.events import MOST_VIEWERS, TooManyViewersError, compact
from autoscaler.page.lean import lean, lean_style
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.listeners import listeners

ASSETS = Path(__file__).parent / "assets"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", "": "text/plain"}
_LEAST_ZIPPED = 1024
_MOST_NAMED = 20
_SLOWEST_WRITE_S = 10.0
_BOARD = web.AppKey("board", Board)
_log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request that is answered with a sentence."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@asynccontextmanager
async def serve_page(board: Board, address: PageAddress, tokens: BearerTokens | None = None) -> AsyncIterator[str]:
    """Serve the page while the block runs, and give its address.

    Args:
        board: what is shown.
        address: where to listen; port 0 takes a free one.
        tokens: one of them is required, unless only this machine can reach the page.

    Raises:
        OSError: the port is in use.
    """
    application = web.Application(middlewares=[_guard(address.host, None if address.is_loopback else tokens)])
    application[_BOARD] = board
    application.add_routes(
        [
            web.get("/", _fleet_page),
            web.get("/services/{namespace}/{name}", _service_page),
            web.get("/api/v1/fleet", _fleet),
            web.get("/api/v1/fleet/events", _fleet_events),
            web.get("/api/v1/services/{namespace}/{name}", _service),
            web.get("/api/v1/services/{namespace}/{name}/events", _service_events),
            web.get("/api/v1/services/{namespace}/{name}/why-not", _why_not),
            web.get("/assets/{file:.+}", _Assets(ASSETS).get),
        ]
    )
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        for listener in listeners([address.host], address.port):
            await web.SockSite(runner, listener).start()
        port = runner.addresses[0][1]
        _log.info("page at http://%s:%d/", address.host, port)
        if not (address.is_loopback or tokens):
            _log.warning(
                "everybody who can reach %s:%d can read the page; let it listen on 127.0.0.1, or require --token-file",
                *(address.host, port),
            )
        yield f"http://{address.host}:{port}"
    finally:
        await runner.cleanup()


def _guard(host: str, tokens: BearerTokens | None) -> Middleware:
    """Make what every request passes: its host, its token, and the headers of its answer."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not names_page(request.host, host):
            return _refusal(request, 421, "Open this page at localhost or at its address; it has no other name.")
        if tokens is not None and not tokens.accepts(request.headers.get(hdrs.AUTHORIZATION, "")):
            return _refusal(request, 401, "A token is needed: see --token-file.", {hdrs.WWW_AUTHENTICATE: "Bearer"})
        try:
            response = await handler(request)
        except RefusedError as error:
            return _refusal(request, error.status, str(error))
        except web.HTTPException as error:
            allowed = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
            return _refusal(request, error.status, error.reason, allowed)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return guard


def _refusal(request: web.Request, status: int, text: str, headers: Mapping[istr, str] | None = None) -> web.Response:
    """Say why there is no answer: in a document where a browser asks for one, else as JSON."""
    is_document = "text/html" in request.headers.get(hdrs.ACCEPT, "")
    return web.Response(
        status=status,
        text=html.message_page(HTTPStatus(status).phrase, text) if is_document else compact({"error": text}),
        content_type="text/html" if is_document else "application/json",
        headers=CIMultiDict({**HEADERS, hdrs.CACHE_CONTROL: "no-store"} | {**(headers or {})}),
    )


def _zipped(request: web.Request, body: bytes, kind: str, *, cache: str = "no-store") -> web.Response:
    """Give a body, zipped if it is worth it and the client can read it."""
    headers = {hdrs.CACHE_CONTROL: cache, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if len(body) >= _LEAST_ZIPPED and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        body, headers[hdrs.CONTENT_ENCODING] = gzip.compress(body, 6), "gzip"
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


# Documents and figures.


def _name(request: web.Request) -> str:
    return f"{request.match_info['namespace']}/{request.match_info['name']}"


async def _fleet_page(request: web.Request) -> web.Response:
    return _zipped(request, html.fleet_page(await request.app[_BOARD].fleet()).encode(), "text/html")


async def _service_page(request: web.Request) -> web.Response:
    found = await request.app[_BOARD].service(_name(request))
    if found is None:
        raise _unknown(request)
    return _zipped(request, html.service_page(found).encode(), "text/html")


async def _fleet(request: web.Request) -> web.Response:
    return _zipped(request, compact(await request.app[_BOARD].fleet()).encode(), "application/json")


async def _service(request: web.Request) -> web.Response:
    found = await request.app[_BOARD].service(_name(request), _number(request, "seconds", 3600.0))
    if found is None:
        raise _unknown(request)
    return _zipped(request, compact(found).encode(), "application/json")


async def _why_not(request: web.Request) -> web.Response:
    number = _number(request, "replicas", -1.0)
    if number != int(number):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "replicas: must be a whole number of 0 or more")
    found = request.app[_BOARD].why_not(_name(request), int(number))
    if found is None:
        raise _unknown(request)
    return _zipped(request, compact(found).encode(), "application/json")


def _unknown(request: web.Request) -> RefusedError:
    """Say that there is no such service, and which there are."""
    services = sorted(request.app[_BOARD].services())
    there = ", ".join(services[:_MOST_NAMED]) + (", ..." if len(services) > _MOST_NAMED else "")
    return RefusedError(HTTPStatus.NOT_FOUND, f"There is no service {_name(request)!r}. There are: {there or 'none'}.")


def _number(request: web.Request, name: str, default: float) -> float:
    try:
        number = float(request.query.get(name, default))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name}: must be a number of 0 or more")
    return number


# Events.


async def _fleet_events(request: web.Request) -> web.StreamResponse:
    return await _events(request, "")


async def _service_events(request: web.Request) -> web.StreamResponse:
    name = _name(request)
    if name not in request.app[_BOARD].services():
        raise _unknown(request)
    return await _events(request, name)


async def _events(request: web.Request, name: str) -> web.StreamResponse:
    since_s = _since(request)
    headers = {**HEADERS, hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-store"}
    try:
        async with request.app[_BOARD].streams.viewer(name, since_s) as viewer:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            async for event in viewer.events():
                async with asyncio.timeout(_SLOWEST_WRITE_S):
                    await response.write(event)
    except TooManyViewersError:
        return _refusal(
            request, 503, f"{MOST_VIEWERS} people look at this page already. Try again later.", {hdrs.RETRY_AFTER: "30"}
        )
    except (ConnectionError, TimeoutError):
        pass
    if request.transport is not None:
        request.transport.abort()
    return response


def _since(request: web.Request) -> float:
    """Give the time up to which a viewer knows everything: of its snapshot, or of its last event after a break."""
    try:
        return float(request.headers.get("Last-Event-ID", request.query.get("since", "0")))
    except ValueError:
        return 0.0


# Scripts and styles.


class _Assets:
    """The files of a folder, read once, each with a tag of its content."""

    def __init__(self, folder: Path) -> None:
        self._files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        self._read: dict[str, tuple[bytes, str]] = {}

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Give a file; a name that is not one of them is 404, whatever it would lead to."""
        name = request.match_info["file"]
        file = self._files.get(name)
        kind = None if file is None else _TYPES.get(file.suffix)
        if file is None or kind is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such file.")
        if name not in self._read:
            body = file.read_bytes()
            if not name.startswith("vendor/"):
                body = (lean_style if file.suffix == ".css" else lean)(body.decode()).encode()
            self._read[name] = body, f'"{sha256(body).hexdigest()[:16]}"'
        body, tag = self._read[name]
        if request.headers.get(hdrs.IF_NONE_MATCH, "").removeprefix("W/") == tag:
            return web.Response(status=304, headers={hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "no-cache"})
        response = _zipped(request, body, kind, cache="no-cache")
        response.headers[hdrs.ETAG] = tag
        return response
