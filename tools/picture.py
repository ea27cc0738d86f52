"""Draw a run of the demo as the README shows it: replicas against requests in flight, over time.

`make picture` runs the demo in real time and draws it to docs/images/zero-to-five.svg. The colours are legible on white
and on black, and the text stays text, in the reader's own font.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GREY, REQUESTS, REPLICAS = "#848d97", "#d98324", "#2f81f7"
"""Of text and axes, of requests, and of replicas."""
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "inflight",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}

MARGIN_S = 8.0
"""Shown before the first request and after the last change."""

Moments = Sequence[Mapping[str, Any]]


def main(arguments: list[str]) -> int:
    """Draw the result that `autoscaler demo --json` wrote."""
    result, picture = map(Path, arguments)
    moments = json.loads(result.read_text())["timeline"]
    about = {"Title": title(moments), "Date": None, "Creator": None}
    with mpl.rc_context(SETTINGS):
        drawn(_with_margins(moments)).savefig(picture, transparent=True, metadata=about)
    return 0


def title(moments: Moments) -> str:
    """Say in one line what the picture shows, for readers who cannot see it."""
    peak = max(moment["asked"] for moment in moments)
    last = moments[-1]
    return f"Replicas from {moments[0]['asked']} to {peak} and back to {last['asked']} in {last['t_s']:.0f} s"


def _with_margins(moments: Moments) -> Moments:
    """Add what there was before the run, and what there is after it: the demo begins and ends at rest."""
    first, last = moments[0], moments[-1]
    return [{**first, "t_s": -MARGIN_S}, *moments, {**last, "t_s": last["t_s"] + MARGIN_S}]


def drawn(moments: Moments) -> Figure:
    """Draw requests in flight as an area and replicas as lines."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    times = [moment["t_s"] for moment in moments]
    running = [moment["running"] for moment in moments]
    inflight = [moment["running"] + moment["queued"] for moment in moments]
    axes.fill_between(times, inflight, step="post", color=REQUESTS, alpha=0.3, linewidth=0, label="requests queued")
    axes.fill_between(times, running, step="post", color=REQUESTS, alpha=0.5, linewidth=0, label="requests running")
    for name, label, style in (("asked", "replicas desired", "--"), ("ready", "replicas ready", "-")):
        numbers = [moment[name] for moment in moments]
        axes.step(times, numbers, where="post", color=REPLICAS, linestyle=style, linewidth=2, label=label)
    _framed(axes, max(inflight))
    return figure


def _framed(axes: Axes, highest: int) -> None:
    axes.set(xlabel="seconds since the first request", ylim=(0, highest + 0.4), yticks=range(highest + 1))
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
