"""From a desired number to replicas, condition by condition; boundaries are exact, for recorded cases keep off them."""

import json
from dataclasses import replace

import pytest
from kpa_cases import SCALE as OPTIONS

from algorithms.kpa_scale import (
    UNKNOWN,
    Active,
    Condition,
    Lifecycle,
    Path,
    Scaling,
    condition_after,
    scale,
)

SERVED = Path(proxied=False, proxied_s=0.0, probe_ok=True)
ACTIVE = Condition(Active.ACTIVE, "", initialised=True)
INACTIVE = Condition(Active.INACTIVE, "NoTraffic", initialised=True)
ACTIVATING = Condition(Active.ACTIVATING, "Queued", initialised=False)


def scaled(condition, in_condition_s, desired, replicas=3, path=SERVED, **changed):
    return scale(replace(OPTIONS, **changed), condition, in_condition_s, path, desired=desired, replicas=replicas)


def test_a_number_that_differs_is_written():
    assert scaled(ACTIVE, 10.0, 5) == Scaling(5, replicas=5)


def test_a_number_that_is_there_already_is_not_written():
    assert scaled(ACTIVE, 10.0, 3) == Scaling(3)


def test_before_the_first_decision_nothing_is_done():
    assert scaled(ACTIVE, 10.0, UNKNOWN) == Scaling(UNKNOWN)
    assert scaled(INACTIVE, 10.0, UNKNOWN, min_scale=4) == Scaling(UNKNOWN)


def test_before_the_first_decision_a_starting_revision_gets_its_lowest_scale():
    assert scaled(ACTIVATING, 1.0, UNKNOWN, min_scale=4) == Scaling(4, replicas=4)


@pytest.mark.parametrize(("desired", "number"), [(1, 2), (3, 3), (9, 6)])
def test_bounds_are_kept(desired, number):
    assert scaled(ACTIVE, 10.0, desired, min_scale=2, max_scale=6).want == number


def test_the_initial_scale_lifts_the_lower_bound_until_it_was_ready():
    assert scaled(ACTIVATING, 1.0, 1, initial_scale=4).want == 4
    assert scaled(ACTIVATING._replace(initialised=True), 1.0, 1, initial_scale=4).want == 1
    assert scaled(ACTIVATING, 1.0, 1, initial_scale=4, reachable=False).want == 1


def test_an_initial_scale_above_the_highest_bound_wins_while_it_lifts():
    assert scaled(ACTIVATING, 1.0, 1, initial_scale=4, max_scale=2).want == 4


def test_without_scale_to_zero_one_replica_stays():
    assert scaled(INACTIVE, 1e6, 0, enable_scale_to_zero=False) == Scaling(1, replicas=1)


def test_a_start_that_takes_too_long_is_given_up():
    assert scaled(ACTIVATING, 630.0, 0) == Scaling(UNKNOWN, requeue_s=630.0)
    assert scaled(ACTIVATING, 630.001, 0) == Scaling(0, replicas=0)


def test_an_active_revision_keeps_one_replica_for_a_stable_window():
    assert scaled(ACTIVE, 59.0, 0) == Scaling(1, replicas=1, requeue_s=1.0)
    assert scaled(ACTIVE, 59.0, 0, replicas=1) == Scaling(1, requeue_s=1.0)


def test_after_a_stable_window_an_active_revision_is_given_up_without_losing_replicas_yet():
    assert scaled(ACTIVE, 60.0, 0) == Scaling(0)
    assert scaled(ACTIVE, 60.0, 0, path=SERVED._replace(proxied=True)) == Scaling(0, requeue_s=3.0)


def test_an_inactive_revision_waits_for_the_activator_to_answer():
    silent = SERVED._replace(probe_ok=False)
    assert scaled(INACTIVE, 1e6, 0, path=silent) == Scaling(0, probed=True, probe_again=True)


def test_where_the_activator_is_always_in_the_path_it_is_not_probed():
    silent = SERVED._replace(probe_ok=False)
    assert scaled(INACTIVE, 30.0, 0, path=silent, target_burst_capacity=-1.0) == Scaling(0, replicas=0)


