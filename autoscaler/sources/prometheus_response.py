"""What Prometheus answers, and how far it can be believed. No I/O.

Rules:
    * One answer brings value, oldest sample and number of sources of every service, all of one evaluation.
    * Ages are differences of two stamps of Prometheus; its clock is never compared with ours.
    * Whatever is missing or broken is unknown, with a problem that says what to do. It is never zero.
    * A problem goes into statuses and logs that others read. It never repeats a word of an answer.
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
"""How much of a query a problem repeats."""
MOST_BELIEVED = 2.0**53
"""No count is larger: up to here floating point still tells one from the next."""


class Asked(NamedTuple):
    """What services must have in common to share one query."""

    server: str
    expression: str
    series: str
    fresh_s: float = 0.0
    """A sample that is older is told of each service for itself."""

    def __str__(self) -> str:
        return f"Prometheus at {public(self.server)}, query {short(self.expression)!r}"


class Answer(NamedTuple):
    """One parsed answer; each mapping has the services that it has something to say about."""

    evaluated_s: float
    value: Mapping[ServiceName, float]
    zero: frozenset[ServiceName]
    """Those whose value is zero: most, where there are many."""
    oldest: Mapping[ServiceName, float]
    """When the oldest sample was taken; like `evaluated_s` by the clock of Prometheus."""
    series: Mapping[ServiceName, float]
    usual: Mapping[str, float]
    """What holds of every service that has a value and no word of its own: no sample of theirs is older than `oldest`,
    and each has as many sources as `series`."""
    repeated: frozenset[ServiceName]
    bare: frozenset[ServiceName]
    """Those with a value and no sample behind it."""
    unlabelled: bool
    """Some element lacks the label `namespace` or `service`."""
    warning: str
    twice: frozenset[ServiceName] = frozenset()
    """Those of whose series there are two where there can be one."""
    others: frozenset["Other"] = frozenset()
    """Who has series of the gateways' name and is not among those that were asked about."""
    apart: str = ""
    """The labels by which two series of a kind differ, where that has been looked up."""


class Other(NamedTuple):
    """Whoever Prometheus has scraped, by two of its labels; empty is absent."""

    instance: str
    pod: str

    def __str__(self) -> str:
        """Give what may be shown: its labels are a stranger's words."""
        named = [f"{label} {value}" for label, value in (("pod", self.pod), ("instance", self.instance)) if value]
        return " at ".join(named) if all(map(_NAME.fullmatch, named)) and named else "one without a legal name"


_NAME = re.compile(r"(pod|instance) [A-Za-z0-9.:_\[\]-]{1,253}")


class Fault(Exception):  # noqa: N818 - not an error of ours: a peer's, as words for the user
    """Why there is no usable answer at all."""


_LAST_S = 253402300799.0
"""The end of the year 9999."""


class Labels(msgspec.Struct, gc=False):
    """What an element is about."""

    f: str
    namespace: str | None = None
    service: str | None = None
    instance: str | None = None
    pod: str | None = None


class _Element(msgspec.Struct, gc=False):
    metric: Labels
    value: tuple[float, str]


_VECTOR = msgspec.json.Decoder(list[_Element])


def parse(body: bytes) -> Answer:
    """Read what a query was answered; raises Fault."""
    with understood():
        return collected(*result_of(body, "vector"))


def parse_clock(body: bytes) -> float:
    """Read what the query `time()` was answered; raises Fault."""
    with understood():
        (_, text) = msgspec.json.decode(result_of(body, "scalar")[0])
        clock_s = float(text)
        if not 0 <= clock_s <= _LAST_S:
            raise ValueError("no time")
        return clock_s


