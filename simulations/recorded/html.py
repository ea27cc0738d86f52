"""A comparison on a recorded load as a report."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import NamedTuple

from autoscaler.documents.document import to_yaml
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.report import runs
from autoscaler.report.page import report_page
from autoscaler.report.parts import Code, Section, Table
from simulations.recorded.load import Load
from simulations.recorded.replays import ACTIVE, Comparison
from simulations.recorded.report import Starts, rests_on_what, table_rows
from simulations.report.kept import run_from


class Replayed(NamedTuple):
    """A comparison with what it rests on."""

    service: str
    policy: ScalingPolicy
    """The active policy, with its candidates."""
    load: Load
    starts: Starts
    found: Comparison
    command: str


def page_of(replayed: Replayed) -> str:
    """Write the page of a comparison."""
    rests_on = rests_on_what(replayed.load, replayed.starts, replayed.found)
    origin = {name.capitalize(): value for name, value in rests_on.items()}
    return report_page(
        replayed.service,
        sections_of(replayed),
        answer=_answer(replayed.found),
        second="Each policy was replayed on the recorded requests, with a simulated fleet of its own.",
        origin={"Version": version("inflight-autoscaler"), "Command": replayed.command, **origin},
    )


def sections_of(replayed: Replayed) -> list[Section]:
    """Give the sections of a comparison: figures and differences with their intervals, the runs, and the policies."""
    found = replayed.found
    figures = {outcome.name: outcome.figures for outcome in found.outcomes}
    differences = {outcome.name: outcome.difference for outcome in found.outcomes[1:]}
    head, *rows = table_rows(["", *figures], figures, found)
    of_difference, *changed = table_rows(["", *differences], differences, found, sign="+")
    tables = [
        Table("", head, rows, "In parentheses: the 95 % interval." if found.blocks else ""),
        Table(f"Difference from the {ACTIVE}, on the same blocks", of_difference, changed),
    ]
    return [
        Section("Figures", tables),
        *runs.sections([run_from(name, history) for name, history in found.histories.items()]),
        Section("Settings", [Code(name, to_yaml(document)) for name, document in _documents(replayed.policy).items()]),
    ]


def _answer(found: Comparison) -> str:
    """Say which candidates use less GPU time, or let requests wait less, for certain."""
    said = []
    for outcome in found.outcomes[1:]:
        parts = [
            f"{abs(each.value):.2f} {unit} {'less' if each.value < 0 else 'more'}"
            for key, unit in (("gpu_hours", "GPU-hours"), ("wait_mean_s", "s of mean wait"))
            if (each := outcome.difference.get(key)) is not None and each.settled and each.value
        ]
        said.append(f"{outcome.name}: {' and '.join(parts) or 'no difference is settled'}")
    return f"Against the {ACTIVE}: {'; '.join(said)}."


def _documents(policy: ScalingPolicy) -> Mapping[str, object]:
    policies = {ACTIVE: policy.alone(), **policy.candidates}
    return {name: each.model_dump(mode="json", by_alias=True, exclude_unset=True) for name, each in policies.items()}
