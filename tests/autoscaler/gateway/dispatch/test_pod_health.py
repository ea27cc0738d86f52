"""Pods that refuse or fail are left alone, for as long as is right and never all of them: over days of virtual time."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autoscaler.gateway.dispatch.dispatcher import (
    Dispatcher,
    EjectionRules,
    Grant,
    Granted,
    Held,
    Limits,
    LoadBalancing,
    SlotUse,
)
from autoscaler.gateway.dispatch.pod_health import REFUSED_LONGEST_S, Health

DAY_S = 86_400
RULES = EjectionRules(consecutive_failures=3, base_s=10, longest_s=60, most=0.5)


def dispatcher_with(*pods, **limits):
    dispatcher = Dispatcher(Limits(**{"ejection": RULES} | limits))
    for pod in pods:
        dispatcher.add_backend(pod, 0)
    return dispatcher


def fail(dispatcher, pod, now_s, times=1):
    return [grant for _ in range(times) for grant in dispatcher.answered(pod, now_s, well=False)]


def test_a_pod_that_fails_several_times_in_a_row_is_ejected_while_another_is_ready():
    dispatcher = dispatcher_with("sick", "well")
    fail(dispatcher, "sick", 1, times=2)
    assert dispatcher.ready == ("sick", "well")
    fail(dispatcher, "sick", 2)
    assert dispatcher.ready == ("well",)
    dispatcher.expire(11.9)
    assert dispatcher.ready == ("well",)
    dispatcher.expire(12)
    assert dispatcher.ready == ("sick", "well")


def test_a_good_answer_forgets_the_failures_before_it():
    dispatcher = dispatcher_with("a", "b")
    for second in range(100):
        fail(dispatcher, "a", second, times=2)
        dispatcher.answered("a", second, well=True)
    assert dispatcher.ready == ("a", "b")


def test_a_pod_that_comes_back_is_on_trial_and_ejected_again_for_longer_by_its_first_failure():
    dispatcher = dispatcher_with("sick", "well")
    fail(dispatcher, "sick", 0, times=3)
    for ends, lasts in ((10, 20), (30, 40), (70, 60), (130, 60)):
        dispatcher.expire(ends)
        assert dispatcher.ready == ("sick", "well")
        fail(dispatcher, "sick", ends)
        assert dispatcher.ready == ("well",)
        assert dispatcher.next_deadline_s == ends + lasts


def test_a_pod_on_trial_gets_one_counted_request_at_a_time_until_one_succeeds():
    dispatcher = dispatcher_with("sick", "well", concurrency=2)
    fail(dispatcher, "sick", 0, times=3)
    waits = [dispatcher.arrive(n, 1) for n in range(6)]
    assert [answer for answer in waits if isinstance(answer, Granted)] == [Granted("well")] * 2
    assert dispatcher.expire(10).grants == [Grant(2, "sick")]
    assert dispatcher.answered("sick", 11, well=True) == [Grant(3, "sick")]


def test_the_last_pod_is_never_taken_away():
    dispatcher = dispatcher_with("only")
    fail(dispatcher, "only", 0, times=1000)
    assert dispatcher.arrive(1, 1) == Granted("only")


def test_ejected_pods_are_used_if_no_other_is_ready():
    dispatcher = dispatcher_with("sick", "well", concurrency=2)
    fail(dispatcher, "sick", 0, times=3)
    dispatcher.arrive(1, 1)
    assert dispatcher.put_back(1, 1) == [Grant(1, "sick")]
    dispatcher = dispatcher_with("sick", "well", concurrency=2)
    fail(dispatcher, "sick", 0, times=3)
    for n in range(4):
        dispatcher.arrive(n, 1)
    assert dispatcher.drain_backend("well", 2) == [Grant(2, "sick"), Grant(3, "sick")]


def test_no_more_than_a_share_is_ejected():
    dispatcher = dispatcher_with("a", "b", "c", "d", "e")
    for pod in "abcde":
        fail(dispatcher, pod, 0, times=5)
    assert dispatcher.ready == ("c", "d", "e")


def test_a_client_of_an_ejected_pod_goes_to_another():
    dispatcher = dispatcher_with("sick", "well")
    dispatcher.arrive(1, 0)
    dispatcher.arrive(2, 0, pinned="sick")
    fail(dispatcher, "sick", 1, times=2)
    assert fail(dispatcher, "sick", 1) == [Grant(2, "well")]
    assert dispatcher.arrive(3, 2, SlotUse.PASS, "sick") == Granted("well")


def test_the_failures_of_a_removed_pod_are_forgotten():
    dispatcher = dispatcher_with("a", "b")
    fail(dispatcher, "c", 0, times=10)
    fail(dispatcher, "a", 0, times=2)
    dispatcher.remove_backend("a", 1)
    dispatcher.add_backend("a", 1)
    fail(dispatcher, "a", 1, times=2)
    assert dispatcher.ready == ("b", "a")


def test_a_refusing_pod_is_asked_every_few_seconds_for_days_and_a_healthy_one_serves_all_that_time():
    dispatcher = dispatcher_with("refuses", "well")
    now_s, asked = 0.0, 0
    while now_s < DAY_S:
        granted = dispatcher.arrive("request", now_s)
        if granted == Granted("refuses"):
            asked += 1
            assert dispatcher.put_back("request", now_s) == [Grant("request", "well")]
        dispatcher.finish("request", now_s + 0.5)
        now_s += REFUSED_LONGEST_S
        dispatcher.expire(now_s)
    assert asked > 10_000


@given(st.lists(st.sampled_from(["refused", "failed", "eject", "connected", "recovered"]), max_size=50))
def test_no_sequence_of_outcomes_leaves_a_pod_alone_for_longer_than_the_rules_say(outcomes):
    health = Health()
    for outcome in outcomes * 100:
        match outcome:
            case "refused":
                assert 0 < health.refused() <= REFUSED_LONGEST_S
            case "failed":
                health.failed(RULES)
            case "eject":
                assert RULES.base_s <= health.eject(RULES) <= RULES.longest_s
            case other:
                getattr(health, other)()


class World:
    """Pods that fall ill and recover by chance, and clients that come at any time, for days."""

    def __init__(self, seed, limits, pods):
        self.rng = random.Random(seed)  # noqa: S311
        self.limits = limits
        self.dispatcher = Dispatcher(limits)
        self.now_s = 0.0
        self.state = dict.fromkeys((f"pod-{n}" for n in range(pods)), "well")
        self.well_since_s = dict.fromkeys(self.state, 0.0)
        self.waiting, self.running = {}, {}
        self.failures_of_the_sick = 0
        self.came = 0
        for pod in self.state:
            self.dispatcher.add_backend(pod, 0.0)

    def take(self, grants):
        for request, pod in grants:
            self.waiting.pop(request, None)
            self.running[request] = pod

    def arrives(self):
        self.came += 1
        match self.dispatcher.arrive(self.came, self.now_s):
            case Granted(pod):
                self.running[self.came] = pod
            case Held():
                self.waiting[self.came] = self.now_s

    def pods_answer(self):
        for request, pod in list(self.running.items()):
            if self.running.get(request) != pod:
                continue
            state = self.state[pod]
            if state == "refuses":
                del self.running[request]
                self.waiting[request] = self.now_s
                self.take(self.dispatcher.put_back(request, self.now_s))
            elif state == "fails" or self.rng.random() < 0.3:
                self.failures_of_the_sick += state == "fails"
                self.take(self.dispatcher.answered(pod, self.now_s, well=state == "well"))
                del self.running[request]
                self.take(self.dispatcher.finish(request, self.now_s))

    def somebody_changes(self):
        pod = self.rng.choice(list(self.state))
        self.state[pod] = self.rng.choice(["well", "well", "fails", "refuses"])
        self.well_since_s[pod] = self.now_s

    def go_on(self, seconds):
        self.now_s += seconds
        due = self.dispatcher.expire(self.now_s)
        for request in due.timed_out:
            del self.waiting[request]
        self.take(due.grants)

    def check(self):
        longest_s = max(REFUSED_LONGEST_S, self.limits.ejection.longest_s)
        for pod, state in self.state.items():
            if state == "well" and self.now_s - self.well_since_s[pod] > longest_s:
                assert pod in self.dispatcher.ready
        ready = [pod for pod in self.dispatcher.ready if not self.dispatcher.running_on(pod)]
        assert not (ready and self.waiting)
        assert len(self.waiting) == self.dispatcher.queued


@pytest.mark.slow
@settings(max_examples=6)
@given(
    seed=st.integers(0, 10**6),
    concurrency=st.integers(0, 3),
    pods=st.integers(1, 5),
    balancing=st.none() | st.sampled_from(LoadBalancing),
    most=st.sampled_from([0.0, 0.5, 1.0]),
)
@example(seed=9704, concurrency=1, pods=1, balancing=None, most=0.0)  # the queue overflows, so that some are refused
def test_over_days_a_healthy_pod_is_used_whatever_the_others_do(seed, concurrency, pods, balancing, most):
    rules = RULES._replace(most=most)
    world = World(seed, Limits(concurrency, 50, 120.0, load_balancing=balancing, ejection=rules), pods)
    while world.now_s < 2 * DAY_S:
        for _ in range(world.rng.randint(0, 3)):
            world.arrives()
        world.pods_answer()
        if world.rng.random() < 0.02:
            world.somebody_changes()
        world.check()
        world.go_on(world.rng.choice([0.05, 1.0, 7.0, 120.0]))


@pytest.mark.parametrize("order", [("sick", "well"), ("well", "sick")])
@pytest.mark.parametrize("concurrency", [1, 4, 0])
def test_the_pod_that_fails_fastest_is_not_given_everything(order, concurrency):
    dispatcher = dispatcher_with(*order, concurrency=concurrency)
    failed = 0
    granted = [(n, answer.backend) for n in range(20) if isinstance(answer := dispatcher.arrive(n, 0), Granted)]
    for second in range(60):
        at_once, granted = granted, []
        while at_once:
            request, pod = at_once.pop()
            if pod == "well":
                granted.append((request, pod))
                continue
            failed += 1
            grants = dispatcher.answered(pod, second / 10, well=False) + dispatcher.finish(request, second / 10)
            at_once += [(grant.request, grant.backend) for grant in grants]
        if second % 10 == 9:
            ended, granted = granted, []
            for request, pod in ended:
                granted += [
                    (grant.request, grant.backend) for grant in dispatcher.answered(pod, second / 10, well=True)
                ]
                granted += [(g.request, g.backend) for g in dispatcher.finish(request, second / 10)]
    assert failed <= {1: 3, 4: 3 + 4, 0: 10}[concurrency]


# Which pod is taken.


def test_with_several_slots_the_pod_with_the_fewest_requests_is_taken_unless_the_policy_says_otherwise():
    def given_to(**limits):
        dispatcher = dispatcher_with("a", "b", **limits)
        return "".join(dispatcher.arrive(n, 0).backend for n in range(4))

    assert given_to(concurrency=4) == "abab"
    assert given_to(concurrency=4, load_balancing=LoadBalancing.FIRST_AVAILABLE) == "aaaa"
    assert given_to(concurrency=2, load_balancing=LoadBalancing.FIRST_AVAILABLE) == "aabb"


def test_with_one_slot_the_later_pods_idle_so_that_they_can_leave():
    dispatcher = dispatcher_with("a", "b", concurrency=1)
    for n in range(10):
        assert dispatcher.arrive(n, n) == Granted("a")
        dispatcher.finish(n, n)


def test_passing_requests_and_tunnels_spread_over_the_pods():
    dispatcher = dispatcher_with("a", "b")
    assert [dispatcher.arrive(n, 0, SlotUse.PASS).backend for n in range(4)] == ["a", "b", "a", "b"]
    dispatcher = dispatcher_with("a", "b")
    given_to = []
    for n in range(6):
        given_to.append(dispatcher.arrive(n, 0, SlotUse.TUNNEL).backend)
        dispatcher.open_tunnel(n, 0)
    assert given_to == ["a", "b"] * 3


@pytest.mark.parametrize("kind", [SlotUse.PASS, SlotUse.TUNNEL])
def test_clients_that_come_one_after_the_other_are_bound_to_pods_in_turn(kind):
    dispatcher, given_to = dispatcher_with("a", "b", "c"), []
    for n in range(6):
        given_to.append(dispatcher.arrive(n, n, kind).backend)
        dispatcher.finish(n, n)
    assert given_to == ["a", "b", "c"] * 2


def test_a_tunnel_keeps_no_pod_and_ends_once():
    dispatcher = dispatcher_with("a")
    dispatcher.arrive("ws", 0, SlotUse.TUNNEL, max_per_pod=1)
    dispatcher.open_tunnel("ws", 1)
    assert (dispatcher.passing, dispatcher.passed_total, dispatcher.idle) == (0, 1, ("a",))
    dispatcher.finish("ws", 2)
    assert (dispatcher.passing, dispatcher.passed_total) == (0, 1)
    with pytest.raises(KeyError):
        dispatcher.finish("ws", 3)


def test_only_what_was_granted_can_become_a_tunnel():
    dispatcher = dispatcher_with()
    dispatcher.arrive("ws", 0, SlotUse.TUNNEL)
    with pytest.raises(ValueError, match="not been granted"):
        dispatcher.open_tunnel("ws", 1)
