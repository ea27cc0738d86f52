"""A budget is divided in whole replicas: never above the total, by guarantee, priority and weight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.budget import Demand, divide

COUNTS = st.integers(0, 12)
COSTS = st.integers(1, 8)
ONE, NONE = st.just(1), st.just(0)
TOTALS = st.integers(0, 40)


@st.composite
def demands(draw, *, costs=COSTS, held=COUNTS, leaving=COUNTS, floors=NONE):
    each = st.builds(
        Demand,
        wanted=COUNTS,
        held=held,
        leaving=leaving,
        floor=floors,
        priority=st.integers(-1, 1),
        weight=st.integers(1, 4),
        guaranteed=st.integers(0, 4),
        cost=costs,
    )
    return dict(zip("abcd", draw(st.lists(each, max_size=4)), strict=False))


NEW = demands(held=NONE, leaving=NONE)
SAME_COST = demands(costs=ONE, held=NONE, leaving=NONE)


def fair(total, wanted):
    return {name: share.fair for name, share in divide(total, wanted).items()}


def allowed(total, wanted):
    return {name: share.allowed for name, share in divide(total, wanted).items()}


@given(total=TOTALS, wanted=demands())
def test_the_shares_never_cost_more_than_the_total(total, wanted):
    assert sum(share * wanted[name].cost for name, share in fair(total, wanted).items()) <= total


@given(total=TOTALS, wanted=demands())
def test_what_is_asked_for_or_still_occupied_exceeds_the_total_only_if_it_did_before(total, wanted):
    occupied = sum(
        (max(share, wanted[name].held) + wanted[name].leaving) * wanted[name].cost
        for name, share in allowed(total, wanted).items()
    )
    before = sum(each.occupied for each in wanted.values())
    assert occupied <= max(total, before)


@given(total=TOTALS, wanted=demands(floors=COUNTS))
def test_a_number_that_cannot_be_lowered_stays_and_nobody_gets_more_than_it_wants(total, wanted):
    for name, share in divide(total, wanted).items():
        assert min(wanted[name].floor, wanted[name].wanted) <= share.fair <= wanted[name].wanted
        assert min(share.fair, wanted[name].held) <= share.allowed <= share.fair


@given(total=TOTALS, wanted=demands())
def test_no_room_is_left_that_a_service_could_use(total, wanted):
    shares = fair(total, wanted)
    room = total - sum(share * wanted[name].cost for name, share in shares.items())
    assert all(shares[name] == each.wanted or each.cost > room for name, each in wanted.items())


@given(total=TOTALS, wanted=demands())
def test_guarantees_hold_as_far_as_they_are_wanted_if_the_total_has_room_for_all_of_them(total, wanted):
    guarantees = {name: min(each.guaranteed, each.wanted) for name, each in wanted.items()}
    total += sum(count * wanted[name].cost for name, count in guarantees.items())
    assert all(share >= guarantees[name] for name, share in fair(total, wanted).items())


@given(total=TOTALS, wanted=SAME_COST)
def test_nobody_gets_more_than_its_guarantee_while_a_higher_priority_wants_more(total, wanted):
    shares = fair(total, wanted)
    for name, each in wanted.items():
        short = [other for other, its in wanted.items() if its.priority > each.priority and shares[other] < its.wanted]
        assert not short or shares[name] <= each.guaranteed


@given(total=TOTALS, terms=NEW, copies=st.integers(2, 5))
def test_of_equal_services_none_gets_two_replicas_more_than_another(total, terms, copies):
    wanted = {f"{name}{number}": each for name, each in terms.items() for number in range(copies)}
    shares = fair(total, wanted)
    for name in terms:
        same = [shares[f"{name}{number}"] for number in range(copies)]
        assert max(same) - min(same) <= 1


@given(total=TOTALS, wanted=SAME_COST)
def test_a_service_gets_more_than_another_only_by_priority_weight_or_guarantee(total, wanted):
    shares = fair(total, wanted)
    for name, each in wanted.items():
        beyond = {other: shares[other] - min(its.guaranteed, its.wanted) for other, its in wanted.items()}
        for other, its in wanted.items():
            if its.priority == each.priority and shares[name] < each.wanted and beyond[other] > 0:
                assert (beyond[other] - 1) / its.weight <= max(beyond[name], 0) / each.weight


@given(total=TOTALS, more=st.integers(0, 20), wanted=SAME_COST)
def test_a_larger_budget_takes_from_nobody(total, more, wanted):
    less = fair(total, wanted)
    assert all(share >= less[name] for name, share in fair(total + more, wanted).items())


@given(total=TOTALS, wanted=demands(floors=COUNTS), data=st.data())
def test_the_order_of_the_services_does_not_matter(total, wanted, data):
    order = data.draw(st.permutations(sorted(wanted)))
    assert divide(total, {name: wanted[name] for name in order}) == divide(total, wanted)


@given(total=TOTALS, wanted=demands(leaving=st.just(0)))
def test_a_share_that_was_taken_stays(total, wanted):
    shares = fair(total, wanted)
    taken = {name: each._replace(held=shares[name]) for name, each in wanted.items()}
    assert fair(total, taken) == allowed(total, taken) == shares


@given(total=TOTALS, wanted=demands())
def test_when_the_replicas_of_those_who_shrink_are_gone_everybody_has_its_share(total, wanted):
    for _ in range(3):
        may = allowed(total, wanted)
        wanted = {name: each._replace(held=may[name], leaving=0) for name, each in wanted.items()}
    assert {name: each.held for name, each in wanted.items()} == fair(total, wanted)


@pytest.mark.parametrize(
    ("total", "wanted", "shares"),
    [
        (10, {"a": Demand(3), "b": Demand(4)}, {"a": 3, "b": 4}),
        (5, {"a": Demand(9), "b": Demand(9)}, {"a": 3, "b": 2}),
        (5, {"a": Demand(9), "b": Demand(9, held=3)}, {"a": 2, "b": 3}),
        (6, {"a": Demand(9, weight=2), "b": Demand(9)}, {"a": 4, "b": 2}),
        (6, {"a": Demand(1, weight=2), "b": Demand(9)}, {"a": 1, "b": 5}),
        (6, {"a": Demand(9, priority=1), "b": Demand(9, guaranteed=2)}, {"a": 4, "b": 2}),
        (6, {"a": Demand(9, priority=1), "b": Demand(1, guaranteed=2)}, {"a": 5, "b": 1}),
        (6, {"a": Demand(9, guaranteed=2), "b": Demand(9)}, {"a": 4, "b": 2}),
        (3, {"a": Demand(9, guaranteed=4), "b": Demand(9, guaranteed=4, priority=1)}, {"a": 0, "b": 3}),
        (9, {"a": Demand(9, cost=8), "b": Demand(9)}, {"a": 1, "b": 1}),
        (7, {"a": Demand(9, cost=8, priority=9), "b": Demand(9)}, {"a": 0, "b": 7}),
    ],
)
def test_a_budget_is_divided_as_these_examples_say(total, wanted, shares):
    assert fair(total, wanted) == shares


def test_who_grows_waits_until_the_replicas_of_who_shrinks_are_gone():
    wants, gives = Demand(6, priority=1), Demand(6, held=6)
    assert divide(6, {"gives": gives, "wants": wants}) == {"gives": (0, 0), "wants": (6, 0)}
    gives = gives._replace(held=0, leaving=4)
    assert divide(6, {"gives": gives, "wants": wants}) == {"gives": (0, 0), "wants": (6, 2)}
    assert allowed(6, {"gives": gives._replace(leaving=0), "wants": wants._replace(held=2)}) == {"gives": 0, "wants": 6}
