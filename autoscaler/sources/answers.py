"""What Prometheus answers, and how far it can be believed. No I/O.

Rules:
    * One answer brings value, oldest sample and number of sources of every service, all of one evaluation.
    * Ages are differences of two stamps of Prometheus; its clock is never compared with ours.
    * Whatever is missing or broken is unknown, with a problem that says what to do. It is never zero.
    * A problem goes into statuses and logs that others read. It never repeats a word of an answer.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from sys import intern
from typing import Any, NamedTuple

import msgspec

from autoscaler.ports import Reading, ServiceName
from autoscaler.prometheus_address import public

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


class Fault(Exception):  # noqa: N818 - not an error of ours: a peer's, as words for the user
    """Why there is no usable answer at all."""


def short_query(expression: str, series: str, fresh_s: float) -> str:
    """Give PromQL that brings value, oldest sample and number of sources of each service, told apart by the label `f`.

    A source is a scraped instance: a gateway has one series for each state, and counts once. What is as usual is said
    once, without labels: that no sample is older than `fresh_s`, and that there are as many sources as of any service.
    Each text stands on lines of its own, so that a comment at its end does no harm.
    """
    sources = _sources(series)
    return (
        f'label_replace(\n{expression}\n, "f", "value", "", "")\n'
        f'or label_replace({_oldest(series)} < time() - {fresh_s:g}, "f", "oldest", "", "")\n'
        f'or label_replace({sources} != scalar(max({sources})), "f", "series", "", "")\n'
        f'or label_replace((\n{expression}\n) unless on (namespace, service) (\n{series}\n), "f", "bare", "", "")\n'
        f'or label_replace(min({_oldest(series)} >= time() - {fresh_s:g}), "f", "oldest", "", "")\n'
        f'or label_replace(max({sources}), "f", "series", "", "")'
    )


def _oldest(series: str) -> str:
    return f"min by (namespace, service) (timestamp(\n{series}\n))"


def _sources(series: str) -> str:
    return f"count by (namespace, service) (count by (namespace, service, instance) (\n{series}\n))"


_LAST_S = 253402300799.0
"""The end of the year 9999."""


class Labels(msgspec.Struct, gc=False):
    """What an element is about."""

    f: str
    namespace: str | None = None
    service: str | None = None


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
    "execution": "execution: the query failed while it ran; its own page says why",
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
    kinds: dict[str, dict[ServiceName, float]] = {"value": {}, "oldest": {}, "series": {}, "bare": {}}
    usual: dict[str, float] = {}
    evaluated_s = 0.0
    repeated = set()
    unlabelled = False
    for element in _VECTOR.decode(result):
        labels = element.metric
        evaluated_s, text = element.value
        of_kind = kinds[labels.f]
        if labels.namespace is None or labels.service is None:
            unlabelled |= labels.f == "value"
            usual[labels.f] = float(text)
            continue
        service = intern(f"{labels.namespace}/{labels.service}")
        if service in of_kind:
            repeated.add(service)
        of_kind[service] = float(text)
    bare = frozenset(kinds.pop("bare"))
    return Answer(
        evaluated_s,
        **kinds,
        zero=frozenset(service for service, value in kinds["value"].items() if value == 0),
        usual=usual,
        repeated=frozenset(repeated),
        bare=bare,
        unlabelled=unlabelled,
        warning=warning,
    )


def readings(
    services: Iterable[ServiceName], asked: Asked, max_age_s: float, answer: Answer | str, now_s: float
) -> dict[ServiceName, Reading]:
    """Say what an answer means for many services; of those that are at zero and as usual it is one reading."""
    if isinstance(answer, str):
        return dict.fromkeys(services, Reading(None, now_s, problem=answer))
    special = {*answer.oldest, *answer.series, *answer.repeated, *answer.bare}
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
    has_oldest, has_series = ("oldest" in answer.usual or service in answer.oldest), service in answer.series
    if service in answer.bare or not (has_oldest and (has_series or "series" in answer.usual)):
        return f"a value for {service} but no sample behind it; does {short(asked.series)!r} select the raw series?"
    return ""


def _distrust(sample: Sample, max_age_s: float) -> str:
    """Say why a value cannot be believed; empty if it can."""
    value, series, age_s = sample
    if not 0 <= value <= MOST_BELIEVED:
        return f"the value is {value:g}, which is not a number of requests"
    if not (1 <= series <= MOST_BELIEVED and age_s >= 0):
        return f"{series:g} series, the oldest sample {age_s:g} s old: this cannot be; is it a Prometheus?"
    if age_s > max_age_s:
        return f"the oldest sample is {age_s:.1f} s old, more than maxSampleAge {max_age_s:g} s; is it still scraped?"
    return ""


def short(text: str) -> str:
    """Give a query on one line, and not too much of it."""
    text = " ".join(text.split())
    return text if len(text) <= _QUOTED_CHARS else f"{text[:_QUOTED_CHARS]}..."
