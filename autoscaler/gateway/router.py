"""Finds the service of a request by its Host, and serves the request.

`set_backends`, `drain_backend` and `remove_backend` tell it which pods there are. The stream and the metrics read its
counts.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address

from autoscaler.gateway.arrival import Arrival
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.host_routes import Routes
from autoscaler.gateway.http.client_connection import ClientConnection
from autoscaler.gateway.http.clients import ClientLimits, Clients
from autoscaler.gateway.http.headers import BadRequestError, Forwarded, RequestHead, read_request
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.own_response import own_response
from autoscaler.gateway.http.request_parser import IncomingRequest
from autoscaler.gateway.http.resolver import Resolver
from autoscaler.gateway.http.trace_context import trace_of
from autoscaler.gateway.overload import Overload
from autoscaler.gateway.peers.outbox import Delivery
from autoscaler.gateway.peers.runner import PeerRunner
from autoscaler.gateway.peers.shared_dispatcher import SharedDispatcher
from autoscaler.gateway.pods.service_pods import ServiceDispatcher
from autoscaler.gateway.proxied_request import ProxiedRequest
from autoscaler.gateway.request_log import OnEnded, client_address
from autoscaler.gateway.service import ServiceProxy
from autoscaler.gateway.tracing import Tracing
from autoscaler.runtime.clock import SystemClock
from autoscaler.runtime.prometheus_text import Metric

_log = logging.getLogger(__name__)
_LONGEST_ADDRESS = 64
"""Characters of an address; a longer one is invalid and not cached."""
_HELD_BODIES_BYTES = 64 << 20
_REFUSED_METHODS = frozenset({b"CONNECT", b"TRACE"})
_CHECK_METHODS = frozenset({b"GET", b"HEAD"})
_HEALTH_PATHS = frozenset({b"/healthz", b"/readyz"})


class Router:
    """All services of one gateway, without a socket; create it inside the event loop that uses it."""

    def __init__(
        self,
        services: Mapping[str, GatewayService],
        *,
        keys: Sequence[bytes] = (),
        uid: str | None = None,
        limits: ClientLimits | None = None,
        trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = (),
        rng: random.Random | None = None,
        on_ended: OnEnded | None = None,
        body_budget: MemoryBudget | None = None,
        backlog_budget: MemoryBudget | None = None,
        overload: Overload | None = None,
        resolver: Resolver | None = None,
        peers: PeerRunner | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """Build a gateway.

        Args:
            services: the services by `namespace/name`.
            keys: cookie keys, of which the first signs and each is read; without any, a random one.
            uid: the gateway's name in its stream.
            limits: what each client may use.
            trusted_proxies: proxies whose X-Forwarded headers are used.
            rng: spreads `Retry-After`.
            on_ended: is given each request when it ends.
            body_budget: memory for the bodies of all held requests; 64 MiB by default.
            backlog_budget: memory for what all clients have not read of their responses; 64 MiB by default.
            resolver: looks up the names of pods.
            overload: says whether new requests are refused; `lifecycle` measures the memory for it.
            tracing: gives requests their traces; without it, what a client says of its trace is passed on.
            peers: joins it to the other gateways that serve the same pods; without them it serves alone.
        """
        self.loop = asyncio.get_running_loop()
        self._keys = tuple(keys) or (secrets.token_bytes(32),)
        self.uid = uid or secrets.token_hex(8)
        self._clock = SystemClock()
        self.started_s = self._clock.now()
        self._trusted_proxies = trusted_proxies
        self._forwarded = lru_cache(maxsize=1024)(self._forwarded_by)
        self._on_ended = on_ended
        self._tracing = tracing
        self.body_budget = body_budget or MemoryBudget(_HELD_BODIES_BYTES)
        self.overload = overload or Overload()
        self._resolver = resolver or Resolver()
        self._rng = rng or random.Random()  # noqa: S311
        self._uid_bytes = self.uid.encode()
        self._loop_name = b"inflight-" + self._uid_bytes
        self._requests = 0
        self.open = 0
        """Requests of any kind that have not ended, with upgraded connections."""
        self.quiet = asyncio.Event()
        """Set when the last one ends while the gateway drains."""
        self.proxies: dict[str, ServiceProxy] = {}
        self.watchers: set[Callable[[str], None]] = set()
        """Called with each service whose counts change."""
        self._routes = Routes({})
        self.peers = peers
        if peers is not None:
            peers.deliver, peers.on_change = self._deliver, self._follow_owners
        self.clients = Clients(limits or ClientLimits(), backlog_budget)
        self.process_metrics: list[tuple[Metric, Callable[[], float]]] = []
        """Metrics of the process that others add, such as the lines that a log has lost."""
        self.reload(services)

    def now_s(self) -> float:
        """Return Unix time at the start plus the time since, so that it never steps."""
        return self._clock.now()

    @property
    def draining(self) -> bool:
        """Whether the gateway is shutting down."""
        return self.clients.draining

    @property
    def not_ready(self) -> str:
        """Why load balancers should send it no new clients; empty if they should."""
        if self.draining:
            return "draining"
        return "" if self.peers is None or self.peers.peer.ready else "not a member of the gateways"

    def loop_time(self) -> float:
        """Return the time by which requests are counted."""
        return self.loop.time()

    def _changed(self, service: str) -> None:
        for watcher in self.watchers:
            watcher(service)

    def set_cookie_keys(self, keys: Sequence[bytes]) -> None:
        """Sign with the first of these from now on, and accept cookies of each."""
        self._keys = tuple(keys)
        for proxy in self.proxies.values():
            proxy.set_keys(self._keys)

    # Services and pods.

    def reload(self, services: Mapping[str, GatewayService], reserved: Collection[str] = ()) -> None:
        """Serve these services from now on; requests that are held in a service that stays keep their place.

        Args:
            services: the services by `namespace/name`.
            reserved: hosts that get 404 even if a wildcard covers them.
        """
        for name in self.proxies.keys() - services.keys():
            self._drop(name)
        for name, service in services.items():
            proxy = self.proxies.get(name)
            if proxy is None:
                proxy = self.proxies[name] = ServiceProxy(
                    service,
                    self.loop,
                    keys=self._keys,
                    rng=self._rng,
                    changed=partial(self._changed, name),
                    body_budget=self.body_budget,
                    overload=self.overload,
                    resolver=self._resolver,
                    on_ended=self._on_ended,
                    shared=self._shared(name, service),
                )
                proxy.pods.set_all(service.backends or {})
                # Its owner may be known already, and then nothing else tells of it.
                proxy.follow_owner()
            elif proxy.config is service or proxy.config == service:
                continue
            else:
                proxy.apply(service)
            self._changed(name)
        self._routes = Routes(services, reserved)

    def _shared(self, name: str, service: GatewayService) -> SharedDispatcher | None:
        return None if self.peers is None else self.peers.share(name, service.limits)

    def _deliver(self, service: str, delivery: Delivery) -> None:
        """Pass on what the peers say of a service's requests."""
        proxy = self.proxies.get(service)
        if proxy is None:
            return
        try:
            proxy.take(delivery)
        except Exception:  # noqa: BLE001 - the error of one service, which others must not notice
            _log.exception("%s: grants could not be delivered", service)
            proxy.end_all(delivery, RequestOutcome.ERROR)

    def _follow_owners(self, service: str | None) -> None:
        """Note that another gateway has changed a service, or for None that each may have another owner."""
        if service is None:
            for proxy in self.proxies.values():
                proxy.follow_owner()
        elif service in self.proxies:
            self.proxies[service].changed_elsewhere()

    def dispatcher(self, service: str) -> ServiceDispatcher:
        """Return a service's dispatcher; raises KeyError for an unknown one."""
        return self.proxies[service].dispatcher

    def set_backends(self, service: str, backends: Mapping[str, str]) -> None:
        """Set the pods, by name with their `host:port`; all others drain."""
        self.proxies[service].pods.set_all(backends)

    def expect_backend(self, service: str, name: str, *, created_s: float | None = None) -> None:
        """Note a pod that exists and cannot serve yet; `created_s` is Unix time, None is now."""
        since_s = None if created_s is None else self.loop_time() - max(0.0, self.now_s() - created_s)
        self.proxies[service].pods.expect(name, since_s)
        self._changed(service)

    def add_backend(self, service: str, name: str, address: str, *, warm: bool = False) -> None:
        """Send requests to a pod that is ready, after its warm-up if it is not warm."""
        self.proxies[service].pods.add(name, address, warm=warm)

    def drain_backend(self, service: str, name: str, *, marked: bool = False) -> None:
        """Send a pod nothing new, and let its requests finish; the stream names those that are marked."""
        self.proxies[service].pods.drain(name, marked=marked)
        self._changed(service)

    def remove_backend(self, service: str, name: str) -> None:
        """Forget a pod that is gone; its requests end with 502 at once."""
        self.proxies[service].pods.remove(name)

    def _drop(self, name: str) -> None:
        proxy = self.proxies.pop(name)
        proxy.reject_all()
        proxy.pods.set_all({})
        proxy.close()
        if self.peers is not None:
            self.peers.drop(name)

    # Requests.

    def accept(self) -> ClientConnection:
        """Return the protocol of a client's new connection."""
        return ClientConnection(self.clients, self._handle)

    async def _handle(self, client: ClientConnection, request: IncomingRequest) -> bool:
        self.open += 1
        try:
            proxied = self._received(client, request)
            return proxied if isinstance(proxied, bool) else await proxied.run()
        finally:
            self.open -= 1
            if self.draining and not self.open:
                self.quiet.set()

    def _received(self, client: ClientConnection, request: IncomingRequest) -> ProxiedRequest | bool:
        """Find a request's service; a request without one is answered here."""
        try:
            head = read_request(request.method, request.target, request.headers, request.values, http10=request.http10)
        except BadRequestError as error:
            return _answer(client, 400, str(error), keep_alive=False)
        if head.method in _REFUSED_METHODS:
            return _answer(client, 405, f"the method {head.method.decode()} is not supported", keep_alive=False)
        if head.expect and head.expect != b"100-continue":
            return _answer(client, 417, "100-continue is the only supported expectation", keep_alive=False)
        if head.passed_through(self._loop_name):
            return _answer(client, 508, "a backend leads back to the gateway", keep_alive=False)
        name = self._routes.find(head.host)
        if name is None:
            return self._answer_without_service(client, request, head)
        proxy = self.proxies[name]
        try:
            return ProxiedRequest(proxy, client, request, self._arrival(client, request, head, proxy))
        except Exception:
            proxy.counts.outcomes[RequestOutcome.ERROR] += 1
            proxy.counts.responded(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise

    def _answer_without_service(self, client: ClientConnection, request: IncomingRequest, head: RequestHead) -> bool:
        """Answer a request for no service: from a load balancer that checks by address, or from a scanner."""
        keep_alive = request.keep_alive and request.complete
        if head.method not in _CHECK_METHODS or head.target.partition(b"?")[0] not in _HEALTH_PATHS:
            return _answer(client, 404, "no service has this host", keep_alive=keep_alive)
        problem = self.not_ready if head.target.startswith(b"/readyz") else ""
        return _answer(
            client,
            503 if problem else 200,
            problem or "ok",
            keep_alive=keep_alive,
            without_body=head.method == b"HEAD",
        )

    def _arrival(
        self, client: ClientConnection, request: IncomingRequest, head: RequestHead, proxy: ServiceProxy
    ) -> Arrival:
        forwarded = self._forwarded(client.peername)
        context = trace_of(head.values) if b"traceparent" in head.values else None
        trace, head = (None, head) if self._tracing is None else self._tracing.begin(context, head)
        seen = trace or (context if context is not None and context.sampled else None)
        needs_client = self._on_ended is not None or proxy.needs_client
        return Arrival(
            head=head,
            forwarded=forwarded,
            request_id=head.request_id or self._request_id(),
            unix_s=self.now_s(),
            secure=forwarded.trusted and head.is_https,
            keep_alive=request.keep_alive,
            client=self._client_of(client.peername, head) if needs_client else "",
            trace_id=seen.trace_id if seen is not None else "",
            trace=trace,
        )

    def _client_of(self, peer: str, head: RequestHead) -> str:
        return client_address(peer, head.values.get(b"x-forwarded-for", ()), self._is_trusted)

    def _is_trusted(self, address: str) -> bool:
        if len(address) > _LONGEST_ADDRESS:
            return False
        try:
            return self._forwarded(address).trusted
        except ValueError:
            return False  # what a proxy says need not be an address

    def _request_id(self) -> bytes:
        self._requests += 1
        return b"%b-%x" % (self._uid_bytes, self._requests)

    def _forwarded_by(self, peer: str) -> Forwarded:
        trusted = bool(self._trusted_proxies) and any(ip_address(peer) in net for net in self._trusted_proxies)
        return Forwarded(peer.encode(), trusted, self._loop_name)


def _answer(client: ClientConnection, status: int, text: str, *, keep_alive: bool, without_body: bool = False) -> bool:
    keep_alive = keep_alive and not client.closing
    client.send(own_response(status, text, keep_alive=keep_alive, without_body=without_body))
    return keep_alive
