"""Reads requests in flight from Prometheus: one query per tick for all services that share server and query text.

Rules:
    * One answer brings value, oldest sample and number of sources of every service, all of one evaluation.
    * Ages are differences of two stamps of Prometheus; its clock is never compared with ours.
    * Whatever is missing, broken or late is unknown, with a problem that says what to do. It is never zero.
"""

import asyncio
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import aiohttp

from autoscaler.ports import Query, Reading, ServiceName

DEADLINE_S = 10.0
"""As long as Prometheus itself waits for a scrape that is not told otherwise; ticks do not wait for it."""
_QUOTED_CHARS = 300
"""How much of a peer's own words a problem repeats."""


class _Asked(NamedTuple):
    """What services must have in common to share one query."""

    server: str
    expression: str
    series: str

    def __str__(self) -> str:
        return f"Prometheus at {_public(self.server)}, query {_short(self.expression)!r}"


class _Answer(NamedTuple):
    """One parsed answer; each mapping has the services that it has something to say about."""

    evaluated_s: float
    value: Mapping[ServiceName, float]
    oldest: Mapping[ServiceName, float]
    """When the oldest sample was taken; like `evaluated_s` by the clock of Prometheus."""
    series: Mapping[ServiceName, float]
    repeated: frozenset[ServiceName]
    unlabelled: bool
    """Some element lacks the label `namespace` or `service`."""
    warning: str


class _Fault(Exception):  # noqa: N818 - not an error of ours: a peer's, as words for the user
    """Why there is no usable answer at all."""


