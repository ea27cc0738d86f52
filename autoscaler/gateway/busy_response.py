"""Reads the number of jobs from a pod's response: from a JSON document, or from metrics.

A number that cannot be read is unknown, never zero.
"""

import json
import math
import re
from typing import Any, NamedTuple


class BusyPoll(NamedTuple):
    """How a pod is asked for the number of its jobs."""

    path: str
    json_pointers: tuple[str, ...] = ()
    """JSON Pointers (RFC 6901) of numbers or lists in the response; their sizes are added up."""
    metrics: tuple[str, ...] = ()
    """Names of metrics in Prometheus' text format; all their samples are added up."""
    interval_s: float = 2.0
    timeout_s: float = 1.0
    port: int | None = None
    """The port to ask; None is the port of its requests."""


class UnknownJobsError(ValueError):
    """A response does not contain the number of jobs; the text says why."""


_MOST_JOBS = 1_000_000
_VALUE = r"[ \t]+(?P<value>[^ \t\n]+)"
_LABELS = r'(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?'


def jobs_in(body: bytes, poll: BusyPoll) -> int:
    """Return the number of jobs in a response.

    Raises:
        UnknownJobsError: it contains none.
    """
    if poll.metrics:
        text = body.decode("utf-8", "replace")
        parts = [_of_metric(text, name) for name in poll.metrics]
    else:
        document = _document(body)
        parts = [_of_value(_at(document, pointer), pointer) for pointer in poll.json_pointers]
    jobs = sum(parts)
    if not 0 <= jobs <= _MOST_JOBS:
        raise UnknownJobsError(f"{jobs:g} is not a possible number of jobs")
    return math.ceil(jobs)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnknownJobsError("the response is not JSON") from error


def _at(document: Any, pointer: str) -> Any:
    """Return the value at a JSON Pointer (RFC 6901); `-` is not supported."""
    found = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) and key.isdecimal() else found[key]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UnknownJobsError(f"there is nothing at {pointer}") from error
    return found


def _of_value(value: Any, where: str) -> float:
    if isinstance(value, list):
        return len(value)
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return value
    raise UnknownJobsError(f"the value at {where} is neither a number of jobs nor a list")


def _of_metric(text: str, name: str) -> float:
    samples = re.findall(rf"^{re.escape(name)}{_LABELS}{_VALUE}", text, re.MULTILINE)
    if not samples:
        raise UnknownJobsError(f"there is no sample of {name}")
    return sum(_sample(value, name) for value in samples)


def _sample(value: str, name: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise UnknownJobsError(f"{name} is {value[:32]}, which is not a number of jobs")
    return number
