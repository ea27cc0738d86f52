"""Windows in the local time of a zone: open once a day whatever the clocks do, and the bounds that follow."""

from datetime import UTC, datetime, timedelta
from math import inf, nan
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from autoscaler.policy.schedule.windows import Window, bounds_over_time, state_at
from autoscaler.testing import policy

ZONES = [
    *("Europe/Berlin", "Europe/London", "Europe/Lisbon", "America/New_York", "America/St_Johns", "America/Santiago"),
    *("America/Havana", "America/Asuncion", "Africa/Cairo", "Africa/Casablanca", "Asia/Beirut", "Asia/Gaza"),
    *("Asia/Jerusalem", "Asia/Kathmandu", "Asia/Tokyo", "Australia/Adelaide", "Australia/Lord_Howe"),
    *("Antarctica/Troll", "Pacific/Auckland", "Pacific/Chatham", "UTC"),
]
"""Zones that change their clocks at midnight, by half an hour, by two, around Ramadan, or never."""
FROM = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 730
MINUTE = timedelta(minutes=1)


def window(start="0 8 * * *", end="0 18 * * *", zone="Europe/Berlin", **more):
    bounds = {} if {"minReplicas", "maxReplicas"} & more.keys() else {"minReplicas": 2}
    return Window.model_validate({"name": "w", "timeZone": zone, "start": start, "end": end, **bounds, **more})


def at(text, zone="Europe/Berlin", fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def changes(each, from_s, until_s):
    """Give each time at which a window opens or closes, and whether it is open from then on."""
    now_s, found = from_s, []
    while now_s < until_s:
        state = state_at(each, now_s)
        found.append((now_s, state.ends_s is not None))
        now_s = min(state.starts_s, inf if state.ends_s is None else state.ends_s)
    return found


def openings(each, zone):
    """Sample a window each minute of two years, and give the local date of each opening."""
    from_s = FROM.timestamp()
    times, states = zip(*changes(each, from_s, from_s + DAYS * 86_400), strict=True)
    minutes = from_s + 60.0 * np.arange(DAYS * 1440)
    is_open = np.array(states)[np.searchsorted(times, minutes, side="right") - 1]
    opens = minutes[1:][is_open[1:] & ~is_open[:-1]]
    return [datetime.fromtimestamp(float(when_s), ZoneInfo(zone)).date() for when_s in opens]


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("start", "end"), [("30 2 * * *", "45 2 * * *"), ("0 0 * * *", "30 0 * * *"), ("15 23 * * *", "10 3 * * *")]
)
def test_a_daily_window_opens_exactly_once_a_day(zone, start, end):
    dates = openings(window(start, end, zone), zone)
    first = dates[0]
    assert dates == [first + timedelta(days=number) for number in range(len(dates))]
    assert len(dates) >= DAYS - 1


@pytest.mark.slow
@given(st.sampled_from(ZONES), st.integers(0, 1439), st.integers(1, 20 * 60), st.integers(0, DAYS * 1440))
@settings(max_examples=60)
def test_a_daily_window_is_open_exactly_when_the_wall_says_so(zone, start, lasts, minute):
    end = (start + lasts) % 1440
    each = window(f"{start % 60} {start // 60} * * *", f"{end % 60} {end // 60} * * *", zone)
    now_s = FROM.timestamp() + 60 * minute
    assert (state_at(each, now_s).ends_s is not None) == is_open_on_the_wall(zone, start, end, now_s)


