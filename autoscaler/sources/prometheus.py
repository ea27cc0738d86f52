"""Reads requests in flight from Prometheus: one query per tick for all services that share server and query text.

Whatever is missing, broken or late is unknown, with a problem that says what to do. It is never zero. What an answer
means `answers` knows.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias, TypeVar

import aiohttp

from autoscaler.documents.prometheus_address import checked, public
from autoscaler.ports import Query, Reading, ReadingHistory, ServiceName
from autoscaler.sources.known_gateways import claims_believed
from autoscaler.sources.prometheus_credentials import PrometheusCredentials
from autoscaler.sources.prometheus_incremental import Reader
from autoscaler.sources.prometheus_query import (
    REPLICA,
    is_of_gateways,
    query_of,
    query_who,
    query_without,
    series_of,
    short_query,
)
from autoscaler.sources.prometheus_range import Grid, PastAnswer, parse_past, pasts
from autoscaler.sources.prometheus_response import (
    Answer,
    Asked,
    Fault,
    Other,
    kind_of_error,
    labels_apart,
    parse,
    parse_clock,
    readings,
    strangers,
)

_REMEMBERED = 16
"""Sets of services that are read apart, one for each query."""
DEADLINE_S = 10.0
"""As long as Prometheus itself waits for a scrape that is not told otherwise; ticks do not wait for it."""

MOST_BYTES = 4 * 2**20
"""An answer may have so many bytes,"""
_BYTES_OF_A_SERVICE, _BYTES_OF_A_MOMENT = 1024, 48
"""and these for each service that it was asked about. An element of one with names of usual length has 100 bytes, a
moment of it 22; a service has up to four elements."""
_LARGE_BYTES = 64 * 2**10
"""A larger answer waits for a place, so that memory is bounded, and is parsed in a thread, so that ticks go on."""
_PLACES = 2

_STRANGERS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""Answers to those who are not known, or not well enough."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
M = TypeVar("M")
_Key: TypeAlias = tuple[str, str, str]
"""Server, expression and series."""


class PrometheusSource:
    """A `MetricsSource` and `HistorySource` over the HTTP API of any number of Prometheus, or of what speaks like one.

    Args:
        session: how to get there.
        access: who we are to each server, and whom we trust; without one nobody, and the system's certificates.
        deadline_s: a query that is not answered and read whole by then is given up; Prometheus is told to do the same.
        gateways: gives the names under which gateways may have series, each with its address; None where it is not
            known which there are.
        max_answer_bytes: no answer may be larger, about how many services it may be.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        deadline_s: float = DEADLINE_S,
        *,
        access: PrometheusCredentials | None = None,
        gateways: Callable[[], Mapping[str, str] | None] = lambda: None,
        max_answer_bytes: int = 64 * 2**20,
    ) -> None:
        self._session = session
        self._access = access or PrometheusCredentials()
        self._deadline_s = deadline_s
        self._max_answer_bytes = max_answer_bytes
        self._gateways = gateways
        self._aliases: dict[str, frozenset[Other]] = {}
        """Of each server: under which other addresses it scrapes the pods of gateways."""
        self._warned: set[str] = set()
        self._places = asyncio.Semaphore(_PLACES)
        self._places_of_gateways = asyncio.Semaphore(_PLACES)
        """Large answers to what policies ask hold up each other, and not the query that most services share."""
        self._questions: dict[Query | None, _SharedQueries] = {}
        """By their first query, the one that was asked last at the end."""

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Ask every server at once; the slowest takes `deadline_s` at most."""
        return await self._ask(
            self._sorted(queries),
            self._now,
            lambda services, asked, query, answer: readings(services, asked, query.max_age_s, answer, now_s),
        )

    async def history(
        self, queries: Mapping[ServiceName, Query], now_s: float, *, span_s: float, step_s: float
    ) -> Mapping[ServiceName, ReadingHistory]:
        """Ask every server once what it knew, after asking for its time; the slowest takes `deadline_s` at most."""
        return await self._ask(
            _questions(queries),
            lambda asked, reader: self._past(asked, reader, span_s, step_s),
            lambda services, _, query, answer: pasts(services, query.max_age_s, answer, now_s),
        )

    async def _ask(
        self,
        questions: "_SharedQueries",
        ask: Callable[[Asked, Reader], Coroutine[Any, Any, T]],
        mean: Callable[[frozenset[ServiceName], Asked, Query, T | str], Mapping[ServiceName, M]],
    ) -> dict[ServiceName, M]:
        _, asked, by_query, readers = questions
        async with asyncio.TaskGroup() as group:
            tasks = {
                each: group.create_task(self._told(each, ask(each, readers[each]))) for each in set(asked.values())
            }
        found: dict[ServiceName, M] = {}
        for query, services in by_query:
            each = asked[_key(query)]
            found.update(mean(services, each, query, tasks[each].result()))
        return found

    def _sorted(self, queries: Mapping[ServiceName, Query]) -> "_SharedQueries":
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
        names = self._gateways() if is_of_gateways(asked) else None
        if names is None:
            answer = await self._answer(asked, reader, short_query(asked))
        else:
            answer = await self._of_gateways(asked, reader, names)
        twice = answer.twice & reader.services
        return answer._replace(apart=await self._apart(asked, min(twice))) if twice else answer

    async def _of_gateways(self, asked: Asked, reader: Reader, names: Mapping[str, str]) -> Answer:
        """Ask for the series of known gateways; one may be scraped under another address, and is known by its pod."""
        aliases = self._aliases.get(asked.server, frozenset())
        answer = await self._of_instances(asked, reader, names, aliases)
        claims = {other for other in answer.others | aliases if other.pod in names}
        if claims or aliases:
            found = await self._fetch(asked, "query", parse, MOST_BYTES, query=query_who(names))
            believed = claims_believed(claims, found.others, names)
            if believed != aliases:
                self._aliases[asked.server] = believed
                answer = await self._of_instances(asked, reader, names, believed)
        # At a start no gateway is listed yet, and they would all be strangers.
        self._warn(asked, answer if names else answer._replace(others=frozenset()))
        return answer

    async def _of_instances(
        self, asked: Asked, reader: Reader, names: Mapping[str, str], aliases: frozenset[Other]
    ) -> Answer:
        return await self._answer(
            asked, reader, query_of({*names, *(alias.instance for alias in aliases)}, asked.fresh_s)
        )

    def _warn(self, asked: Asked, answer: Answer) -> None:
        if not answer.others:
            self._warned.discard(asked.server)
        elif asked.server not in self._warned:
            self._warned.add(asked.server)
            _log.warning("Prometheus at %s: %s; they are not counted", public(asked.server), strangers(answer))

    async def _apart(self, asked: Asked, service: ServiceName) -> str:
        if not is_of_gateways(asked):
            return REPLICA
        return await self._fetch(asked, "query", labels_apart, MOST_BYTES, query=series_of(service))

    async def _answer(self, asked: Asked, reader: Reader, query: str) -> Answer:
        most = MOST_BYTES + _BYTES_OF_A_SERVICE * len(reader.services)
        return await self._fetch(asked, "query", reader.read, most, query=query)

    async def _past(self, asked: Asked, reader: Reader, span_s: float, step_s: float) -> PastAnswer:
        clock_s = await self._fetch(asked, "query", parse_clock, MOST_BYTES, query="time()")
        step_ms, steps = round(step_s * 1000), round(span_s / step_s)
        grid = Grid(round(clock_s * 1000) - steps * step_ms, step_ms, steps)
        times = {"start": grid.start_ms, "end": grid.start_ms + steps * step_ms, "step": step_ms}
        form = {name: f"{time_ms / 1000:.3f}" for name, time_ms in times.items()}
        query = await self._query_of_the_past(asked, reader)
        most = MOST_BYTES + (_BYTES_OF_A_SERVICE + _BYTES_OF_A_MOMENT * (steps + 1)) * len(reader.services)
        read = partial(parse_past, grid=grid, wanted=reader.services)
        return await self._fetch(asked, "query_range", read, most, query=query, **form)

    async def _query_of_the_past(self, asked: Asked, reader: Reader) -> str:
        """Take in what gateways counted that are gone by now, and leave out who is none and still counts."""
        names = self._gateways() if is_of_gateways(asked) else None
        if names is None:
            return short_query(asked)
        answer = await self._of_gateways(asked, reader, names)
        return query_without({other.instance for other in answer.others}, asked.fresh_s)

    async def _fetch(self, asked: Asked, what: str, read: Callable[[bytes], T], most: int, **form: str) -> T:
        url = f"{_checked(asked.server).rstrip('/')}/api/v1/{what}"
        form = {"timeout": f"{self._deadline_s * 1000:.0f}ms", **form}
        means = self._access.of(asked.server)
        async with (
            AsyncExitStack() as place,
            self._session.post(
                url,
                data=form,
                headers=means.headers,
                ssl=means.trust,
                server_hostname=means.server_name,
                allow_redirects=False,
            ) as response,
        ):
            places = self._places_of_gateways if is_of_gateways(asked) else self._places
            take_place = partial(place.enter_async_context, places)
            body = await _bounded(response, min(most, self._max_answer_bytes), take_place)
            if not response.ok or response.status >= 300:  # noqa: PLR2004 - `ok` lets redirects pass
                raise Fault(_refusal(response.status, body, means.told))
            if response.content_type != "application/json":
                raise Fault(f"answered with {_kind_of(response)}, not with JSON; is this a Prometheus?")
            return await asyncio.to_thread(read, body) if len(body) > _LARGE_BYTES else read(body)


async def _bounded(response: aiohttp.ClientResponse, most: int, take_place: Callable[[], Awaitable[None]]) -> bytes:
    """Read an answer whole; one that turns out large goes on when it has a place."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        if size <= _LARGE_BYTES < size + len(piece):
            await take_place()
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Fault(f"the answer is larger than {most} bytes; aggregate the query further")
    return b"".join(pieces)


