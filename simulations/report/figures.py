"""Figures of results for notebooks and pages: each function returns a figure of matplotlib, or a page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoscaler.report import runs
from autoscaler.report.plot import figure
from simulations.report.content import page_of
from simulations.report.kept import kept, run_from
from simulations.study import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def html_report(results: Result | Sequence[Result], command: str = "") -> str:
    """Give a report of one result or of several side by side, as one HTML page that needs no network.

    Args:
        results: what `simulate` or `compare` gave; at least one.
        command: how it was made, for the page to say; it may be empty.

    Raises:
        ValueError: there is no result.
    """
    return page_of([kept(each, command) for each in _several(results)])


def waits_figure(results: Result | Sequence[Result]) -> "Figure":
    """Draw the share of requests that waited at most so long, for each result; raises as `html_report`."""
    return figure([runs.waits(_runs(results))])


def timeline_figure(results: Result | Sequence[Result]) -> "Figure":
    """Draw requests in flight and replicas asked for over time, all results on one axis; raises as `html_report`."""
    return figure(runs.over_time(_runs(results)))


def _runs(results: Result | Sequence[Result]) -> list[runs.Run]:
    return [run_from(each.name, each.history) for each in _several(results)]


def _several(results: Result | Sequence[Result]) -> Sequence[Result]:
    if isinstance(results, Result):
        return [results]
    if not results:
        raise ValueError("there is no result to report")
    return results