class PrometheusSource:
    """A `MetricsSource` over the HTTP API of any number of Prometheus servers, or of what speaks like one.

    Args:
        session: how to get there: addresses, TLS and credentials are its business.
        deadline_s: a query that is not answered and read whole by then is given up; Prometheus is told to do the same.
        max_answer_bytes: an answer larger than this is not read to its end.
    """

    def __init__(
        self, session: aiohttp.ClientSession, deadline_s: float = DEADLINE_S, *, max_answer_bytes: int = 64 * 2**20
    ) -> None:
        self._session = session
        self._deadline_s = deadline_s
        self._max_answer_bytes = max_answer_bytes

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Ask every server at once; the slowest takes `deadline_s` at most."""
        asked = {service: _Asked(query.server, query.expression, query.series) for service, query in queries.items()}
        async with asyncio.TaskGroup() as group:
            tasks = {each: group.create_task(self._ask(each)) for each in set(asked.values())}
        return {
            service: _reading(service, asked[service], query.max_age_s, tasks[asked[service]].result(), now_s)
            for service, query in queries.items()
        }

    async def _ask(self, asked: _Asked) -> _Answer | str:
        try:
            async with asyncio.timeout(self._deadline_s):
                return _parse(await self._fetch(asked))
        except _Fault as fault:
            return f"{asked}: {fault}"
        except TimeoutError:
            return f"{asked}: no answer within {self._deadline_s:g} s; is it overloaded, or the query too expensive?"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{asked}: {_unreachable(error)}"

    async def _fetch(self, asked: _Asked) -> bytes:
        url = f"{asked.server.rstrip('/')}/api/v1/query"
        form = {"query": joined_query(asked.expression, asked.series), "timeout": f"{self._deadline_s * 1000:.0f}ms"}
        async with self._session.post(url, data=form, allow_redirects=False) as response:
            body = await self._bounded(response)
            if not response.ok or response.status >= 300:  # noqa: PLR2004 - `ok` lets redirects pass
                raise _Fault(_refusal(response, body))
            if response.content_type != "application/json":
                raise _Fault(f"answered with {response.content_type}, not with JSON; is this a Prometheus?")
            return body

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        pieces = bytearray()
        async for piece in response.content.iter_any():
            pieces += piece
            if len(pieces) > self._max_answer_bytes:
                raise _Fault(f"the answer is larger than {self._max_answer_bytes} bytes; aggregate the query further")
        return bytes(pieces)


def joined_query(expression: str, series: str) -> str:
    """Give PromQL that brings value, oldest sample and number of sources of each service, told apart by the label `f`.

    A source is a scraped instance: a gateway has one series for each state, and counts once. Both texts stand on lines
    of their own, so that a comment at their end does no harm.
    """
    by = "by (namespace, service)"
    return (
        f'label_replace(\n{expression}\n, "f", "value", "", "")\n'
        f'or label_replace(min {by} (timestamp(\n{series}\n)), "f", "oldest", "", "")\n'
        f'or label_replace(count {by} (count by (namespace, service, instance) (\n{series}\n)), "f", "series", "", "")'
    )


def _parse(body: bytes) -> _Answer:
    try:
        answer = json.loads(body)
        if answer["status"] != "success":
            raise _Fault(f"refused: {_own_words(answer)}")
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind != "vector":
            raise _Fault(f"answered with a {_short(str(kind))} where an instant vector was asked for")
        return _collect(result, "; ".join(map(str, answer.get("warnings") or ())))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _Fault(f"answered with JSON that is not Prometheus' ({_short(repr(error))})") from error


def _collect(elements: Iterable[Mapping[str, Any]], warning: str) -> _Answer:
    kinds: dict[str, dict[ServiceName, float]] = {"value": {}, "oldest": {}, "series": {}}
    evaluated_s = 0.0
    repeated = set()
    unlabelled = False
    for element in elements:
        labels = element["metric"]
        evaluated_s, text = element["value"]
        of_kind = kinds[labels["f"]]
        if "namespace" not in labels or "service" not in labels:
            unlabelled = True
            continue
        service = f"{labels['namespace']}/{labels['service']}"
        if service in of_kind:
            repeated.add(service)
        of_kind[service] = float(text)
    return _Answer(float(evaluated_s), **kinds, repeated=frozenset(repeated), unlabelled=unlabelled, warning=warning)


def _reading(service: ServiceName, asked: _Asked, max_age_s: float, answer: _Answer | str, now_s: float) -> Reading:
    if isinstance(answer, str):
        return Reading(None, now_s, problem=answer)
    absent = _absence(service, asked, answer)
    if absent:
        return Reading(None, now_s, problem=f"{asked}: {absent}")
    value, series = answer.value[service], answer.series[service]
    age_s = answer.evaluated_s - answer.oldest[service]
    distrust = _distrust(value, series, age_s, max_age_s)
    if distrust:
        return Reading(None, now_s, problem=f"{asked}: {distrust}")
    problem = f"{asked}: part of the data may be missing: {_short(answer.warning)}" if answer.warning else ""
    # Evaluated after now_s, so the oldest sample is at least as young as this says.
    return Reading(value, now_s - age_s, int(series), problem)


def _absence(service: ServiceName, asked: _Asked, answer: _Answer) -> str:
    """Say why the three samples of a service are not all there, once each; empty if they are."""
    namespace, _, name = service.partition("/")
    if service in answer.repeated:
        return f"several values for {service}; aggregate with sum by (namespace, service) (...)"
    if service not in answer.value and answer.unlabelled:
        return "the result lacks the labels namespace and service; aggregate with sum by (namespace, service) (...)"
    if service not in answer.value:
        return (
            f'no series for namespace="{namespace}", service="{name}" ({len(answer.value)} other services have one);'
            " is its gateway running and scraped?"
        )
    if service not in answer.oldest or service not in answer.series:
        return f"a value for {service} but no sample behind it; does {_short(asked.series)!r} select the raw series?"
    return ""


def _distrust(value: float, series: float, age_s: float, max_age_s: float) -> str:
    """Say why a value cannot be believed; empty if it can."""
    if not 0 <= value < math.inf:
        return f"the value is {value:g}, which is not a number of requests"
    if not (1 <= series < math.inf and age_s >= 0):
        return f"{series:g} series, the oldest sample {age_s:g} s old: this cannot be; is it a Prometheus?"
    if age_s > max_age_s:
        return f"the oldest sample is {age_s:.1f} s old, more than maxSampleAge {max_age_s:g} s; is it still scraped?"
    return ""


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> str:
    location = response.headers.get("Location")
    if location is not None:
        return f"redirects (HTTP {response.status}) to {_short(_public(location))}; give that address instead"
    try:
        words = _own_words(json.loads(body))
    except (ValueError, RecursionError, TypeError, AttributeError):
        words = _short(body.decode(errors="replace")) if response.content_type == "text/plain" else "not a Prometheus?"
    return f"refused: HTTP {response.status} {response.reason}: {words}"


def _own_words(answer: Mapping[str, Any]) -> str:
    return _short(f"{answer.get('errorType', 'error')}: {answer.get('error', 'no reason given')}")


def _unreachable(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"its host name cannot be resolved ({error.os_error.strerror})"
    if isinstance(error, ValueError):
        return "this is not an HTTP address"
    return f"not reachable ({_short(str(error)) or type(error).__name__})"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS]}..."


def _public(address: str) -> str:
    """Give an address without the credentials that it may carry."""
    return re.sub(r"//[^/@]*@", "//", address)
