"""Dates in a scenario: a text in ISO 8601 in the document, Unix time in the model."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer


def _unix_s(text: object) -> float:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.microsecond or moment.year > _LAST_YEAR:
        raise ValueError("must be a time in whole seconds with its zone, such as 2026-03-29T00:00:00Z")
    return moment.timestamp()


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()


_LAST_YEAR = 9000
A_MONDAY = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
Date = Annotated[float, BeforeValidator(_unix_s), PlainSerializer(_iso, return_type=str, when_used="json")]
"""Unix time; a text in ISO 8601 in the document."""
