"""What a response of Prometheus means, and how far it can be trusted. No I/O.

Rules:
    * One response has the value, the oldest sample and the number of sources of every service, all of one evaluation.
    * Ages are differences of two timestamps of Prometheus; its clock is never compared with ours.
    * A count that is missing or malformed is unknown, with a problem that says what to do. It is never zero.
    * A problem appears in statuses and logs that others read. It never repeats text of a response.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from sys import intern
from typing import Any, NamedTuple

import msgspec

from autoscaler.documents.prometheus_address import public
from autoscaler.ports import Reading, ServiceName

_QUOTED_CHARS = 300
"""How much of a query a problem quotes."""
LARGEST_COUNT = 2.0**53
"""The largest count: above it floating point cannot represent every whole number."""


class SharedQuery(NamedTuple):
    """The parts that services must have in common to share one query."""

    server: str
    expression: str
    series: str
    fresh_s: float = 0.0
    """The age of an older sample is reported for each service."""

    def __str__(self) -> str:
        return f"Prometheus at {public(self.server)}, query {short(self.expression)!r}"


class QueryResponse(NamedTuple):
    """One parsed response; each mapping has the services that have an element of this kind."""

    evaluated_s: float
    value: Mapping[ServiceName, float]
    zero: frozenset[ServiceName]
    """Services whose value is zero: most of them, if there are many."""
    oldest: Mapping[ServiceName, float]
    """When the oldest sample was taken; like `evaluated_s` by Prometheus' clock."""
    series: Mapping[ServiceName, float]
    usual: Mapping[str, float]
    """The properties of every service with a value and no property of its own: no sample is older than `oldest`, and
    each service has as many sources as `series`."""
    repeated: frozenset[ServiceName]
    bare: frozenset[ServiceName]
    """Services with a value but without a sample."""
    unlabelled: bool
    """Some element lacks the label `namespace` or `service`."""
    warning: str
    twice: frozenset[ServiceName] = frozenset()
    """Services with two series where there can be only one."""
    others: frozenset["ScrapedInstance"] = frozenset()
    """Instances with series of the gateways' name that are no known gateways."""
    apart: str = ""
    """The labels by which two series of a kind differ, if they have been queried."""


class ScrapedInstance(NamedTuple):
    """An instance that Prometheus has scraped, by two of its labels; empty if absent."""

    instance: str
    pod: str

    def __str__(self) -> str:
        """Give what may be shown: labels come from others, and may contain anything."""
        named = [f"{label} {value}" for label, value in (("pod", self.pod), ("instance", self.instance)) if value]
        return " at ".join(named) if all(map(_NAME.fullmatch, named)) and named else "one without a legal name"


_NAME = re.compile(r"(pod|instance) [A-Za-z0-9.:_\[\]-]{1,253}")


class QueryError(Exception):
    """There is no usable response; the message says why."""


_LAST_S = 253402300799.0
"""The end of the year 9999."""


class Labels(msgspec.Struct, gc=False):
    """The labels of an element."""

    f: str
    namespace: str | None = None
    service: str | None = None
    instance: str | None = None
    pod: str | None = None


class _Element(msgspec.Struct, gc=False):
    metric: Labels
    value: tuple[float, str]


_VECTOR = msgspec.json.Decoder(list[_Element])


def parse(body: bytes) -> QueryResponse:
    """Read the response to a query; raises QueryError."""
    with malformed_is_error():
        return parse_vector(*result_of(body, "vector"))


def parse_clock(body: bytes) -> float:
    """Read the response to the query `time()`; raises QueryError."""
    with malformed_is_error():
        (_, text) = msgspec.json.decode(result_of(body, "scalar")[0])
        clock_s = float(text)
        if not 0 <= clock_s <= _LAST_S:
            raise ValueError("no time")
        return clock_s


@contextmanager
def malformed_is_error() -> Iterator[None]:
    """Turn a response that cannot be read into a QueryError."""
    try:
        yield
    except (
        *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError),
        msgspec.MsgspecError,
    ) as error:
        raise QueryError("answered with JSON that is not Prometheus'; is this a Prometheus?") from error


class _Data(msgspec.Struct):
    result_type: Any = msgspec.field(name="resultType", default=None)
    result: msgspec.Raw = msgspec.Raw()


