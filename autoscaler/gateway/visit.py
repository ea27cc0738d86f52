"""One request's way through the gateway: held, granted, sent to a pod, answered.

Rules:
1. A request is sent to another pod only if this one has seen nothing of it.
2. Whatever happens to the client, the pod's slot is given back exactly once, when the pod is done.
3. A body is read from the client only when there is a pod to send it to.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError

from autoscaler.gateway.counts import Ending
from autoscaler.gateway.edge import ClientConnection, Sent, answer_bytes
from autoscaler.gateway.exchange import Exchange, Terms
from autoscaler.gateway.heads import Forwarded, RequestHead, request_bytes
from autoscaler.gateway.service import ServiceGate, Waiter
from autoscaler.gateway.upstream import Failure, Pod, PodConnection, PodRefusedError

_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Requests that may be sent twice, and so over an idle connection that the pod may just have closed."""
_MOST_TRIES = 20
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS = {
    Ending.QUEUE_FULL: (HTTPStatus.SERVICE_UNAVAILABLE, "the queue is full"),
    Ending.QUEUE_TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "no pod was free in time"),
    Ending.ASLEEP: (HTTPStatus.SERVICE_UNAVAILABLE, "the service is at rest, and this does not wake it"),
    Ending.DRAINED: (HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is going"),
    Ending.REFUSED: (HTTPStatus.BAD_GATEWAY, "no pod took the request"),
    Ending.UPSTREAM_RESET: (HTTPStatus.BAD_GATEWAY, "the pod broke off"),
    Ending.INVALID_RESPONSE: (HTTPStatus.BAD_GATEWAY, "the pod's answer is not HTTP"),
    Ending.UPSTREAM_TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "the pod did not answer in time"),
    Ending.BAD_REQUEST: (HTTPStatus.BAD_REQUEST, "the body is broken"),
}
_RETRY_LATER = frozenset({Ending.QUEUE_FULL, Ending.QUEUE_TIMEOUT, Ending.ASLEEP, Ending.DRAINED})


