"""The sections of a report of results: figures, what they cost, runs side by side, and settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, isfinite

from autoscaler.documents.document import to_yaml
from autoscaler.page.html import Figure
from autoscaler.report import runs
from autoscaler.report.page import report_page
from autoscaler.report.parts import Chart, Code, Part, Section, Series, Table, Text
from simulations.comparison import difference_rows, figure_rows
from simulations.report.kept import Kept
from simulations.results.figures import HOUR_S, Estimate
from simulations.study import ALL_SERVICES

INTERVALS = "±: half width of the 95 % confidence interval."
ONE_RUN = "There was one run for each policy, so no interval says how certain a figure is: --replications makes more."
SETTLED = "If an interval has 0 in it, these runs do not settle which of the two is better."


def page_of(results: Sequence[Kept]) -> str:
    """Write the page of one result, or of several side by side."""
    first = results[0]
    return report_page(
        first.origin.get("Scenario", first.name),
        sections_of(results),
        answer=answer_of(results),
        second=" ".join(_second(results)),
        figures=_headline(first) if len(results) == 1 else [],
        origin=_origin(results),
    )


def sections_of(results: Sequence[Kept]) -> list[Section]:
    """Give all sections of a page, in order."""
    of_services = results[-1].name == ALL_SERVICES
    compared = [] if len(results) == 1 or of_services else [*_differences(results), *_frontier(results)]
    return [
        Section("Figures", [*_figures(results), *compared]),
        *runs.sections([result.run for result in results]),
        Section("Settings", list(_settings(results))),
    ]


def answer_of(results: Sequence[Kept]) -> str:
    """Say the result in one sentence."""
    if len(results) == 1 or results[-1].name == ALL_SERVICES:
        return _alone(results[-1])
    known = {each.name: each.estimates for each in results if "wait_mean_s" in each.estimates}
    if not known:
        return f"{len(results)} policies were simulated, and none served a request."
    quickest = min(known, key=lambda name: known[name]["wait_mean_s"].mean)
    leanest = min(known, key=lambda name: known[name]["gpu_s"].mean)
    first = f"Of {len(known)} policies {quickest} has the shortest mean wait, {_wait(known[quickest])}"
    if quickest == leanest:
        return f"{first}, and needs the least GPU time, {_gpu_time(known[quickest])}."
    return (
        f"{first}, with {_gpu_time(known[quickest])}; {leanest} needs the least GPU time, {_gpu_time(known[leanest])}, "
        f"with a mean wait of {_wait(known[leanest])}."
    )


def _alone(result: Kept) -> str:
    known = result.estimates
    served = f"{_count(known, 'served')} of {_count(known, 'requests')} requests were served"
    if "wait_mean_s" not in known:
        return f"{served}, with {_gpu_time(known)}."
    return (
        f"{served} after a mean wait of {_wait(known)} (P95 {known['wait_p95_s'].mean:.1f} s), with {_gpu_time(known)}."
    )


def _second(results: Sequence[Kept]) -> Iterator[str]:
    """Say what a reader should know before the figures are compared."""
    runs_made = sorted({len(result.replications) for result in results})
    if runs_made == [1]:
        yield ONE_RUN
    else:
        yield f"Means of {' to '.join(map(str, runs_made))} runs. Charts and decisions are those of the first run."
    if any(result.partial for result in results):
        yield "The simulation was interrupted: these are the results so far."
    if len({result.origin.get("Digest") for result in results}) > 1:
        yield "The results are of different scenarios, so their differences are not of the policies alone."


def _headline(result: Kept) -> list[Figure]:
    known = result.estimates
    found = [("Served", _count(known, "served"), f"of {_count(known, 'requests')}")]
    for label, name in (("Wait, mean", "wait_mean_s"), ("Wait, P95", "wait_p95_s")):
        if name in known:
            found.append((label, f"{known[name].mean:.1f}", _interval(known[name], "s")))
    found.append(("Cold starts", f"{known['cold_starts'].mean:,.4g}", ""))
    found.append(("Replicas", f"{known['replicas_mean'].mean:.2f}", f"peak {known['replicas_peak'].mean:.4g}"))
    found.append(("GPU-hours", f"{known['gpu_s'].mean / HOUR_S:,.2f}", ""))
    if known["cost"].mean:
        found.append(("Cost", f"{known['cost'].mean:,.2f}", ""))
    return found


def _figures(results: Sequence[Kept]) -> list[Part]:
    intervals = INTERVALS if any(len(result.replications) > 1 for result in results) else ""
    return [Table("", ["", *(result.name for result in results)], _shown(figure_rows(results)), intervals)]


def _differences(results: Sequence[Kept]) -> list[Part]:
    made = min(len(result.replications) for result in results)
    rows = difference_rows([_first_runs(result, made) for result in results], made)
    title = f"Difference from {results[0].name}, run by run"
    if not rows:
        return [Text("The policies do not differ in waits, GPU time or cost.")]
    return [
        Table(
            title,
            ["", *(result.name for result in results[1:])],
            _shown(rows),
            f"{INTERVALS} {SETTLED}" if made > 1 else "",
        )
    ]


def _shown(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Write intervals as print does, not as a terminal."""
    return [[first, *(cell.replace("+-", "±") for cell in cells)] for first, *cells in rows]


def _first_runs(result: Kept, number: int) -> Kept:
    return replace(result, replications=result.replications[:number])


def _frontier(results: Sequence[Kept]) -> list[Part]:
    """Draw GPU-hours against the mean wait: each policy a point, and a line through those that no other one beats."""
    known = [each for each in results if {"wait_mean_s", "gpu_s"} <= each.estimates.keys()]
    if len(known) < 2:  # noqa: PLR2004 - one point compares nothing
        return []
    points = sorted(
        (each.estimates["gpu_s"].mean / HOUR_S, each.estimates["wait_mean_s"].mean, each.name) for each in known
    )
    hours, waits_s, names = (list(column) for column in zip(*points, strict=True))
    best = [value if value < min(waits_s[:place], default=inf) else None for place, value in enumerate(waits_s)]
    return [
        Chart(
            "What a shorter wait costs",
            hours,
            [Series("policy", waits_s, "points"), Series("no policy is better in both", best, "line")],
            x_label="GPU-hours",
            x_unit="",
            unit="s of mean wait",
            names=names,
        )
    ]


def _settings(results: Sequence[Kept]) -> Iterator[Part]:
    """Give the documents, each once."""
    shown = set()
    for result in results:
        for kind, document in sorted(result.settings.items(), reverse=True):
            written = to_yaml(document)
            if written not in shown:
                shown.add(written)
                yield Code("Scenario" if kind == "scenario" else f"Policy {result.name}", written)


def _origin(results: Sequence[Kept]) -> dict[str, str]:
    """Give what the results were made from; where they differ, each value once."""
    names = dict.fromkeys(name for result in results for name in result.origin)
    return {
        name: ", ".join(dict.fromkeys(each.origin[name] for each in results if name in each.origin)) for name in names
    }


def _count(known: Mapping[str, Estimate], name: str) -> str:
    return f"{known[name].mean:,.0f}" if name in known else "?"


def _wait(known: Mapping[str, Estimate]) -> str:
    return f"{known['wait_mean_s'].mean:.2f} s"


def _gpu_time(known: Mapping[str, Estimate]) -> str:
    return f"{known['gpu_s'].mean / HOUR_S:,.2f} GPU-hours"


def _interval(estimate: Estimate, unit: str) -> str:
    return f"{unit} ± {estimate.half_width:.2g}" if isfinite(estimate.half_width) else unit