@contextmanager
def understood() -> Iterator[None]:
    """Take what cannot be read for no answer of Prometheus; raises Fault."""
    try:
        yield
    except (
        *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError),
        msgspec.MsgspecError,
    ) as error:
        raise Fault("answered with JSON that is not Prometheus'; is this a Prometheus?") from error


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
    "canceled": "canceled: it gave the query up",
    "execution": (
        "execution: the query failed while it ran, as it does if series differ in their name alone (then `series` must "
        "name one of them); its own page says why"
    ),
    "internal": "internal: it has a fault of its own",
    "not_found": "not_found: it has no such API",
    "timeout": "timeout: the query takes too long",
    "unavailable": "unavailable: it cannot answer now",
}
_RESULTS = frozenset({"matrix", "scalar", "string", "vector"})


def result_of(body: bytes, wanted: str) -> tuple[msgspec.Raw, str]:
    """Give the result as it is written, and in words whether there are warnings."""
    answer = _ENVELOPE.decode(body)
    if answer.status != "success":
        raise Fault(f"refused: {_kind_of_error(answer) or 'it says no reason that is known'}")
    if answer.data.result_type != wanted:
        kind = answer.data.result_type if answer.data.result_type in _RESULTS else "result of another kind"
        raise Fault(f"answered with a {kind} where a {wanted} was asked for")
    return answer.data.result, "the answer has warnings" if answer.warnings else ""


