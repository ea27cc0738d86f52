"""Short stories about one service's queue and slots."""

import pytest

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Grant, Granted, Held, Limits, Refusal, Refused, SlotUse
from autoscaler.gateway.dispatch.types import QueueLimits


def dispatcher_with(*pods, **limits):
    dispatcher = Dispatcher(Limits(**limits))
    for pod in pods:
        dispatcher.add_backend(pod, 0)
    return dispatcher


def test_requests_are_held_at_zero_and_go_to_the_first_pod_in_the_order_they_came():
    dispatcher = dispatcher_with(queue_timeout_s=60)
    assert [dispatcher.arrive(name, 0) for name in "xyz"] == [Held(60)] * 3
    assert dispatcher.add_backend("a", 5) == [Grant("x", "a")]
    assert dispatcher.finish("x", 9) == [Grant("y", "a")]
    assert (dispatcher.queued, dispatcher.running, dispatcher.running_on("a")) == (1, 1, 1)


def test_the_pod_that_was_added_first_is_taken_first():
    dispatcher = dispatcher_with("b", "a")
    assert dispatcher.arrive(1, 0) == Granted("b")
    assert dispatcher.arrive(2, 0) == Granted("a")
    dispatcher.finish(2, 1)
    dispatcher.finish(1, 1)
    assert dispatcher.arrive(3, 2) == Granted("b")
    assert dispatcher.idle == ("a",)


def test_without_a_limit_the_pod_with_the_fewest_is_taken():
    dispatcher = dispatcher_with("a", "b", concurrency=0)
    assert [dispatcher.arrive(n, 0).backend for n in range(5)] == ["a", "b", "a", "b", "a"]


def test_a_full_queue_refuses():
    dispatcher = dispatcher_with(queue_length=1)
    dispatcher.arrive(1, 0)
    assert dispatcher.arrive(2, 0) == Refused(Refusal.QUEUE_FULL)
    assert dispatcher.queued == 1


def test_a_request_that_waits_times_out_once_and_a_granted_one_does_not():
    dispatcher = dispatcher_with("a", queue_timeout_s=10)
    dispatcher.arrive("served", 0)
    dispatcher.arrive("waits", 1)
    assert dispatcher.next_deadline_s == 11
    assert dispatcher.expire(10.9) == ([], [])
    assert dispatcher.expire(11) == (["waits"], [])
    assert dispatcher.next_deadline_s is None
    with pytest.raises(KeyError):
        dispatcher.abandon("waits", 11)


def test_a_granted_request_that_is_abandoned_hands_its_slot_on():
    dispatcher = dispatcher_with("a")
    for name in "xyz":
        dispatcher.arrive(name, 0)
    assert dispatcher.finish("x", 1) == [Grant("y", "a")]
    assert dispatcher.abandon("y", 1) == [Grant("z", "a")]


def test_a_refused_request_goes_to_another_pod_and_the_refusing_one_is_set_aside():
    dispatcher = dispatcher_with("a", "b")
    dispatcher.arrive("x", 0)
    assert dispatcher.put_back("x", 1) == [Grant("x", "b")]
    assert dispatcher.ready == ("b",)
    assert dispatcher.next_deadline_s == 1.1
    assert dispatcher.expire(1.1) == ([], [])
    assert dispatcher.ready == ("a", "b")


def test_a_refused_request_keeps_its_place_and_the_wait_for_its_pod_doubles():
    dispatcher = dispatcher_with("a")
    for name in "xyz":
        dispatcher.arrive(name, 0)
    assert dispatcher.put_back("x", 1) == []
    assert dispatcher.expire(1.1) == ([], [Grant("x", "a")])
    assert dispatcher.put_back("x", 2) == []
    assert dispatcher.expire(2.1) == ([], [])
    assert dispatcher.expire(2.2) == ([], [Grant("x", "a")])
    assert dispatcher.finish("x", 3) == [Grant("y", "a")]


def test_a_request_that_was_granted_on_arrival_and_put_back_still_times_out():
    dispatcher = dispatcher_with("a", queue_timeout_s=10)
    dispatcher.arrive("x", 0)
    dispatcher.remove_backend("a", 5)
    dispatcher.put_back("x", 5)
    assert dispatcher.expire(10).timed_out == ["x"]


def test_a_pinned_request_waits_for_its_busy_pod_while_another_idles():
    dispatcher = dispatcher_with("a", "b")
    dispatcher.arrive("x", 0, pinned="b")
    assert isinstance(dispatcher.arrive("y", 0, pinned="b"), Held)
    assert dispatcher.arrive("z", 0) == Granted("a")
    assert dispatcher.finish("x", 1) == [Grant("y", "b")]


