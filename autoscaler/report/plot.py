"""The charts of a report as a figure of matplotlib, and as PNG or SVG.

matplotlib is imported when it is first needed.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoscaler.report.parts import Chart, Section, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg")
"""What a file of a plot may end in."""
MOST_CHARTS = 12
"""A figure has no more charts: it would be too high to look at."""
_COLORS = {"running": "#0a6ebd", "queued": "#de8316", "ready": "#7fcdb5", "starting": "#8a4b9e", "ink": "#16191d"}
"""Those of the page, in light."""


def charts_in(sections: Sequence[Section]) -> list[Chart]:
    """Give the charts of a report, in order."""
    return [part for section in sections for part in section.parts if isinstance(part, Chart)]


def figure(charts: Sequence[Chart]) -> "Figure":
    """Draw charts one below the other, the first `MOST_CHARTS` of them.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; the extra `sim` has it.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = charts[:MOST_CHARTS]
    drawn = Figure(figsize=(9, 2.6 * max(len(shown), 1)), layout="constrained")
    for axes, chart in zip(drawn.subplots(max(len(shown), 1), 1, squeeze=False)[:, 0], shown, strict=False):
        _draw(axes, chart)
    return drawn


def require() -> None:
    """Raise ModuleNotFoundError now, before hours of simulation, if `save` would."""
    importlib.import_module("matplotlib")


def save(charts: Sequence[Chart], path: Path) -> None:
    """Write charts as PNG or SVG, as the file's ending says; the same charts give the same file.

    Raises:
        ModuleNotFoundError: as `figure`.
        OSError: the file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "inflight", "svg.fonttype": "none"}):
        figure(charts).savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def _draw(axes: "Axes", chart: Chart) -> None:
    for series in chart.series:
        _draw_series(axes, chart, series)
    axes.set_title(_plain(chart.title), loc="left", fontsize="medium")
    axes.set_xlabel(_plain(chart.x_label or ("seconds since the beginning" if chart.x_unit == "s" else "")))
    axes.set_ylabel(_plain(chart.unit))
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.series:
        axes.legend(loc="best", fontsize="small")


def _draw_series(axes: "Axes", chart: Chart, series: Series) -> None:
    values = [float("nan") if value is None else value for value in series.values]
    label, color = _plain(series.name), _COLORS.get(series.color)
    if series.draw == "area":
        axes.fill_between(chart.x, values, step="post", label=label, color=color)
    elif series.draw == "points":
        axes.scatter(chart.x, values, label=label, color=color, zorder=3)
    elif series.draw == "line":
        axes.plot(chart.x, values, label=label, color=color)
    else:
        axes.step(chart.x, values, where="post", label=label, color=color)


def _plain(text: str) -> str:
    """Give a text that matplotlib does not take for a formula, nor for a label to leave out."""
    return text.replace("$", r"\$").removeprefix("_")
