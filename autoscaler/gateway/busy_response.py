"""Reads in a pod's answer how many jobs it works on: at places of a JSON document, or as samples of metrics.

What cannot be read is unknown, and never zero.
"""

import json
import math
import re
from typing import Any, NamedTuple


class BusyPoll(NamedTuple):
    """What a pod is asked for the number of its jobs."""

    path: str
    json_pointers: tuple[str, ...] = ()
    """Where numbers or lists stand in the answer (RFC 6901); they are added up."""
    metrics: tuple[str, ...] = ()
    """Names of metrics in Prometheus' text format; all their samples are added up."""
    interval_s: float = 2.0
    timeout_s: float = 1.0
    port: int | None = None
    """Where the pod is asked; None is where it serves."""


class UnknownJobsError(ValueError):
    """An answer does not say how many jobs there are; the text says why."""


_MOST_JOBS = 1_000_000
_VALUE = r"[ \t]+(?P<value>[^ \t\n]+)"
_LABELS = r'(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?'


def jobs_in(body: bytes, poll: BusyPoll) -> int:
    """Give the number of jobs that an answer tells.

    Raises:
        UnknownJobsError: it does not.
    """
    if poll.metrics:
        text = body.decode("utf-8", "replace")
        parts = [_of_metric(text, name) for name in poll.metrics]
    else:
        document = _document(body)
        parts = [_of_value(_at(document, pointer), pointer) for pointer in poll.json_pointers]
    jobs = sum(parts)
    if not 0 <= jobs <= _MOST_JOBS:
        raise UnknownJobsError(f"{jobs:g} jobs are none that a pod can run")
    return math.ceil(jobs)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnknownJobsError("the answer is not JSON") from error


def _at(document: Any, pointer: str) -> Any:
    """Give what stands at a place: RFC 6901, without the `-` that names what is not there."""
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
    raise UnknownJobsError(f"what stands at {where} is neither a number of jobs nor a list")


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
        raise UnknownJobsError(f"{name} is {value[:32]}, which is no number of jobs")
    return number