def test_a_pinned_request_spills_over_when_it_has_waited_long_enough():
    dispatcher = dispatcher_with("a", "b", spill_after_s=30)
    dispatcher.arrive("x", 0, pinned="b")
    dispatcher.arrive("y", 5, pinned="b")
    assert dispatcher.next_deadline_s == 35
    assert dispatcher.expire(34) == ([], [])
    assert dispatcher.expire(35) == ([], [Grant("y", "a")])


def test_a_spilled_request_that_still_waits_goes_to_its_own_pod_too():
    dispatcher = dispatcher_with("a", "b", spill_after_s=30)
    dispatcher.arrive("x", 0, pinned="b")
    dispatcher.arrive("w", 0, pinned="a")
    dispatcher.arrive("y", 5, pinned="b")
    assert dispatcher.expire(35) == ([], [])
    assert dispatcher.finish("x", 36) == [Grant("y", "b")]


def test_spill_at_once_takes_any_idle_pod():
    dispatcher = dispatcher_with("a", "b", spill_after_s=0)
    dispatcher.arrive("x", 0, pinned="b")
    assert dispatcher.arrive("y", 0, pinned="b") == Granted("a")


def test_a_request_that_waited_for_a_pod_that_drains_returns_to_its_place_of_arrival():
    dispatcher = dispatcher_with("a", "b")
    dispatcher.arrive("on-a", 0)
    dispatcher.arrive("on-b", 0)
    dispatcher.arrive("first", 1, pinned="b")
    dispatcher.arrive("second", 2)
    assert dispatcher.drain_backend("b", 3) == []
    assert dispatcher.finish("on-b", 4) == []
    assert dispatcher.backends == ("a",)
    assert dispatcher.finish("on-a", 5) == [Grant("first", "a")]
    assert dispatcher.finish("first", 6) == [Grant("second", "a")]


def test_a_pod_that_drains_can_come_back_with_what_it_still_runs():
    dispatcher = dispatcher_with("a")
    dispatcher.arrive("x", 0)
    dispatcher.arrive("y", 0)
    dispatcher.drain_backend("a", 1)
    assert dispatcher.add_backend("a", 2) == []
    assert dispatcher.finish("x", 3) == [Grant("y", "a")]


def test_a_new_pod_of_the_same_name_owes_nothing():
    dispatcher = dispatcher_with("a")
    dispatcher.arrive("x", 0)
    dispatcher.arrive("y", 0)
    assert dispatcher.remove_backend("a", 1) == []
    assert dispatcher.add_backend("a", 1) == [Grant("y", "a")]
    assert dispatcher.finish("x", 2) == []
    assert dispatcher.running_on("a") == 1


def test_lowered_concurrency_lets_run_what_runs_and_grants_nothing_until_below():
    dispatcher = dispatcher_with("a", concurrency=3)
    for n in range(5):
        dispatcher.arrive(n, 0)
    dispatcher.set_limits(Limits(concurrency=1), 1)
    assert dispatcher.finish(0, 2) == []
    assert dispatcher.finish(1, 2) == []
    assert dispatcher.finish(2, 2) == [Grant(3, "a")]
    assert dispatcher.set_limits(Limits(concurrency=2), 3) == [Grant(4, "a")]


def test_a_passing_request_goes_to_its_busy_pod_and_counts_nothing():
    dispatcher = dispatcher_with("a", "b")
    dispatcher.arrive("job", 0, pinned="b")
    assert dispatcher.arrive("progress", 1, SlotUse.PASS, "b") == Granted("b")
    assert dispatcher.arrive("page", 1, SlotUse.PASS) == Granted("a")
    assert (dispatcher.running, dispatcher.passing, dispatcher.passed_total) == (1, 2, 2)
    dispatcher.finish("progress", 2)
    assert (dispatcher.passing, dispatcher.passed_total) == (1, 2)


def test_passing_requests_have_a_cap_of_their_own():
    dispatcher = dispatcher_with("a")
    assert dispatcher.arrive(1, 0, SlotUse.PASS, max_per_pod=1) == Granted("a")
    assert isinstance(dispatcher.arrive(2, 0, SlotUse.PASS, max_per_pod=1), Held)
    assert dispatcher.arrive("job", 0) == Granted("a")
    assert dispatcher.finish(1, 1) == [Grant(2, "a")]


def test_a_higher_limit_lets_no_request_overtake():
    dispatcher = dispatcher_with("a")
    dispatcher.arrive(1, 0, SlotUse.PASS, max_per_pod=1)
    assert isinstance(dispatcher.arrive(2, 0, SlotUse.PASS, "a", max_per_pod=1), Held)
    assert isinstance(dispatcher.arrive(3, 0, SlotUse.PASS, max_per_pod=2), Held)
    assert dispatcher.finish(1, 1) == [Grant(2, "a"), Grant(3, "a")]


