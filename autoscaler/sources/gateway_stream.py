"""Keeps one stream to each known gateway and answers from what the gateways said last.

Nothing is sent to the controller: it connects, listens, and connects again. `InflightAggregate` knows what the lines
mean.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import hdrs

from autoscaler.controller.observation import Live
from autoscaler.ports import Query, Reading, ServiceName
from autoscaler.runtime.backoff import Backoff
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.sources.gateway_aggregate import InflightAggregate
from autoscaler.sources.gateway_protocol import GarbledLineError, LineSplitter

_UNTIMED = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
"""A stream never ends; silence on it is judged by its lines."""


class StreamSource:
    """A `MetricsSource` over the gateways' own count, `GET http://ADDRESS/v1/inflight`; it asks nobody when read.

    It is an async context manager: it listens from entering to leaving it.

    Args:
        session: how to get there; its connector must allow one connection to each gateway.
        now: gives the controller's time.
        rng: spreads reconnections, so that a restarted gateway does not meet all controllers at once.
        on_rise: is called at once with a service that cannot wait for the next tick (see `tally.Heard`).
        on_news: is called with a service of which anything new is said.
        silent_s: a gateway not heard for longer than this makes sums partial, and its connection is made anew.
        history_s: how far back `live` can look.
        max_line_bytes: a gateway whose line is longer is garbled.
        tokens: shown to each gateway; without them nothing is.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        now: Callable[[], float],
        rng: random.Random,
        on_rise: Callable[[ServiceName], None],
        *,
        on_news: Callable[[ServiceName], None] = lambda _service: None,
        silent_s: float = 3.0,
        history_s: float = 60.0,
        max_line_bytes: int = 16 * 2**20,
        tokens: BearerTokens | None = None,
    ) -> None:
        self._session = session
        self._now = now
        self._rng = rng
        self._on_rise = on_rise
        self._on_news = on_news
        self._silent_s = silent_s
        self._max_line_bytes = max_line_bytes
        self._tokens = tokens
        self._aggregate = InflightAggregate(silent_s, history_s)
        self._group = asyncio.TaskGroup()
        self._listeners: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.set_gateways(())
        await self._group.__aexit__(kind, error, trace)

    def set_gateways(self, addresses: Iterable[str]) -> None:
        """Listen to exactly these gateways (`host:port`) from now on.

        One that drains stays in the list until it is gone: what it still serves counts.
        """
        wanted = set(addresses)
        for address in self._listeners.keys() - wanted:
            self._listeners.pop(address).cancel()
            self._aggregate.remove(address)
        for address in wanted - self._listeners.keys():
            self._aggregate.add(address, self._now())
            self._listeners[address] = self._group.create_task(self._listen(address))

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Give what the gateways said last; of the queries only the services matter."""
        return self._aggregate.readings(queries, now_s)

    def known(self) -> int:
        """Count the gateways that are known to live."""
        return len(self._listeners)

    def complete(self, now_s: float) -> bool:
        """Tell whether all gateways are heard."""
        return self._aggregate.heard_all(now_s)

    def awaited(self, now_s: float) -> str:
        """Say which gateways have not been heard once and why; empty if all were, or are silent and not waited for."""
        return self._aggregate.awaited(now_s, self._silent_s)

    def live(self, service: ServiceName, since_s: float, now_s: float) -> Live:
        """Give what is heard of one service; its mean, and what passed, are of `(since_s, now_s]`."""
        reading = self._aggregate.readings((service,), now_s)[service]
        return Live(
            latest=reading.value,
            mean=self._aggregate.mean(service, since_s, now_s),
            passing=self._aggregate.passing(service, since_s, now_s),
            problem=reading.problem,
        )

    def pods(self, service: ServiceName) -> Mapping[str, int]:
        """Give the running requests of each pod."""
        return self._aggregate.pods(service)

    async def _listen(self, address: str) -> None:
        backoff = Backoff(self._rng)
        while True:
            why = await self._one_stream(address, backoff)
            self._aggregate.failed(address, why)
            await asyncio.sleep(backoff.pause_s())

    async def _one_stream(self, address: str, backoff: Backoff) -> str:
        """Follow one connection to its end and say why it ended."""
        try:
            async with asyncio.timeout(self._silent_s) as silence:
                return await self._follow(address, backoff, silence)
        except GarbledLineError as error:
            return f"it sent {error}"
        except TimeoutError:
            return f"no line for {self._silent_s:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"no connection ({error or type(error).__name__})"
        except ValueError:
            return "this is not an address"

    async def _follow(self, address: str, backoff: Backoff, silence: asyncio.Timeout) -> str:
        loop = asyncio.get_running_loop()
        splitter = LineSplitter(self._max_line_bytes)
        url = f"http://{address}/v1/inflight"
        headers = {} if self._tokens is None else {hdrs.AUTHORIZATION: self._tokens.header()}
        async with self._session.get(url, headers=headers, timeout=_UNTIMED, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                return f"it answered HTTP {response.status}{self._hint(response.status)}"
            self._aggregate.connected(address)
            async for chunk in response.content.iter_any():
                for line in splitter.feed(chunk):
                    self._take(address, line)
                    silence.reschedule(loop.time() + self._silent_s)
                    backoff.reset()
        return "it closed the stream"

    def _hint(self, status: int) -> str:
        if status != HTTPStatus.UNAUTHORIZED:
            return ""
        return "; it takes another token" if self._tokens else "; it asks for a token: give --token-file"

    def _take(self, address: str, line: bytes) -> None:
        heard = self._aggregate.take(address, line, self._now())
        for service in heard.news:
            self._on_news(service)
        for service in heard.urgent:
            self._on_rise(service)
