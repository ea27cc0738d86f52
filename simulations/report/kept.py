"""What a report needs of a result: taken from the result, or read from the JSON that `simulate --json` wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoscaler.demo.kept import KeptError, KeptRun, converted, run_of
from autoscaler.demo.report import DecisionPoint, Expected, to_json
from autoscaler.report.runs import STATES, Change, Run
from simulations.model.history import History
from simulations.report.origin import origin_of, settings_of
from simulations.results.figures import Estimate, Figures, estimates
from simulations.results.to_run_result import began_at_s, run_result, timeline_columns
from simulations.study import Result

NOT_KEPT = (
    "The run had too many requests to keep a record of each. So requests over time and the distribution of waits are "
    "not known; figures and replicas are."
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A result as a report shows it."""

    name: str
    replications: tuple[Figures, ...]
    classes: tuple[str, ...]
    partial: bool
    settings: dict[str, Any]
    """The documents of scenario and policy."""
    origin: dict[str, str]
    """What it was made from, by name."""
    run: Run
    """The first replication."""

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The mean of every figure over the replications, with its 95 % confidence interval."""
        return estimates(self.replications)


class KeptResult(KeptRun):
    """A result as `simulate --json` writes it; what it has besides is not needed here."""

    name: str
    replications: list[dict[str, float]]
    classes: list[str]
    partial: bool
    settings: dict[str, Any]
    requests_kept: bool


def document_of(result: Result, command: str = "", expected: Expected | None = None) -> dict[str, Any]:
    """Give a result as JSON-ready values: the report of the demo, all figures, and what it was made from."""
    known = len(result.replications) > 1
    history = result.history
    return {
        "name": result.name,
        "policy": result.policy.service if result.policy else result.name,
        "engine": history.engine,
        "seed": result.scenario.spec.seed,
        "partial": result.partial,
        "origin": origin_of(result.scenario, history.engine, command),
        "settings": settings_of(result.scenario, result.policy),
        "classes": list(result.classes),
        "requests_kept": history.streaming_figures is None,
        "figures": {name: estimate.mean for name, estimate in result.estimates.items()},
        "half_widths": {name: each.half_width for name, each in result.estimates.items()} if known else {},
        "replications": list(result.replications),
        **to_json(run_result(history), expected),
    }


def kept(result: Result, command: str = "") -> Kept:
    """Give what a report needs of a result. It is the same that is read from `document_of`."""
    settings = settings_of(result.scenario, result.policy)
    return Kept(
        name=result.name,
        replications=result.replications,
        classes=tuple(result.classes),
        partial=result.partial,
        settings=settings,
        origin=origin_of(result.scenario, result.history.engine, command),
        run=_of_one_service(run_from(result.name, result.history), settings),
    )


def _of_one_service(run: Run, settings: Mapping[str, Any]) -> Run:
    """Leave out the decisions of a sum of services: each of them shows its own."""
    return run if "policy" in settings else replace(run, changes=())


def run_from(name: str, history: History) -> Run:
    """Give what a report shows of a run. Times count from the first arrival."""
    began_s, requests = began_at_s(history), history.requests
    got = ~np.isnan(requests.start_s)
    columns = timeline_columns(history)
    changed = (each for each in history.decisions if each.decision.desired != each.observation.replicas)
    points = (DecisionPoint.of(each, began_s) for each in changed)
    return Run(
        name=name,
        timeline={column: columns[column] for column in ("time", *STATES)},
        waits_s=requests.start_s[got] - requests.arrival_s[got],
        changes=[Change(each.t_s, each.before, each.desired, each.why) for each in points],
        missing=NOT_KEPT if history.streaming_figures is not None else "",
    )


def kept_from(where: str, documents: Sequence[object]) -> list[Kept]:
    """Read results that `document_of` gave.

    Args:
        where: the name of the file, for messages.
        documents: its values.

    Raises:
        KeptError: they have another form, or there are none.
    """
    if not documents:
        raise KeptError(f"{where}: has no result")
    return [_kept_from(converted(where, document, KeptResult)) for document in documents]


def _kept_from(read: KeptResult) -> Kept:
    return Kept(
        name=read.name,
        replications=tuple(read.replications),
        classes=tuple(read.classes),
        partial=read.partial,
        settings=read.settings,
        origin=read.origin,
        run=_of_one_service(run_of(read.name, read, "" if read.requests_kept else NOT_KEPT), read.settings),
    )
