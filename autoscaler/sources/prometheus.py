"""Reads requests in flight from Prometheus: one query per tick for all services that share server and query text.

A count that is missing, malformed or late is unknown, with a problem that says what to do. It is never zero.
`prometheus_response` knows what a response means.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Any, NamedTuple, TypeAlias, TypeVar

import aiohttp

from autoscaler.documents.prometheus_address import checked, public
from autoscaler.ports import PodCounts, PodQuery, Query, Reading, ReadingHistory, ServiceName
from autoscaler.sources.known_gateways import believed_claims
from autoscaler.sources.prometheus_credentials import PrometheusCredentials
from autoscaler.sources.prometheus_incremental import IncrementalReader
from autoscaler.sources.prometheus_past import PastCounts, parse_past, past_query
from autoscaler.sources.prometheus_pods import parse_pods
from autoscaler.sources.prometheus_query import (
    REPLICA,
    is_of_gateways,
    query_of,
    query_who,
    query_without,
    series_of,
    short_query,
)
from autoscaler.sources.prometheus_range import Grid, RangeResponse, histories, parse_range
from autoscaler.sources.prometheus_response import (
    QueryError,
    QueryResponse,
    ScrapedInstance,
    SharedQuery,
    kind_of_error,
    labels_apart,
    parse,
    parse_clock,
    readings,
    unknown_instances,
)

_REMEMBERED = 16
"""How many sets of queries are remembered."""
DEADLINE_S = 10.0
"""Prometheus' own default timeout of a scrape; ticks do not wait for it."""

MOST_BYTES = 4 * 2**20
"""The largest response, plus the following for each service in the query."""
_BYTES_OF_A_SERVICE, _BYTES_OF_A_MOMENT = 1024, 48
"""An element with names of usual length has 100 bytes, and each of its points 22. A service has up to four elements."""
_LARGE_BYTES = 64 * 2**10
"""A larger response waits for a slot, so that memory is bounded, and is parsed in a thread, so that ticks go on."""
_PLACES = 2

_NOT_ALLOWED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""Statuses that mean missing or insufficient credentials."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
M = TypeVar("M")
_Key: TypeAlias = tuple[str, str, str]
"""Server, expression and series."""


