"""Reads requests in flight from Prometheus: one query per tick for all services that share server and query text.

Whatever is missing, broken or late is unknown, with a problem that says what to do. It is never zero. What an answer
means `answers` knows.
"""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias, TypeVar

import aiohttp

from autoscaler.ports import Past, Query, Reading, ServiceName
from autoscaler.sources.access import Access
from autoscaler.sources.answers import (
    Answer,
    Asked,
    Fault,
    own_words,
    parse_clock,
    public,
    readings,
    short,
    short_query,
)
from autoscaler.sources.past import Grid, PastAnswer, parse_past, pasts
from autoscaler.sources.reader import Reader

_REMEMBERED = 16
"""Sets of services that are read apart, one for each query."""
DEADLINE_S = 10.0
"""As long as Prometheus itself waits for a scrape that is not told otherwise; ticks do not wait for it."""

_STRANGERS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""Answers to those who are not known, or not well enough."""

T = TypeVar("T")
_Key: TypeAlias = tuple[str, str, str]
"""Server, expression and series."""


class PrometheusSource:
    """A `MetricsSource` and `PastSource` over the HTTP API of any number of Prometheus, or of what speaks like one.

    Args:
        session: how to get there.
        access: who we are to each server, and whom we trust; without one nobody, and the system's certificates.
        deadline_s: a query that is not answered and read whole by then is given up; Prometheus is told to do the same.
        max_answer_bytes: an answer larger than this is not read to its end.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        deadline_s: float = DEADLINE_S,
        *,
        access: Access | None = None,
        max_answer_bytes: int = 64 * 2**20,
    ) -> None:
        self._session = session
        self._access = access or Access()
        self._deadline_s = deadline_s
        self._max_answer_bytes = max_answer_bytes
        self._questions: dict[Query | None, _Questions] = {}
        """By their first query, the one that was asked last at the end."""

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Ask every server at once; the slowest takes `deadline_s` at most."""
        _, asked, by_query, readers = self._sorted(queries)
        async with asyncio.TaskGroup() as group:
            tasks = {
                each: group.create_task(self._told(each, self._now(each, readers[each])))
                for each in set(asked.values())
            }
        found: dict[ServiceName, Reading] = {}
        for query, services in by_query:
            each = asked[_key(query)]
            found.update(readings(services, each, query.max_age_s, tasks[each].result(), now_s))
        return found

    async def past(
        self, queries: Mapping[ServiceName, Query], now_s: float, *, span_s: float, step_s: float
    ) -> Mapping[ServiceName, Past]:
        """Ask every server once what it knew, after asking for its time; the slowest takes `deadline_s` at most."""
        _, asked, by_query, _ = _questions(queries)
        async with asyncio.TaskGroup() as group:
            tasks = {
                each: group.create_task(self._told(each, self._past(each, span_s, step_s)))
                for each in set(asked.values())
            }
        found: dict[ServiceName, Past] = {}
        for query, services in by_query:
            found.update(pasts(services, query.max_age_s, tasks[asked[_key(query)]].result(), now_s))
        return found

    def _sorted(self, queries: Mapping[ServiceName, Query]) -> "_Questions":
        """Put together what shares a query; most ticks ask what the last one asked."""
        first = next(iter(queries.values()), None)
        known = self._questions.pop(first, None)
        self._questions[first] = known = known if known and known.of is queries else _questions(queries)
        if len(self._questions) > _REMEMBERED:
            del self._questions[next(iter(self._questions))]
        return known

    async def _told(self, asked: Asked, answer: Coroutine[Any, Any, T]) -> T | str:
        """Give an answer, or in words why there is none in time."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await answer
        except Fault as fault:
            return f"{asked}: {fault}"
        except TimeoutError:
            return f"{asked}: no answer within {self._deadline_s:g} s; is it overloaded, or the query too expensive?"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{asked}: {_unreachable(error)}"

    async def _now(self, asked: Asked, reader: Reader) -> Answer:
        query = short_query(asked.expression, asked.series, asked.fresh_s)
        return reader.read(await self._fetch(asked, "query", query=query))

    async def _past(self, asked: Asked, span_s: float, step_s: float) -> PastAnswer:
        clock_s = parse_clock(await self._fetch(asked, "query", query="time()"))
        step_ms, steps = round(step_s * 1000), round(span_s / step_s)
        grid = Grid(round(clock_s * 1000) - steps * step_ms, step_ms, steps)
        times = {"start": grid.start_ms, "end": grid.start_ms + steps * step_ms, "step": step_ms}
        form = {name: f"{time_ms / 1000:.3f}" for name, time_ms in times.items()}
        query = short_query(asked.expression, asked.series, asked.fresh_s)
        body = await self._fetch(asked, "query_range", query=query, **form)
        # Megabytes where there are many services: ticks and wake-ups go on meanwhile.
        return await asyncio.to_thread(parse_past, body, grid)

    async def _fetch(self, asked: Asked, what: str, **form: str) -> bytes:
        url = f"{asked.server.rstrip('/')}/api/v1/{what}"
        form = {"timeout": f"{self._deadline_s * 1000:.0f}ms", **form}
        means = self._access.of(asked.server)
        async with self._session.post(
            url,
            data=form,
            headers=means.headers,
            ssl=means.trust,
            server_hostname=means.server_name,
            allow_redirects=False,
        ) as response:
            body = await self._bounded(response)
            if not response.ok or response.status >= 300:  # noqa: PLR2004 - `ok` lets redirects pass
                known = f"; {means.told}" if response.status in _STRANGERS else ""
                raise Fault(_refusal(response, body) + known)
            if response.content_type != "application/json":
                raise Fault(f"answered with {response.content_type}, not with JSON; is this a Prometheus?")
            return body

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > self._max_answer_bytes:
                raise Fault(f"the answer is larger than {self._max_answer_bytes} bytes; aggregate the query further")
        return b"".join(pieces)


