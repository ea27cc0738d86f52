"""Asks all known gateways what they have measured, `GET http://ADDRESS/v1/figures`, every 5 s while there is a page.

A gateway that does not answer, or answers nonsense, makes the figures a part, and they say why. Nothing is decided on
them.
"""

import asyncio
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import NamedTuple

import aiohttp
import msgspec
from aiohttp import hdrs

from autoscaler.ports import ServiceName
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.errors import described
from autoscaler.sources.measured_answers import MeasuredAnswers, Report, ServiceReport

EVERY_S = 5.0
_PATIENCE_S = 4.0
_MOST_BYTES = 64 * 2**20
_SLICE = 50
"""Services that are taken in without a break, in about a millisecond."""
_REPORT, _SERVICE = msgspec.json.Decoder(Report), msgspec.json.Decoder(ServiceReport)


class Known(NamedTuple):
    """What there is, asked each time."""

    gateways: Callable[[], Collection[str]]
    """The metrics addresses of all gateways, as `host:port`."""
    services: Callable[[], Collection[ServiceName]]
    """What else a gateway names is not kept."""


class FiguresPoller:
    """Keeps what the gateways have measured.

    Args:
        session: makes the connections.
        known: what there is.
        now: gives the controller's time.
        on_change: called with each service of which something was counted.
        tokens: sent to each gateway; None sends none.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        known: Known,
        now: Callable[[], float],
        on_change: Callable[[ServiceName], None],
        tokens: BearerTokens | None = None,
    ) -> None:
        self._session = session
        self._known = known
        self._now = now
        self._on_change = on_change
        self._tokens = tokens
        self.measured = MeasuredAnswers()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(EVERY_S)

    async def poll(self) -> None:
        """Ask each gateway once."""
        addresses = self._known.gateways()
        self.measured.keep(addresses, self._known.services())
        await asyncio.gather(*map(self._ask, addresses))

    async def _ask(self, address: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                body = await self._read(address)
            await take(
                self.measured,
                address,
                body,
                now_s=self._now(),
                services=self._known.services(),
                on_change=self._on_change,
            )
        except TimeoutError:
            self.measured.failed(address, f"no answer for {_PATIENCE_S:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # msgspec's errors are ValueErrors.
            self.measured.failed(address, described(error))

    async def _read(self, address: str) -> bytes:
        headers = {} if self._tokens is None else {hdrs.AUTHORIZATION: self._tokens.header()}
        async with self._session.get(
            f"http://{address}/v1/figures", headers=headers, allow_redirects=False
        ) as response:
            if response.status != HTTPStatus.OK:
                raise ValueError(f"it answered HTTP {response.status}")
            return await _bounded(response)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise ValueError(f"its answer has more than {_MOST_BYTES >> 20} MiB")
    return bytes(body)


async def take(
    measured: MeasuredAnswers,
    address: str,
    body: bytes,
    *,
    now_s: float,
    services: Collection[ServiceName],
    on_change: Callable[[ServiceName], None],
) -> None:
    """Take in what a gateway has answered; decisions go on meanwhile.

    Raises:
        ValueError: it is not what a gateway answers.
    """
    report = _REPORT.decode(body)
    taking = measured.begin(address, report, now_s)
    for number, (name, text) in enumerate(report.services.items(), 1):
        if name in services and taking.take(name, _SERVICE.decode(text)):
            on_change(name)
        if not number % _SLICE:
            await asyncio.sleep(0)
