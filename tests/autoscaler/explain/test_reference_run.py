"""The reference run, decision by decision: what is said is what the run did next.

`tests/data/explain/reference-run.jsonl` is the decision log of the simulator:
`python -m autoscaler simulate simulations/demo.yaml --decisions tests/data/explain/reference-run.jsonl`.
"""

import json
import re
from datetime import UTC
from math import inf
from pathlib import Path

from autoscaler.controller.records import from_json
from autoscaler.explain.causes import needed
from autoscaler.explain.forecast import forecast
from autoscaler.explain.log import LogViews
from autoscaler.explain.sentences import answer
from autoscaler.explain.states import State

LOG = Path(__file__).parents[2] / "data" / "explain" / "reference-run.jsonl"
LINES = [json.loads(line) for line in LOG.read_text().splitlines()]
RECORDS = [from_json(line) for line in LINES if "policy" not in line]
SERVICE = "default/knative-sd-demo"


def view_at(now_s, **options):
    """Give the view after the last decision up to a time."""
    views = LogViews(UTC)
    views.read(LINES, str(LOG), now_s)
    return views.view(SERVICE, **options)


def foreseen(view, replayed_s):
    """Give the view with a forecast that knows how long requests take."""
    views = LogViews(UTC)
    views.read(LINES, str(LOG), replayed_s)
    return view._replace(forecast=forecast(view.policy, views.state(SERVICE), view.record, service_s=20.0))


def falls_after(now_s):
    return [
        record.observation.now_s
        for record in RECORDS
        if record.observation.now_s > now_s and record.decision.desired < record.observation.replicas
    ]


def first_with(inflight):
    """Give the first decision of the falling load with this many requests in flight."""
    last_burst_s = max(record.observation.now_s for record in RECORDS if record.observation.latest == 5)
    return next(r for r in RECORDS if r.observation.now_s > last_burst_s and r.observation.latest == inflight)


def test_while_one_request_is_left_it_says_why_five_and_when_they_go():
    record = first_with(1)
    now_s = record.observation.now_s
    found = answer(foreseen(view_at(now_s), now_s))
    assert found.number == 5
    value = record.decision.recommendation.averages[0].value
    assert found.first == (
        f"5 replicas, because {value:.2f} requests were in flight on average over the last 60 s "
        "and a replica takes 1 at a time."
    )
    said = re.fullmatch(
        r"Only 1 is in flight now\. If nothing more arrives, the first replica goes in (\d+) s \(\d\d:\d\d:\d\d\) "
        r"and the last in (.+) \(\d\d:\d\d:\d\d\)\.",
        found.second,
    )
    assert said, found.second
    assert now_s + int(said[1]) == falls_after(now_s)[0]
    assert found.state is State.HOLDING


def test_once_nothing_is_in_flight_the_forecast_is_what_the_run_did():
    record = first_with(0)
    now_s = record.observation.now_s
    view = view_at(now_s)
    falls_s = falls_after(now_s)
    assert (view.forecast.first_s, view.forecast.last_s) == (falls_s[0], falls_s[-1])
    assert view.forecast.remaining == 0
    did = {each.observation.now_s: each.decision.desired for each in RECORDS}
    points = [point for point in view.forecast.points if point.at_s in did]
    assert len(points) > 40
    assert [point.desired for point in points] == [did[point.at_s] for point in points]
    second = answer(view).second
    assert second.startswith("Nothing is in flight now. If nothing more arrives, the first replica goes in ")


def test_when_it_wakes_it_says_that_five_wait():
    found = answer(view_at(1.0))
    assert found.first == "5 replicas, because 5 requests wait and no replica is ready."
    assert found.state is State.WAKING


def test_at_the_end_it_says_since_when_nothing_is_in_flight_and_for_how_long_zero_was_recommended():
    found = answer(view_at(inf))
    quiet = first_with(0)
    assert re.fullmatch(
        r"0 replicas, because nothing has been in flight since \d\d:\d\d:\d\d and zero was recommended for 30 s\.",
        found.first,
    )
    assert f"{quiet.observation.now_s // 60:02.0f}:" in found.first
    assert found.state is State.AT_ZERO


def test_any_decision_of_the_run_is_explained_by_numbers_that_give_its_number():
    views = LogViews(UTC)
    for number, line in enumerate(LINES):
        views.read([line], str(LOG), inf)
        if "policy" in line or number % 3:
            continue
        found = answer(views.view(SERVICE))
        assert found.number == line["desired"]
        assert found.first.startswith(f"{found.number} replica")
        assert len(found.first.split()) <= 25, found.first
        used = re.search(r"because ([\d.]+) requests? (?:was|were) in flight on average", found.first)
        if used:
            assert needed(float(used[1]), 1.0) == found.number


def test_the_table_of_the_run_has_a_row_for_each_change():
    views = LogViews(UTC)
    views.read(LINES, str(LOG), inf)
    rows = views.table(SERVICE).rows
    changes = [(row.before, row.after) for row in reversed(rows) if row.result == "written"]
    assert changes == [(0, 5), (5, 4), (4, 3), (3, 2), (2, 1), (1, 0)]
    assert sum(row.decisions for row in rows) == len(RECORDS)
