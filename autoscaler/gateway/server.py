"""One gateway process: its port for clients, its metrics port, and how it drains and stops."""

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from typing import cast

from aiohttp import web

from autoscaler.gateway.reporting.admin_http import metrics_app
from autoscaler.gateway.router import Router
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.listeners import listeners

METRICS_CONNECTIONS = 32
"""Connections of the metrics port; a new one replaces the oldest, so that probes get through."""
_LAST_ANSWERS_S = 0.1
"""For the responses to requests that are rejected at the end."""


class GatewayServer(Router):
    """A gateway that listens; call `start` and `stop` inside the event loop in which it was created."""

    _port: int | None = None
    _metrics_port: int | None = None
    _metrics_runner: web.AppRunner | None = None
    _listeners: Sequence[asyncio.Server] = ()
    _metrics_listeners: Sequence[asyncio.Server] = ()

    @property
    def port(self) -> int:
        """The port for clients; raises RuntimeError before `start`."""
        if self._port is None:
            raise RuntimeError("the gateway does not listen")
        return self._port

    @property
    def metrics_port(self) -> int:
        """The metrics port; raises RuntimeError before `start`."""
        if self._metrics_port is None:
            raise RuntimeError("the gateway does not listen")
        return self._metrics_port

    async def start(
        self,
        port: int,
        metrics_port: int,
        hosts: Sequence[str] = (),
        *,
        metrics_hosts: Sequence[str] | None = None,
        tokens: BearerTokens | None = None,
    ) -> None:
        """Listen on both ports.

        Args:
            port: for clients; 0 takes a free one.
            metrics_port: for metrics and probes; 0 takes a free one.
            hosts: names or addresses to listen on; none is all of IPv4 and IPv6.
            metrics_hosts: the same for the metrics port; None is the same as `hosts`.
            tokens: what the metrics port requires; without them it is open.

        Raises:
            OSError: a port is taken; then the gateway listens on none.
            ValueError: other gateways would not have to prove who they are on that address.
        """
        opened: list[socket.socket] = []
        try:
            opened += (metrics_sockets := listeners(hosts if metrics_hosts is None else metrics_hosts, metrics_port))
            opened += (client_sockets := listeners(hosts, port))
            if self.peers is not None:
                await self.peers.listen()
        except (OSError, ValueError):
            for each in opened:
                each.close()
            raise
        runner = web.AppRunner(
            metrics_app(self, tokens), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        self._metrics_runner = runner
        self._port, self._metrics_port = client_sockets[0].getsockname()[1], metrics_sockets[0].getsockname()[1]
        create = self.loop.create_server
        self._metrics_listeners = [await create(partial(_newest, runner), sock=each) for each in metrics_sockets]
        self._listeners = [await create(self.accept, sock=each, backlog=1024) for each in client_sockets]
        if self.peers is not None:
            self.peers.start()

    async def drain(self, propagation_s: float, grace_s: float) -> None:
        """Finish open requests as far as time allows; call `stop` afterwards.

        The other gateways take its services over at once, while it still serves the clients that come.

        Args:
            propagation_s: how long clients are still accepted, until load balancers have noticed.
            grace_s: how long open requests may then take. After that, held requests get 503, and WebSockets get 1001.
        """
        self.clients.draining = True
        if self.peers is not None:
            self.peers.leave()
        await asyncio.sleep(propagation_s)
        for listener in self._listeners:
            listener.close()
        try:
            async with asyncio.timeout(grace_s):
                while self.open:
                    self.quiet.clear()
                    await self.quiet.wait()
                if self.peers is not None:
                    await self.peers.gone()
        except TimeoutError:
            for proxy in self.proxies.values():
                proxy.reject_all()
                for tunnel in list(proxy.tunnels):
                    tunnel.go_away()

    async def stop(self) -> None:
        """Stop at once: held requests are rejected, running ones are cut."""
        self.clients.draining = True
        for listener in self._listeners:
            listener.close()
        for proxy in self.proxies.values():
            proxy.reject_all()
        await self.clients.shutdown(_LAST_ANSWERS_S)
        for proxy in self.proxies.values():
            proxy.close()
        if self.peers is not None:
            await self.peers.close()
        for listener in self._metrics_listeners:
            listener.close()
        if self._metrics_runner is not None:
            await self._metrics_runner.cleanup()


def _newest(runner: web.AppRunner) -> asyncio.Protocol:
    """Return the protocol of a new connection to the metrics port; if there are too many, close the oldest."""
    server = cast("web.Server", runner.server)
    for connection in server.connections[: max(0, len(server.connections) - METRICS_CONNECTIONS + 1)]:
        connection.force_close()
    return server()
