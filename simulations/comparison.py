"""Results as text: the figures of one policy, or of several side by side."""

from collections.abc import Mapping, Sequence
from math import floor, isfinite, log10
from typing import Protocol

from simulations.results.figures import Estimate, Figures, estimates
from simulations.study import Result

ROWS = {
    "answered with 200": "served",
    "refused: the queue was full": "refused",
    "timed out in the queue": "queue_timeouts",
    "timed out at a pod": "request_timeouts",
    "client disconnected": "hung_up",
    "lost when a pod died": "replica_died",
    "not ended at the end of the run": "still_in",
    "within the objective": "slo_attainment",
    "wait, mean (s)": "wait_mean_s",
    "wait, P50 (s)": "wait_p50_s",
    "wait, P90 (s)": "wait_p90_s",
    "wait, P95 (s)": "wait_p95_s",
    "wait, P99 (s)": "wait_p99_s",
    "  for a cold start, mean (s)": "wait_cold_start_mean_s",
    "  for other requests, mean (s)": "wait_load_mean_s",
    "met a cold start": "cold_start_probability",
    "latency, P50 (s)": "latency_p50_s",
    "latency, P95 (s)": "latency_p95_s",
    "uncounted requests, wait, P95 (s)": "passing_wait_p95_s",
    "cold starts": "cold_starts",
    "pods that failed to start": "start_failures",
    "pods that died": "replicas_died",
    "replicas, mean": "replicas_mean",
    "replicas, peak": "replicas_peak",
    "replica-seconds starting": "starting_replica_s",
    "replica-seconds busy": "busy_replica_s",
    "replica-seconds idle": "idle_replica_s",
    "replica-seconds draining": "draining_replica_s",
    "GPU-seconds": "gpu_s",
    "cost": "cost",
}
"""The label of each figure in a table, in order; rows with zeros only are left out."""
DIFFERENCES = ("wait, mean (s)", "wait, P95 (s)", "within the objective", "GPU-seconds", "cost")
_OF_CLASS = (("mean", "mean"), ("P95", "p95"))
_ROUNDING = 1e-9
"""A half width below this share of the mean is a rounding error: the figure is the same in each run."""
SHARES = ("slo_attainment", "cold_start_probability")


class Compared(Protocol):
    """A result that stands in a table beside others: a `Result`, or one that was kept."""

    @property
    def name(self) -> str:
        """The head of its column."""
        ...

    @property
    def replications(self) -> Sequence[Figures]:
        """The figures of each replication by name."""
        ...

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """The mean of each figure with its interval."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """The policy's priority classes by name."""
        ...


def figures_text(result: Result) -> str:
    """List all figures of one policy by name."""
    runs = len(result.replications)
    head = f"Figures of one run, seed {result.scenario.spec.seed}:" if runs == 1 else f"Figures of {runs} runs, mean:"
    rows = [f"  {name:32} {figure_text(name, estimate)}" for name, estimate in result.estimates.items()]
    return "\n".join([head, *rows, *_note([result])]) + "\n"


def services_text(results: Sequence[Result]) -> str:
    """Show several services of one fleet side by side, and in sum."""
    runs, scenario = len(results[0].replications), results[0].scenario
    head = f"{scenario.metadata.name}: {len(results) - 1} services on one fleet, seed {scenario.spec.seed}"
    table = table_lines([["", *(result.name for result in results)], *figure_rows(results)])
    return "\n".join([f"{head}, {f'{runs} runs' if runs > 1 else 'one run'}", "", *table, "", *_note(results)])


def comparison_text(results: Sequence[Result]) -> str:
    """Show several policies side by side, and how each differs from the first."""
    runs = min(len(result.replications) for result in results)
    scenario = results[0].scenario
    several = f"{runs} runs" if runs > 1 else "one run"
    head = (
        f"{scenario.metadata.name}: {len(results)} policies on the same random streams, seed {scenario.spec.seed}, "
        f"{several} each"
    )
    table = table_lines([["", *(result.name for result in results)], *figure_rows(results)])
    return "\n".join([head, "", *table, "", *_differences(results, runs), *_note(results)])


def figure_rows(results: Sequence[Compared]) -> list[list[str]]:
    """Give the rows of a table of figures, without those that have nothing but zeros."""
    known = [result.estimates for result in results]
    return [
        [label, *(figure_text(name, each.get(name)) for each in known)]
        for label, name in [*ROWS.items(), *_class_rows(results)]
        if any(name in each and each[name].mean for each in known)
    ]


def _class_rows(results: Sequence[Compared]) -> list[tuple[str, str]]:
    """Give the labels and the figures of all priority classes."""
    classes = dict.fromkeys(name for result in results for name in result.classes)
    return [
        (f"class {name}, wait, {text} (s)", f"class_{name}_wait_{key}_s") for name in classes for text, key in _OF_CLASS
    ]


def _differences(results: Sequence[Result], runs: int) -> list[str]:
    first, *others = results
    rows = difference_rows(results, runs)
    if not rows:
        return ["No difference in waits, GPU-seconds or cost.", ""]
    return [
        f"Difference from {first.name}, run by run:",
        *table_lines([["", *(each.name for each in others)], *rows]),
        "",
    ]


def difference_rows(results: Sequence[Compared], runs: int) -> list[list[str]]:
    """Give the rows of a table of differences from the first result, over so many runs.

    They have narrower intervals than the figures, as the random streams are the same.
    """
    first, *others = results
    paired = [
        estimates(
            [
                {name: ours[name] - theirs[name] for name in ours.keys() & theirs.keys()}
                for ours, theirs in zip(other.replications[:runs], first.replications[:runs], strict=True)
            ]
        )
        for other in others
    ]
    return [
        [label, *(figure_text(ROWS[label], each.get(ROWS[label]), sign="+") for each in paired)]
        for label in DIFFERENCES
        if any(ROWS[label] in each and each[ROWS[label]].mean for each in paired)
    ]


def figure_text(name: str, estimate: Estimate | None, sign: str = "") -> str:
    """Write a figure with its significant digits, and its half width if that is known."""
    if estimate is None:
        return "-"
    by, unit = (100, " %") if name in SHARES else (1, "")
    mean, half_width = estimate.mean * by, estimate.half_width * by
    known = f"{mean:{sign}.{_decimals(mean, 4)}f}{unit}"
    if not isfinite(half_width):
        return known
    if half_width <= _ROUNDING * abs(mean):
        return f"{known} +- 0"
    decimals = _decimals(half_width or mean, 2)
    return f"{mean:{sign}.{decimals}f}{unit} +- {half_width:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    """Give the number of decimals that shows `digits` significant digits of a value; 0 for whole numbers."""
    if value == int(value):
        return 0
    return min(max(digits - 1 - floor(log10(abs(value))), 0), 6)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows as the lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "   ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
        for first, *others in rows
    ]


def _note(results: Sequence[Result]) -> list[str]:
    several = any(len(result.replications) > 1 for result in results)
    return ["+-: half width of the 95 % confidence interval.", ""] if several else []
