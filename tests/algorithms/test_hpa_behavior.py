"""How fast an HPA follows: windows, policies and bounds, and the doubles in them."""

from fractions import Fraction
from itertools import product
from math import ceil, trunc

import pytest
from hpa_cases import DEFAULT_BEHAVIOR, percent, pods, rules
from hypothesis import given
from hypothesis import strategies as st

from algorithms.hpa_behavior import (
    Behavior,
    Limit,
    Limited,
    Recommendations,
    ScaleEvents,
    SelectPolicy,
    limit,
    limit_without_behavior,
    scale_down_limit,
    scale_up_limit,
    stabilise,
    stabilise_without_behavior,
)

NOW_S = 1_700_000_000.1
"""A Unix time that no double holds exactly."""
MIN, DISABLED = SelectPolicy.MIN, SelectPolicy.DISABLED


def past(*steps):
    recommendations = Recommendations()
    for age_s, replicas in steps:
        recommendations.add(NOW_S - age_s, replicas)
    return recommendations


def writes(*changes, behavior=DEFAULT_BEHAVIOR):
    """Give the HPA's own writes as pairs of age and change."""
    events = ScaleEvents()
    for age_s, change in changes:
        events.add(NOW_S - age_s, 100, 100 + change, behavior)
    return events


def up_limit(spec, *policies, select=SelectPolicy.MAX, events=None):
    return scale_up_limit(spec, NOW_S, rules(*policies, select=select), events or ScaleEvents())


def down_limit(spec, *policies, select=SelectPolicy.MAX, events=None):
    return scale_down_limit(spec, NOW_S, rules(*policies, select=select), events or ScaleEvents())


@pytest.mark.parametrize(("age_s", "replicas"), [(299.9, 8), (300, 8), (300.1, 2)])
def test_without_behavior_a_recommendation_counts_to_the_very_end_of_the_window(age_s, replicas):
    assert stabilise_without_behavior(2, NOW_S, 300.0, past((age_s, 8))) == replicas


@pytest.mark.parametrize(("age_s", "replicas"), [(59.9, 8), (60, 2), (60.1, 2)])
def test_with_behavior_a_recommendation_at_the_end_of_the_window_no_longer_counts(age_s, replicas):
    behavior = Behavior(rules(), rules(window_s=60))
    assert stabilise(9, 2, NOW_S, behavior, past((age_s, 8))) == replicas


def test_on_the_way_up_the_lowest_recommendation_of_the_window_wins():
    behavior = Behavior(rules(window_s=60), rules())
    assert stabilise(2, 9, NOW_S, behavior, past((50, 7), (40, 5), (20, 8))) == 5


def test_inside_of_both_windows_nothing_moves():
    behavior = Behavior(rules(window_s=60), rules(window_s=60))
    assert stabilise(5, 6, NOW_S, behavior, past((50, 3), (40, 8))) == 5


def test_where_the_windows_cross_the_highest_recommendation_wins():
    behavior = Behavior(rules(window_s=600), rules(window_s=60))
    assert stabilise(9, 4, NOW_S, behavior, past((500, 6), (30, 5))) == 5


@given(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 20)), max_size=40),
    st.integers(0, 3600),
    st.integers(0, 20),
)
def test_what_is_forgotten_would_never_have_been_asked_for(steps, window_s, default):
    steps = sorted(steps, reverse=True)
    recommendations, after_s = past(*steps), NOW_S - window_s - 0.5
    seen = [replicas for age_s, replicas in steps if age_s <= window_s]
    assert recommendations.highest(after_s, default) == max([default, *seen])
    assert recommendations.lowest(after_s, default) == min([default, *seen])


def test_an_hour_of_steady_recommendations_is_remembered_as_one():
    steady = past(*((age_s, 5) for age_s in range(3600, 0, -15)))
    assert [len(side) for side in steady.export()] == [1, 1]


@pytest.mark.parametrize(
    ("spec", "wanted", "expected"),
    [
        (1, 10, Limit(4, Limited.SCALE_UP)),
        (3, 10, Limit(6, Limited.SCALE_UP)),
        (5, 12, Limit(10, Limited.TOO_MANY)),
        (5, 0, Limit(2, Limited.TOO_FEW)),
        (5, 3, Limit(3, Limited.WITHIN_RANGE)),
        (0, 9, Limit(4, Limited.SCALE_UP)),
        (3, 6, Limit(6, Limited.WITHIN_RANGE)),
        (5, 2, Limit(2, Limited.WITHIN_RANGE)),
    ],
)
def test_without_behavior_a_step_doubles_or_goes_to_four(spec, wanted, expected):
    assert limit_without_behavior(spec, wanted, 2, 10) == expected


def test_a_policy_counts_from_the_start_of_its_period():
    assert up_limit(8, pods(4, 60), events=writes((30, 3), (59, 1), (20, -2))) == 8 - 4 + 2 + 4
    assert down_limit(8, pods(4, 60), events=writes((30, 3), (59, 1), (20, -2))) == 8 - 4 + 2 - 4


@pytest.mark.parametrize(("age_s", "allowed"), [(14.9, 6), (15, 9), (15.1, 9)])
def test_a_write_as_old_as_the_period_no_longer_counts(age_s, allowed):
    assert up_limit(5, pods(4, 15), events=writes((age_s, 3))) == allowed


