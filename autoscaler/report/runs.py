"""The charts and tables of runs: requests and replicas over time, the distribution of waits, what changed the number.

Several runs stand side by side, on one axis. A long run has more changes than a chart can show; then each part of its
time keeps its last state and its peaks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoscaler.explain.wording import duration
from autoscaler.report.parts import Chart, Part, Section, Series, Table, Text

Floats = NDArray[np.float64]
STATES = ("asked", "ready", "running", "queued")
"""What a timeline has beside its times: replicas asked for and ready, requests that run and that wait."""
MOST_SLOTS = 600
"""Parts of the time of all runs of a chart."""
FEWEST_SLOTS = 60
MOST_WAITS = 400
"""Points of all distributions of a chart."""
MOST_CHANGES = 100
"""Rows of a table of what changed the number."""
_TIME_AXIS = "time"


class Change(NamedTuple):
    """A decision that changed the number of replicas."""

    t_s: float
    before: int
    after: int
    why: str
    """In words; empty if it is unknown."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a report shows of one run. Times are in seconds since its beginning."""

    name: str
    timeline: Mapping[str, Floats]
    """The columns `time` and `STATES`, of one length, in order of time: each row holds until the next one."""
    waits_s: Floats
    """Of the requests that a replica got, in any order."""
    changes: Sequence[Change]
    missing: str = ""
    """Why nothing is known of its requests, in a sentence. Then there are no waits, and `running` and `queued` mean
    nothing. It is empty if they are known."""


def sections(runs: Sequence[Run]) -> list[Section]:
    """Give the sections of runs: side by side if they are several, the distribution of waits, then each alone."""
    found = []
    if len(runs) > 1:
        found.append(Section("Side by side", [*map(Text, _missing(runs)), *over_time(runs)]))
    known = any(len(run.waits_s) for run in runs)
    found.append(Section("Waits", [waits(runs) if known else Text("No wait is known.")]))
    return [*found, *(Section(_heading(run, runs), _alone(run)) for run in runs)]


def _heading(run: Run, runs: Sequence[Run]) -> str:
    return run.name if len(runs) > 1 else "Requests and replicas"


def _missing(runs: Sequence[Run]) -> Iterator[str]:
    return (f"{run.name}: {run.missing}" for run in runs if run.missing)


def _alone(run: Run) -> list[Part]:
    return [*([Text(run.missing)] if run.missing else [requests(run)]), replicas(run), changes(run)]


def over_time(runs: Sequence[Run]) -> list[Chart]:
    """Give two charts: the requests in flight and the replicas asked for of each run.

    A run with more changes than a chart can show has the mean of each part of the time.
    """
    known = [run for run in runs if not run.missing]
    requests_chart = [_side_by_side("Requests in flight", known, "running", "queued")] if known else []
    return [*requests_chart, _side_by_side("Replicas asked for", runs, "asked")]