class _Envelope(msgspec.Struct):
    status: str
    data: _Data = msgspec.field(default_factory=_Data)
    warnings: Any = None
    error_type: Any = msgspec.field(name="errorType", default=None)


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_KINDS_OF_ERRORS = {
    "bad_data": "bad_data: it does not accept the query; its own page says what is wrong with it",
    "canceled": "canceled: it cancelled the query",
    "execution": (
        "execution: the query failed while it ran, for example because series differ only in their name (then `series` "
        "must name one of them); its own page says why"
    ),
    "internal": "internal: it has an internal error",
    "not_found": "not_found: it has no such API",
    "timeout": "timeout: the query takes too long",
    "unavailable": "unavailable: it cannot response now",
}
_RESULTS = frozenset({"matrix", "scalar", "string", "vector"})


def result_of(body: bytes, wanted: str) -> tuple[msgspec.Raw, str]:
    """Give the unparsed result, and a text if there are warnings."""
    response = _ENVELOPE.decode(body)
    if response.status != "success":
        raise QueryError(f"refused: {_kind_of_error(response) or 'it gives no known reason'}")
    if response.data.result_type != wanted:
        kind = response.data.result_type if response.data.result_type in _RESULTS else "result of another kind"
        raise QueryError(f"answered with a {kind} where a {wanted} was asked for")
    return response.data.result, "the response has warnings" if response.warnings else ""


