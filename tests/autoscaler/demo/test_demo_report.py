"""A run's report: what it says, what its verdict finds, and what becomes of its times when they are multiplied back."""

import json
from dataclasses import replace

import pytest

from autoscaler.demo.load_result import LoadResult, Response
from autoscaler.demo.report import DecisionPoint, Expected, Moment, RunResult, ServedRequest, render, to_json, verdict

TWO = Expected(answers=2, peak=2)


def answer(offset_s, latency_s, status=200):
    return Response(latency_s, 0.0, 0.0, 0.0, latency_s, 0.0, status, offset_s)


def test_what_a_candidate_would_have_asked_for_is_added_up_from_decision_to_decision(good):
    points = ((0.0, 2, 1), (10.0, 4, 5), (20.0, 0, 0))
    decisions = tuple(DecisionPoint(at_s, desired, {"short": wanted}) for at_s, desired, wanted in points)
    told = render(replace(good, decisions=decisions))
    assert "Candidate short: would have asked for 60 replica-seconds, not 60 (+0%), and for 5 at its peak" in told
    assert "Candidate" not in render(good)


@pytest.fixture
def good():
    return RunResult(
        source="by hand",
        load=LoadResult(40.0, (answer(0.0, 30.0), answer(1.0, 39.0)), {}),
        requests=(ServedRequest(0.0, 20.0, 8.0), ServedRequest(0.5, 19.0, 9.0)),
        timeline=(
            Moment(0.0, 0, 0, 0, 1),
            Moment(0.5, 1, 0, 0, 1),
            Moment(1.0, 1, 0, 0, 2),
            Moment(1.5, 2, 0, 0, 2),
            Moment(20.0, 2, 2, 2, 0),
            Moment(40.0, 2, 2, 0, 0),
            Moment(70.0, 0, 0, 0, 0),
        ),
        decisions=(DecisionPoint(0.5, 1), DecisionPoint(1.5, 2), DecisionPoint(70.0, 0)),
        cold_starts_s=(19.5, 18.5),
        gpu_s=138.0,
        idle_s=60.0,
        overlaps=0,
    )


def test_a_run_that_did_what_was_expected_has_no_problems(good):
    assert verdict(good, TWO) == []
    assert "passed: 2 of 2 answers" in render(good, TWO)


def test_one_decision_may_have_been_under_way_when_the_last_request_came(good):
    one_late = replace(good, decisions=(DecisionPoint(0.5, 1), DecisionPoint(1.0, 1), DecisionPoint(1.5, 2)))
    two_late = replace(good, decisions=(DecisionPoint(1.0, 1), DecisionPoint(1.2, 1), DecisionPoint(1.5, 2)))
    assert verdict(one_late, TWO) == []
    assert verdict(two_late, TWO) == ["2 replicas were asked for later than one decision after"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"load": LoadResult(40.0, (answer(0.0, 30.0), answer(1.0, 1.0, 503)), {})},
            "1 of 2 answers were status 200",
        ),
        ({"overlaps": 3}, "replicas were given 3 requests beyond their concurrency"),
        ({"timeline": (Moment(0.0, 1, 0, 0, 1), Moment(9.0, 0, 0, 0, 0))}, "the peak was 1 replicas, not 2"),
        (
            {"timeline": (Moment(0.0, 2, 0, 0, 1), Moment(9.0, 2, 2, 0, 0))},
            "2 replicas asked for and 2 ready are left at the end",
        ),
    ],
)
def test_each_way_to_fall_short_is_named(good, change, problem):
    spoilt = replace(good, **change)
    assert verdict(spoilt, TWO) == [problem]
    assert problem in render(spoilt, TWO)


def test_a_load_that_never_was_in_flight_at_the_peak_was_never_late(good):
    alone = replace(good, timeline=(Moment(0.0, 2, 0, 0, 1), Moment(9.0, 0, 0, 0, 0)), decisions=())
    assert verdict(alone, TWO) == []


def test_a_run_in_which_nothing_happened_has_no_averages():
    nothing = RunResult("nothing", LoadResult(1.0, (), {}), (), (), (), (), 0.0, 0.0, 0)
    assert "GPU-seconds used:  0.0" in render(nothing)


def test_replicas_are_shown_when_their_number_changes_and_not_at_every_request(good):
    rows = render(good).split("Replicas over time:\n")[1].split("\n\n")[0].splitlines()[1:]
    assert [row.split()[:4] for row in rows] == [
        ["0.00", "s", "0", "0"],
        ["0.50", "s", "1", "0"],
        ["1.50", "s", "2", "0"],
        ["20.00", "s", "2", "2"],
        ["70.00", "s", "0", "0"],
    ]


def test_all_times_are_multiplied_and_no_number(good):
    scaled = good.scaled(2.0)
    assert scaled.load.total_s == 80.0
    assert scaled.requests == ((0.0, 40.0, 16.0), (1.0, 38.0, 18.0))
    assert scaled.timeline[-1] == Moment(140.0, 0, 0, 0, 0)
    assert scaled.decisions[1] == DecisionPoint(3.0, 2)
    assert (scaled.cold_starts_s, scaled.gpu_s, scaled.idle_s) == ((39.0, 37.0), 276.0, 120.0)
    assert scaled.scaled(0.5) == good


def test_the_json_holds_all_of_it(good):
    told = json.loads(json.dumps(to_json(good, TWO)))
    assert told["load"]["answers"][1]["latency_s"] == 39.0
    assert told["timeline"][3] == {"t_s": 1.5, "asked": 2, "ready": 0, "running": 0, "queued": 2}
    assert told["decisions"][1] == {"t_s": 1.5, "desired": 2, "candidates": {}, "before": 0, "why": ""}
    assert (told["peak"], told["problems"]) == (2, [])
    assert "problems" not in to_json(good)
