"""What Prometheus and the streams say together: good, a part of the whole, or unknown, and never the sum of both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.controller.observe import NO_STREAM, StreamedCounts, observe, past_observations
from autoscaler.ports import Fleet, Reading, Replica, Rescale, TimedReading

NOW_S = 1000.0
NO_REPLICAS = Fleet(0, ())
STALE = "oldest sample is 40 s old"
SILENT = "gateway a does not report: it went silent"

GOOD = Reading(8.0, NOW_S, series=2)
OLD = Reading(None, NOW_S - 40, series=2, problem=STALE)
FEW = Reading(4.0, NOW_S, series=1)
PART = Reading(4.0, NOW_S, series=2, problem="a warning")
UNKNOWN = Reading(None, NOW_S, problem="Prometheus is down")

WHOLE = StreamedCounts(latest=9.0, mean=7.0)
YOUNG = StreamedCounts(latest=9.0, mean=None)
"""All gateways are heard, one of them not since the last look."""
HALF = StreamedCounts(latest=5.0, mean=3.0, problem=SILENT)
DEAF = StreamedCounts(latest=None, mean=None, problem=SILENT)


def seen(metered=None, live=NO_STREAM, gateways=2, fleet=NO_REPLICAS):
    return observe(NOW_S, NOW_S - 2, fleet, metered=metered, live=live, gateways=gateways)


@pytest.mark.parametrize(
    ("metered", "live", "inflight", "problem"),
    [
        # A good value of Prometheus is what is decided on, whatever the streams say.
        (GOOD, WHOLE, 8.0, ""),
        (GOOD, YOUNG, 8.0, ""),
        (GOOD, HALF, 8.0, ""),
        (GOOD, DEAF, 8.0, ""),
        (GOOD, NO_STREAM, 8.0, ""),
        # Else the streams decide alone, if all gateways are heard.
        (OLD, WHOLE, 7.0, ""),
        (FEW, WHOLE, 7.0, ""),
        (PART, WHOLE, 7.0, ""),
        (UNKNOWN, WHOLE, 7.0, ""),
        (None, WHOLE, 7.0, ""),
        (UNKNOWN, YOUNG, 9.0, ""),
        (None, YOUNG, 9.0, ""),
        # Parts: the larger one, never the sum, with all that is wrong.
        (FEW, HALF, 4.0, f"Prometheus has series of 1 of 2 gateways; {SILENT}"),
        (PART, HALF, 4.0, f"a warning; {SILENT}"),
        (OLD, HALF, 3.0, f"{STALE}; {SILENT}"),
        (UNKNOWN, HALF, 3.0, f"Prometheus is down; {SILENT}"),
        (None, HALF, 3.0, SILENT),
        (FEW, DEAF, 4.0, f"Prometheus has series of 1 of 2 gateways; {SILENT}"),
        (PART, NO_STREAM, 4.0, "a warning; no gateway is known"),
        # Nothing is known.
        (OLD, DEAF, None, f"{STALE}; {SILENT}"),
        (UNKNOWN, DEAF, None, f"Prometheus is down; {SILENT}"),
        (UNKNOWN, NO_STREAM, None, "Prometheus is down; no gateway is known"),
        (None, DEAF, None, SILENT),
        (None, NO_STREAM, None, "no gateway is known"),
    ],
)
def test_what_is_said_becomes_one_count_or_a_reason_why_there_is_none(metered, live, inflight, problem):
    found = seen(metered, live)
    assert (found.inflight, found.problem) == (inflight, problem)


@pytest.mark.parametrize(
    ("gateways", "problem"),
    [(0, ""), (1, ""), (2, ""), (3, "Prometheus has series of 2 of 3 gateways; no gateway is known")],
)
def test_series_of_fewer_gateways_than_are_known_are_a_part(gateways, problem):
    found = seen(GOOD, gateways=gateways)
    assert (found.inflight, found.problem) == (8.0, problem)


@pytest.mark.parametrize(
    ("live", "queued", "running"),
    [(WHOLE._replace(queued=4.0), 4.0, 5.0), (WHOLE, None, None), (DEAF, None, None), (NO_STREAM, None, None)],
)
def test_what_waits_and_what_runs_are_known_only_from_the_streams(live, queued, running):
    found = seen(GOOD, live)
    assert (found.queued, found.running) == (queued, running)


def test_replicas_that_exist_and_are_not_ready_start_and_others_may_have_no_place():
    replicas = (Replica("a", ready=True, running=0, age_s=9.0), Replica("b", ready=False, running=0, age_s=1.0))
    found = seen(GOOD, fleet=Fleet(4, replicas, unplaced=2))
    assert (found.ready, found.starting, found.unplaced) == (1, 1, 2)


def test_a_higher_count_that_is_newer_is_kept_beside_the_mean_and_a_lower_one_lowers_nothing():
    assert (seen(GOOD, StreamedCounts(12.0, 7.0)).inflight, seen(GOOD, StreamedCounts(12.0, 7.0)).latest) == (8.0, 12.0)
    assert (seen(GOOD, StreamedCounts(1.0, 1.0)).inflight, seen(GOOD, StreamedCounts(1.0, 1.0)).latest) == (8.0, 1.0)


def test_zero_is_a_count_and_not_missing():
    assert seen(Reading(0.0, NOW_S, series=2), DEAF).inflight == 0.0
    assert (seen(UNKNOWN, StreamedCounts(0.0, 0.0)).inflight, seen(UNKNOWN, StreamedCounts(0.0, 0.0)).problem) == (
        0.0,
        "",
    )
    assert (seen(FEW._replace(value=0.0), DEAF).inflight, seen(OLD, HALF._replace(mean=0.0)).inflight) == (0.0, 0.0)


def test_an_observation_also_has_what_the_target_runs_and_what_passes():
    replicas = (
        Replica("a", ready=True, running=1, age_s=60.0),
        Replica("b", ready=True, running=0, age_s=60.0),
        Replica("c", ready=False, running=0, age_s=1.0),
    )
    found = seen(GOOD, WHOLE._replace(passing=3), fleet=Fleet(4, replicas))
    assert (found.now_s, found.since_s) == (NOW_S, NOW_S - 2)
    assert (found.replicas, found.ready, found.passing) == (4, 2, 3)


READINGS = st.none() | st.builds(
    Reading, st.none() | st.floats(0, 100), st.just(NOW_S), st.integers(0, 3), st.sampled_from(["", "stale"])
).map(lambda reading: reading._replace(problem="down") if reading.value is None else reading)
LIVES = st.builds(
    StreamedCounts,
    st.none() | st.floats(0, 100),
    st.none() | st.floats(0, 100),
    st.just(0),
    st.sampled_from(["", SILENT]),
).map(lambda live: live._replace(mean=None, problem=SILENT) if live.latest is None else live)


@given(READINGS, LIVES, st.integers(0, 3))
def test_whatever_is_said_no_two_numbers_are_added_and_none_is_made_up(metered, live, gateways):
    found = seen(metered, live, gateways)
    said = {metered.value if metered else None, live.latest, live.mean}
    assert found.inflight in said
    assert bool(found.problem) or found.inflight is not None
    assert (found.inflight is None) == (said == {None})


@given(READINGS, LIVES, st.integers(0, 3))
def test_a_count_without_a_problem_comes_from_a_source_that_is_whole(metered, live, gateways):
    found = seen(metered, live, gateways)
    metered_whole = metered is not None and not metered.problem and metered.series >= gateways
    live_whole = not live.problem
    assert (found.problem == "") == (metered_whole or live_whole)


# The past.


def moments(*counts, last_s=NOW_S, step_s=2.0, series=2):
    """Give the last of these counts at a time, and those before it at their distance; None is unknown."""
    times = [last_s - step_s * ago for ago in range(len(counts) - 1, -1, -1)]
    return [
        TimedReading(at_s, Reading(count, at_s, series, "" if count is not None else "there was no series"))
        for at_s, count in zip(times, counts, strict=True)
    ]


def test_observations_from_history_follow_one_another_up_to_now():
    observations = past_observations(moments(4.0, 5.0, 6.0), NO_REPLICAS, NOW_S)
    assert [(each.since_s, each.now_s, each.inflight) for each in observations] == [
        (NOW_S - 6, NOW_S - 4, 4.0),
        (NOW_S - 4, NOW_S - 2, 5.0),
        (NOW_S - 2, NOW_S, 6.0),
    ]


def test_what_was_unknown_is_left_out_and_is_not_zero():
    observations = past_observations(moments(4.0, None, 6.0), NO_REPLICAS, NOW_S)
    assert [(each.now_s, each.inflight) for each in observations] == [(NOW_S - 4, 4.0), (NOW_S, 6.0)]


def test_series_of_fewer_gateways_than_there_are_were_a_part():
    (one, _) = past_observations(moments(4.0, 5.0, series=1), NO_REPLICAS, NOW_S, gateways=2)
    assert (one.inflight, one.problem) == (4.0, "Prometheus has series of 1 of 2 gateways")


def test_a_past_that_ended_before_now_is_moved_and_what_came_after_now_is_of_no_use():
    for found in (moments(4.0, 5.0, last_s=NOW_S - 1.5), moments(4.0, 5.0, 9.0, last_s=NOW_S + 1.0)):
        observations = past_observations(found, NO_REPLICAS, NOW_S)
        assert [(each.since_s, each.now_s, each.inflight) for each in observations] == [
            (NOW_S - 4, NOW_S - 2, 4.0),
            (NOW_S - 2, NOW_S, 5.0),
        ]


@pytest.mark.parametrize("found", [[], moments(4.0), moments(4.0, 5.0, last_s=NOW_S + 60)])
def test_a_past_without_any_length_is_none(found):
    assert past_observations(found, NO_REPLICAS, NOW_S) == []


def test_replicas_that_are_ready_were_so_since_they_were_made():
    fleet = Fleet(2, (Replica("old", ready=True, running=0, age_s=100), Replica("new", ready=True, running=0, age_s=3)))
    observations = past_observations(moments(4.0, 4.0, 4.0), fleet, NOW_S)
    assert [(each.replicas, each.ready) for each in observations] == [(1, 1), (2, 2), (2, 2)]


@pytest.mark.parametrize(
    ("rescale", "replicas"),
    [(None, [1, 1, 2]), (Rescale(NOW_S - 2, before=0), [0, 3, 3]), (Rescale(NOW_S - 2, before=None), [1, 1, 2])],
)
def test_what_was_asked_for_until_the_last_change_is_known_from_there(rescale, replicas):
    starting = (Replica("old", ready=True, running=0, age_s=9), Replica("new", ready=False, running=0, age_s=1))
    observations = past_observations(moments(4.0, 4.0, 4.0), Fleet(3, starting), NOW_S, rescale=rescale)
    assert [each.replicas for each in observations] == replicas
