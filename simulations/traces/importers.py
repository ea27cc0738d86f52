"""Reads public traces in their publishers' formats, as traces and rate curves of the simulator.

* Azure LLM inference 2023 (Patel et al., *Splitwise*, ISCA 2024): TIMESTAMP, ContextTokens, GeneratedTokens. Arrivals.
* Azure Functions invocations 2021 (Zhang et al., *Faster and cheaper serverless computing on harvested resources*, SOSP
  2021): app, func, end_timestamp, duration, in seconds. Arrivals and service times.
* ServeGen (Xiang et al., 2025), one client of its pool, without a header: begin of a window in seconds, requests per
  second in it, and the coefficient of variation, family and parameters of interarrival times. A rate.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autoscaler.documents.document import DocumentError
from simulations.model.run_inputs import Floats
from simulations.traces.recorded import Trace

AZURE_LLM = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
AZURE_FUNCTIONS = ("app", "func", "end_timestamp", "duration")
SERVEGEN = ("window_start_s", "rate", "cv", "pattern", "shape", "scale")

Row = tuple[int, Sequence[str]]
"""The number of its line, and its cells."""


class Curve(NamedTuple):
    """A rate curve, for the workload `rateCurve`."""

    at_s: Floats
    """When each window begins, in seconds."""
    rate: Floats
    """Requests per second in it."""
    cv: float
    """Coefficient of variation of interarrival times: the mean of the windows, weighted by their requests."""


def azure_llm(path: Path) -> Trace:
    """Read arrivals; raises DocumentError."""
    times = [_moment(path, line, cells[0]) for line, cells in _rows(path, AZURE_LLM)]
    return _from_first(path, np.array([(time - times[0]).total_seconds() for time in times]))


def azure_functions(path: Path) -> Trace:
    """Read the arrivals and service times of all functions; raises DocumentError."""
    rows = [
        (_number(path, line, "end_timestamp", cells[2]), _number(path, line, "duration", cells[3]))
        for line, cells in _rows(path, AZURE_FUNCTIONS)
    ]
    end_s, took_s = np.array(rows).reshape(-1, 2).T
    return _from_first(path, end_s - took_s, took_s)


def servegen(path: Path) -> Curve:
    """Read the rate of one client, up to the end of its last window; raises DocumentError."""
    rows = [
        tuple(_number(path, line, name, cell) for name, cell in zip(SERVEGEN, cells[:3], strict=False))
        for line, cells in _rows(path, SERVEGEN, headed=False)
    ]
    if len(rows) < 2 or not any(rate for _, rate, _ in rows):  # noqa: PLR2004  # two beginnings give a length
        raise DocumentError([f"{path}: must have two windows or more, and a rate that is not always 0"])
    at_s, rate, cv = np.array(rows).T
    if np.any(np.diff(at_s) <= 0):
        raise DocumentError([f"{path}: window_start_s: must be in order of time"])
    at_s, rate = np.append(at_s, 2 * at_s[-1] - at_s[-2]) - at_s[0], np.append(rate, 0.0)
    weights = rate[:-1] * np.diff(at_s)
    return Curve(at_s, rate, float((weights * cv).sum() / weights.sum()))


def _rows(path: Path, columns: Sequence[str], *, headed: bool = True) -> Iterator[Row]:
    """Give the rows of a file after its header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            if headed and next(reader, []) != list(columns):
                raise DocumentError([f"{path}:1: must be {','.join(columns)}"])
            for cells in reader:
                if len(cells) != len(columns):
                    raise DocumentError(
                        [f"{path}:{reader.line_num}: must have {len(columns)} cells: {', '.join(columns)}"]
                    )
                yield reader.line_num, cells
    except OSError as error:
        raise DocumentError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise DocumentError([f"{path}: must be UTF-8: {error.reason} at byte {error.start}"]) from error


def _moment(path: Path, line: int, text: str) -> datetime:
    """Read a time; digits below a microsecond are rounded, as datetime has no more."""
    moment, _, fraction = text.partition(".")
    try:
        return datetime.fromisoformat(moment) + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError as error:
        problem = f"{path}:{line}: TIMESTAMP: {text!r}: must be a time such as 2023-11-16 18:17:03.9799600"
        raise DocumentError([problem]) from error


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise DocumentError([f"{path}:{line}: {name}: {text!r}: must be a number of at least 0"])
    return value


def _from_first(path: Path, arrival_s: Floats, service_s: Floats | None = None) -> Trace:
    """Sort requests by arrival, with the first at 0."""
    if not len(arrival_s):
        raise DocumentError([f"{path}: has no requests"])
    order = np.argsort(arrival_s, kind="stable")
    return Trace(arrival_s[order] - arrival_s[order[0]], None if service_s is None else service_s[order])
