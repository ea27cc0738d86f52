"""Whatever comes in whatever order, the dispatcher keeps its rules: a second, plain book is kept beside it."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, EjectionRules, Granted, Held, Limits, Refused, SlotUse
from autoscaler.gateway.dispatch.types import ANY_TURN, Turn

pytestmark = pytest.mark.slow

PODS = st.sampled_from(["a", "b", "c", "d"])
TURNS = st.just(ANY_TURN) | st.builds(Turn, st.integers(0, 2), st.sampled_from(["", "x", "y"]))
PICK = st.integers(min_value=0, max_value=10**6)


@dataclass
class Book:
    """What a bystander would write down of one request."""

    number: int
    kind: SlotUse
    pinned: str | None
    arrived_s: float
    max_per_pod: int
    wakes: bool
    turn: Turn = ANY_TURN
    backend: str | None = None


class Dispatching(RuleBasedStateMachine):
    @initialize(
        concurrency=st.integers(0, 3),
        length=st.integers(0, 6),
        timeout=st.sampled_from([5, 60]),
        failures=st.integers(1, 3),
        spill=st.sampled_from([0, 3, float("inf")]),
        shares=st.sampled_from([(), (0, 0.5, 0.25)]),
    )
    def start(self, *, concurrency, length, timeout, spill, failures, shares):
        self.now = 0
        rules = EjectionRules(failures, base_s=2, longest_s=5)
        self.dispatcher = Dispatcher(Limits(concurrency, length, timeout, spill, ejection=rules, shares=shares))
        self.present = {}
        self.came = 0
        self.ended = 0
        self.removed = set()
        self.opened = set()
        self.failed = set()
        self.sojourns = 0
        self.states = {}

    def take(self, grants):
        for request, backend in grants:
            self.granted(request, backend)

    def granted(self, request, backend):
        book = self.present[request]
        assert book.backend is None
        assert backend in self.dispatcher.ready
        waiting = [b for b in self.present.values() if b.backend is None and b.kind is book.kind and b is not book]
        rivals = [b for b in waiting if b.pinned in (None, backend)]
        equals = [b for b in rivals if b.turn == book.turn and (not b.turn.client or b.pinned == book.pinned)]
        assert not [b for b in equals if b.number < book.number]
        if not self.dispatcher.limits.shares:
            assert not [b for b in rivals if b.turn.level < book.turn.level]
        book.backend = backend
        self.running_at_grant(book)

    def running_at_grant(self, book):
        cap = self.dispatcher.limits.concurrency
        if cap and book.kind is SlotUse.COUNT:
            on_pod = [b for r, b in self.present.items() if b.backend == book.backend and r not in self.removed]
            assert len([b for b in on_pod if b.kind is SlotUse.COUNT]) <= max(cap, self.highest_cap(book.backend))
        if book.kind is not SlotUse.COUNT:
            assert len(self.of_kind(book.kind, book.backend)) <= book.max_per_pod

    def of_kind(self, kind, pod):
        """Those that a pod which is known serves; a pod of its name that comes later owes them nothing."""
        there = [r for r, b in self.present.items() if b.kind is kind and b.backend == pod]
        return [request for request in there if request not in self.removed]

    def highest_cap(self, backend):
        return self.dispatcher.running_on(backend) if self.lowered else 0

    lowered = False

    def end(self, request):
        book = self.present.pop(request)
        self.removed.discard(request)
        self.ended += 1
        if book.kind is SlotUse.COUNT:
            self.sojourns += self.now - book.arrived_s

    def chosen(self, pick, running):
        these = [r for r, b in self.present.items() if (b.backend is not None) == running]
        return these[pick % len(these)] if these else None

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds):
        for _ in range(seconds):
            self.now += 1
            due = self.dispatcher.expire(self.now)
            for request in due.timed_out:
                book = self.present[request]
                assert book.backend is None
                assert self.now >= book.arrived_s + self.dispatcher.limits.queue_timeout_s
                self.end(request)
            self.take(due.grants)
            self.see_who_is_busy()

    @rule(
        kind=st.sampled_from(SlotUse),
        pinned=st.none() | PODS,
        wakes=st.booleans(),
        max_per_pod=st.integers(1, 2),
        turn=TURNS,
    )
    def arrives(self, kind, pinned, wakes, max_per_pod, turn):
        self.came += 1
        turn = turn if kind is SlotUse.COUNT else ANY_TURN
        request = f"r{self.came}"
        waiting = [b for b in self.present.values() if b.backend is None and b.kind is kind]
        free = [p for p in self.dispatcher.ready if self.free(p)]
        binds = pinned if pinned in self.dispatcher.ready else None
        book = Book(self.came, kind, binds, self.now, max_per_pod, wakes, turn)
        limit = self.dispatcher.limits.queue_length
        match self.dispatcher.arrive(request, self.now, kind, pinned, max_per_pod=max_per_pod, wakes=wakes, turn=turn):
            case Granted(backend):
                self.present[request] = book
                self.granted(request, backend)
            case Held(deadline_s):
                assert deadline_s == self.now + self.dispatcher.limits.queue_timeout_s
                self.present[request] = book
                assert kind is not SlotUse.COUNT or pinned is not None or not free
            case Refused():
                self.ended += 1
                of_class = [b for b in waiting if b.turn.level == turn.level]
                is_first = bool(turn.client) and not [b for b in of_class if b.turn == turn]
                assert len(of_class) >= limit * (1 + is_first) or not wakes

    def binds_nobody(self, pod):
        """Who waits for a pod that takes nothing may go anywhere."""
        for book in self.present.values():
            if book.backend is None and book.pinned == pod:
                book.pinned = None

    def free(self, pod):
        """Whether a pod must take one more; one that has failed may be on trial, and then takes one."""
        cap = 1 if pod in self.failed else self.dispatcher.limits.concurrency
        return not cap or self.dispatcher.running_on(pod) < cap

    @rule(pick=PICK)
    def finishes(self, pick):
        if request := self.chosen(pick, running=True):
            self.end(request)
            self.take(self.dispatcher.finish(request, self.now))

    @rule(pick=PICK)
    def opens_a_tunnel(self, pick):
        shut = [r for r, b in self.present.items() if b.kind is SlotUse.TUNNEL and b.backend and r not in self.opened]
        if shut:
            self.opened.add(shut[pick % len(shut)])
            self.dispatcher.open_tunnel(shut[pick % len(shut)], self.now)

    @rule(pick=PICK, running=st.booleans())
    def abandons(self, pick, running):
        if request := self.chosen(pick, running):
            self.end(request)
            self.take(self.dispatcher.abandon(request, self.now))

    @rule(pick=PICK)
    def is_refused_by_its_pod(self, pick):
        request = self.chosen(pick, running=True)
        if request is not None and request not in self.opened:
            book = self.present[request]
            self.binds_nobody(book.backend)
            book.backend, book.pinned = None, None
            self.removed.discard(request)
            self.take(self.dispatcher.put_back(request, self.now))

    @rule(pod=PODS, well=st.booleans())
    def pod_answers(self, pod, well):
        grants = self.dispatcher.answered(pod, self.now, well=well)
        self.failed = self.failed - {pod} if well else self.failed | {pod}
        if pod not in self.dispatcher.ready:
            self.binds_nobody(pod)
        self.take(grants)

    @rule(pod=PODS)
    def pod_comes(self, pod):
        self.take(self.dispatcher.add_backend(pod, self.now))

    @rule(pod=PODS)
    def pod_drains(self, pod):
        self.binds_nobody(pod)
        self.take(self.dispatcher.drain_backend(pod, self.now))
        assert pod not in self.dispatcher.ready

    @rule(pod=PODS)
    def pod_is_gone(self, pod):
        self.binds_nobody(pod)
        self.removed |= {r for r, b in self.present.items() if b.backend == pod}
        self.take(self.dispatcher.remove_backend(pod, self.now))
        assert pod not in self.dispatcher.backends

    @precondition(lambda self: self.dispatcher.limits.concurrency)
    @rule(concurrency=st.integers(1, 3))
    def concurrency_changes(self, concurrency):
        self.lowered = self.lowered or concurrency < self.dispatcher.limits.concurrency
        limits = self.dispatcher.limits._replace(concurrency=concurrency)
        self.take(self.dispatcher.set_limits(limits, self.now))

    @invariant()
    def counts_are_those_of_the_book(self):
        counted = [b for b in self.present.values() if b.kind is SlotUse.COUNT]
        assert self.dispatcher.queued == sum(b.backend is None for b in counted)
        assert self.dispatcher.running == sum(b.backend is not None for b in counted)
        assert self.came == self.ended + len(self.present)

    @invariant()
    def no_pod_idles_while_a_request_it_may_serve_waits(self):
        waiting = [b for b in self.present.values() if b.backend is None and b.kind is SlotUse.COUNT]
        for pod in self.dispatcher.ready:
            if self.free(pod):
                assert not [b for b in waiting if b.pinned in (None, pod)]

    @invariant()
    def a_forgotten_pod_is_owed_nothing(self):
        self.removed |= {r for r, b in self.present.items() if b.backend and b.backend not in self.dispatcher.backends}

    @invariant()
    def the_first_waiter_without_a_slot_waits_only_at_its_cap(self):
        for kind in (SlotUse.PASS, SlotUse.TUNNEL):
            waiting = [b for b in self.present.values() if b.backend is None and b.kind is kind]
            for pod in self.dispatcher.ready:
                first = min((b for b in waiting if b.pinned in (None, pod)), key=lambda b: b.number, default=None)
                assert first is None or len(self.of_kind(kind, pod)) >= first.max_per_pod

    @invariant()
    def what_passes_is_held_or_open_and_no_tunnel_that_the_pod_agreed_to(self):
        passing = [
            r for r, b in self.present.items() if b.kind is not SlotUse.COUNT and b.wakes and r not in self.opened
        ]
        assert self.dispatcher.passing == len(passing)
        held = [r for r in passing if self.present[r].backend is None]
        assert self.dispatcher.holding_pass == len(held)

    @invariant()
    def the_integral_is_the_sum_of_the_sojourns(self):
        open_ones = sum(self.now - b.arrived_s for b in self.present.values() if b.kind is SlotUse.COUNT)
        assert self.dispatcher.seconds_total(self.now) == self.sojourns + open_ones

    @invariant()
    def the_oldest_waiter_is_known(self):
        waits = [self.now - b.arrived_s for b in self.present.values() if b.backend is None and b.kind is SlotUse.COUNT]
        assert self.dispatcher.oldest_wait_s(self.now) == max(waits, default=0)

    @invariant()
    def it_is_known_since_when_a_pod_is_idle_or_busy(self):
        self.see_who_is_busy()
        since = {pod: self.dispatcher.idle_or_busy_since_s(pod) for pod in self.dispatcher.backends}
        assert since == {pod: states[-1][1] for pod, states in self.states.items()}

    def see_who_is_busy(self):
        """Keep the states of each pod with their beginnings; one that lasted for no time was none."""
        self.states = {pod: self.states.get(pod, []) for pod in self.dispatcher.backends}
        for pod, states in self.states.items():
            busy = self.dispatcher.running_on(pod) > 0
            if states and states[-1][0] is busy:
                continue
            if states and states[-1][1] == self.now:
                states.pop()
            if not states or states[-1][0] is not busy:
                states.append((busy, self.now))

    @invariant()
    def a_waiter_has_a_deadline(self):
        if any(b.backend is None for b in self.present.values()):
            assert self.dispatcher.next_deadline_s is not None

    def teardown(self):
        if not hasattr(self, "present"):
            return
        while self.present:
            request = next(iter(self.present))
            self.end(request)
            self.take(self.dispatcher.abandon(request, self.now))
        counts = (
            self.dispatcher.queued,
            self.dispatcher.running,
            self.dispatcher.passing,
            self.dispatcher.holding_pass,
        )
        assert counts == (0, 0, 0, 0)
        assert self.dispatcher.idle == self.dispatcher.backends
        assert self.dispatcher.next_deadline_s is None or self.dispatcher.backends


TestDispatching = Dispatching.TestCase
TestDispatching.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_pod_never_has_more_than_the_limit_and_the_line_is_served_in_order(concurrency):
    dispatcher = Dispatcher(Limits(concurrency, queue_length=1000))
    for number in range(100):
        dispatcher.arrive(number, number)
    served = [grant.request for pod in "ab" for grant in dispatcher.add_backend(pod, 100)]
    now = 100
    while len(served) < 100:
        now += 1
        served += [g.request for g in dispatcher.finish(served[len(served) - 2 * concurrency], now)]
        assert max(dispatcher.running_on(pod) for pod in "ab") == concurrency
    assert served == sorted(served)