class PrometheusSource:
    """A source of counts and of their history over the HTTP API of any number of Prometheus-compatible servers.

    Args:
        session: makes the connections.
        credentials: authentication and TLS for each server; None uses no credentials and the system's certificates.
        deadline_s: the timeout of a query, response included; Prometheus gets the same timeout.
        gateways: gives the names under which gateways may have series, each with its address; None if the gateways
            are not known.
        max_response_bytes: no response may be larger, however many services it is about.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        deadline_s: float = DEADLINE_S,
        *,
        credentials: PrometheusCredentials | None = None,
        gateways: Callable[[], Mapping[str, str] | None] = lambda: None,
        max_response_bytes: int = 64 * 2**20,
    ) -> None:
        self._session = session
        self._credentials = credentials or PrometheusCredentials()
        self._deadline_s = deadline_s
        self._max_response_bytes = max_response_bytes
        self._gateways = gateways
        self._aliases: dict[str, frozenset[ScrapedInstance]] = {}
        """The other addresses under which each server scrapes the pods of gateways."""
        self._warned: set[str] = set()
        self._places = asyncio.Semaphore(_PLACES)
        self._places_of_gateways = asyncio.Semaphore(_PLACES)
        """Apart, so that large responses to policies' own queries do not delay the query that most services share."""
        self._shared_queries: dict[Query | None, _QueryPlan] = {}
        """By their first query; the most recent is the last."""

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Query all servers at the same time; the slowest takes `deadline_s` at most."""
        return await self._ask(
            self._sorted(queries),
            self._now,
            lambda services, asked, query, response: readings(services, asked, query.max_age_s, response, now_s),
        )

    async def history(
        self, queries: Mapping[ServiceName, Query], now_s: float, *, span_s: float, step_s: float
    ) -> Mapping[ServiceName, ReadingHistory]:
        """Query the history in all servers, each after its time; the slowest takes `deadline_s` at most."""
        return await self._ask(
            _shared_queries(queries),
            lambda asked, reader: self._past(asked, reader, span_s, step_s),
            lambda services, _, query, response: histories(services, query.max_age_s, response, now_s),
        )

    async def pods(self, query: PodQuery) -> PodCounts:
        """Query what each pod of one service runs; this takes `deadline_s` at most."""
        asked = SharedQuery(query.server, query.expression, "")
        response = self._fetch(asked, "query", parse_pods, MOST_BYTES, query=query.expression)
        found = await self._or_problem(asked, response)
        return PodCounts({}, found) if isinstance(found, str) else found

    async def past(
        self, server: str, service: ServiceName, *, start_s: float, end_s: float, step_s: float
    ) -> Sequence[PastCounts] | str:
        """Query what a server has of one service between two times, or say why it has nothing; as long as `pods`."""
        asked, step_ms = SharedQuery(server, past_query(service), ""), round(step_s * 1000)
        grid = Grid(round(start_s * 1000), step_ms, round((end_s - start_s) * 1000) // step_ms)
        form = {"query": asked.expression, **grid.form()}
        response = self._fetch(asked, "query_range", partial(parse_past, grid=grid), MOST_BYTES, **form)
        return await self._or_problem(asked, response)

    async def _ask(
        self,
        questions: "_QueryPlan",
        ask: Callable[[SharedQuery, IncrementalReader], Coroutine[Any, Any, T]],
        mean: Callable[[frozenset[ServiceName], SharedQuery, Query, T | str], Mapping[ServiceName, M]],
    ) -> Mapping[ServiceName, M]:
        _, asked, by_query, readers = questions
        async with asyncio.TaskGroup() as group:
            tasks = {
                each: group.create_task(self._or_problem(each, ask(each, readers[each])))
                for each in set(asked.values())
            }
        each = [(query, asked[_key(query)], services) for query, services in by_query]
        found = [mean(services, shared, query, tasks[shared].result()) for query, shared, services in each]
        # Most services share one query, and its answer is not copied.
        return found[0] if len(found) == 1 else dict(chain.from_iterable(part.items() for part in found))

    def _sorted(self, queries: Mapping[ServiceName, Query]) -> "_QueryPlan":
        """Group services that share a query; most ticks have the same queries as the last one."""
        first = next(iter(queries.values()), None)
        known = self._shared_queries.pop(first, None)
        self._shared_queries[first] = known = known if known and known.of is queries else _shared_queries(queries)
        if len(self._shared_queries) > _REMEMBERED:
            del self._shared_queries[next(iter(self._shared_queries))]
        return known

    async def _or_problem(self, asked: SharedQuery, response: Coroutine[Any, Any, T]) -> T | str:
        """Give a response, or the problem if there is none in time."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await response
        except QueryError as fault:
            return f"{asked}: {fault}"
        except TimeoutError:
            return f"{asked}: no response within {self._deadline_s:g} s; is it overloaded, or the query too expensive?"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{asked}: {_unreachable(error)}"

    async def _now(self, asked: SharedQuery, reader: IncrementalReader) -> QueryResponse:
        names = self._gateways() if is_of_gateways(asked) else None
        if names is None:
            response = await self._answer(asked, reader, short_query(asked))
        else:
            response = await self._of_gateways(asked, reader, names)
        twice = response.twice & reader.services
        return response._replace(apart=await self._apart(asked, min(twice))) if twice else response

    async def _of_gateways(
        self, asked: SharedQuery, reader: IncrementalReader, names: Mapping[str, str]
    ) -> QueryResponse:
        """Query the series of known gateways; one that is scraped under another address is known by its pod."""
        aliases = self._aliases.get(asked.server, frozenset())
        response = await self._of_instances(asked, reader, names, aliases)
        claims = {other for other in response.others | aliases if other.pod in names}
        if claims or aliases:
            found = await self._fetch(asked, "query", parse, MOST_BYTES, query=query_who(names))
            believed = believed_claims(claims, found.others, names)
            if believed != aliases:
                self._aliases[asked.server] = believed
                response = await self._of_instances(asked, reader, names, believed)
        # At a start no gateway is listed yet, and all of them would be unknown.
        self._warn(asked, response if names else response._replace(others=frozenset()))
        return response

    async def _of_instances(
        self,
        asked: SharedQuery,
        reader: IncrementalReader,
        names: Mapping[str, str],
        aliases: frozenset[ScrapedInstance],
    ) -> QueryResponse:
        return await self._answer(
            asked, reader, query_of({*names, *(alias.instance for alias in aliases)}, asked.fresh_s)
        )

    def _warn(self, asked: SharedQuery, response: QueryResponse) -> None:
        if not response.others:
            self._warned.discard(asked.server)
        elif asked.server not in self._warned:
            self._warned.add(asked.server)
            _log.warning(
                "Prometheus at %s: %s; they are not counted", public(asked.server), unknown_instances(response)
            )

    async def _apart(self, asked: SharedQuery, service: ServiceName) -> str:
        if not is_of_gateways(asked):
            return REPLICA
        return await self._fetch(asked, "query", labels_apart, MOST_BYTES, query=series_of(service))

    async def _answer(self, asked: SharedQuery, reader: IncrementalReader, query: str) -> QueryResponse:
        most = MOST_BYTES + _BYTES_OF_A_SERVICE * len(reader.services)
        return await self._fetch(asked, "query", reader.read, most, query=query)

    async def _past(self, asked: SharedQuery, reader: IncrementalReader, span_s: float, step_s: float) -> RangeResponse:
        clock_s = await self._fetch(asked, "query", parse_clock, MOST_BYTES, query="time()")
        step_ms, steps = round(step_s * 1000), round(span_s / step_s)
        grid = Grid(round(clock_s * 1000) - steps * step_ms, step_ms, steps)
        query = await self._query_of_the_past(asked, reader)
        most = MOST_BYTES + (_BYTES_OF_A_SERVICE + _BYTES_OF_A_MOMENT * (steps + 1)) * len(reader.services)
        read = partial(parse_range, grid=grid, wanted=reader.services)
        return await self._fetch(asked, "query_range", read, most, query=query, **grid.form())

    async def _query_of_the_past(self, asked: SharedQuery, reader: IncrementalReader) -> str:
        """Include gateways that are gone by now, and exclude instances that are no gateways."""
        names = self._gateways() if is_of_gateways(asked) else None
        if names is None:
            return short_query(asked)
        response = await self._of_gateways(asked, reader, names)
        return query_without({other.instance for other in response.others}, asked.fresh_s)

    async def _fetch(self, asked: SharedQuery, what: str, read: Callable[[bytes], T], most: int, **form: str) -> T:
        url = f"{_checked(asked.server).rstrip('/')}/api/v1/{what}"
        form = {"timeout": f"{self._deadline_s * 1000:.0f}ms", **form}
        auth = self._credentials.of(asked.server)
        async with (
            AsyncExitStack() as place,
            self._session.post(
                url,
                data=form,
                headers=auth.headers,
                ssl=auth.trust,
                server_hostname=auth.server_name,
                allow_redirects=False,
            ) as response,
        ):
            places = self._places_of_gateways if is_of_gateways(asked) else self._places
            take_place = partial(place.enter_async_context, places)
            body = await _bounded(response, min(most, self._max_response_bytes), take_place)
            if not response.ok or response.status >= 300:  # noqa: PLR2004 - `ok` lets redirects pass
                raise QueryError(_refusal(response.status, body, auth.hint))
            if response.content_type != "application/json":
                raise QueryError(f"answered with {_kind_of(response)}, not with JSON; is this a Prometheus?")
            return await asyncio.to_thread(read, body) if len(body) > _LARGE_BYTES else read(body)


