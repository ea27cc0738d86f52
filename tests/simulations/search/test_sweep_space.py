"""Which variants a sweep has: values, ranges, lists and conditions."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents.document import DocumentError
from simulations.search import space
from simulations.search.space import combinations, condition, measure, spread

GRID = {"spec.minReplicas": [0, 2, 4], "spec.maxReplicas": [1, 4], "spec.scaleDown.delay": ["90s", "1m"]}


def test_the_examples_in_the_docstrings_do_what_they_say():
    failed, attempted = doctest.testmod(space)
    assert attempted > 0
    assert not failed


def test_a_grid_has_each_combination_once_and_in_order():
    found = combinations(GRID)
    assert len(found) == len({tuple(each.items()) for each in found}) == 12
    assert found[0] == {"spec.minReplicas": 0, "spec.maxReplicas": 1, "spec.scaleDown.delay": "90s"}
    assert found[1]["spec.scaleDown.delay"] == "1m"


def test_each_item_of_the_list_is_combined_with_the_grid():
    listed = [{"spec.standby": 1, "spec.maxCold": 2}, {"spec.standby": 0, "spec.maxCold": 1}]
    found = combinations({"spec.maxReplicas": [1, 4]}, listed)
    assert found == [{**together, "spec.maxReplicas": most} for together in listed for most in (1, 4)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("spec.minReplicas <= spec.maxReplicas", 8),
        ("spec.scaleDown.delay > 60s", 6),
        ("spec.scaleDown.delay == 1.5m", 6),
        ("spec.maxReplicas != 4", 6),
        ("spec.minReplicas<3", 8),
    ],
)
def test_a_condition_compares_what_values_mean(text, count):
    assert len(combinations(GRID, (), [condition(text)])) == count


@pytest.mark.parametrize(
    ("grid", "where", "told"),
    [
        (GRID, "spec.standby < 2", "where: spec.standby: has no values in this sweep; it has spec.minReplicas"),
        (GRID, "spec.minReplicas > 9", "where: no variant satisfies the conditions"),
        ({"spec.mode": ["Active"]}, "spec.mode < 3", "where: spec.mode < 3: cannot compare 'Active' with 3.0"),
        ({"spec.mode": []}, "1 < 3", "spec.mode: has no value"),
        ({f"spec.{key}": range(1000) for key in "ab"}, "1 < 3", "there are 1000000 variants; at most 100000"),
    ],
)
def test_variants_that_cannot_be_made_are_named(grid, where, told):
    with pytest.raises(DocumentError) as raised:
        combinations(grid, (), [condition(where)])
    assert str(raised.value).startswith(told)


def test_a_place_in_the_grid_and_in_the_list_is_named():
    with pytest.raises(DocumentError, match=r"spec\.standby: has values in the grid and in the list"):
        combinations({"spec.standby": [1]}, [{"spec.standby": 2}])


@given(
    low=st.integers(0, 500), width=st.integers(1, 500), points=st.integers(2, 9), unit=st.sampled_from(["", "s", "%"])
)
def test_a_range_is_in_order_has_both_ends_and_is_written_as_they_are(low, width, points, unit):
    first, last = (f"{value}{unit}" if unit else value for value in (low, low + width))
    found = spread(first, last, points=points)
    values = [measure(value) for value in found]
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == pytest.approx((measure(first), measure(last)))
    assert {type(value) for value in found} == {type(first)}


@given(low=st.integers(0, 500), width=st.integers(1, 500), step=st.integers(1, 50))
def test_a_range_with_a_step_stays_below_its_end(low, width, step):
    found = spread(low, low + width, step=step)
    assert found == list(range(low, low + width + 1, step))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"low": 3, "high": 3, "points": 2}, "from: 3: must be below to, which is 3"),
        ({"low": "3s", "high": 4, "points": 2}, "3s, 4: must all be numbers, durations or percentages"),
        ({"low": 3, "high": 4}, "must have exactly one of step, points"),
        ({"low": 0, "high": 4, "points": 3, "log": True}, "from: 0: must be above 0 with log"),
        ({"low": 0, "high": 4, "step": 0}, "step: 0: must be above 0"),
        ({"low": 0, "high": 4, "points": 1}, "points: 1: must be 2 to"),
        ({"low": True, "high": 4, "points": 2}, "True, 4: must all be numbers"),
    ],
)
def test_a_range_that_is_not_legal_is_named(arguments, told):
    with pytest.raises(ValueError, match="must") as raised:
        spread(**arguments)
    assert str(raised.value).startswith(told)
