"""One request through the gateway: held, granted, sent to a pod, answered.

Rules:
1. A request is sent to another pod only if the first pod has seen nothing of it.
2. Whatever happens to the client, the slot is given back exactly once, when the pod has finished.
3. The time that a request has at a pod counts from the grant.
"""

import asyncio
from typing import cast

from autoscaler.gateway.arrival import Arrival
from autoscaler.gateway.config import OnAbort, WaitingOptions
from autoscaler.gateway.cors import Cors, is_preflight, preflight_rule
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.dispatch.backend import COUNT, PASS, TUNNEL
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.error_responses import (
    BODY_ERRORS,
    ERROR_RESPONSES,
    RETRY_LATER,
    RequestRejectedError,
    error_body,
    outcome_of_body_error,
)
from autoscaler.gateway.http.client_connection import ClientConnection
from autoscaler.gateway.http.exchange import Exchange, ResponseOptions
from autoscaler.gateway.http.headers import ResponseHead, request_bytes, switching_bytes
from autoscaler.gateway.http.own_response import own_response
from autoscaler.gateway.http.pod_connection import Failure, PodConnection
from autoscaler.gateway.http.pod_pool import Pod, PodRefusedError
from autoscaler.gateway.http.request_parser import IncomingRequest
from autoscaler.gateway.http.tunnel import Tunnel
from autoscaler.gateway.pods.pod_interrupt import interrupt
from autoscaler.gateway.request_body import RequestBody
from autoscaler.gateway.request_end import note_end
from autoscaler.gateway.request_log import RequestRecord
from autoscaler.gateway.service import ServiceProxy, Waiter
from autoscaler.gateway.waiting.estimate import members
from autoscaler.gateway.waiting.events import END, CommittedExchange, error_event, unencoded, wants_events
from autoscaler.gateway.waiting.held_client import UNFOLLOWED, HeldClient, Unfollowed