def kind_of_error(body: bytes) -> str:
    """Say which kind of error an answer is, of those that Prometheus' API knows; empty if none."""
    try:
        return _kind_of_error(_ENVELOPE.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def _kind_of_error(answer: _Envelope) -> str:
    return _KINDS_OF_ERRORS.get(answer.error_type, "") if isinstance(answer.error_type, str) else ""


def collected(result: msgspec.Raw, warning: str) -> Answer:
    """Read a vector; raises what `understood` understands."""
    kinds: dict[str, dict[ServiceName, float]] = {"value": {}, "oldest": {}, "series": {}, "bare": {}, "twice": {}}
    usual: dict[str, float] = {}
    evaluated_s = 0.0
    repeated, others = set(), set()
    unlabelled = False
    for element in _VECTOR.decode(result):
        labels = element.metric
        evaluated_s, text = element.value
        if labels.f == "other":
            others.add(Other(labels.instance or "", labels.pod or ""))
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
    return Answer(
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
    """Name the labels by which series of one gateway, service and state differ; raises Fault."""
    first: dict[tuple[str | None, str | None], dict[str, str]] = {}
    found: set[str] = set()
    with understood():
        for each in _ALL_SERIES.decode(result_of(body, "vector")[0]):
            other = first.setdefault((each.metric.get("instance"), each.metric.get("state")), each.metric)
            labels = each.metric.keys() | other.keys()
            found |= {name for name in labels if each.metric.get(name) != other.get(name) and _LABEL.fullmatch(name)}
    return ", ".join(sorted(found)[:_MOST_LABELS])


def readings(
    services: Iterable[ServiceName], asked: Asked, max_age_s: float, answer: Answer | str, now_s: float
) -> dict[ServiceName, Reading]:
    """Say what an answer means for many services; of those that are at zero and as usual it is one reading."""
    if isinstance(answer, str):
        return dict.fromkeys(services, Reading(None, now_s, problem=answer))
    special = {*answer.oldest, *answer.series, *answer.repeated, *answer.bare, *answer.twice}
    wanted = frozenset(services)
    alike = next((service for service in answer.zero if service not in special), None)
    made = {} if alike is None else dict.fromkeys(wanted, reading(alike, asked, max_age_s, answer, now_s))
    for service in (wanted - answer.zero) | (wanted & special):
        made[service] = reading(service, asked, max_age_s, answer, now_s)
    return made


def reading(service: ServiceName, asked: Asked, max_age_s: float, answer: Answer | str, now_s: float) -> Reading:
    """Say what an answer, or a fault in words, means for one service."""
    if isinstance(answer, str):
        return Reading(None, now_s, problem=answer)
    absent = _absence(service, asked, answer)
    if absent:
        return Reading(None, now_s, problem=f"{asked}: {absent}")
    oldest_s = answer.oldest.get(service, answer.usual.get("oldest", math.nan))
    series = answer.series.get(service, answer.usual.get("series", math.nan))
    sample = Sample(answer.value[service], series, answer.evaluated_s - oldest_s)
    # Evaluated after now_s, so the oldest sample is at least as young as this says.
    made = believed(sample, max_age_s, answer.warning, now_s)
    return made._replace(problem=f"{asked}: {made.problem}") if made.problem else made


class Sample(NamedTuple):
    """What was found of one service at one time."""

    value: float
    series: float
    age_s: float


def believed(sample: Sample, max_age_s: float, warning: str, at_s: float) -> Reading:
    """Make a reading of it, by the controller's time; unknown where it cannot be believed, a part after a warning."""
    distrust = _distrust(sample, max_age_s)
    if distrust:
        return Reading(None, at_s, problem=distrust)
    problem = f"part of the data may be missing: {warning}" if warning else ""
    return Reading(sample.value, at_s - sample.age_s, int(sample.series), problem)


def _absence(service: ServiceName, asked: Asked, answer: Answer) -> str:
    """Say why the three samples of a service are not all there, once each; empty if they are."""
    if service in answer.repeated:
        return f"several values for {service}; aggregate with sum by (namespace, service) (...)"
    if service not in answer.value and answer.unlabelled:
        return "the result lacks the labels namespace and service; aggregate with sum by (namespace, service) (...)"
    if service not in answer.value:
        return _no_series(service, answer)
    if service in answer.twice:
        return _two_series(service, answer)
    has_oldest, has_series = ("oldest" in answer.usual or service in answer.oldest), service in answer.series
    if service in answer.bare or not (has_oldest and (has_series or "series" in answer.usual)):
        return f"a value for {service} but no sample behind it; does {short(asked.series)!r} select the raw series?"
    return ""


def _no_series(service: ServiceName, answer: Answer) -> str:
    namespace, _, name = service.partition("/")
    other = f"; {strangers(answer)}" if answer.others else ""
    return (
        f'no series for namespace="{namespace}", service="{name}" ({len(answer.value)} other services have one);'
        f" is its gateway running and scraped?{other}"
    )


def strangers(answer: Answer) -> str:
    """Name somebody who is no gateway and has series as gateways have."""
    one, *more = sorted(answer.others)
    return f"there are series from {one}{f' and {len(more)} more' if more else ''}, which is no gateway that is known"


def _two_series(service: ServiceName, answer: Answer) -> str:
    label = answer.apart or "LABEL"
    apart = f", apart by {answer.apart}" if answer.apart else ""
    return (
        f"each series of {service} is there several times{apart}: is this a pair of Prometheus? Let it merge their "
        f"series, or write the query as sum by (namespace, service) (max without ({label}) (SELECTOR))"
    )


def _distrust(sample: Sample, max_age_s: float) -> str:
    """Say why a value cannot be believed; empty if it can."""
    value, series, age_s = sample
    if not 0 <= value <= MOST_BELIEVED:
        return f"the value is {value:g}, which is not a number of requests"
    if not (1 <= series <= MOST_BELIEVED and age_s >= 0):
        return f"{series:g} series, the oldest sample {age_s:g} s old: this cannot be; is it a Prometheus?"
    if age_s > max_age_s:
        why = _why_old(age_s, max_age_s)
        return f"the oldest sample is {age_s:.1f} s old, more than maxSampleAge {max_age_s:g} s; {why}"
    return ""


_VICTORIA_S = 30.0
"""As far back lie the answers of VictoriaMetrics, unless it is told otherwise."""


def _why_old(age_s: float, max_age_s: float) -> str:
    if abs(age_s - _VICTORIA_S) < 1 and max_age_s < _VICTORIA_S:
        return "VictoriaMetrics answers for 30 s ago: set its -search.latencyOffset=1s, or maxSampleAge to 45s"
    return f"is it still scraped, and more often than every {max_age_s:g} s?"


def short(text: str) -> str:
    """Give a query on one line, and not too much of it."""
    text = " ".join(text.split())
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS]}..."
