"""Keeps one stream to each known gateway, and gives the counts that the gateways last reported.

The controller connects to the gateways, reads, and reconnects. `InflightAggregate` knows what the lines mean.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import hdrs

from autoscaler.controller.observe import StreamedCounts
from autoscaler.ports import Query, Reading, ServiceName
from autoscaler.runtime.backoff import Backoff
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.sources.gateway_aggregate import InflightAggregate
from autoscaler.sources.gateway_protocol import LineSplitter, MalformedLineError

_UNTIMED = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
"""A stream never ends. Its lines show whether it is alive."""


class StreamSource:
    """A `MetricsSource` over the gateways' own counts, `GET http://ADDRESS/v1/inflight`; reading it sends nothing.

    Use it as an asynchronous context manager.

    Args:
        session: makes the connections; its connector must allow one connection to each gateway.
        now: gives the controller's time.
        rng: spreads reconnections, so that a restarted gateway does not meet all controllers at once.
        on_wake_up: called at once with each service that cannot wait for the next tick (see `wake_up`).
        on_change: called with each service whose counts have changed.
        silent_s: a gateway that has not reported for longer than this makes sums partial, and is connected to again.
        history_s: how far back `live` reaches.
        max_line_bytes: a longer line is malformed.
        tokens: sent to each gateway; None sends none.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        now: Callable[[], float],
        rng: random.Random,
        on_wake_up: Callable[[ServiceName], None],
        *,
        on_change: Callable[[ServiceName], None] = lambda _service: None,
        silent_s: float = 3.0,
        history_s: float = 60.0,
        max_line_bytes: int = 16 * 2**20,
        tokens: BearerTokens | None = None,
    ) -> None:
        self._session = session
        self._now = now
        self._rng = rng
        self._on_wake_up = on_wake_up
        self._on_change = on_change
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
        """Connect to exactly these gateways (`host:port`).

        A gateway that drains stays in the list until it is gone: the requests that it still serves count.
        """
        wanted = set(addresses)
        for address in self._listeners.keys() - wanted:
            self._listeners.pop(address).cancel()
            self._aggregate.remove(address)
        for address in wanted - self._listeners.keys():
            self._aggregate.add(address, self._now())
            self._listeners[address] = self._group.create_task(self._listen(address))

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Give the last reported counts; of the queries only the services matter."""
        return self._aggregate.readings(queries, now_s)

    def known(self) -> int:
        """Count the gateways that a whole sum has."""
        return self._aggregate.expected(self._now())

    def complete(self, now_s: float) -> bool:
        """Tell whether all gateways report that belong to a sum."""
        return self._aggregate.all_report(now_s)

    def awaited(self, now_s: float) -> str:
        """Say which gateways have not reported yet and why; those that stay silent are waited for only for a while."""
        return self._aggregate.awaited(now_s, self._silent_s)

    def live(self, service: ServiceName, since_s: float, now_s: float) -> StreamedCounts:
        """Give the counts of one service; the mean, and the Pass requests, are of `(since_s, now_s]`."""
        reading = self._aggregate.readings((service,), now_s)[service]
        arrived, finished, served_s = self._aggregate.requests(service, since_s, now_s) or (None, None, None)
        hinted, hinted_s = self._aggregate.hinted(service, now_s)
        return StreamedCounts(
            latest=reading.value,
            mean=self._aggregate.mean(service, since_s, now_s),
            passing=self._aggregate.passing(service, since_s, now_s),
            problem=reading.problem,
            queued=self._aggregate.queued(service, now_s),
            arrived=arrived,
            finished=finished,
            served_s=served_s,
            hinted=hinted,
            hinted_s=hinted_s,
        )

    def pods(self, service: ServiceName) -> Mapping[str, int]:
        """Give the running requests and held slots of each pod."""
        return self._aggregate.pods(service, self._now())

    def undrained(self, service: ServiceName, pods: Collection[str]) -> str:
        """Say which gateways may still send requests to some of these pods; empty if none does."""
        return self._aggregate.undrained(service, pods, self._now())

    async def _listen(self, address: str) -> None:
        backoff = Backoff(self._rng)
        while True:
            why = await self._connect(address, backoff)
            self._aggregate.failed(address, why)
            await asyncio.sleep(backoff.pause_s())

    async def _connect(self, address: str, backoff: Backoff) -> str:
        """Read one connection to its end and say why it ended."""
        try:
            async with asyncio.timeout(self._silent_s) as silence:
                return await self._read_lines(address, backoff, silence)
        except MalformedLineError as error:
            return f"it sent {error}"
        except TimeoutError:
            return f"no line for {self._silent_s:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"no connection ({error or type(error).__name__})"
        except ValueError:
            return "this is not an address"

    async def _read_lines(self, address: str, backoff: Backoff, silence: asyncio.Timeout) -> str:
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
        return "; it does not accept this token" if self._tokens else "; it needs a token: give --token-file"

    def _take(self, address: str, line: bytes) -> None:
        update = self._aggregate.take(address, line, self._now())
        for service in update.changed:
            self._on_change(service)
        for service in update.wakes:
            self._on_wake_up(service)
