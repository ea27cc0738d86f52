"""Reads the JSON that the demo and the simulator write of a run, for reports."""

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from autoscaler.report.runs import STATES, Change, Run


class KeptMoment(msgspec.Struct):
    """A row of the timeline."""

    t_s: float
    asked: float
    ready: float
    running: float
    queued: float


class KeptRequest(msgspec.Struct):
    """A request that a replica got."""

    wait_s: float
    service_s: float


class KeptDecision(msgspec.Struct):
    """A decision."""

    t_s: float
    desired: int
    before: int
    why: str


class KeptRun(msgspec.Struct):
    """What a report needs of a run: a part of what `autoscaler.demo.report.to_json` writes."""

    source: str
    timeline: list[KeptMoment]
    requests: list[KeptRequest]
    decisions: list[KeptDecision]
    cold_starts_s: list[float]
    gpu_s: float
    idle_s: float
    origin: dict[str, str]
    """What the run was made from, by name."""


KeptT = TypeVar("KeptT", bound=msgspec.Struct)


class KeptError(Exception):
    """A file is no result that a report can show; the message names the file, and says what is legal."""


def read(path: Path) -> Any:
    """Read a file of JSON.

    Raises:
        KeptError: it cannot be read, or it is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise KeptError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise KeptError(f"{path}: is no JSON, as --json of simulate, compare or demo writes it: {error}") from error


def converted(where: str, document: object, kind: type[KeptT]) -> KeptT:
    """Read a value that was kept.

    Raises:
        KeptError: it has another form; the message says where.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise KeptError(f"{where}: is no result of this release: {error}; make it again with --json") from error


def run_of(name: str, kept: KeptRun, missing: str = "") -> Run:
    """Give what a report shows of a run that was kept."""
    timeline = {"time": np.array([each.t_s for each in kept.timeline], dtype=float)}
    timeline |= {state: np.array([getattr(each, state) for each in kept.timeline], dtype=float) for state in STATES}
    waits_s = np.array([each.wait_s for each in kept.requests], dtype=float)
    made = [
        Change(each.t_s, each.before, each.desired, each.why) for each in kept.decisions if each.before != each.desired
    ]
    return Run(name, timeline, waits_s, made, missing)
