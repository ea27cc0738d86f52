"""Whose turn it is: a higher class first, each class its share, and clients one after the other."""

import json
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Granted, Held, Limits, Refusal, Refused
from autoscaler.gateway.dispatch.types import ANY_TURN, Turn

CLIENTS = "abc"


def dispatcher_with(pods=("p",), **limits):
    dispatcher = Dispatcher(Limits(**{"queue_length": 10_000, **limits}))
    for pod in pods:
        dispatcher.add_backend(pod, 0)
    return dispatcher


def arrive(dispatcher, level, client, *numbers, now_s=0, pinned=None):
    """Let requests arrive, named by their client and a number."""
    for number in numbers:
        dispatcher.arrive(f"{client}{number}", now_s, pinned=pinned, turn=Turn(level, client))


def served(dispatcher, running, now_s=1):
    """End one request after the other, and return them in the order in which they were granted."""
    order = []
    while running is not None:
        order.append(running)
        grants = dispatcher.finish(running, now_s)
        running = grants[0].request if grants else None
    return order[1:]


def test_forty_requests_of_one_client_do_not_stand_before_the_first_of_another():
    dispatcher = dispatcher_with()
    arrive(dispatcher, 0, "a", *range(40))
    arrive(dispatcher, 0, "b", 0, 1)
    order = served(dispatcher, "a0")
    assert order[:5] == ["a1", "b0", "a2", "b1", "a3"]
    assert order[5:] == [f"a{n}" for n in range(4, 40)]


def test_who_waits_already_is_not_overtaken_for_ever_by_clients_that_are_new():
    dispatcher = dispatcher_with()
    arrive(dispatcher, 0, "a", 0, 1, 2)
    running = "a0"
    for number in range(20):
        arrive(dispatcher, 0, f"new{number}-", 0)
        running = dispatcher.finish(running, 1)[0].request
        if number == 1:
            arrive(dispatcher, 0, "late", 0)
        assert dispatcher.queued <= 24
        if running == "a2":
            return
    pytest.fail("the client's third request never had its turn")


def test_without_clients_the_order_is_that_of_arrival_in_each_class():
    dispatcher = dispatcher_with()
    for number in range(6):
        dispatcher.arrive(number, 0, turn=Turn(number % 2))
    assert served(dispatcher, 0) == [2, 4, 1, 3, 5]


def test_a_higher_class_goes_before_a_lower_one_whenever_it_comes():
    dispatcher = dispatcher_with()
    arrive(dispatcher, 2, "low", *range(3))
    arrive(dispatcher, 1, "middle", *range(2))
    arrive(dispatcher, 0, "high", *range(2))
    assert served(dispatcher, "low0") == ["high0", "high1", "middle0", "middle1", "low1", "low2"]


@pytest.mark.parametrize(("share", "every"), [(0.1, 10), (0.25, 4), (0.5, 2), (1 / 3, None), (0.001, 1000)])
def test_a_lower_class_gets_its_share_while_it_waits_to_the_grant(share, every):
    dispatcher = dispatcher_with(shares=(0, share))
    dispatcher.arrive("first", 0)
    arrive(dispatcher, 1, "low", *range(30))
    arrive(dispatcher, 0, "high", *range(3000))
    order = served(dispatcher, "first")[:3000]
    places = [at for at, request in enumerate(order, 1) if request.startswith("low")]
    if every is None:
        assert abs(len([at for at in places if at <= 60]) - 20) <= 1
    else:
        assert places == [every * number for number in range(1, len(places) + 1)]


@example(shares=[29, 0, 0], comes=[[0] * 4, [], [], [], [0], [0] * 2, [0] * 3, [], [], [], [0], [0], [0], [0] * 2])
@given(
    shares=st.lists(st.integers(0, 33), min_size=3, max_size=3),
    comes=st.lists(st.lists(st.integers(0, 2), max_size=4), min_size=1, max_size=60),
)
def test_each_class_gets_at_least_its_share_of_the_grants_while_it_waits(shares, comes):
    dispatcher = dispatcher_with(shares=tuple(share / 100 for share in shares))
    dispatcher.arrive(running := (0, ""), 0)
    waiting, grants, own = Counter(), Counter(), Counter()
    for number, levels in enumerate(comes):
        for place, level in enumerate(levels):
            waiting[level] += isinstance(dispatcher.arrive((level, f"{number}-{place}"), 0, turn=Turn(level)), Held)
        if not +waiting:
            continue
        ((running, _),) = dispatcher.finish(running, 0)
        grants = Counter({level: grants[level] + 1 for level in +waiting})
        own[running[0]] += 1
        waiting[running[0]] -= 1
        own, grants = (Counter({level: each[level] for level in +waiting}) for each in (own, grants))
        for level in +waiting:
            assert own[level] > grants[level] * shares[level] / 100 - len(shares)


