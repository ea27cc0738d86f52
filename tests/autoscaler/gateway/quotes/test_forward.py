"""A run forward grants in the order of the shipped dispatcher."""

import math
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Granted, Limits
from autoscaler.gateway.dispatch.types import ANY_TURN, Turn
from autoscaler.gateway.quotes import forward
from autoscaler.gateway.quotes.forward import Forward, Measured
from autoscaler.gateway.quotes.measured import Durations

NOW_S = 1000.0


class Scene:
    """A dispatcher with pods that run something and pods that start, and how long everything will take."""

    def __init__(self, limits, pods, starting, requests):
        self.dispatcher = Dispatcher(limits)
        self.starting = {f"start-{number}": NOW_S + after_s for number, after_s in enumerate(starting)}
        self.takes_s, self.running = {}, []
        for name in pods:
            self.dispatcher.add_backend(name, 0.0)
        for number, (at_s, takes_s, pinned, turn) in enumerate(sorted(requests)):
            answer = self.dispatcher.arrive(number, at_s, pinned=pinned, turn=turn)
            self.takes_s[number] = takes_s
            if isinstance(answer, Granted):
                self.running.append(number)

    def played(self):
        """Let the dispatcher itself grant all that waits, and return when each was granted."""
        outlook = self.dispatcher.outlook()
        granted_s, events = {}, []
        for number in self.running:
            heappush(events, (NOW_S + self.takes_s[number], 0, number))
        for name, ready_s in self.starting.items():
            heappush(events, (ready_s, 1, name))
        for each in outlook.waiting:
            if each.spill_s < math.inf:
                heappush(events, (max(each.spill_s, NOW_S), 2, ""))
        for grant in self.dispatcher.expire(NOW_S).grants:
            granted_s[grant.request] = NOW_S
            heappush(events, (NOW_S + self.takes_s[grant.request], 0, grant.request))
        while events:
            at_s, kind, subject = heappop(events)
            grants = (
                self.dispatcher.finish(subject, at_s)
                if kind == 0
                else self.dispatcher.add_backend(subject, at_s)
                if kind == 1
                else self.dispatcher.expire(at_s).grants
            )
            for grant in grants:
                granted_s[grant.request] = at_s
                heappush(events, (at_s + self.takes_s[grant.request], 0, grant.request))
        return [granted_s.get(each.request, math.inf) for each in outlook.waiting]


class Known(Durations):
    """Durations that are known for each request and pod, whatever the chance."""

    def __init__(self, rests):
        super().__init__([1.0])
        self._rests = rests

    def rests(self, age_s, chances):  # noqa: ARG002
        return [self._rests[round(chance)] for chance in chances]


def run_forward(scene, monkeypatch):
    """Run one future forward in which everything takes as long as in the scene."""
    outlook = scene.dispatcher.outlook()
    running = {entry.number: number for number, entry in scene.dispatcher._requests.items()}
    names = dict(enumerate(scene.starting))
    monkeypatch.setattr(forward, "_of_request", lambda number, futures: [running[number]] * futures)
    monkeypatch.setattr(
        forward,
        "_of_pod",
        lambda name, futures: [next(number for number, each in names.items() if each == name)] * futures,
    )
    starts = Known({number: scene.starting[name] - NOW_S for number, name in names.items()})
    run = Forward(outlook, dict.fromkeys(scene.starting, 0.0), Measured(starts, Known(scene.takes_s)), NOW_S)
    return [NOW_S + times[0] for times in run.granted_s()]


# Times differ by an irrational step, so that nothing happens at the same time.
TIMES = st.integers(1, 10_000).map(lambda number: number * math.sqrt(2) / 10)
PODS = st.integers(0, 3).map(lambda number: [f"pod-{each}" for each in range(number)])


NO_PIN, NO_TURN = st.none(), st.just(ANY_TURN)


@st.composite
def requests(draw, *, pinned=NO_PIN, turn=NO_TURN):
    count = draw(st.integers(1, 12))
    takes_s = draw(st.lists(TIMES, min_size=count, max_size=count, unique=True))
    return [(number * 0.01, takes_s[number], draw(pinned), draw(turn)) for number in range(count)]


@settings(max_examples=150, deadline=None)
@given(
    pods=PODS,
    starting=st.lists(TIMES, max_size=3, unique=True),
    asked=requests(pinned=st.one_of(st.none(), st.sampled_from(["pod-0", "pod-1"]))),
    concurrency=st.integers(1, 2),
    spill_s=st.sampled_from([0.0, 1017.5, math.inf]),
)
def test_requests_that_wait_for_one_pod_or_for_any_get_the_slots_that_the_dispatcher_gives_them(
    pods, starting, asked, concurrency, spill_s
):
    scene = Scene(Limits(concurrency, queue_timeout_s=1e9, spill_after_s=spill_s), pods, starting, asked)
    with pytest.MonkeyPatch.context() as patch:
        expected = run_forward(scene, patch)
    assert expected == pytest.approx(scene.played())


TURNS = st.builds(Turn, st.integers(0, 2), st.sampled_from(["", "a", "b"]))


@settings(max_examples=150, deadline=None)
@given(
    pods=PODS,
    starting=st.lists(TIMES, max_size=3, unique=True),
    asked=requests(turn=TURNS),
    shares=st.sampled_from([(), (0.0, 0.3, 0.1), (0.0, 0.0, 0.5)]),
)
def test_classes_and_clients_take_turns_as_at_the_dispatcher(pods, starting, asked, shares):
    scene = Scene(Limits(1, queue_timeout_s=1e9, shares=shares), pods, starting, asked)
    with pytest.MonkeyPatch.context() as patch:
        expected = run_forward(scene, patch)
    assert expected == pytest.approx(scene.played())
