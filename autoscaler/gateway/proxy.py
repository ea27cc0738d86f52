"""One gateway process: the port for clients, the port for those who observe, and how it goes."""

import asyncio

from aiohttp import web

from autoscaler.gateway.core import Core
from autoscaler.gateway.observe import observer
from autoscaler.runtime.bearer_tokens import BearerTokens

_EVERYWHERE = "0.0.0.0"  # noqa: S104
_LAST_WORDS_S = 0.1
"""For the answers to those who are turned away at the end."""


class Gateway(Core):
    """A gateway that listens. `start` and `stop` belong to the event loop that it is made in."""

    _listener: asyncio.Server | None = None
    _port: int | None = None
    _observer: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """Where clients are listened to; raises RuntimeError before `start`."""
        if self._port is None:
            raise RuntimeError("the gateway does not listen")
        return self._port

    @property
    def metrics_port(self) -> int:
        """Where those who observe are listened to; raises RuntimeError before `start`."""
        if self._observer is None:
            raise RuntimeError("the gateway does not listen")
        return int(self._observer.addresses[0][1])

    async def start(
        self, port: int, metrics_port: int, host: str = _EVERYWHERE, *, tokens: BearerTokens | None = None
    ) -> None:
        """Listen on both ports; port 0 takes a free one. With tokens, the metrics port asks for one.

        Raises:
            OSError: a port is taken; then neither is listened to.
        """
        runner = web.AppRunner(observer(self, tokens), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, metrics_port).start()
            self._listener = await self.loop.create_server(self.edge, host, port, backlog=1024)
        except OSError:
            await runner.cleanup()
            raise
        self._port = self._listener.sockets[0].getsockname()[1]
        self._observer = runner

    async def drain(self, propagation_s: float, grace_s: float) -> None:
        """Go without breaking anything off, if it can be done in time; `stop` is still to be called.

        Args:
            propagation_s: how long clients are still accepted, for those who route to us must first notice.
            grace_s: how long those who came may then take. Who is held after that is told to come again, an upgraded
                connection is told that we go.
        """
        self.edge.draining = True
        await asyncio.sleep(propagation_s)
        if self._listener is not None:
            self._listener.close()
        try:
            async with asyncio.timeout(grace_s):
                while self.open:
                    self.quiet.clear()
                    await self.quiet.wait()
        except TimeoutError:
            for gate in self.gates.values():
                gate.turn_away_all()
                for tunnel in list(gate.tunnels):
                    tunnel.go_away()

    async def stop(self) -> None:
        """Stop at once: who is held is turned away, who is served is cut."""
        self.edge.draining = True
        if self._listener is not None:
            self._listener.close()
        for gate in self.gates.values():
            gate.turn_away_all()
        await self.edge.shutdown(_LAST_WORDS_S)
        for gate in self.gates.values():
            gate.close()
        if self._observer is not None:
            await self._observer.cleanup()