class TakingTurns(RuleBasedStateMachine):
    """While a request is its client's first, each other client is granted at most one before it.

    Also when clients disconnect, pods refuse, and grants come back unused.
    """

    def __init__(self):
        super().__init__()
        self.dispatcher = dispatcher_with(pods=["p", "q"])
        self.now = 0
        self.waiting = {client: [] for client in CLIENTS}
        self.running = []
        self.before = {client: Counter() for client in CLIENTS}
        """What was granted to others since the client's first request is its first."""

    def take(self, grants):
        for (client, number), _ in grants:
            assert number == min(self.waiting[client]), "the requests of a client go in their order"
            self.waiting[client].remove(number)
            self.running.append((client, number))
            self.before[client].clear()
            for other in CLIENTS:
                self.before[other][client] += bool(self.waiting[other]) and other != client
                assert self.before[other][client] <= 1

    @rule(client=st.sampled_from("abc"))
    def arrives(self, client):
        self.now += 1
        request = client, self.now
        if isinstance(self.dispatcher.arrive(request, self.now, turn=Turn(0, client)), Granted):
            self.running.append(request)
            return
        if not self.waiting[client]:
            self.before[client].clear()
        self.waiting[client].append(self.now)

    @rule(client=st.sampled_from("abc"), pick=st.integers(0, 50))
    def disconnects(self, client, pick):
        if self.waiting[client]:
            number = self.waiting[client].pop(pick % len(self.waiting[client]))
            if number < min(self.waiting[client], default=0):
                self.before[client].clear()  # the next one stands as if it had always been the first
            self.take(self.dispatcher.abandon((client, number), self.now))

    @rule(pick=st.integers(0, 50), how=st.sampled_from(["finish", "finish", "finish", "put_back", "give_back"]))
    def ends(self, pick, how):
        if not self.running:
            return
        client, number = request = self.running.pop(pick % len(self.running))
        if how != "finish":
            self.waiting[client].append(number)
            for other in CLIENTS:
                self.before[other][client] -= 1
        self.take(getattr(self.dispatcher, how)(request, self.now))

    @rule()
    def pods_return(self):
        self.now += 10
        self.take(self.dispatcher.expire(self.now).grants)

    @invariant()
    def all_are_where_the_book_says(self):
        assert self.dispatcher.queued == sum(map(len, self.waiting.values()))
        assert self.dispatcher.running == len(self.running)


TestTakingTurns = TakingTurns.TestCase
TestTakingTurns.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_client_that_abandons_its_first_request_keeps_its_turn_for_the_next():
    dispatcher = dispatcher_with()
    dispatcher.arrive("running", 0)
    arrive(dispatcher, 0, "a", 0, 1)
    arrive(dispatcher, 0, "b", 0)
    dispatcher.abandon("a0", 0)
    assert served(dispatcher, "running") == ["a1", "b0"]


def test_a_request_that_its_pod_refused_has_its_turn_again():
    dispatcher = dispatcher_with()
    arrive(dispatcher, 0, "a", 0, 1)
    arrive(dispatcher, 0, "b", 0)
    assert dispatcher.finish("a0", 0)[0].request == "a1"
    assert dispatcher.put_back("a1", 0) == []
    assert [grant.request for grant in dispatcher.expire(10).grants] == ["a1"]
    assert served(dispatcher, "a1", 10) == ["b0"]


def test_clients_that_belong_to_a_pod_take_turns_there_and_no_pod_is_idle_beside_one_that_waits():
    dispatcher = dispatcher_with(pods="pq", load_balancing=None)
    dispatcher.arrive("on-p", 0, pinned="p")
    dispatcher.arrive("on-q", 0, pinned="q")
    arrive(dispatcher, 0, "a", *range(3), pinned="p")
    arrive(dispatcher, 0, "b", 0, pinned="p")
    assert [grant.request for grant in dispatcher.finish("on-q", 1)] == []
    assert served(dispatcher, "on-p") == ["a0", "b0", "a1", "a2"]


