"""Memory of which there is too little: two levels, and budgets that are never overdrawn."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.response_backlog import MOST_BYTES, OWN_BYTES, ResponseBacklog
from autoscaler.gateway.overload import Overload


def test_it_begins_at_one_level_and_ends_at_a_lower_one():
    overload = Overload(1000)
    levels = [0, 799, 800, 760, 750, 749, 799, 10**9]
    assert [(overload.measure(level), overload.active) for level in levels] == [
        *((False, False), (False, False), (True, True), (False, True)),
        *((False, True), (True, False), (False, False), (True, True)),
    ]
    assert overload.used_bytes == 10**9


def test_without_a_limit_nothing_is_ever_refused():
    overload = Overload()
    assert not overload.measure(1 << 60)
    assert not overload.active


CLIENTS = 5


@given(
    st.integers(0, 3 << 20),
    st.lists(st.tuples(st.integers(0, CLIENTS - 1), st.one_of(st.none(), st.integers(1, 300_000))), max_size=80),
)
def test_each_client_pauses_when_it_must_and_the_budget_is_never_exceeded(limit, events):
    """Each event adds bytes for a client, or the client takes all that lies there."""
    budget = MemoryBudget(limit)
    backlogs, sizes, most = [ResponseBacklog(budget) for _ in range(CLIENTS)], [0] * CLIENTS, 0
    for number, added in events:
        backlog = backlogs[number]
        if added is None:
            sizes[number] = 0
            was_full = backlog.full
            assert backlog.drained() == was_full
        elif not backlog.full:
            most = max(most, added)
            sizes[number] += added
            assert backlog.grew(sizes[number]) == backlog.full
        assert budget.taken_bytes <= limit
        assert sum(sizes) <= limit + CLIENTS * (OWN_BYTES + most)
        assert all(size <= MOST_BYTES + most for size in sizes)
        assert not any(each.full and size <= OWN_BYTES for each, size in zip(backlogs, sizes, strict=True))
    for backlog in backlogs:
        backlog.drained()
    assert budget.taken_bytes == 0