def is_open_on_the_wall(zone, start, end, now_s):
    """Read the wall each minute of more than a day; a time counts when it is first shown, or passed over."""
    first_s, zone = now_s - 27 * 3600, ZoneInfo(zone)
    furthest, is_open, closes = on_the_wall(first_s, zone), False, None
    for number in range(1, 27 * 60 + 1):
        shown = on_the_wall(first_s + 60 * number, zone)
        passed = [furthest + MINUTE * each for each in range(1, (shown - furthest) // MINUTE + 1)]
        starts, ends = ([time for time in passed if time.hour * 60 + time.minute == which] for which in (start, end))
        if starts:
            is_open = True
            closes = number + (ends[0] - starts[0]) // MINUTE if ends and ends[0] > starts[0] else None
        elif ends or number == closes:
            is_open = False
        furthest = max(furthest, shown)
    return is_open


def on_the_wall(when_s, zone):
    return datetime.fromtimestamp(when_s, zone).replace(tzinfo=None, fold=0)


@pytest.mark.parametrize(
    ("start", "end", "opens", "closes"),
    [
        # In the night of 29 March 2026 the clocks of Berlin go from 02:00 to 03:00.
        ("30 2 * * *", "0 6 * * *", at("2026-03-29T03:00"), at("2026-03-29T06:00")),
        ("0 1 * * *", "30 2 * * *", at("2026-03-29T01:00"), at("2026-03-29T03:00")),
        ("30 2 * * *", "45 2 * * *", at("2026-03-29T03:00"), at("2026-03-29T03:15")),
        # On 25 October they go from 03:00 to 02:00.
        ("30 2 * * *", "45 2 * * *", at("2026-10-25T02:30"), at("2026-10-25T02:45")),
        ("30 2 * * *", "0 4 * * *", at("2026-10-25T02:30"), at("2026-10-25T04:00")),
    ],
)
def test_windows_in_the_nights_in_which_the_clocks_change(start, end, opens, closes):
    each = window(start, end)
    assert state_at(each, opens - 1).ends_s is None
    assert state_at(each, opens - 1).starts_s == opens
    assert state_at(each, opens).ends_s == closes
    assert state_at(each, closes).ends_s is None


def test_a_second_half_past_two_in_autumn_opens_nothing():
    each = window("30 2 * * *", "45 2 * * *")
    second = at("2026-10-25T02:30", fold=1)
    assert second - at("2026-10-25T02:30") == 3600
    assert state_at(each, second).ends_s is None
    assert state_at(each, second).starts_s == at("2026-10-26T02:30")


def test_a_window_may_last_for_days():
    each = window("0 8 * * MON", "0 18 * * FRI")
    assert state_at(each, at("2026-01-07T03:00")).ends_s == at("2026-01-09T18:00")
    assert state_at(each, at("2026-01-10T12:00")).ends_s is None


def test_a_window_whose_end_is_also_a_start_goes_on():
    each = window("0 8 * * *", "0 8,18 * * *")
    assert state_at(each, at("2026-01-07T08:00")).ends_s == at("2026-01-07T18:00")


# The bounds.


def bounds_at(text, *windows, least=1, most=10, lead_s=0.0):
    return bounds_over_time(windows, least, most, lead_s)(at(text))


def test_without_a_schedule_the_bounds_are_the_policys_for_ever():
    found = bounds_at("2026-01-07T08:00")
    assert (found.least, found.most, found.until_s) == (1, 10, inf)


def test_an_open_window_has_its_bounds_and_says_until_when():
    found = bounds_at("2026-01-07T09:00", window(minReplicas=3, maxReplicas=20))
    assert (found.least, found.most) == (3, 20)
    assert found.least_why == "at least 3 by window w until 18:00 Europe/Berlin"
    assert found.most_why == "at most 20 by window w until 18:00 Europe/Berlin"
    assert found.until_s == at("2026-01-07T18:00")


def test_a_window_that_closes_on_another_day_says_which():
    found = bounds_at("2026-01-07T09:00", window("0 8 * * WED", "0 8 * * THU", minReplicas=3))
    assert found.least_why == "at least 3 by window w until 08:00 on 2026-01-08 Europe/Berlin"


def test_outside_of_all_windows_the_policys_bounds_hold_until_the_next_one_opens():
    found = bounds_at("2026-01-07T07:00", window(minReplicas=3), window(name="v", start="0 9 * * *", maxReplicas=2))
    assert (found.least, found.most, found.least_why) == (1, 10, "at least 1")
    assert found.until_s == at("2026-01-07T08:00")


def test_of_several_open_windows_the_highest_minimum_and_the_highest_maximum_hold():
    found = bounds_at(
        "2026-01-07T09:00",
        window(name="a", minReplicas=2, maxReplicas=4),
        window(name="b", minReplicas=3, maxReplicas=3),
        window(name="c", end="0 17 * * *", maxReplicas=2),
    )
    assert (found.least, found.most) == (3, 4)
    assert "window b" in found.least_why
    assert "window a" in found.most_why
    assert found.until_s == at("2026-01-07T17:00")


def test_a_window_may_lower_both_bounds():
    found = bounds_at("2026-01-07T09:00", window(minReplicas=0, maxReplicas=1), least=2)
    assert (found.least, found.most) == (0, 1)


def test_a_minimum_holds_ahead_of_its_window_by_the_lead_time():
    each = window(minReplicas=12, maxReplicas=20, leadTime="5m")
    assert bounds_at("2026-01-07T07:54:59", each).least == 1
    assert bounds_at("2026-01-07T07:54:59", each).until_s == at("2026-01-07T07:55")
    ahead = bounds_at("2026-01-07T07:55", each)
    assert (ahead.least, ahead.most) == (12, 12)
    assert ahead.least_why == "at least 12 by window w, ahead of 08:00 Europe/Berlin"
    assert bounds_at("2026-01-07T08:00", each).most == 20


def test_the_lead_time_of_a_window_without_one_is_the_usual_one():
    assert bounds_at("2026-01-07T07:58", window(), lead_s=120.0).least == 2
    assert bounds_at("2026-01-07T07:58", window(leadTime="0s"), lead_s=120.0).least == 1


def test_a_maximum_does_not_hold_ahead_of_its_window():
    assert bounds_at("2026-01-07T07:58", window(maxReplicas=2), lead_s=120.0).most == 10


@pytest.mark.parametrize("now_s", [nan, inf, -inf, 1e18, -1e18])
def test_a_time_that_is_none_has_the_policys_bounds(now_s):
    found = bounds_over_time([window("* * * * *", "30 2 * * *")], 1, 10, 0.0)(now_s)
    assert (found.least, found.most) == (1, 10)


@given(st.lists(st.floats(1.6e9, 1.9e9) | st.sampled_from([nan, inf, -inf, 1e18]), min_size=1, max_size=8))
def test_the_bounds_do_not_depend_on_what_was_asked_before(times):
    windows = [window(), window("30 2 * * SUN", "0 4 * * MON", "America/Havana", minReplicas=5, leadTime="1h")]
    asked = bounds_over_time(windows, 1, 10, 0.0)
    for now_s in times:
        fresh = bounds_over_time(windows, 1, 10, 0.0)(now_s)
        assert asked(now_s)[:2] == fresh[:2]
        assert asked(now_s).until_s == fresh.until_s
        assert not fresh.until_s <= now_s or now_s == inf


# What is refused.


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"timeZone": "Europe/Atlantis"}, "must be UTC or the name of a time zone with its area"),
        ({"timeZone": "America/Argentina"}, "must be UTC or the name of a time zone with its area"),
        ({"timeZone": "../../etc/passwd"}, "String should match pattern"),
        ({"timeZone": "Local"}, "String should match pattern"),
        ({"start": "25 25 * * *"}, "must be minute, hour"),
        ({"start": "0 0 30 2 *"}, "start: 0 0 30 2 * is a day that never comes"),
        ({"end": "0 8 * * 0-6"}, "end: must not be the same as start"),
        ({"minReplicas": None}, "must have minReplicas, maxReplicas, or both"),
    ],
)
def test_a_window_that_cannot_be_is_refused(changes, problem):
    document = {"name": "w", "timeZone": "Europe/Berlin", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 2}
    with pytest.raises(ValidationError) as refused:
        Window.model_validate(document | changes)
    assert problem in str(refused.value)