class TurnedAwayError(Exception):
    """The request gets no response of a pod."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.value)
        self.ending = ending


class Visit:
    """A request that has found its service."""

    def __init__(
        self,
        gate: ServiceGate,
        request: web.BaseRequest,
        head: RequestHead,
        forwarded: Forwarded,
        request_id: bytes,
        *,
        retry_after_s: Callable[[ServiceGate], int],
        keep_alive: bool,
    ) -> None:
        self._gate = gate
        self._head = head
        self._forwarded = forwarded
        self._request_id = request_id
        self._retry_after_s = retry_after_s
        self._client = cast("ClientConnection", request.protocol)
        self._content: StreamReader | None = request.content if request.body_exists else None
        self._http10 = request.version < (1, 1)
        self._chunked = self._content is not None and head.content_length is None
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._rule = gate.rules.find(head.target.decode("latin-1"))
        self._waiter = Waiter(self._rule.kind, self._loop.time())
        self._granted_s = self._waiter.arrived_s
        self._tries = 0

    async def run(self) -> Sent:
        """See the request through; the response has been written when this returns."""
        counts = self._gate.counts
        try:
            sent, ending = await self._serve()
        except TurnedAwayError as away:
            sent, ending = self._turn_away(away.ending), away.ending
        except asyncio.CancelledError:
            waited = self._waiter.grant is not None and not self._waiter.grant.done()
            counts.endings[Ending.ABANDONED_QUEUED if waited else Ending.ABANDONED_RUNNING] += 1
            raise
        finally:
            self._gate.abandon(self._waiter)
        counts.endings[ending] += 1
        return sent

    async def _serve(self) -> tuple[Sent, Ending]:
        pod = await self._admitted()
        while True:
            try:
                connection = await self._connected(pod)
            except PodRefusedError:
                pod = await self._elsewhere()
                continue
            exchange = Exchange(self._client, pod, connection, self._terms(), self._release)
            exchange.limit(self._gate.config.timeouts.response_start_s, self._gate.config.timeouts.request_s)
            failure = await self._exchanged(exchange, connection)
            if failure is not Failure.STALE:
                return self._conclude(exchange, failure)

    # To a pod.

    async def _admitted(self) -> Pod:
        answer = self._gate.arrive(self._waiter, self._rule, None)
        if isinstance(answer, Ending):
            raise TurnedAwayError(answer)
        return answer if answer is not None else await self._granted()

    async def _granted(self) -> Pod:
        waiter = self._waiter
        assert waiter.grant is not None  # noqa: S101
        answer = await waiter.grant
        if isinstance(answer, Ending):
            raise TurnedAwayError(answer)
        self._granted_s = self._loop.time()
        return answer

    async def _elsewhere(self) -> Pod:
        self._tries += 1
        if self._tries >= _MOST_TRIES:
            raise TurnedAwayError(Ending.REFUSED)
        self._gate.put_back(self._waiter)
        return await self._granted()

    async def _connected(self, pod: Pod) -> PodConnection:
        if self._content is None and self._head.method in _SAFE:
            connection = pod.take_idle()
            if connection is not None:
                return connection
        return await pod.connect(self._gate.config.timeouts.connect_s)

    def _terms(self) -> Terms:
        return Terms(self._http10, self._head.method == b"HEAD", self._keep_alive, b"")

    def _release(self) -> None:
        self._gate.finish(self._waiter)

    # At the pod.

    async def _exchanged(self, exchange: Exchange, connection: PodConnection) -> Failure | None:
        try:
            await self._send(exchange, connection)
            return await exchange.done
        except asyncio.CancelledError:
            exchange.leave()
            exchange.cancel()
            raise
        except (RequestPayloadError, TimeoutError) as error:
            exchange.cancel()
            raise TurnedAwayError(Ending.BAD_REQUEST) from error

    async def _send(self, exchange: Exchange, connection: PodConnection) -> None:
        head = request_bytes(self._head, self._head.cookies, self._forwarded, self._request_id, chunked=self._chunked)
        content = self._content
        if content is None:
            connection.begin(exchange, head, bodiless=self._head.method == b"HEAD", complete=True)
            return
        if content.is_eof():
            head += self._part(content.read_nowait()) + self._last_part()
            connection.begin(exchange, head, bodiless=False, complete=True)
            return
        connection.begin(exchange, head, bodiless=False, complete=False)
        if self._head.expect and not self._http10:
            self._client.send(_CONTINUE)
        pump = asyncio.ensure_future(self._pump(content, exchange, connection))
        try:
            await asyncio.wait((pump, exchange.done), return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            pump.cancel()

    async def _pump(self, content: StreamReader, exchange: Exchange, connection: PodConnection) -> None:
        idle_s = self._gate.config.timeouts.body_idle_s
        while True:
            async with asyncio.timeout(idle_s):
                data = await content.readany()
            if not data:
                break
            connection.write(self._part(data))
            await exchange.until_writable()
        connection.write(self._last_part())
        connection.complete()

    def _part(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked and data else data

    def _last_part(self) -> bytes:
        return b"0\r\n\r\n" if self._chunked else b""

    # To the client.

    def _conclude(self, exchange: Exchange, failure: Failure | None) -> tuple[Sent, Ending]:
        counts = self._gate.counts
        counts.wait_s.observe(self._granted_s - self._waiter.arrived_s)
        counts.service_s.observe(self._loop.time() - self._granted_s)
        self._client.watch_stall(self._gate.config.timeouts.stalled_client_s)
        if failure is None:
            return Sent(keep_alive=exchange.keep_alive), Ending.SERVED
        ending = Ending(failure.value)
        if not exchange.began:
            raise TurnedAwayError(ending)
        return Sent(keep_alive=False), ending

    def _turn_away(self, ending: Ending) -> Sent:
        status, text = _STATUS[ending]
        read = self._content is None or self._content.is_eof()
        keep_alive = self._keep_alive and read and not self._client.edge.draining
        added = b"Retry-After: %d\r\n" % self._retry_after_s(self._gate) if ending in _RETRY_LATER else b""
        without_body = self._head.method == b"HEAD"
        self._client.send(answer_bytes(status, text, keep_alive=keep_alive, added=added, without_body=without_body))
        return Sent(keep_alive=keep_alive)