class _SharedQueries(NamedTuple):
    """What is asked for many services; most of ten thousand have the same query object, and it is told so by that."""

    of: Mapping[ServiceName, Query]
    asked: Mapping[_Key, Asked]
    by_query: Sequence[tuple[Query, frozenset[ServiceName]]]
    readers: Mapping[Asked, Reader]


def _key(query: Query) -> _Key:
    return query.server, query.expression, query.series


def _questions(queries: Mapping[ServiceName, Query]) -> _SharedQueries:
    """Put services with the same query together; what they share is asked once, and fresh is what is so for all."""
    distinct = {id(query): query for query in queries.values()}
    services: dict[int, list[ServiceName]] = {key: [] for key in distinct}
    for service, query in queries.items():
        services[id(query)].append(service)
    fresh_s: dict[_Key, float] = {}
    about: dict[_Key, set[ServiceName]] = {}
    for query in distinct.values():
        fresh_s[_key(query)] = min(query.max_age_s, fresh_s.get(_key(query), query.max_age_s))
        about.setdefault(_key(query), set()).update(services[id(query)])
    asked = {key: Asked(*key, fresh_s=age_s) for key, age_s in fresh_s.items()}
    return _SharedQueries(
        queries,
        asked,
        [(query, frozenset(services[key])) for key, query in distinct.items()],
        {each: Reader(frozenset(about[key])) for key, each in asked.items()},
    )