def _side_by_side(title: str, runs: Sequence[Run], *columns: str) -> Chart:
    slots = max(MOST_SLOTS // len(runs), FEWEST_SLOTS)
    all_times = [run.timeline["time"] for run in runs if len(run.timeline["time"])] or [np.zeros(1)]
    is_long = any(len(times) > 2 * slots for times in all_times)
    whole = np.unique(np.concatenate(all_times))
    times = np.linspace(whole[0], whole[-1], slots + 1) if is_long else whole
    value = means if is_long else held
    note = f"Each point is the mean of the {duration(float(times[1] - times[0]))} after it." if is_long else ""
    series = [Series(run.name, value(times, run.timeline, *columns)) for run in runs]
    return Chart(title, times.tolist(), series, note=note, axis=_TIME_AXIS)


def requests(run: Run) -> Chart:
    """Give the requests of one run over time: those that run, and above them those that wait."""
    thin = thinned(run.timeline, MOST_SLOTS)
    series = [
        Series("in flight", held(thin["time"], thin, "running", "queued"), "area", "queued"),
        Series("running", held(thin["time"], thin, "running"), "area", "running"),
    ]
    note = _note(len(thin["time"]), len(run.timeline["time"]))
    return Chart("Requests", thin["time"].tolist(), series, note=note, axis=_TIME_AXIS)


def replicas(run: Run) -> Chart:
    """Give the replicas of one run over time: those that are ready, and the number asked for."""
    thin = thinned(run.timeline, MOST_SLOTS)
    series = [
        Series("ready", held(thin["time"], thin, "ready"), "area", "ready"),
        Series("asked for", held(thin["time"], thin, "asked"), "step", "ink"),
    ]
    return Chart("Replicas", thin["time"].tolist(), series, axis=_TIME_AXIS)


def waits(runs: Sequence[Run]) -> Chart:
    """Give the empirical distribution of the waits of each run: the share of requests that waited at most so long."""
    known = {run.name: np.sort(run.waits_s) for run in runs if len(run.waits_s)}
    points = max(MOST_WAITS // max(len(known), 1), 20)
    shares = np.unique(np.append(np.linspace(0.0, 1.0, points), (0.99, 0.995, 0.999)))
    at_s = [np.quantile(each, shares, method="inverted_cdf") for each in known.values()]
    x = np.unique(np.concatenate([np.zeros(1), *at_s]))
    series = [
        Series(name, (100 * np.searchsorted(each, x, side="right") / len(each)).tolist())
        for name, each in known.items()
    ]
    return Chart("Share of requests that waited at most so long", x.tolist(), series, x_label="Wait", unit="%")


def changes(run: Run) -> Table:
    """Give what changed the number of replicas, in words: the first `MOST_CHANGES`, and how many are left out."""
    rows = [[_time(each.t_s), f"{each.before} → {each.after}", each.why or "-"] for each in run.changes[:MOST_CHANGES]]
    left = len(run.changes) - len(rows)
    note = f"These are the first {len(rows)} changes; {left:,} more are left out." if left else ""
    if not rows:
        note = "Nothing changed the number."
    title = f"What changed the number ({len(run.changes):,})"
    return Table(title, ["Time", "Replicas", "Why"], rows, note, (0, 1, 2), folded=True)


def _time(t_s: float) -> str:
    return duration(t_s) if t_s >= 100 else f"{t_s:.1f} s"  # noqa: PLR2004 - as the page writes seconds


def _note(drawn: int, known: int) -> str:
    if drawn >= known:
        return ""
    return f"Drawn from {drawn:,} of {known:,} changes: each part of the time has its peaks and its last state."


def thinned(timeline: Mapping[str, Floats], slots: int) -> dict[str, Floats]:
    """Give as much of a timeline as a chart can show; a short one is given whole.

    The time is cut into `slots` parts of equal length. Each keeps its first and its last row, and those with the most
    requests in flight, replicas asked for and replicas ready. So no peak is lost.
    """
    times = timeline["time"]
    if len(times) <= 2 * slots:
        return dict(timeline)
    slot = np.minimum(((times - times[0]) / (times[-1] - times[0]) * slots).astype(np.int64), slots - 1)
    ends = np.flatnonzero(np.diff(slot, append=slots))
    kept = [np.append(0, ends[:-1] + 1), ends]
    for values in (timeline["running"] + timeline["queued"], timeline["asked"], timeline["ready"]):
        order = np.lexsort((values, slot))
        kept.append(order[ends])
    places = np.unique(np.concatenate(kept))
    return {name: column[places] for name, column in timeline.items()}


def held(times: Floats, timeline: Mapping[str, Floats], *names: str) -> list[float | None]:
    """Give the sum of some columns at some times: that of the last row before or at each; None before the first."""
    places = np.searchsorted(timeline["time"], times, side="right") - 1
    total = np.sum([timeline[name] for name in names], axis=0)
    return [None if place < 0 else float(total[place]) for place in places.tolist()]


def means(times: Floats, timeline: Mapping[str, Floats], *names: str) -> list[float | None]:
    """Give the time-weighted mean of the sum of some columns from each time to the next; the last one holds.

    It is None where the timeline has not begun. A timeline that has ended holds its last row.
    """
    own, total = timeline["time"], np.sum([timeline[name] for name in names], axis=0)
    if not len(own):
        return [None] * len(times)
    until = np.concatenate([[0.0], np.cumsum(total[:-1] * np.diff(own))])
    places = np.maximum(np.searchsorted(own, times, side="right") - 1, 0)
    area = until[places] + total[places] * np.maximum(times - own[places], 0.0)
    known_s = np.maximum(times[1:], own[0]) - np.maximum(times[:-1], own[0])
    with np.errstate(invalid="ignore"):
        found = np.diff(area) / known_s
    return [None if value != value else float(value) for value in (*found.tolist(), float(total[-1]))]  # noqa: PLR0124