class _Questions(NamedTuple):
    """What is asked for many services; most of ten thousand have the same query object, and it is told so by that."""

    of: Mapping[ServiceName, Query]
    asked: Mapping[_Key, Asked]
    by_query: Sequence[tuple[Query, frozenset[ServiceName]]]
    readers: Mapping[Asked, Reader]


def _key(query: Query) -> _Key:
    return query.server, query.expression, query.series


def _questions(queries: Mapping[ServiceName, Query]) -> _Questions:
    """Put services with the same query together; what they share is asked once, and fresh is what is so for all."""
    distinct = {id(query): query for query in queries.values()}
    services: dict[int, list[ServiceName]] = {key: [] for key in distinct}
    for service, query in queries.items():
        services[id(query)].append(service)
    fresh_s: dict[_Key, float] = {}
    for query in distinct.values():
        fresh_s[_key(query)] = min(query.max_age_s, fresh_s.get(_key(query), query.max_age_s))
    asked = {key: Asked(*key, fresh_s=age_s) for key, age_s in fresh_s.items()}
    return _Questions(
        queries,
        asked,
        [(query, frozenset(services[key])) for key, query in distinct.items()],
        {each: Reader() for each in asked.values()},
    )


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> str:
    location = response.headers.get("Location")
    if location is not None:
        return f"redirects (HTTP {response.status}) to {short(public(location))}; give that address instead"
    try:
        words = own_words(json.loads(body))
    except (ValueError, RecursionError, TypeError, AttributeError):
        words = short(body.decode(errors="replace")) if response.content_type == "text/plain" else "not a Prometheus?"
    return f"refused: HTTP {response.status} {response.reason}: {words}"


def _unreachable(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"its host name cannot be resolved ({error.os_error.strerror})"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({short(str(error.certificate_error))})"
    if isinstance(error, ValueError):
        return "this is not an HTTP address"
    return f"not reachable ({short(str(error)) or type(error).__name__})"
