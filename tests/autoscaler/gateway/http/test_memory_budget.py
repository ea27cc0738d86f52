import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.http.memory_budget import MemoryBudget


@given(st.integers(0, 100), st.lists(st.integers(0, 60)))
def test_never_more_than_the_limit_is_taken_and_all_that_was_taken_can_be_returned(limit, wanted):
    budget = MemoryBudget(limit)
    taken = [number for number in wanted if budget.take(number)]
    assert budget.taken_bytes == sum(taken) <= limit
    for number in taken:
        budget.give_back(number)
    assert budget.taken_bytes == 0


def test_a_lower_limit_takes_nothing_back_and_refuses_until_enough_was_returned():
    budget = MemoryBudget(10)
    assert budget.take(8)
    budget.limit_bytes = 5
    assert not budget.take(1)
    budget.give_back(8)
    assert budget.take(5)


def test_more_than_was_taken_cannot_be_returned():
    with pytest.raises(ValueError, match="only 0 are taken"):
        MemoryBudget(10).give_back(1)
