"""The outcome of a sweep as text, as plain values and as the parts of a report."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from autoscaler.report.parts import Chart, Section, Series, Table
from simulations.comparison import ROWS, figure_text, table_lines
from simulations.search.sequential import MOST_MORE, Difference
from simulations.search.sweep import Sweep, SweptVariant

_NOTE = (
    "+-: half width of the 95 % confidence interval. That of a difference is wider if it was tested at several stages, "
    "so that all of them together have 95 %."
)
MOST_ROWS = 60
"""Variants on the screen; files have all of them."""
COLUMNS = ("wait_mean_s", "wait_p95_s", "slo_attainment", "cold_starts", "gpu_s", "cost")
_LABELS = {name: label.strip() for label, name in ROWS.items()}


def sweep_text(found: Sweep) -> str:
    """Show all variants side by side, how each differs from the first, and what is not settled."""
    head, rows = _table(found)
    counts = [len(each.replications) for each in found.variants]
    runs = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    seed = found.scenario.spec.seed
    title = f"{found.scenario.metadata.name}: {len(rows)} variants on the same random streams, seed {seed}, {runs} runs"
    lines = [f"{title} each", "", *table_lines([head, *rows[:MOST_ROWS]]), *_left_out(rows)]
    lines += ["", "*: no other variant is lower in all of " + ", ".join(map(label, found.settle)) + "."]
    if len(found.variants) > 1:
        heads, differences = _difference_table(found)
        lines += ["", "Difference from the first variant, run by run:"]
        lines += [*table_lines([heads, *differences[:MOST_ROWS]]), *_left_out(differences), "", *unsettled(found)]
    return "\n".join([*lines, "", _NOTE, ""])


def label(figure: str) -> str:
    """Give the label of a figure in a table."""
    return _LABELS.get(figure, figure)


def _left_out(rows: Sequence[object]) -> list[str]:
    left = len(rows) - MOST_ROWS
    return [f"  and {left} more: --json, --parquet and --html have all of them"] if left > 0 else []


def _table(found: Sweep) -> tuple[list[str], list[list[str]]]:
    """Give the head and the rows of the table of figures."""
    known = [each.estimates for each in found.variants]
    columns = [name for name in dict.fromkeys((*COLUMNS, *found.settle)) if any(_matters(each, name) for each in known)]
    best = undominated(found)
    rows = [
        [
            name_of(each) + " *" * chosen,
            str(len(each.replications)),
            *(figure_text(n, known_of.get(n)) for n in columns),
        ]
        for each, known_of, chosen in zip(found.variants, known, best, strict=True)
    ]
    return ["variant", "runs", *map(label, columns)], rows


def _matters(known: dict[str, Any], name: str) -> bool:
    return name in known and bool(known[name].mean)


def name_of(each: SweptVariant) -> str:
    """Give the settings of a variant on one line."""
    return each.variant.name or "the scenario"


def undominated(found: Sweep) -> list[bool]:
    """Tell for each variant whether no other is as low in all figures to settle, and lower in one.

    A variant without one of the figures is not compared.
    """
    points = [
        tuple(each.estimates[name].mean for name in found.settle)
        if set(found.settle) <= each.estimates.keys()
        else None
        for each in found.variants
    ]
    known = sorted({point for point in points if point is not None})
    best = {point for point in known if not any(_below(other, point) for other in known)}
    return [point in best for point in points]


def _below(other: tuple[float, ...], point: tuple[float, ...]) -> bool:
    return other != point and all(theirs <= ours for theirs, ours in zip(other, point, strict=True))


def _difference_table(found: Sweep) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name_of(each), *(_written(figure, each.differences[figure]) for figure in found.settle)]
        for each in found.variants[1:]
    ]
    return ["variant", *map(label, found.settle)], rows


def _written(figure: str, each: Difference) -> str:
    from simulations.results.figures import Estimate  # noqa: PLC0415

    if not each.known:
        return "unknown"
    text = figure_text(figure, Estimate(each.mean, each.half_width), sign="+")
    return text if each.settled else f"{text}, not settled"


def unsettled(found: Sweep) -> list[str]:
    """Say of each variant whose difference is not settled how many more runs would settle it."""
    lines = [_unsettled(each) for each in found.variants[1:] if each.more]
    unknown = sum(any(not d.known for d in each.differences.values()) for each in found.variants[1:])
    if unknown:
        lines.append(f"{unknown} variants have a run without one of the figures: there a difference is unknown.")
    return lines or ["All differences are settled."]


def _unsettled(each: SweptVariant) -> str:
    names = " and ".join(label(figure) for figure, found in each.differences.items() if found.more)
    many = f"more than {MOST_MORE}" if each.more >= MOST_MORE else f"{each.more}"
    more = "the next run says how many would" if len(each.replications) < 2 else f"{many} more runs would"  # noqa: PLR2004
    return f"{name_of(each)}: {names}: not settled, {more}"


def sweep_values(found: Sweep) -> dict[str, Any]:
    """Give all that was found as plain values; what is unknown is null."""
    return {
        "scenario": found.scenario.metadata.name,
        "seed": found.scenario.spec.seed,
        "settle": list(found.settle),
        "within": found.within,
        "partial": found.partial,
        "variants": [_values(each) for each in found.variants],
    }


def _values(each: SweptVariant) -> dict[str, Any]:
    known = each.estimates
    return {
        "settings": each.settings,
        "runs": len(each.replications),
        "figures": {name: estimate.mean for name, estimate in known.items()},
        "half_widths": {name: _finite(estimate.half_width) for name, estimate in known.items()},
        "differences": {
            figure: {
                "mean": _finite(found.mean),
                "half_width": _finite(found.half_width),
                "settled": found.settled,
                "more_runs": found.more,
            }
            for figure, found in each.differences.items()
        },
    }


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def sweep_sections(found: Sweep) -> list[Section]:
    """Give the parts of a report: the figures, the frontier and the differences."""
    head, rows = _table(found)
    star = "*: no other variant is lower in all of " + ", ".join(map(label, found.settle)) + "."
    parts: list[Section] = [Section("Variants", [*_frontier(found), Table("Figures", head, rows, note=star)])]
    if len(found.variants) > 1:
        heads, differences = _difference_table(found)
        note = " ".join(f"{line.rstrip('.')}." for line in unsettled(found)[:10])
        parts.append(
            Section("Differences from the first variant", [Table("Run by run", heads, differences, note=note)])
        )
    return parts


def _frontier(found: Sweep) -> list[Chart]:
    """Draw the first figure to settle over the second."""
    if len(found.settle) < 2:  # noqa: PLR2004
        return []
    up, along = found.settle[:2]
    points = sorted(
        (each.estimates[along].mean, each.estimates[up].mean, name_of(each), best)
        for each, best in zip(found.variants, undominated(found), strict=True)
        if {up, along} <= each.estimates.keys()
    )
    if not points:
        return []
    series = [
        Series("every variant", [point[1] for point in points], draw="points"),
        Series("not dominated", [point[1] if point[3] else None for point in points], draw="points"),
    ]
    title = f"{label(up)} over {label(along)}"
    names = [point[2] for point in points]
    return [Chart(title, [point[0] for point in points], series, x_label=label(along), x_unit="", names=names)]