def test_a_passing_request_at_zero_pods_is_held_and_wants_one_pod_unless_it_is_not_worth_it():
    dispatcher = dispatcher_with()
    assert isinstance(dispatcher.arrive("page", 0, SlotUse.PASS), Held)
    assert dispatcher.arrive("favicon", 0, SlotUse.PASS, wakes=False) == Refused(Refusal.ASLEEP)
    assert (dispatcher.holding_pass, dispatcher.passing, dispatcher.queued) == (1, 1, 0)
    assert dispatcher.add_backend("a", 1) == [Grant("page", "a")]
    assert (dispatcher.holding_pass, dispatcher.passing) == (0, 1)


def test_a_favicon_does_not_keep_the_last_pod():
    dispatcher = dispatcher_with("a")
    assert dispatcher.arrive("favicon", 0, SlotUse.PASS, wakes=False) == Granted("a")
    assert (dispatcher.passing, dispatcher.passed_total) == (0, 0)


def test_the_same_request_cannot_arrive_twice_nor_end_before_its_grant():
    dispatcher = dispatcher_with()
    dispatcher.arrive("x", 0)
    with pytest.raises(ValueError, match="arrived already"):
        dispatcher.arrive("x", 1)
    with pytest.raises(ValueError, match="not been granted"):
        dispatcher.finish("x", 1)


def test_ten_thousand_waiters_that_vanish_leave_no_trace():
    dispatcher = dispatcher_with(queue_length=10_000)
    for n in range(10_000):
        dispatcher.arrive(n, 0)
    for n in range(10_000):
        dispatcher.abandon(n, 1)
    assert (dispatcher.queued, dispatcher.next_deadline_s) == (0, None)
    assert len(dispatcher._timers) <= 64
    assert len(dispatcher._waiting._for_any[SlotUse.COUNT]._lines[0]._turns._heap) <= 17
    assert dispatcher.seconds_total(2) == 10_000


def test_a_request_behind_a_pass_request_of_a_lower_limit_is_granted_with_it():
    dispatcher = Dispatcher(Limits())
    for request in "rs":
        dispatcher.arrive(request, 0, SlotUse.PASS, max_per_pod=1)
    assert dispatcher.add_backend("b", 0) == [Grant("r", "b")]
    assert isinstance(dispatcher.arrive("t", 0, SlotUse.PASS, "b", max_per_pod=2), Held)
    assert dispatcher.add_backend("a", 0) == [Grant("s", "a"), Grant("t", "b")]


# Limits by the state of the pods.

APART = Limits(
    concurrency=1,
    queue_length=9,
    queue_timeout_s=60,
    none_ready=QueueLimits(2, 600),
    all_busy=QueueLimits(1, 30),
)


def test_a_request_that_arrives_while_no_pod_is_ready_has_the_limits_of_a_start():
    dispatcher = Dispatcher(APART)
    answers = [dispatcher.arrive(name, 0) for name in "abc"]
    assert answers == [Held(600), Held(600), Refused(Refusal.QUEUE_FULL)]


def test_a_request_that_arrives_while_a_pod_is_ready_has_the_limits_of_a_busy_service():
    dispatcher = Dispatcher(APART)
    dispatcher.add_backend("p", 0)
    answers = [dispatcher.arrive(name, 5) for name in "abc"]
    assert answers == [Granted("p"), Held(35), Refused(Refusal.QUEUE_FULL)]


def test_requests_that_wait_for_a_start_fill_the_queue_of_a_busy_service_and_keep_their_own_deadline():
    dispatcher = Dispatcher(APART)
    assert [dispatcher.arrive(name, 0) for name in "ab"] == [Held(600), Held(600)]
    dispatcher.add_backend("p", 10)
    assert (dispatcher.running, dispatcher.queued) == (1, 1)
    assert dispatcher.arrive("c", 11) == Refused(Refusal.QUEUE_FULL)
    assert dispatcher.expire(599).timed_out == []
    assert dispatcher.expire(600).timed_out == ["b"]


def test_a_pod_that_is_set_aside_or_drains_is_not_ready():
    dispatcher = Dispatcher(APART)
    dispatcher.add_backend("p", 0)
    dispatcher.drain_backend("p", 1)
    assert dispatcher.arrive("a", 2) == Held(602)


def test_one_limit_holds_in_both_states_if_no_other_is_given():
    for some in (APART._replace(none_ready=None), APART._replace(all_busy=None)):
        dispatcher = Dispatcher(some)
        expected = Held(60) if some.none_ready is None else Held(600)
        assert dispatcher.arrive("a", 0) == expected
    assert Limits().queue(any_ready=True) == Limits().queue(any_ready=False) == QueueLimits(100, 600)
