"""The page of a gateway: what waits and runs there, and how it is answered. It knows no decision."""

import asyncio
from math import inf

from autoscaler.explain.view import ServiceFigures
from autoscaler.gateway.reporting.figures import pieces
from autoscaler.gateway.server import GatewayServer
from autoscaler.page import tables
from autoscaler.page.address import PageAddress
from autoscaler.page.board import Board
from autoscaler.page.history import Sample
from autoscaler.page.http import serve_page
from autoscaler.page.live import Facts, Live
from autoscaler.ports import ServiceName
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.sources.gateway_figures import EVERY_S, take
from autoscaler.sources.measured_answers import MeasuredAnswers

SAMPLE_EVERY_S = 2.0
_ITSELF = "this gateway"


async def gateway_page(gateway: GatewayServer, address: PageAddress, tokens: BearerTokens | None = None) -> None:
    """Serve the page of a gateway until cancelled.

    Args:
        gateway: the gateway.
        address: where the page listens.
        tokens: one of them is required if others than this machine can reach the page.

    Raises:
        OSError: the port is in use.
    """
    page = GatewayPage(gateway)
    async with serve_page(page.board, address, tokens):
        await page.run()


class GatewayPage:
    """Keeps what a gateway counts, for its page.

    Args:
        gateway: the gateway.
    """

    def __init__(self, gateway: GatewayServer) -> None:
        self._gateway = gateway
        self._measured = MeasuredAnswers()
        self._changed: set[ServiceName] = set()
        self._busy: set[ServiceName] = set()
        self._kept: set[ServiceName] = set()
        """Services that have a history."""
        self._live = Live(gateway.now_s, gap_s=inf)
        self.board = Board(
            self._live,
            Facts(
                lambda: gateway.proxies,
                lambda _service: None,
                role="gateway",
                figures=self._figures,
                quality=lambda service, since_s, now_s: tables.quality(self._measured.quality(service, since_s, now_s)),
            ),
        )

    async def run(self) -> None:
        """Keep what the gateway counts, until cancelled."""
        self._changed.update(self._gateway.proxies)
        self._gateway.watchers.add(self._changed.add)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sample())
                group.create_task(self._measure())
        finally:
            self._gateway.watchers.discard(self._changed.add)

    async def _sample(self) -> None:
        """Keep the counts of services that have changed, or have requests; idle services cost nothing."""
        while True:
            names, self._busy = self._changed | self._busy, set()
            self._changed.clear()
            for gone in self._kept - self._gateway.proxies.keys():
                self._live.forget(gone)
                self._kept.discard(gone)
            for name in names & self._gateway.proxies.keys():
                self._sample_one(name)
            await asyncio.sleep(SAMPLE_EVERY_S)

    def _sample_one(self, name: ServiceName) -> None:
        counts = self._gateway.proxies[name].dispatcher
        self._kept.add(name)
        if counts.running or counts.queued:
            self._busy.add(name)
        now_s, ready = self._live.now(), len(counts.ready)
        self._live.history.add(name, Sample(now_s, counts.running, counts.queued, None, None, ready, None))
        self._live.changed(name)

    async def _measure(self) -> None:
        while True:
            self._measured.keep([_ITSELF], self._gateway.proxies)
            body = bytearray()
            for piece in pieces(self._gateway):
                body += piece
                await asyncio.sleep(0)
            await take(
                self._measured,
                _ITSELF,
                bytes(body),
                now_s=self._live.now(),
                services=self._gateway.proxies,
                on_change=self._live.changed,
            )
            await asyncio.sleep(EVERY_S)

    def _figures(self, service: ServiceName) -> ServiceFigures | None:
        proxy = self._gateway.proxies.get(service)
        if proxy is None:
            return None
        counts, measured = proxy.dispatcher, self._measured.figures(service, self._live.now()) or ServiceFigures()
        return measured._replace(queued=counts.queued, running=counts.running)