def test_the_requests_of_a_client_whose_pod_leaves_take_one_turn_among_those_of_others():
    dispatcher = dispatcher_with(pods="pq")
    dispatcher.arrive("on-p", 0, pinned="p")
    dispatcher.arrive("on-q", 0, pinned="q")
    arrive(dispatcher, 0, "a", *range(3), pinned="p")
    arrive(dispatcher, 0, "b", 0, 1, pinned="q")
    dispatcher.drain_backend("p", 1)
    arrive(dispatcher, 0, "c", 0, 1)
    assert served(dispatcher, "on-q") == ["a0", "b0", "c0", "a1", "b1", "c1", "a2"]


def test_a_higher_class_that_is_pinned_is_not_starved_by_the_share_of_a_lower_one():
    dispatcher = dispatcher_with(pods="pq", shares=(0, 0.5))
    dispatcher.arrive("on-p", 0, pinned="p")
    dispatcher.arrive("on-q", 0, pinned="q")
    arrive(dispatcher, 1, "low", *range(100))
    arrive(dispatcher, 0, "for-p", *range(20), pinned="p")
    arrive(dispatcher, 0, "for-q", *range(20), pinned="q")
    running = {"p": "on-p", "q": "on-q"}
    order = {"p": [], "q": []}
    for _ in range(20):
        for pod, request in running.items():
            (grant,) = dispatcher.finish(request, 1)
            running[pod] = grant.request
            order[pod].append(grant.request)
    for pod in "pq":
        assert len([request for request in order[pod] if request.startswith("for")]) == 10


def test_a_full_queue_is_full_for_its_class_alone():
    dispatcher = dispatcher_with(queue_length=2)
    dispatcher.arrive("running", 0)
    for number in range(2):
        assert isinstance(dispatcher.arrive(f"low{number}", 0, turn=Turn(1)), Held)
    assert dispatcher.arrive("low2", 0, turn=Turn(1)) == Refused(Refusal.QUEUE_FULL)
    assert isinstance(dispatcher.arrive("high", 0, turn=Turn(0)), Held)


def test_one_client_cannot_fill_the_queue_against_the_first_request_of_another():
    dispatcher = dispatcher_with(queue_length=3)
    dispatcher.arrive("running", 0)
    arrive(dispatcher, 0, "a", *range(3))
    assert dispatcher.arrive("a3", 0, turn=Turn(0, "a")) == Refused(Refusal.QUEUE_FULL)
    for client in "bcd":
        assert isinstance(dispatcher.arrive(client, 0, turn=Turn(0, client)), Held)
    assert dispatcher.arrive("e", 0, turn=Turn(0, "e")) == Refused(Refusal.QUEUE_FULL)


def test_a_class_that_the_policy_no_longer_has_is_served_behind_all_others():
    dispatcher = dispatcher_with(shares=(0, 0.5))
    dispatcher.arrive("running", 0)
    arrive(dispatcher, 1, "low", 0, 1)
    arrive(dispatcher, 0, "high", *range(4))
    dispatcher.set_limits(dispatcher.limits._replace(shares=()), 0)
    assert served(dispatcher, "running") == ["high0", "high1", "high2", "high3", "low0", "low1"]


def test_the_oldest_wait_is_that_of_the_oldest_request_and_not_of_the_one_whose_turn_it_is():
    dispatcher = dispatcher_with()
    dispatcher.arrive("running", 0)
    arrive(dispatcher, 1, "low", 0, now_s=1)
    arrive(dispatcher, 0, "a", 0, 1, now_s=2)
    assert dispatcher.oldest_wait_s(10) == 9


def test_ten_thousand_clients_that_vanish_leave_no_trace():
    dispatcher = dispatcher_with(pods=())
    for number in range(10_000):
        dispatcher.arrive(number, 0, turn=Turn(number % 3, f"client-{number % 5000}"))
    for number in range(10_000):
        dispatcher.abandon(number, 1)
    waiting = dispatcher._waiting
    assert not waiting._of_turn
    assert not any(line._clients for queue in waiting._for_any.values() for line in queue._lines.values())


def test_a_turn_goes_through_json_and_comes_back():
    assert json.dumps(Turn(1, "a9")) == '[1, "a9"]'
    assert Turn.from_json([1, "a9"]) == Turn(1, "a9")
    assert Turn.from_json([0, ""]) == ANY_TURN


@pytest.mark.parametrize("value", [None, [], [1], [-1, ""], [True, ""], ["1", ""], [1, None], [1, "a", 2], "ab", {}])
def test_what_is_no_turn_is_refused(value):
    with pytest.raises(ValueError, match="must be a turn"):
        Turn.from_json(value)
