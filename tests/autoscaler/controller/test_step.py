"""One tick as a plain function: what is ordered, who leaves first, and which standing orders are above the decision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.bounds import fixed_bounds
from algorithms.decider import Decider
from algorithms.mpa import Mpa
from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.controller.step import Service, apply_overrides, step
from autoscaler.ports import Fleet, Override, Replica, ScaleRequest

SD, LLM = "default/sd", "default/llm"
NOW_S = 1000.0


def service(**options):
    return Service(Decider(Mpa(target=1.0), bounds=fixed_bounds(0, 10)), **options)


def looked(inflight, fleet):
    ready = sum(replica.ready for replica in fleet.replicas)
    return Observation(NOW_S, NOW_S - 2, inflight, fleet.asked, ready), fleet


def one(inflight, fleet, **options):
    (taken,) = step({SD: service(**options)}, {SD: looked(inflight, fleet)})
    return taken


def fleet_of(*replicas, asked=None):
    return Fleet(len(replicas) if asked is None else asked, replicas)


A = Replica("a", ready=True, running=1, age_s=300.0)
B = Replica("b", ready=True, running=0, age_s=200.0)
C = Replica("c", ready=False, running=0, age_s=5.0)


def test_what_differs_is_requested():
    taken = one(3.0, Fleet(0, ()))
    assert (taken.request, taken.unwritten) == (ScaleRequest(SD, 3, ()), "")


def test_what_is_as_asked_for_is_not_requested_again_even_if_fewer_run():
    assert one(3.0, fleet_of(A, asked=3)).request is None


@pytest.mark.parametrize(("stands_by", "why"), [(False, "dryRun"), (True, "standby")])
def test_without_writing_nothing_is_requested_and_the_decision_is_the_same(stands_by, why):
    taken = one(3.0, Fleet(0, ()), writes=False, stands_by=stands_by)
    assert (taken.request, taken.decision.desired, taken.unwritten) == (None, 3, why)


@pytest.mark.parametrize("options", [{}, {"writes": False}, {"writes": False, "stands_by": True}])
def test_a_number_that_is_there_already_is_nothing_to_write_whoever_would_write_it(options):
    taken = one(1.0, fleet_of(A), **options)
    assert (taken.request, taken.unwritten) == (None, "unchanged")


def test_the_replicas_to_remove_are_named_in_order():
    assert one(1.0, fleet_of(A, B, C)).request == ScaleRequest(SD, 1, ("c", "b"))


def test_replicas_that_do_not_run_yet_need_not_be_removed():
    assert one(2.0, fleet_of(A, B, asked=5)).request == ScaleRequest(SD, 2, ())


def test_more_that_run_than_were_asked_for_are_removed_as_well():
    assert one(1.0, fleet_of(A, B, C, asked=2)).request == ScaleRequest(SD, 1, ("c", "b"))


def test_each_service_is_decided_on_by_its_own_decider():
    services = {SD: service(), LLM: Service(Decider(Mpa(target=2.0), bounds=fixed_bounds(1, 10)))}
    taken = step(services, {SD: looked(4.0, Fleet(0, ())), LLM: looked(4.0, Fleet(0, ()))})
    assert [(t.service, t.request.replicas) for t in taken] == [(SD, 4), (LLM, 2)]


def test_a_service_that_was_not_observed_is_not_decided_on():
    assert [t.service for t in step({SD: service(), LLM: service()}, {LLM: looked(1.0, Fleet(0, ()))})] == [LLM]


# Which replicas are removed.


REPLICAS = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.floats(0, 1000)), max_size=8).map(
    lambda rows: [
        Replica(f"sd-{n}", ready, running if ready else 0, age_s) for n, (ready, running, age_s) in enumerate(rows)
    ]
)


@given(REPLICAS, st.floats(0, 12), st.integers(0, 10))
def test_an_order_names_just_those_that_are_too_many_and_no_busy_one_before_an_idle_one(replicas, inflight, asked):
    taken = one(inflight, Fleet(asked, tuple(replicas)))
    if taken.request is None:
        assert taken.decision.desired == asked
        return
    assert taken.request.replicas == taken.decision.desired != asked
    removed = set(taken.request.remove)
    assert len(removed) == len(taken.request.remove) == max(len(replicas) - taken.request.replicas, 0)
    kept = [replica for replica in replicas if replica.name not in removed]
    gone = [replica for replica in replicas if replica.name in removed]
    assert max((r.running for r in gone), default=0) <= min((r.running for r in kept if r.ready), default=99)
    assert all(not replica.ready for replica in gone) or all(replica.ready for replica in kept)


# Standing orders.


PAUSED = Override("paused", NOW_S + 60, "paused until noon")
OVERRIDE = Override("override", NOW_S + 60, "5 asked for by hand until noon", 5)
LOOK = Observation(NOW_S, NOW_S - 2, 3.0, 2, 2)
DECISION = Decision(3, Recommendation(3, "3 in flight / 1"), ())


@pytest.mark.parametrize(
    ("orders", "desired", "reasons"),
    [
        ((), 3, []),
        ((PAUSED,), 2, [("paused", 3, 2)]),
        ((OVERRIDE,), 5, [("override", 3, 5)]),
        ((PAUSED, OVERRIDE), 5, [("paused", 3, 2), ("override", 2, 5)]),
        ((OVERRIDE._replace(replicas=3),), 3, [("override", 3, 3)]),
        ((OVERRIDE._replace(replicas=0),), 0, [("override", 3, 0)]),
        ((PAUSED._replace(until_s=NOW_S),), 3, []),
        ((PAUSED._replace(until_s=NOW_S - 1), OVERRIDE), 5, [("override", 3, 5)]),
    ],
)
def test_a_standing_order_is_above_the_decision_while_it_lasts(orders, desired, reasons):
    decided = apply_overrides(DECISION, LOOK, orders)
    assert decided.desired == desired
    assert [(reason.rule, reason.before, reason.after) for reason in decided.reasons] == reasons
    assert decided.recommendation == DECISION.recommendation


def test_a_standing_order_comes_after_the_reasons_that_were_there():
    limited = Decision(3, Recommendation(9, "9"), (Reason("maxReplicas", 9, 3, "at most 3"),))
    assert [reason.rule for reason in apply_overrides(limited, LOOK, [PAUSED]).reasons] == ["maxReplicas", "paused"]


def test_a_paused_service_is_not_written_and_an_overridden_one_is():
    assert one(3.0, fleet_of(A, B), overrides=(PAUSED,)).request is None
    assert one(3.0, fleet_of(A, B), overrides=(OVERRIDE,)).request == ScaleRequest(SD, 5, ())


def test_what_the_target_holds_is_above_an_override():
    held = Fleet(2, (A, B), Override("conflict", NOW_S + 60, "another autoscaler scales it"))
    taken = one(3.0, held, overrides=(OVERRIDE,))
    assert (taken.request, taken.decision.reasons[-1].rule) == (None, "conflict")


def test_the_decider_goes_on_while_its_recommendation_is_not_followed():
    asked = []

    class Counting(Mpa):
        def recommend(self, observation):
            asked.append(observation.now_s)
            return super().recommend(observation)

    paused = Service(Decider(Counting(target=1.0), bounds=fixed_bounds(0, 9)), overrides=(PAUSED,))
    step({SD: paused}, {SD: looked(1.0, Fleet(0, ()))})
    assert asked == [NOW_S]


FOREIGN = Override("foreignWriter", NOW_S + 300, "kubectl has written 1", yields_to_load=True)


@pytest.mark.parametrize(
    ("asked", "inflight", "latest", "expected"),
    [
        (1, 4.0, 0.0, 4),
        (1, 2.5, 0.0, 3),
        (1, 0.0, 4.0, 4),
        (0, 1.0, 0.0, 1),
        (3, 1.0, 0.0, 3),
        (1, 0.0, 0.0, 1),
        (0, None, 0.0, 0),
        (1, 50.0, 0.0, 10),
    ],
)
def test_a_hold_that_yields_to_load_keeps_no_fewer_than_are_in_flight_and_no_more(asked, inflight, latest, expected):
    observation = Observation(NOW_S, NOW_S - 2, inflight, asked, 0, latest=latest)
    (taken,) = step({SD: service()}, {SD: (observation, Fleet(asked, (), FOREIGN))})
    assert taken.decision.desired == expected
    assert taken.decision.reasons[-1].rule == "foreignWriter"


def test_a_hold_that_yields_to_load_raises_no_further_than_was_decided():
    observation = Observation(NOW_S, NOW_S - 2, 12.0, 1, 1)
    assert apply_overrides(Decision(3, Recommendation(3, "4 each"), ()), observation, [FOREIGN]).desired == 3


@pytest.mark.parametrize(("per_replica", "expected"), [(1.0, 8), (0.7, 9), (4.0, 2), (150.0, 1)])
def test_a_hold_that_yields_to_load_keeps_what_the_requests_in_flight_need(per_replica, expected):
    observation = Observation(NOW_S, NOW_S - 2, 6.0, 1, 1, latest=8.0)
    decided = Decision(9, Recommendation(9, "more came before"), ())
    assert apply_overrides(decided, observation, [FOREIGN], per_replica).desired == expected


# A decider that fails.


class Broken(Mpa):
    """An algorithm that raises whatever a test likes to see."""

    def __init__(self, error, target=1.0):
        super().__init__(target=target)
        self._error = error

    def recommend(self, _observation):
        raise self._error


INFINITE = OverflowError("cannot convert float infinity to integer")


def broken(**options):
    return Service(Decider(Broken(INFINITE), bounds=fixed_bounds(0, 10), last_resort=Mpa(target=2.0)), **options)


def beside_a_broken_one(inflight, fleet, **options):
    """Give what becomes of a service whose decider fails."""
    taken, neighbour = step(
        {SD: broken(**options), LLM: service()}, {SD: looked(inflight, fleet), LLM: looked(3.0, Fleet(0, ()))}
    )
    assert neighbour == step({LLM: service()}, {LLM: looked(3.0, Fleet(0, ()))})[0], "decided as if it were alone"
    return taken


@pytest.mark.parametrize("inflight", [None, 0.0, 1.0, 1000.0])
@pytest.mark.parametrize("fleet", [fleet_of(A), fleet_of(A, B, asked=20), fleet_of(A, C, asked=2)])
def test_where_a_decider_fails_what_there_is_is_held_and_the_reason_says_by_what(fleet, inflight):
    taken = beside_a_broken_one(inflight, fleet)
    assert (taken.request, taken.decision.desired) == (None, fleet.asked)
    why = "OverflowError: cannot convert float infinity to integer"
    assert taken.decision.reasons == (Reason("deciderFailed", fleet.asked, fleet.asked, why),)
    assert isinstance(taken.failure, OverflowError)


@pytest.mark.parametrize(
    ("inflight", "asked", "desired"),
    [(0.0, 0, 0), (None, 0, 0), (1.0, 0, 1), (5.0, 0, 3), (1000.0, 0, 10), (5.0, 2, 3), (1.0, 2, 2), (1000.0, 20, 20)],
)
def test_while_no_replica_is_ready_requests_raise_the_number_of_a_broken_one_and_nothing_lowers_it(
    inflight, asked, desired
):
    assert beside_a_broken_one(inflight, Fleet(asked, ())).decision.desired == desired


def test_uncounted_requests_at_zero_get_a_broken_service_one_replica():
    observation = looked(None, Fleet(0, ()))[0]._replace(passing=7)
    (taken,) = step({SD: broken()}, {SD: (observation, Fleet(0, ()))})
    assert taken.request == ScaleRequest(SD, 1, ())


def test_a_pause_and_an_override_are_above_a_broken_decider():
    assert beside_a_broken_one(5.0, Fleet(0, ()), overrides=(PAUSED,)).request is None
    assert beside_a_broken_one(5.0, Fleet(0, ()), overrides=(OVERRIDE,)).request == ScaleRequest(SD, 5, ())


def test_what_goes_wrong_around_a_decider_holds_that_service_alone():
    odd = Override("odd", None, "an end that is no time")
    assert beside_a_broken_one(5.0, Fleet(0, ()), overrides=(odd,)).request is None
    taken = step({SD: service(overrides=(odd,))}, {SD: looked(5.0, fleet_of(A))})[0]
    assert (taken.request, taken.decision.desired, type(taken.failure)) == (None, 1, TypeError)