def kind_of_error(body: bytes) -> str:
    """Say which error of Prometheus' API a response is; empty if none."""
    try:
        return _kind_of_error(_ENVELOPE.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def _kind_of_error(response: _Envelope) -> str:
    return _KINDS_OF_ERRORS.get(response.error_type, "") if isinstance(response.error_type, str) else ""


def parse_vector(result: msgspec.Raw, warning: str) -> QueryResponse:
    """Read a vector; raises what `malformed_is_error` understands."""
    kinds: dict[str, dict[ServiceName, float]] = {"value": {}, "oldest": {}, "series": {}, "bare": {}, "twice": {}}
    usual: dict[str, float] = {}
    evaluated_s = 0.0
    repeated, others = set(), set()
    unlabelled = False
    for element in _VECTOR.decode(result):
        labels = element.metric
        evaluated_s, text = element.value
        if labels.f == "other":
            others.add(ScrapedInstance(labels.instance or "", labels.pod or ""))
            continue
        of_kind = kinds[labels.f]
        if labels.namespace is None or labels.service is None:
            unlabelled |= labels.f == "value"
            usual[labels.f] = float(text)
            continue
        service = intern(f"{labels.namespace}/{labels.service}")
        if service in of_kind:
            repeated.add(service)
        of_kind[service] = float(text)
    return QueryResponse(
        evaluated_s,
        value=kinds["value"],
        oldest=kinds["oldest"],
        series=kinds["series"],
        zero=frozenset(service for service, value in kinds["value"].items() if value == 0),
        usual=usual,
        repeated=frozenset(repeated),
        bare=frozenset(kinds["bare"]),
        unlabelled=unlabelled,
        warning=warning,
        twice=frozenset(kinds["twice"]),
        others=frozenset(others),
    )


class _Series(msgspec.Struct):
    metric: dict[str, str]


_ALL_SERIES = msgspec.json.Decoder(list[_Series])
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")
_MOST_LABELS = 3


def labels_apart(body: bytes) -> str:
    """Give the labels by which series of one gateway, service and state differ; raises QueryError."""
    first: dict[tuple[str | None, str | None], dict[str, str]] = {}
    found: set[str] = set()
    with malformed_is_error():
        for each in _ALL_SERIES.decode(result_of(body, "vector")[0]):
            other = first.setdefault((each.metric.get("instance"), each.metric.get("state")), each.metric)
            labels = each.metric.keys() | other.keys()
            found |= {name for name in labels if each.metric.get(name) != other.get(name) and _LABEL.fullmatch(name)}
    return ", ".join(sorted(found)[:_MOST_LABELS])


def readings(
    services: Iterable[ServiceName], asked: SharedQuery, max_age_s: float, response: QueryResponse | str, now_s: float
) -> dict[ServiceName, Reading]:
    """Give the readings of many services; those at zero with the usual properties share one reading."""
    if isinstance(response, str):
        return dict.fromkeys(services, Reading(None, now_s, problem=response))
    special = {*response.oldest, *response.series, *response.repeated, *response.bare, *response.twice}
    wanted = frozenset(services)
    alike = next((service for service in response.zero if service not in special), None)
    made = {} if alike is None else dict.fromkeys(wanted, reading(alike, asked, max_age_s, response, now_s))
    for service in (wanted - response.zero) | (wanted & special):
        made[service] = reading(service, asked, max_age_s, response, now_s)
    return made


def reading(
    service: ServiceName, asked: SharedQuery, max_age_s: float, response: QueryResponse | str, now_s: float
) -> Reading:
    """Give the reading of one service from a response, or from a problem."""
    if isinstance(response, str):
        return Reading(None, now_s, problem=response)
    absent = _absence(service, asked, response)
    if absent:
        return Reading(None, now_s, problem=f"{asked}: {absent}")
    oldest_s = response.oldest.get(service, response.usual.get("oldest", math.nan))
    series = response.series.get(service, response.usual.get("series", math.nan))
    sample = Sample(response.value[service], series, response.evaluated_s - oldest_s)
    # Evaluated after now_s, so the oldest sample is at most as old as this says.
    made = as_reading(sample, max_age_s, response.warning, now_s)
    return made._replace(problem=f"{asked}: {made.problem}") if made.problem else made


class Sample(NamedTuple):
    """The values of one service at one time."""

    value: float
    series: float
    age_s: float


def as_reading(sample: Sample, max_age_s: float, warning: str, at_s: float) -> Reading:
    """Make a reading, by the controller's time: unknown if it cannot be trusted, a part after a warning."""
    if why := _why_untrusted(sample, max_age_s):
        return Reading(None, at_s, problem=why)
    problem = f"part of the data may be missing: {warning}" if warning else ""
    return Reading(sample.value, at_s - sample.age_s, int(sample.series), problem)


def _absence(service: ServiceName, asked: SharedQuery, response: QueryResponse) -> str:
    """Say which of the three elements of a service is missing or repeated; empty if none is."""
    if service in response.repeated:
        return f"several values for {service}; aggregate with sum by (namespace, service) (...)"
    if service not in response.value and response.unlabelled:
        return "the result lacks the labels namespace and service; aggregate with sum by (namespace, service) (...)"
    if service not in response.value:
        return _no_series(service, response)
    if service in response.twice:
        return _two_series(service, response)
    has_oldest, has_series = ("oldest" in response.usual or service in response.oldest), service in response.series
    if service in response.bare or not (has_oldest and (has_series or "series" in response.usual)):
        return f"a value for {service} but no sample; does {short(asked.series)!r} select the raw series?"
    return ""


def _no_series(service: ServiceName, response: QueryResponse) -> str:
    namespace, _, name = service.partition("/")
    other = f"; {unknown_instances(response)}" if response.others else ""
    return (
        f'no series for namespace="{namespace}", service="{name}" ({len(response.value)} other services have one);'
        f" is its gateway running and scraped?{other}"
    )


def unknown_instances(response: QueryResponse) -> str:
    """Name an instance that has series of gateways and is no known gateway."""
    one, *more = sorted(response.others)
    return f"there are series from {one}{f' and {len(more)} more' if more else ''}, which is not a known gateway"


def _two_series(service: ServiceName, response: QueryResponse) -> str:
    label = response.apart or "LABEL"
    apart = f", with different {response.apart}" if response.apart else ""
    return (
        f"each series of {service} exists several times{apart}: are these two Prometheus servers? Merge their "
        f"series, or write the query as sum by (namespace, service) (max without ({label}) (SELECTOR))"
    )


def _why_untrusted(sample: Sample, max_age_s: float) -> str:
    """Say why a value cannot be trusted; empty if it can."""
    value, series, age_s = sample
    if not 0 <= value <= LARGEST_COUNT:
        return f"the value is {value:g}, which is not a number of requests"
    if not (1 <= series <= LARGEST_COUNT and age_s >= 0):
        return f"{series:g} series, the oldest sample {age_s:g} s old: this is impossible; is it a Prometheus?"
    if age_s > max_age_s:
        why = _why_old(age_s, max_age_s)
        return f"the oldest sample is {age_s:.1f} s old, more than maxSampleAge {max_age_s:g} s; {why}"
    return ""


_VICTORIA_S = 30.0
"""VictoriaMetrics' default latency offset: it evaluates queries this long ago."""


def _why_old(age_s: float, max_age_s: float) -> str:
    if abs(age_s - _VICTORIA_S) < 1 and max_age_s < _VICTORIA_S:
        return "VictoriaMetrics answers for 30 s ago: set its -search.latencyOffset=1s, or maxSampleAge to 45s"
    return f"is it still scraped, and more often than every {max_age_s:g} s?"


def short(text: str) -> str:
    """Give a query on one line, shortened."""
    text = " ".join(text.split())
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS]}..."