def test_the_grace_period_is_the_longest_wait_for_the_network():
    assert scaled(INACTIVE, 30.0, 0) == Scaling(0, replicas=0, probed=True)
    assert scaled(INACTIVE, 29.0, 0, path=SERVED._replace(proxied_s=10.0)) == Scaling(0, requeue_s=20.0, probed=True)
    assert scaled(INACTIVE, 1.0, 0, path=SERVED._replace(proxied_s=30.0)) == Scaling(0, replicas=0, probed=True)


def test_the_retention_is_the_shortest_life_of_the_last_replica():
    proxied = SERVED._replace(proxied_s=500.0)
    retained = {"path": proxied, "scale_to_zero_pod_retention_period_s": 90.0}
    assert scaled(INACTIVE, 89.0, 0, **retained) == Scaling(0, requeue_s=1.0, probed=True)
    assert scaled(INACTIVE, 90.0, 0, **retained) == Scaling(0, replicas=0, probed=True)
    assert scaled(INACTIVE, 1.0, 0, **retained, reachable=False) == Scaling(0, replicas=0, probed=True)


def after(before, want, ready, **changed):
    return condition_after(replace(OPTIONS, **changed), before, want=want, ready=ready)


def test_wanted_replicas_that_are_not_ready_are_activating():
    assert after(INACTIVE, 1, 0) == Condition(Active.ACTIVATING, "Queued", initialised=True)
    assert after(ACTIVE, 4, 1, min_scale=2) == Condition(Active.ACTIVATING, "Queued", initialised=True)


def test_enough_ready_replicas_are_active_and_initialised():
    assert after(ACTIVATING, 3, 2, initial_scale=3).active is Active.ACTIVATING
    assert after(ACTIVATING, 3, 3, initial_scale=3) == ACTIVE


def test_zero_wanted_is_inactive_and_says_why():
    assert after(ACTIVE, 0, 1) == INACTIVE
    assert after(ACTIVATING, 0, 0) == Condition(Active.INACTIVE, "TimedOut", initialised=False)


def test_a_revision_that_needs_no_replica_to_start_is_inactive_at_once():
    assert after(ACTIVATING, UNKNOWN, 0, initial_scale=0) == INACTIVE


def test_without_a_decision_an_inactive_revision_stays_inactive():
    timed_out = Condition(Active.INACTIVE, "TimedOut", initialised=True)
    assert after(timed_out, UNKNOWN, 0) == INACTIVE
    assert after(timed_out, UNKNOWN, 1) == timed_out


def test_without_a_decision_the_others_follow_their_replicas():
    assert after(ACTIVE, UNKNOWN, 0).active is Active.ACTIVATING
    assert after(ACTIVATING, UNKNOWN, 1) == ACTIVE


def test_a_revision_goes_to_zero_through_its_conditions():
    life, found = Lifecycle(ACTIVE, 0.0), []
    for now_s, replicas in ((10.0, 3), (58.0, 1), (60.0, 1), (62.0, 1), (90.0, 1), (92.0, 0)):
        scaling = life.step(OPTIONS, now_s, SERVED, desired=0, replicas=replicas, ready=replicas)
        found.append((scaling.want, scaling.replicas, life.condition.active.name))
    assert found == [
        (1, 1, "ACTIVE"),
        (1, None, "ACTIVE"),
        (0, None, "INACTIVE"),
        (0, None, "INACTIVE"),
        (0, 0, "INACTIVE"),
        (0, None, "INACTIVE"),
    ]


def test_a_condition_is_as_old_as_its_reason():
    life = Lifecycle(ACTIVATING._replace(reason=""), 0.0)
    life.step(OPTIONS, 5.0, SERVED, desired=1, replicas=1, ready=0)
    assert (life.condition.reason, life.since_s) == ("Queued", 5.0)
    life.step(OPTIONS, 9.0, SERVED, desired=1, replicas=1, ready=0)
    assert life.since_s == 5.0


def test_a_restored_life_goes_on_where_it_was():
    life = Lifecycle(ACTIVATING, 7.0)
    restored = Lifecycle(ACTIVE, 0.0)
    restored.restore(json.loads(json.dumps(life.export())))
    assert (restored.condition, restored.since_s) == (ACTIVATING, 7.0)
    with pytest.raises(ValueError, match="Lifecycle: version 0 "):
        restored.restore({**life.export(), "version": 0})
