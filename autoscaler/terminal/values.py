"""The parts of the page's JSON that a terminal shows, checked: a program that answers something else is found out.

None is unknown. The whole is in docs/reference/page-api.md.
"""

import re
from datetime import timedelta, timezone
from typing import Any, TypeVar

import msgspec

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_T = TypeVar("_T")
_FARTHEST_S = 14 * 3600.0
"""No zone is farther from UTC."""


class AnswerError(Exception):
    """There is no answer; the message says why, and what to do."""


class UnknownServiceError(AnswerError):
    """There is no such service; the message names those that there are."""


class Sentence(msgspec.Struct):
    """The answer in two sentences."""

    first: str
    second: str


class Totals(msgspec.Struct, rename="camel"):
    """The sums over all services."""

    ready: float | None = None
    asked: float | None = None
    queued: float | None = None
    running: float | None = None
    oldest_wait: float | None = None
    cost: float | None = None
    currency: str | None = None


class FleetRow(msgspec.Struct, rename="camel"):
    """One service of the fleet."""

    name: str
    state: str
    attention: bool
    short: str
    asked: float | None = None
    ready: float | None = None
    queued: float | None = None
    running: float | None = None
    oldest_wait: float | None = None
    """0 if nothing waits."""
    p95: float | None = None
    cost: float | None = None
    currency: str | None = None


class Fleet(msgspec.Struct):
    """All services."""

    now: float
    zone: str
    offset: float
    sentence: Sentence
    totals: Totals
    services: list[FleetRow]


class Step(msgspec.Struct):
    """One line of an opened decision."""

    label: str
    number: int | None
    text: str


class Decision(msgspec.Struct, rename={"begins": "from", "ends": "to"}):
    """One row of the table of decisions."""

    begins: float
    ends: float
    count: int
    before: int
    after: int
    result: str
    steps: list[Step]


class Service(msgspec.Struct):
    """One service."""

    now: float
    zone: str
    offset: float
    name: str
    state: str
    sentence: Sentence
    figures: dict[str, Any]
    decisions: list[Decision]


class WhyNot(msgspec.Struct):
    """Why it is not another number."""

    service: str
    replicas: int
    sentences: list[str]


def read(values: Any, kind: type[_T], source: str) -> _T:
    """Give the parts of an answer that are shown.

    Raises:
        AnswerError: it is not such an answer.
    """
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise AnswerError(f"{source} does not answer as a page of Inflight does: {error}") from error


def zone_of(answer: Fleet | Service) -> timezone:
    """Give the zone of the answer's times, as far as it is a possible one."""
    offset = timedelta(seconds=round(max(min(answer.offset, _FARTHEST_S), -_FARTHEST_S)))
    return timezone(offset, plain(answer.zone))


def plain(text: str) -> str:
    """Give a text without what would steer a terminal: names and errors come from other programs."""
    return _CONTROL.sub(" ", text)