def schedule(*windows):
    return [{"timeZone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", **each} for each in windows]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"schedule": schedule({"name": "w", "minReplicas": 11})}, "window w has 11 and 10"),
        ({"schedule": schedule({"name": "w", "maxReplicas": 1}), "minReplicas": 2}, "window w has 2 and 1"),
        ({"schedule": schedule({"name": "w", "minReplicas": 3, "maxReplicas": 2})}, "window w has 3 and 2"),
        ({"schedule": schedule({"name": "w", "minReplicas": 3}, {"name": "w", "minReplicas": 3})}, "each name once"),
        (
            {"schedule": schedule({"name": "w", "minReplicas": 1}), "minReplicas": 2, "algorithm": {"hpa": {}}},
            "window w has 1, the policy has 2",
        ),
        (
            {"schedule": schedule({"name": "w", "minReplicas": 1}), "algorithm": {"kpa": {"minScale": 2}}},
            "window w has 1, the policy has 2",
        ),
        (
            {"schedule": schedule({"name": "w", "minReplicas": 3}), "pools": [{"name": "a", "maxReplicas": 2}]},
            "sum of their maxReplicas must be at least minReplicas, also that of each window",
        ),
        (
            {"schedule": schedule({"name": "w", "maxReplicas": 1}), "pools": [{"name": "a", "minReplicas": 2}]},
            "sum of their minReplicas must be at most maxReplicas, also that of each window",
        ),
    ],
)
def test_a_schedule_that_contradicts_its_policy_is_refused(spec, problem):
    with pytest.raises(ValidationError, match=problem):
        policy("web", **spec)


def test_the_bounds_in_force_are_those_of_the_time():
    spec = policy("web", schedule=schedule({"name": "w", "minReplicas": 3, "maxReplicas": 20})).spec
    assert spec.replica_range(at("2026-01-07T07:00", "UTC")) == (0, 10)
    assert spec.replica_range(at("2026-01-07T09:00", "UTC")) == (3, 20)


def test_knatives_own_upper_bound_holds_in_a_window_too():
    windows = schedule({"name": "w", "minReplicas": 3, "maxReplicas": 20})
    spec = policy("web", algorithm={"kpa": {"maxScale": 5}}, schedule=windows).spec
    assert spec.replica_range(at("2026-01-07T09:00", "UTC")) == (3, 5)


def test_the_minimum_holds_ahead_by_the_longest_cold_start_of_the_pools():
    pools = [{"name": "a100", "coldStart": "2m"}, {"name": "p100", "coldStart": "5m"}, {"name": "cpu"}]
    spec = policy("web", pools=pools, schedule=schedule({"name": "w", "minReplicas": 3})).spec
    assert spec.replica_range(at("2026-01-07T07:54:59", "UTC")) == (0, 10)
    assert spec.replica_range(at("2026-01-07T07:55", "UTC")) == (3, 10)
