"""What a report draws of runs: no peak gets lost, and the distribution is that of the waits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.report.parts import Chart, Text, checked
from autoscaler.report.runs import MOST_CHANGES, STATES, Change, Run, changes, held, means, sections, thinned, waits

EMPTY = {name: np.zeros(0) for name in ("time", *STATES)}


@st.composite
def timelines(draw, most=60):
    rows, random = draw(st.integers(1, most)), np.random.default_rng(draw(st.integers(0, 2**32)))
    gaps = random.exponential(random.choice([0.1, 5.0]), rows) + 0.01
    return {"time": np.cumsum(gaps)} | {name: random.integers(0, 9, rows).astype(float) for name in STATES}


def run(name="a", timeline=None, waits_s=(), made=(), missing=""):
    return Run(name, EMPTY if timeline is None else timeline, np.array(waits_s, dtype=float), made, missing)


@settings(max_examples=30)
@given(timelines(), st.integers(1, 8))
def test_a_thinned_timeline_keeps_its_rows_its_ends_and_all_its_peaks(timeline, slots):
    thin = thinned(timeline, slots)
    rows = set(zip(*timeline.values(), strict=True))
    assert set(zip(*thin.values(), strict=True)) <= rows
    assert list(thin["time"]) == sorted(thin["time"])
    assert len(thin["time"]) <= max(5 * slots, 2)
    for name in ("asked", "ready"):
        assert thin[name].max() == timeline[name].max()
    assert (thin["running"] + thin["queued"]).max() == (timeline["running"] + timeline["queued"]).max()
    assert [thin[name][-1] for name in thin] == [timeline[name][-1] for name in timeline]


@settings(max_examples=30)
@given(timelines(), st.lists(st.floats(0.0, 400.0), min_size=2, max_size=20, unique=True).map(sorted))
def test_a_mean_is_that_of_the_rows_that_hold_from_one_time_to_the_next(timeline, times):
    fine = means(np.array(times), timeline, "asked")
    own = timeline["time"]
    for value, from_s, to_s in zip(fine, times, times[1:], strict=False):
        cuts = np.unique(np.clip(np.append(own, (from_s, to_s)), max(from_s, own[0]), max(to_s, own[0])))
        parts = np.diff(cuts)
        if not parts.sum() > 1e-6:
            continue
        expected = np.dot(parts, np.array(held(cuts[:-1], timeline, "asked"), dtype=float)) / parts.sum()
        assert value == pytest.approx(expected, abs=1e-6)


def test_a_timeline_is_unknown_before_it_begins():
    timeline = {"time": np.array([5.0])} | {name: np.ones(1) for name in STATES}
    assert held(np.array([0.0, 5.0, 9.0]), timeline, "running", "queued") == [None, 2.0, 2.0]
    assert means(np.array([0.0, 4.0, 6.0, 8.0]), timeline, "asked") == [None, 1.0, 1.0, 1.0]


@settings(max_examples=30)
@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=2000))
def test_the_distribution_gives_the_share_of_waits_up_to_each_time(waits_s):
    chart = waits([run(waits_s=waits_s), run("b", waits_s=[1.0])])
    known = np.array(waits_s)
    assert chart.series[0].values == pytest.approx([100 * np.mean(known <= x) for x in chart.x])
    assert chart.series[0].values[-1] == chart.series[1].values[-1] == 100.0
    assert chart.x[0] == 0.0


def test_what_changed_the_number_is_capped_and_says_so():
    made = [Change(float(each), each, each + 1, "why") for each in range(MOST_CHANGES + 5)]
    table = changes(run(made=made))
    assert len(table.rows) == MOST_CHANGES
    assert table.note == "These are the first 100 changes; 5 more are left out."
    assert table.rows[0] == ["0.0 s", "0 → 1", "why"]
    assert changes(run()).note == "Nothing changed the number."


@settings(max_examples=20)
@given(st.lists(timelines(most=300), min_size=1, max_size=4))
def test_the_sections_of_any_runs_hold_together(all_timelines):
    runs = [run(str(number), each, [1.0, 2.0]) for number, each in enumerate(all_timelines)]
    found = checked(sections(runs))
    assert [each.title for each in found if each.title.isdigit()] == [each.name for each in runs if len(runs) > 1]


def test_a_run_whose_requests_were_not_kept_says_why_and_shows_its_replicas():
    timeline = {"time": np.array([0.0, 5.0])} | {name: np.ones(2) for name in STATES}
    unknown = run(timeline=timeline, missing="there were too many requests to keep")
    for runs in ([unknown], [unknown, run("b", timeline, [1.0])]):
        parts = [part for section in checked(sections(runs)) for part in section.parts]
        assert any(isinstance(part, Text) and "too many requests to keep" in part.text for part in parts)
        inflight = [part for part in parts if isinstance(part, Chart) and part.title.startswith("Requests")]
        assert "a" not in [series.name for chart in inflight for series in chart.series]
        assert [part.title for part in parts if isinstance(part, Chart)].count("Replicas") == len(runs)


def test_a_run_of_nothing_is_a_report_too():
    assert checked(sections([run()]))
    assert checked(sections([run(), run("b")]))
