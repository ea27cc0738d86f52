"""The heart of the gateway: finds the service of a request by its Host, and sees the request through.

Who knows the pods tells it by `set_backends`, `drain_backend` and `remove_backend`; who wants to know the counts reads
the stream or the metrics.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network, ip_address

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.counts import ProcessMetric, RequestOutcome
from autoscaler.gateway.dispatch.dispatcher import Dispatcher
from autoscaler.gateway.host_routes import Routes
from autoscaler.gateway.http.client_connection import ClientConnection
from autoscaler.gateway.http.clients import ClientLimits, Clients
from autoscaler.gateway.http.headers import BadRequestError, Forwarded, RequestHead, read_request
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.own_response import own_response
from autoscaler.gateway.http.request_parser import IncomingRequest
from autoscaler.gateway.http.resolver import Resolver
from autoscaler.gateway.overload import Overload
from autoscaler.gateway.proxied_request import Arrival, ProxiedRequest
from autoscaler.gateway.request_log import OnEnded, client_address
from autoscaler.gateway.service import ServiceProxy
from autoscaler.runtime.clock import SystemClock

_LONGEST_ADDRESS = 64
"""Characters; more is none, and is not remembered."""
_HELD_BODIES_BYTES = 64 << 20
_REFUSED_METHODS = frozenset({b"CONNECT", b"TRACE"})
_CHECK_METHODS = frozenset({b"GET", b"HEAD"})
_HEALTH_PATHS = frozenset({b"/healthz", b"/readyz"})


class Router:
    """All services of one gateway, without a socket; made inside the event loop that it belongs to."""

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
    ) -> None:
        """Build a gateway.

        Args:
            services: what it serves, by `namespace/name`.
            keys: the first signs the cookies, each is read; without any, cookies end with the process.
            uid: what the gateway is called in its stream.
            limits: what any client may take.
            trusted_proxies: whose X-Forwarded headers are believed.
            rng: spreads `Retry-After`.
            on_ended: is given every request as it ends.
            body_budget: what the bodies of all held requests may take; 64 MiB unless it is given.
            backlog_budget: what all clients may leave lying of their responses; 64 MiB unless it is given.
            resolver: looks up the names of pods.
            overload: says whether new work is refused; somebody else has it look at the memory.
        """
        self.loop = asyncio.get_running_loop()
        self._keys = tuple(keys) or (secrets.token_bytes(32),)
        self.uid = uid or secrets.token_hex(8)
        self._clock = SystemClock()
        self.started_s = self._clock.now()
        self._trusted_proxies = trusted_proxies
        self._forwarded = lru_cache(maxsize=1024)(self._forwarded_by)
        self._on_ended = on_ended
        self.body_budget = body_budget or MemoryBudget(_HELD_BODIES_BYTES)
        self.overload = overload or Overload()
        self._resolver = resolver or Resolver()
        self._rng = rng or random.Random()  # noqa: S311
        self._uid_bytes = self.uid.encode()
        self._loop_name = b"inflight-" + self._uid_bytes
        self._requests = 0
        self.open = 0
        """Requests of any kind that have not ended, upgraded connections among them."""
        self.quiet = asyncio.Event()
        """Set whenever the last one ends."""
        self.proxies: dict[str, ServiceProxy] = {}
        self.watchers: set[Callable[[str], None]] = set()
        """Told of each service whose counts change."""
        self._routes = Routes({})
        self.clients = Clients(limits or ClientLimits(), backlog_budget)
        self.process_metrics: list[ProcessMetric] = []
        """Metrics of the process that others add to those of the gateway, such as lines that a log has lost."""
        self.reload(services)

    def now_s(self) -> float:
        """Unix time at start plus the time since, so that it never steps."""
        return self._clock.now()

    @property
    def draining(self) -> bool:
        """Whether the gateway is about to go."""
        return self.clients.draining

    def loop_time(self) -> float:
        """The time by which requests are counted."""
        return self.loop.time()

    def _changed(self, service: str) -> None:
        for watcher in self.watchers:
            watcher(service)

    def set_cookie_keys(self, keys: Sequence[bytes]) -> None:
        """Sign with the first of these from now on, and read cookies of each."""
        self._keys = tuple(keys)
        for proxy in self.proxies.values():
            proxy.set_keys(self._keys)

    # Services and pods.

    def reload(self, services: Mapping[str, GatewayService], reserved: Collection[str] = ()) -> None:
        """Serve these from now on; who is held in a service that stays keeps the place.

        Args:
            services: what is served, by `namespace/name`.
            reserved: hosts that are 404 though a wildcard may be above them.
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
                )
                proxy.set_backends(service.backends or {})
            elif proxy.config is service or proxy.config == service:
                continue
            else:
                proxy.apply(service)
            self._changed(name)
        self._routes = Routes(services, reserved)

    def dispatcher(self, service: str) -> Dispatcher:
        """Give a service's dispatcher; raises KeyError for an unknown one."""
        return self.proxies[service].dispatcher

    def set_backends(self, service: str, backends: Mapping[str, str]) -> None:
        """Have exactly these pods, by name with their `host:port`; the others drain."""
        self.proxies[service].set_backends(backends)

    def add_backend(self, service: str, name: str, address: str) -> None:
        """Send requests to a pod that is ready."""
        self.proxies[service].add(name, address)

    def drain_backend(self, service: str, name: str) -> None:
        """Send a pod nothing new, and let what it serves end."""
        self.proxies[service].drain(name)

    def remove_backend(self, service: str, name: str) -> None:
        """Forget a pod that is gone; what it served ends with 502 at once."""
        self.proxies[service].remove(name)

    def _drop(self, name: str) -> None:
        proxy = self.proxies.pop(name)
        proxy.reject_all()
        proxy.set_backends({})
        proxy.close()

    # Requests.

    def accept(self) -> ClientConnection:
        """Make the protocol of a client's new connection."""
        return ClientConnection(self.clients, self._handle)

    async def _handle(self, client: ClientConnection, request: IncomingRequest) -> bool:
        self.open += 1
        try:
            proxied = self._received(client, request)
            return proxied if isinstance(proxied, bool) else await proxied.run()
        finally:
            self.open -= 1
            if not self.open:
                self.quiet.set()

    def _received(self, client: ClientConnection, request: IncomingRequest) -> ProxiedRequest | bool:
        """Find a request's service; what has none is answered here."""
        try:
            head = read_request(request.method, request.target, request.headers, http10=request.http10)
        except BadRequestError as error:
            return _answer(client, 400, str(error), keep_alive=False)
        if head.method in _REFUSED_METHODS:
            return _answer(client, 405, f"{head.method.decode()} is not for a gateway", keep_alive=False)
        if head.expect and head.expect != b"100-continue":
            return _answer(client, 417, "only 100-continue can be expected", keep_alive=False)
        if head.passed_through(self._loop_name):
            return _answer(client, 508, "a backend leads back to this gateway", keep_alive=False)
        name = self._routes.find(head.host)
        if name is None:
            return self._answer_without_service(client, request, head)
        proxy = self.proxies[name]
        try:
            return ProxiedRequest(proxy, client, request, self._arrival(client, request, head))
        except Exception:
            proxy.counts.outcomes[RequestOutcome.ERROR] += 1
            raise

    def _answer_without_service(self, client: ClientConnection, request: IncomingRequest, head: RequestHead) -> bool:
        """Answer what is for no service: a load balancer that checks by address, or a stranger."""
        keep_alive = request.keep_alive and request.complete
        if head.method not in _CHECK_METHODS or head.target.partition(b"?")[0] not in _HEALTH_PATHS:
            return _answer(client, 404, "no service has this host", keep_alive=keep_alive)
        ready = not (self.draining and head.target.startswith(b"/readyz"))
        return _answer(
            client,
            200 if ready else 503,
            "ok" if ready else "draining",
            keep_alive=keep_alive,
            without_body=head.method == b"HEAD",
        )

    def _arrival(self, client: ClientConnection, request: IncomingRequest, head: RequestHead) -> Arrival:
        forwarded = self._forwarded(client.peername)
        return Arrival(
            head=head,
            forwarded=forwarded,
            request_id=head.request_id or self._request_id(),
            unix_s=self.now_s(),
            secure=forwarded.trusted and head.is_https,
            keep_alive=request.keep_alive,
            client=self._client_of(client.peername, head) if self._on_ended is not None else "",
        )

    def _client_of(self, peer: str, head: RequestHead) -> str:
        return client_address(peer, head.known.get(b"x-forwarded-for", ()), self._is_trusted)

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