def test_the_policy_of_the_largest_change_counts_unless_the_smallest_is_asked_for():
    both = pods(4, 60), percent(50, 60)
    assert up_limit(10, *both) == 15
    assert up_limit(10, *both, select=MIN) == 14
    assert down_limit(10, *both) == 5
    assert down_limit(10, *both, select=MIN) == 6


def test_a_disabled_direction_allows_no_change_even_if_a_write_left_its_period():
    assert up_limit(5, pods(4, 60), select=DISABLED, events=writes((70, 3))) == 5
    assert down_limit(5, pods(4, 60), select=DISABLED) == 5


def test_percentages_round_up_on_the_way_up_and_down_on_the_way_down():
    assert up_limit(1, percent(1, 60)) == 2
    assert down_limit(9, percent(50, 60)) == 4
    assert down_limit(1, percent(99, 60)) == 0


@pytest.mark.parametrize(
    ("start", "value", "allowed", "exact"), [(10, 90, 0, 1), (5, 80, 0, 1), (25, 12, 29, 28)], ids=str
)
def test_percentages_are_doubles_and_their_error_is_kept(start, value, allowed, exact):
    function = up_limit if exact > start else down_limit
    sign = 1 if exact > start else -1
    assert function(start, percent(value, 60)) == allowed
    assert start + sign * Fraction(start * value, 100) == exact


def test_the_doubles_differ_from_exact_numbers_in_twenty_small_cases():
    up = [
        (start, value)
        for start, value in product(range(40), range(1, 201))
        if up_limit(start, percent(value, 60)) != ceil(start + Fraction(start * value, 100))
    ]
    down = [
        (start, value)
        for start, value in product(range(40), range(1, 101))
        if down_limit(start, percent(value, 60)) != trunc(start - Fraction(start * value, 100))
    ]
    assert (len(up), len(down)) == (7, 13)


def test_a_rate_never_turns_the_direction():
    events = writes((10, 8))
    assert limit(8, 9, 1, 20, now_s=NOW_S, behavior=Behavior(rules(pods(2, 60)), rules()), events=events) == Limit(
        8, Limited.SCALE_UP
    )
    events = writes((10, -8))
    behavior = Behavior(rules(), rules(pods(2, 60)))
    assert limit(4, 3, 1, 20, now_s=NOW_S, behavior=behavior, events=events) == Limit(4, Limited.SCALE_DOWN)


@pytest.mark.parametrize(
    ("spec", "wanted", "expected"),
    [
        (5, 30, Limit(20, Limited.TOO_MANY)),
        (5, 12, Limit(12, Limited.WITHIN_RANGE)),
        (5, 1, Limit(3, Limited.TOO_FEW)),
        (1, 2, Limit(2, Limited.WITHIN_RANGE)),
        (25, 24, Limit(24, Limited.WITHIN_RANGE)),
        (5, 20, Limit(20, Limited.WITHIN_RANGE)),
        (5, 3, Limit(3, Limited.WITHIN_RANGE)),
        (25, 25, Limit(25, Limited.WITHIN_RANGE)),
        (1, 1, Limit(1, Limited.WITHIN_RANGE)),
    ],
    ids=["up", "between", "down", "below", "above", "at the maximum", "at the minimum", "still above", "still below"],
)
def test_only_the_bound_that_lies_ahead_is_kept(spec, wanted, expected):
    free = Behavior(rules(percent(900, 15)), rules(percent(100, 15)))
    assert limit(spec, wanted, 3, 20, now_s=NOW_S, behavior=free, events=ScaleEvents()) == expected


def test_where_a_rate_and_a_bound_agree_the_bound_is_named():
    by_five = Behavior(rules(pods(5, 60)), rules(pods(5, 60)))
    assert limit(10, 30, 1, 15, now_s=NOW_S, behavior=by_five, events=ScaleEvents()) == Limit(15, Limited.TOO_MANY)
    assert limit(10, 1, 5, 15, now_s=NOW_S, behavior=by_five, events=ScaleEvents()) == Limit(5, Limited.TOO_FEW)


def test_a_write_takes_the_place_of_one_that_its_own_direction_has_outlived():
    behavior = Behavior(rules(pods(4, 15)), rules(pods(1, 600)))
    forgotten = writes((100, 3), (10, 2), behavior=behavior)
    kept = writes((12, 3), (10, 2), behavior=behavior)
    assert forgotten.start(NOW_S, 10, 600) == 8
    assert kept.start(NOW_S, 10, 600) == 5


def test_a_write_exactly_as_old_as_the_longest_period_keeps_its_place():
    behavior = Behavior(rules(pods(4, 15), pods(4, 60)), rules(pods(1, 600)))
    assert writes((75, 3), (15, 2), behavior=behavior).start(NOW_S, 10, 600) == 5
    assert writes((76, 3), (15, 2), behavior=behavior).start(NOW_S, 10, 600) == 8


def test_a_recommendation_an_hour_old_is_still_at_the_end_of_the_longest_window():
    assert stabilise_without_behavior(2, NOW_S, 3600.0, past((3600, 8), (0, 2))) == 8