_TELLS_NOTHING = WaitingOptions()
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods that may be sent twice, and so over an idle connection that the pod may just have closed."""


class ProxiedRequest:
    """A request whose service is known."""

    __slots__ = (
        "_arrival",
        "_body",
        "_client",
        "_cookies",
        "_granted_s",
        "_head",
        "_held",
        "_http10",
        "_interrupting",
        "_is_preflight",
        "_left_at_pod",
        "_loop",
        "_pinned",
        "_proxy",
        "_rule",
        "_sent_whole",
        "_waiter",
    )

    def __init__(
        self, proxy: ServiceProxy, client: ClientConnection, request: IncomingRequest, arrival: Arrival
    ) -> None:
        self._proxy = proxy
        self._arrival = arrival
        self._head = arrival.head
        self._client = client
        self._loop = client.loop
        self._http10 = request.http10
        expects = bool(self._head.expect) and not request.http10
        self._body = RequestBody(request.body, self._head, proxy.config, expects=expects)
        self._is_preflight = is_preflight(self._head) and self._body.is_empty
        self._rule = rule = self._rule_of_path()
        tunnels = self._head.upgrade and rule.kind is PASS
        self._waiter = Waiter(TUNNEL if tunnels else rule.kind, self._loop.time())
        proxy.identify(self._waiter, arrival)
        self._held: HeldClient | Unfollowed = UNFOLLOWED
        if proxy.config.waiting != _TELLS_NOTHING:
            send = client.send if wants_events(self._head, http10=self._http10) else None
            self._held = HeldClient(proxy, self._waiter, self._head, arrival.unix_s, self._loop, send=send)
            self._head = self._held.head
        self._granted_s: float | None = None
        self._sent_whole: bytes | None = None
        self._cookies = self._head.cookies
        self._pinned: str | None = None
        self._left_at_pod = False
        self._interrupting: asyncio.Task[None] | None = None
        if self._cookies and proxy.cookie is not None:
            self._cookies, ours = proxy.cookie.split(self._head.cookies)
            self._pinned = proxy.cookie.read(ours, arrival.unix_s)

    def _rule_of_path(self) -> PathRule:
        """Return the rule of its path, changed for a preflight or a probe."""
        rule = self._proxy.rules.find(self._head.target.decode("latin-1"))
        if self._is_preflight:
            return preflight_rule(rule)
        is_probe = self._body.is_empty and self._proxy.probes.match(self._head.method, self._head.user_agents)
        return rule._replace(wake=False, hint=None) if is_probe else rule

    async def run(self) -> bool:
        """Serve the request; the response is written when this returns. False means that the connection must end."""
        self._client.stall_s = self._proxy.config.timeouts.stalled_client_s
        self._client.half_close = self._proxy.config.half_close
        outcome = RequestOutcome.ERROR
        try:
            goes_on, outcome = await self._serve()
        except RequestRejectedError as away:
            goes_on, outcome = self._reject(away), away.outcome
        except asyncio.CancelledError:
            outcome = RequestOutcome.ABANDONED_QUEUED if self._granted_s is None else RequestOutcome.ABANDONED_RUNNING
            raise
        except Exception:
            self._proxy.counts.cut_responses += self._client.answered
            raise
        finally:
            note_end(self._proxy, self._client, outcome, self._record)
            self._let_go()
        return goes_on

    def _let_go(self) -> None:
        """Give back everything that is still held for the request."""
        self._client.half_close = False
        try:
            self._body.close()
        finally:
            waits_on = self._held.ended()
            if not (self._left_at_pod or waits_on):
                self._proxy.abandon(self._waiter)

    def _record(self, outcome: RequestOutcome, status: int | None) -> RequestRecord:
        arrived_s, granted_s, now_s = self._waiter.arrived_s, self._granted_s, self._loop.time()
        if self._arrival.trace is not None:
            self._arrival.trace.took_s = now_s - arrived_s
        return RequestRecord(
            service=self._proxy.config.name,
            request_id=self._arrival.request_id.decode("latin-1"),
            kind=self._rule.kind.value,
            arrival=self._arrival.unix_s,
            wait_s=None if granted_s is None else granted_s - arrived_s,
            service_s=None if granted_s is None else now_s - granted_s,
            outcome=outcome.value,
            client=self._arrival.client,
            method=self._head.method.decode("latin-1"),
            path=self._head.target.partition(b"?")[0].decode("latin-1"),
            status=status,
            received_bytes=self._body.taken_bytes,
            sent_bytes=self._client.sent_bytes,
            trace=self._arrival.trace,
        )

    async def _serve(self) -> tuple[bool, RequestOutcome]:
        if self._is_preflight and self._proxy.config.cors is not None:
            return self._answer_preflight(self._proxy.config.cors)
        pod = self._admitted() or await self._granted()
        while True:
            try:
                connection = self._idle_at(pod) or await self._connected(pod)
            except PodRefusedError:
                pod = await self._elsewhere()
                continue
            # From here to the first byte nothing awaits, so the answer holds for as long as it is needed.
            if not self._proxy.may_start(self._waiter, pod):
                connection.close()
                pod = await self._granted()
                continue
            exchange = self._exchange(pod, connection)
            failure = await self._exchanged(exchange, connection, pod)
            if failure is Failure.UNREADY:
                pod = await self._elsewhere()
            elif failure is not Failure.STALE:
                return await self._conclude(exchange, connection, failure)

    def _exchange(self, pod: Pod, connection: PodConnection) -> Exchange:
        if not self._held.committed:
            return Exchange(self._client, pod, connection, self._options(pod), self._release)
        self._head = unencoded(self._head)
        exchange = CommittedExchange(self._client, pod, connection, self._options(pod), self._release)
        exchange.target = self._head.target
        return exchange

    # To a pod.

    def _admitted(self) -> Pod | None:
        if self._body.announced_too_large:
            raise RequestRejectedError(RequestOutcome.BODY_TOO_LARGE)
        self._held.check_deadline()
        waiting = self._held.come_back()
        if self._held.waited_s:
            self._arrival = self._arrival._replace(unix_s=self._arrival.unix_s - self._held.waited_s)
        if waiting is not None:
            self._waiter = cast("Waiter", waiting)
            return None
        answer = self._proxy.arrive(self._waiter, self._rule, self._pinned, again=self._held.is_back)
        if isinstance(answer, RequestOutcome):
            raise RequestRejectedError(answer)
        if answer is not None:
            self._granted_s = self._waiter.arrived_s + self._held.waited_s
        return answer

    async def _granted(self) -> Pod:
        self._granted_s = None
        self._body.read_ahead(self._proxy.body_budget)
        self._body.when_broken(self._reject_unless_granted)
        self._held.held()
        answer = await self._held.placed(cast("asyncio.Future[Pod | RequestOutcome]", self._waiter.placement))
        if isinstance(answer, RequestOutcome):
            raise RequestRejectedError(answer)
        self._granted_s = self._loop.time()
        self._held.granted()
        try:
            self._body.check()
        except BODY_ERRORS as error:
            raise RequestRejectedError(outcome_of_body_error(error)) from error
        return answer

    def _reject_unless_granted(self) -> None:
        """End the wait of a request whose body is malformed, so that no request waits behind it."""
        placement = self._waiter.placement
        try:
            self._body.check()
        except BODY_ERRORS as error:
            if placement is not None and not placement.done():
                placement.set_result(outcome_of_body_error(error))

    async def _elsewhere(self) -> Pod:
        self._proxy.put_back(self._waiter)
        if not (self._rule.wake or self._proxy.dispatcher.reachable):
            raise RequestRejectedError(RequestOutcome.ASLEEP)
        return await self._granted()

    async def _connected(self, pod: Pod) -> PodConnection:
        start_s, _ = self._times()
        if self._proxy.config.limits.concurrency == 1:
            pod.drop_idle()  # a server that serves one connection at a time would first wait for these to end
        return await pod.connect(self._proxy.config.timeouts.connect_s, start_s)

    def _idle_at(self, pod: Pod) -> PodConnection | None:
        return pod.take_idle() if self._body.is_empty and self._head.method in _SAFE else None

    def _options(self, pod: Pod) -> ResponseOptions:
        cookie = b""
        if self._proxy.cookie is not None and self._pinned is None:
            now_s = self._arrival.unix_s + self._loop.time() - self._waiter.arrived_s
            cookie = self._proxy.cookie.issue(pod.name, now_s, secure=self._arrival.secure)
        bodiless = self._head.method == b"HEAD"
        upgrade = bool(self._head.upgrade)
        half_close, keep_alive = self._proxy.config.half_close, self._arrival.keep_alive
        return ResponseOptions(
            self._http10, bodiless, keep_alive, cookie, half_close, upgrade, self._cors_lines(), self._held.lines
        )

    def _release(self) -> None:
        if self._interrupting is None or self._interrupting.done():
            self._proxy.finish(self._waiter)
        else:
            # The call ends everything that the pod runs, so the next request must wait until it is answered.
            self._interrupting.add_done_callback(lambda _: self._proxy.finish(self._waiter))

    def _limit(self, exchange: Exchange) -> None:
        granted_s = self._waiter.arrived_s if self._granted_s is None else self._granted_s
        exchange.limit(granted_s, *self._times(), self._proxy.config.timeouts.stream_idle_s)

    def _times(self) -> tuple[float, float]:
        """How long a pod may take until its first byte, and in total."""
        timeouts = self._proxy.config.timeouts
        total_s = self._rule.request_timeout_s or timeouts.request_s
        return timeouts.response_start_s or total_s, total_s

    # At the pod.

    async def _exchanged(self, exchange: Exchange, connection: PodConnection, pod: Pod) -> Failure | None:
        try:
            self._limit(exchange)
            if not self._sent(exchange, connection, pod):
                await self._body.stream(self._client, exchange, connection)
            if not exchange.over:
                await exchange.until_over()
        except asyncio.CancelledError:
            self._leave(exchange, connection, pod)
            raise
        except BODY_ERRORS as error:
            exchange.failed(Failure.RESET)
            raise RequestRejectedError(outcome_of_body_error(error)) from error
        except Exception:
            exchange.failed(Failure.ERROR)
            raise
        return exchange.failure

    def _sent(self, exchange: Exchange, connection: PodConnection, pod: Pod) -> bool:
        """Send the head and the body if it has arrived; return False if some of the body is missing."""
        head = request_bytes(self._head, self._cookies, self._arrival.forwarded, self._arrival.request_id)
        whole = self._body.whole() if self._sent_whole is None else self._sent_whole
        self._sent_whole = whole if pod.may_be_unready else None
        exchange.can_be_repeated = whole is not None
        bodiless = self._head.method == b"HEAD"
        if self._arrival.trace is not None:
            arrived_s = self._waiter.arrived_s
            self._arrival.trace.sent(pod.name, self._loop.time() - arrived_s, pod_came=pod.known_s > arrived_s)
        connection.begin(
            exchange, head if whole is None else head + whole, bodiless=bodiless, complete=whole is not None
        )
        return whole is not None

    def _leave(self, exchange: Exchange, connection: PodConnection, pod: Pod) -> None:
        """Act on a client that has disconnected, as the service's `onAbort` says."""
        exchange.detach_client()
        if not connection.request_done:
            self._proxy.counts.abandoned_late += self._waiter.placement is not None
        elif self._stays_at_pod and not exchange.over:
            self._left_at_pod = True
            if self._proxy.config.on_abort is OnAbort.INTERRUPT:
                self._interrupting = self._proxy.background(interrupt(self._proxy.config, pod, self._head))
            return
        exchange.cancel()

    @property
    def _stays_at_pod(self) -> bool:
        return self._rule.kind is COUNT and self._proxy.config.on_abort is not OnAbort.CLOSE

    # To the client.

    async def _conclude(
        self, exchange: Exchange, connection: PodConnection, failure: Failure | None
    ) -> tuple[bool, RequestOutcome]:
        if self._rule.kind is COUNT:
            arrived_s, now_s = self._waiter.arrived_s, self._loop.time()
            self._proxy.counts.took(
                arrived_s,
                self._granted_s or arrived_s,
                None if exchange.switch is not None else now_s,
                trace_id=self._arrival.trace_id,
                unix_s=self._arrival.unix_s + now_s - arrived_s,
            )
        if exchange.switch is not None:
            await self._tunnelled(exchange, connection, *exchange.switch)
            return False, RequestOutcome.SERVED
        self._client.watch_stall()
        if failure is not None:
            raise RequestRejectedError(RequestOutcome(failure.value))
        return exchange.keep_alive, RequestOutcome.SERVED

    async def _tunnelled(self, exchange: Exchange, connection: PodConnection, head: ResponseHead, early: bytes) -> None:
        """Pass bytes in both directions; a Pass tunnel counts towards `maxPerPod` but does not keep the last pod."""
        if self._waiter.kind is TUNNEL:
            self._proxy.open_tunnel(self._waiter)
        self._client.send(switching_bytes(head, exchange.added_lines))
        _, total_s = self._times()
        tunnel = Tunnel(self._client, connection, self._proxy.config.timeouts.tunnel_idle_s, total_s)
        exchange.pod.open.add(tunnel)
        self._proxy.tunnels.add(tunnel)
        self._proxy.counts.tunnels += 1
        try:
            tunnel.open(early)
            await tunnel.closed
        finally:
            exchange.pod.open.discard(tunnel)
            self._proxy.tunnels.discard(tunnel)
            self._proxy.counts.tunnels -= 1
            tunnel.close()

    def _cors_lines(self) -> bytes:
        return b"" if self._proxy.config.cors is None else self._proxy.config.cors.response_lines(self._head)

    def _answer_preflight(self, cors: Cors) -> tuple[bool, RequestOutcome]:
        keep_alive = self._arrival.keep_alive and not self._client.closing
        self._client.send(cors.answer_preflight(self._head, keep_alive=keep_alive))
        return keep_alive, RequestOutcome.PREFLIGHT

    def _reject(self, rejected: RequestRejectedError) -> bool:
        outcome = rejected.outcome
        keep_alive = self._arrival.keep_alive and self._body.is_read and not self._client.closing
        expected = members(self._held.estimate)
        if self._client.answered:
            self._proxy.counts.cut_responses += 1
            if self._held.committed:
                self._client.send(
                    error_event(*ERROR_RESPONSES[outcome], outcome.value, self._head.target, expected) + END
                )
            return self._held.committed and keep_alive
        if page := self._held.page(outcome, self._arrival.request_id, keep_alive=keep_alive):
            self._client.send(page)
            return keep_alive
        added = self._cors_lines() + self._held.lines()
        if outcome in RETRY_LATER:
            added += b"Retry-After: %d\r\n" % self._proxy.retry_after_s()
        body = error_body(outcome, rejected.detail, self._proxy.config.errors, self._head.target, expected)
        without_body = self._head.method == b"HEAD"
        self._client.send(own_response(*body, keep_alive=keep_alive, added=added, without_body=without_body))
        return keep_alive