def _checked(server: str) -> str:
    try:
        return checked(server)
    except ValueError as error:
        raise Fault(f"its address {error}") from error


def _refusal(status: int, body: bytes, known: str) -> str:
    """Say how it refused in words of ours: its own may be anybody's secret."""
    if 300 <= status < 400:  # noqa: PLR2004 - what redirects are
        return f"redirects (HTTP {status}), which is not followed; give the address that it leads to"
    phrase = HTTPStatus(status).phrase if status in _STATUSES else "of no known meaning"
    if status in _STRANGERS:
        return f"refused: HTTP {status} {phrase}; {known}"
    return f"refused: HTTP {status} {phrase}: {kind_of_error(body) or f'{len(body)} bytes; is this a Prometheus?'}"


_STATUSES = frozenset(HTTPStatus)


def _kind_of(response: aiohttp.ClientResponse) -> str:
    return response.content_type if response.content_type in ("text/html", "text/plain") else "something else"


def _unreachable(error: Exception) -> str:
    """Say why there was no answer; what an error of HTTP itself repeats of the answer is left out."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"its host name cannot be resolved ({error.os_error.strerror})"
        case aiohttp.ClientConnectorCertificateError():
            why = error.certificate_error
            return f"its certificate is not trusted ({getattr(why, 'verify_message', '') or type(why).__name__})"
        case aiohttp.ClientConnectorError():
            return f"not reachable ({_of_the_system(error.os_error)})"
        case OSError():
            return f"not reachable ({_of_the_system(error)})"
        case aiohttp.ClientError():
            return f"not reachable, or no HTTP ({type(error).__name__})"
    return "this is not an HTTP address"


def _of_the_system(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return reason or type(error).__name__