async def _bounded(response: aiohttp.ClientResponse, most: int, take_place: Callable[[], Awaitable[None]]) -> bytes:
    """Read a whole response; one that turns out to be large continues when it has a slot."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        if size <= _LARGE_BYTES < size + len(piece):
            await take_place()
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise QueryError(f"the response is larger than {most} bytes; aggregate the query further")
    return b"".join(pieces)


class _QueryPlan(NamedTuple):
    """The queries of many services; most of ten thousand share one query object, which is compared by identity."""

    of: Mapping[ServiceName, Query]
    asked: Mapping[_Key, SharedQuery]
    by_query: Sequence[tuple[Query, frozenset[ServiceName]]]
    readers: Mapping[SharedQuery, IncrementalReader]


def _key(query: Query) -> _Key:
    return query.server, query.expression, query.series


def _shared_queries(queries: Mapping[ServiceName, Query]) -> _QueryPlan:
    """Group services with the same query; a shared query is sent once, and a sample is fresh if all agree."""
    distinct = {id(query): query for query in queries.values()}
    services: dict[int, list[ServiceName]] = {key: [] for key in distinct}
    for service, query in queries.items():
        services[id(query)].append(service)
    fresh_s: dict[_Key, float] = {}
    about: dict[_Key, set[ServiceName]] = {}
    for query in distinct.values():
        fresh_s[_key(query)] = min(query.max_age_s, fresh_s.get(_key(query), query.max_age_s))
        about.setdefault(_key(query), set()).update(services[id(query)])
    asked = {key: SharedQuery(*key, fresh_s=age_s) for key, age_s in fresh_s.items()}
    return _QueryPlan(
        queries,
        asked,
        [(query, frozenset(services[key])) for key, query in distinct.items()],
        {each: IncrementalReader(frozenset(about[key])) for key, each in asked.items()},
    )


def _checked(server: str) -> str:
    try:
        return checked(server)
    except ValueError as error:
        raise QueryError(f"its address {error}") from error


def _refusal(status: int, body: bytes, hint: str) -> str:
    """Describe a refusal in our own words: the server's may contain a secret."""
    if 300 <= status < 400:  # noqa: PLR2004 - what redirects are
        return f"redirects (HTTP {status}), which is not followed; give the address that it redirects to"
    phrase = HTTPStatus(status).phrase if status in _STATUSES else "of no known meaning"
    if status in _NOT_ALLOWED:
        return f"refused: HTTP {status} {phrase}; {hint}"
    return f"refused: HTTP {status} {phrase}: {kind_of_error(body) or f'{len(body)} bytes; is this a Prometheus?'}"


_STATUSES = frozenset(HTTPStatus)


def _kind_of(response: aiohttp.ClientResponse) -> str:
    return response.content_type if response.content_type in ("text/html", "text/plain") else "something else"


def _unreachable(error: Exception) -> str:
    """Say why there was no response, without the parts of the response that an HTTP error repeats."""
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
