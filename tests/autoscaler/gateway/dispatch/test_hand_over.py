"""What a dispatcher takes over from another gateway: requests that run, and requests that wait, in the order of age."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Grant, Granted, Held, Limits


def _grants(dispatcher: Dispatcher, pod: str, requests: int) -> list[object]:
    """Return the order in which a pod gets what waits."""
    grants = dispatcher.add_backend(pod, 100.0)
    order = []
    for _ in range(requests):
        ((request, _pod),) = grants
        order.append(request)
        grants = dispatcher.finish(request, 100.0)
    return order


@given(st.lists(st.integers(min_value=0, max_value=20), min_size=1, max_size=12), st.data())
def test_those_that_come_again_stand_by_age_and_before_all_that_came_later(ages, data):
    dispatcher = Dispatcher(Limits())
    for number, age in enumerate(ages):
        dispatcher.arrive((age, number), 50.0, arrived_s=50.0 - age)
    dispatcher.arrive("new", 50.0)
    back = data.draw(st.sampled_from([(age, number) for number, age in enumerate(ages)]))
    order = _grants(dispatcher, "pod", len(ages) + 1)
    assert order[-1] == "new"
    assert [age for age, _ in order[:-1]] == sorted(ages, reverse=True)
    assert back in order


def test_a_full_queue_does_not_refuse_a_request_that_was_held_before():
    dispatcher = Dispatcher(Limits(queue_length=1))
    dispatcher.arrive("first", 1.0)
    assert isinstance(dispatcher.arrive("again", 1.0, arrived_s=0.0), Held)
    assert _grants(dispatcher, "pod", 2) == ["again", "first"]


def test_a_request_that_runs_already_takes_a_slot_even_beyond_the_limit():
    dispatcher = Dispatcher(Limits())
    dispatcher.add_backend("pod", 0.0)
    assert isinstance(dispatcher.arrive("own", 0.0), Granted)
    dispatcher.adopt("theirs", 0.0, "pod")
    dispatcher.arrive("next", 0.0)
    assert dispatcher.running_on("pod") == 2
    assert dispatcher.finish("own", 1.0) == []
    assert dispatcher.finish("theirs", 1.0) == [Grant("next", "pod")]


def test_a_grant_that_was_not_used_goes_to_whoever_arrived_first():
    dispatcher = Dispatcher(Limits())
    dispatcher.add_backend("pod", 0.0)
    dispatcher.arrive("first", 0.0)
    dispatcher.arrive("second", 0.5)
    assert dispatcher.give_back("first", 1.0) == [Grant("first", "pod")]
    assert dispatcher.running_on("pod") == 1
