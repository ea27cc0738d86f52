"""A reverse proxy that does as it is told to what goes through it: answers, loses, cuts, alters, delays, garbles.

It stands on every way of an installation: to the API server, to Prometheus, to a gateway's stream. What it does is an
`Act`, for the requests that a test chooses, from now until it is healed; open streams are no exception.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
from aiohttp import web

_OF_ONE_CONNECTION = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class Whole(NamedTuple):
    """An answer that has an end."""

    status: int
    headers: dict
    body: bytes


class CutError(Exception):
    """The connection is to break."""


class Act:
    """What becomes of an exchange. This one lets it through."""

    async def answer(self, upstream):
        """Give the whole answer to a request; `await upstream()` is the one that it would get."""
        return await upstream()

    async def write(self, response, body):
        """Write the body of a whole answer."""
        await response.write(body)

    def piece(self, piece):
        """Give what is to be passed on of a piece of a stream."""
        return piece


class Answers(Act):
    """The upstream is not asked."""

    def __init__(self, status, body=b"", **headers):
        self._answer = Whole(status, headers, body)

    async def answer(self, _upstream):
        return self._answer

    def piece(self, _piece):
        raise CutError


class Hangs(Act):
    """The request is taken, and nothing more is heard; with `after` it has been carried out."""

    def __init__(self, *, after=False):
        self._after = after

    async def answer(self, upstream):
        if self._after:
            await upstream()
        return await asyncio.get_running_loop().create_future()


class Halves(Act):
    """The upstream does as it is asked, and the connection breaks in the middle of its answer."""

    async def write(self, response, body):
        await response.write(body[: len(body) // 2])
        raise CutError

    def piece(self, _piece):
        raise CutError


class Refuses(Act):
    """The connection breaks before anything is answered."""

    async def answer(self, _upstream):
        raise CutError


class Alters(Act):
    """The body is another one."""

    def __init__(self, alter):
        self._alter = alter

    async def answer(self, upstream):
        whole = await upstream()
        return whole._replace(body=self._alter(whole.body))


def samples(kind, alter):
    """Alter the samples of one kind in an answer of Prometheus, as joined_query names kinds."""

    def altered(body):
        answer = json.loads(body)
        # A scalar, such as the server's time, is no sample.
        for element in answer["data"]["result"] if answer["data"]["resultType"] == "vector" else ():
            if element["metric"].get("f") == kind:
                element["value"][1] = alter(element["value"][1])
        return json.dumps(answer).encode()

    return Alters(altered)


class Drips(Act):
    """The answer comes a byte a second."""

    async def write(self, response, body):
        for at in range(len(body)):
            await response.write(body[at : at + 1])
            await asyncio.sleep(1)


class Silent(Act):
    """A stream stays open, and nothing comes."""

    def piece(self, _piece):
        return b""


class Garbled(Act):
    """Of a stream something comes, and makes no sense."""

    def piece(self, _piece):
        return b'{"gateway": "g", "services": \xff\xfe what is this\n'


THROUGH = Act()
Chooses = Callable[[web.BaseRequest], bool]


def every(_request):
    """Choose every request."""
    return True


class Proxy:
    """One way to one upstream.

    Args:
        upstream: its base address, which may change.
        ca: the file with the certificate to trust, where it speaks TLS.
    """

    def __init__(self, upstream, *, ca=None):
        self.upstream = upstream
        self.port = 0
        self._trust = ssl.create_default_context(cafile=ca) if ca else False
        self._rules = []
        self._open = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def does(self, act, where=every):
        """Do this to what `where` chooses, until `heal`; of two rules for one request the later one counts."""
        self._rules.append((where, act))

    def heal(self, where=None):
        """Let everything through again, or what was chosen by `where`."""
        self._rules = [rule for rule in self._rules if where is not None and rule[0] is not where]

    def drop(self, where=every):
        """Break what is open now."""
        for request in [request for request in self._open if where(request)]:
            _abort(request)

    @asynccontextmanager
    async def running(self):
        """Serve while the block runs."""
        limits = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0, ssl=self._trust)
        async with aiohttp.ClientSession(connector=connector, timeout=limits, auto_decompress=False) as self._session:
            server = web.ServerRunner(
                web.Server(self._serve, access_log=None, handler_cancellation=True), shutdown_timeout=0.01
            )
            await server.setup()
            try:
                await web.TCPSite(server, "127.0.0.1", self.port, reuse_address=True).start()
                self.port = server.addresses[0][1]
                yield self
            finally:
                self.drop()
                await server.cleanup()

    def _act(self, request):
        return next((act for where, act in reversed(self._rules) if where(request)), THROUGH)

    async def _serve(self, request):
        self._open.append(request)
        try:
            if "watch" in request.query or request.path == "/v1/inflight":
                return await self._stream(request)
            return await self._whole(request)
        except (CutError, aiohttp.ClientError, OSError):
            _abort(request)
            raise web.HTTPBadGateway from None
        finally:
            self._open = [each for each in self._open if each is not request]

    def _asked(self, request, body=None):
        # Plain answers only, so that they can be altered.
        headers = {**_headers(request), "Accept-Encoding": "identity"}
        url = f"{self.upstream}{request.raw_path}"
        return self._session.request(request.method, aiohttp.client.URL(url, encoded=True), data=body, headers=headers)

    async def _whole(self, request):
        act, body = self._act(request), await request.read()

        async def upstream():
            async with self._asked(request, body) as answer:
                return Whole(answer.status, _headers(answer), await answer.read())

        whole = await act.answer(upstream)
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(whole.body)
        await response.prepare(request)
        await act.write(response, whole.body)
        await response.write_eof()
        return response

    async def _stream(self, request):
        async def opened():
            return None

        refused = await self._act(request).answer(opened)
        if refused is not None:
            return web.Response(status=refused.status, headers=refused.headers, body=refused.body)
        async with self._asked(request) as answer:
            response = web.StreamResponse(status=answer.status, headers=_headers(answer))
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                if passed := self._act(request).piece(piece):
                    await response.write(passed)
            await response.write_eof()
            return response


def _headers(message):
    return {name: value for name, value in message.headers.items() if name.lower() not in _OF_ONE_CONNECTION}


def _abort(request):
    if request.transport is not None:
        request.transport.abort()
