"""A forecast is what the policy's own decider decides next, if nothing more arrives."""

from copy import deepcopy
from math import floor, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from legal_policies import legal_policies, observations
from seen import at, fleet, record, stable, view

from algorithms.observation import Observation
from autoscaler.controller.services import service_of
from autoscaler.controller.step import step
from autoscaler.explain.assumptions import assumed
from autoscaler.explain.forecast import HORIZON_S, MOST_TICKS, forecast
from autoscaler.explain.next_change import next_change
from autoscaler.policy.decider_factory import decider
from autoscaler.ports import Fleet, Outcome, Override, Record
from autoscaler.testing import policy

TICK_S = 2.0


class World:
    """A service where nothing arrives, written down otherwise: requests are intervals, replicas a list."""

    def __init__(self, observation, happens, asked):
        self.now_s, self.asked, self.happens = observation.now_s, asked, happens
        self.pods = [-inf] * min(observation.ready, asked)
        for ready_s, number in happens.starts:
            self.pods += [ready_s] * number
        self.write(asked)

    def write(self, replicas):
        missing = replicas - len(self.pods)
        self.pods = (
            [*self.pods, *[self.now_s + self.happens.start_s] * missing] if missing > 0 else self.pods[:replicas]
        )
        self.asked = replicas

    def observe(self, now_s):
        since_s, self.now_s = self.now_s, now_s
        worked_s = sum(min(end_s, now_s) - since_s for end_s in self.happens.ends_s if end_s > since_s)
        running = sum(end_s > now_s for end_s in self.happens.ends_s)
        ready = sum(ready_s <= now_s for ready_s in self.pods)
        return Observation(
            now_s,
            since_s,
            worked_s * self.happens.each / (now_s - since_s),
            self.asked,
            ready,
            running * self.happens.each,
            starting=len(self.pods) - ready,
        )


def decided(policy, looks):
    """Give the decider of a policy after these observations, and the record of the last."""
    live = service_of(policy)
    for observation in looks:
        decision = live.decider.decide(observation)
    outcome = None if decision.desired == observation.replicas else Outcome("default/x")
    return live, Record("default/x", observation, decision, outcome)


LOADS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 12), st.integers(1, 40))
"""Requests that run and that wait, replicas that are ready, and for how many ticks."""


def ordinary(now_s, loads):
    """Give observations of a service whose counts are known, tick after tick."""
    looks = []
    for running, queued, ready, ticks in loads:
        for _ in range(ticks):
            total = float(running + queued)
            counts = {"queued": float(queued), "running": float(running)}
            looks.append(Observation(now_s + TICK_S, now_s, total, ready + 1, ready, total, **counts))
            now_s += TICK_S
    return looks


def writing(policy):
    """Give a policy that writes its decisions."""
    return policy.model_copy(update={"spec": policy.spec.model_copy(update={"mode": "Active"})})


@pytest.mark.slow
@settings(max_examples=40)
@given(data=st.data(), service_s=st.none() | st.sampled_from([0.5, 20.0, 600.0]), start_s=st.none() | st.just(34.0))
def test_what_a_policy_decides_if_nothing_more_arrives_is_the_forecast(data, service_s, start_s):
    policy = writing(data.draw(legal_policies(least_fields=True)))
    wild = data.draw(observations())
    looks = data.draw(st.lists(LOADS, min_size=1, max_size=8).map(lambda loads: ordinary(wild[-1].now_s, loads)))
    live, last = decided(policy, [*wild, *looks])
    before = deepcopy(live.decider.export())
    found = forecast(policy, live.export(), last, service_s=service_s, start_s=start_s, tick_s=TICK_S, horizon_s=200.0)
    assert live.decider.export() == before, "a forecast has changed the live decider"
    if found is None:
        assert last.observation.problem or any(reason.rule == "deciderFailed" for reason in last.decision.reasons)
        return
    small = last.observation
    happens = assumed(small, slots=policy.spec.container_concurrency, service_s=service_s, start_s=start_s)
    world = World(small, happens, found.points[0].desired)
    for number, point in enumerate(found.points[1:], 1):
        assert point.at_s == (floor(small.now_s / TICK_S) + number) * TICK_S
        decision = live.decider.decide(world.observe(point.at_s))
        assert decision.desired == point.desired
        world.write(decision.desired)


DURATIONS = st.sampled_from(["0s", "7s", "30s", "2m", "11m"])
WINDOW = {"name": "w", "start": "*/7 * * * *", "end": "3-59/7 * * * *", "timeZone": "UTC", "minReplicas": 4}
POLICIES = st.fixed_dictionaries(
    {"maxReplicas": st.integers(10, 30)},
    optional={
        "algorithm": st.sampled_from(
            [{"mpa": {}}, {"concurrency": {"stableWindow": "6s"}}, {"concurrency": {"stableWindow": "3m"}}]
        ),
        "scaleDown": st.fixed_dictionaries({}, optional={"delay": DURATIONS, "toZeroDelay": DURATIONS}),
        "minReplicas": st.integers(0, 3),
        "standby": st.integers(1, 3),
        "maxCold": st.integers(1, 3),
        "schedule": st.just([WINDOW]),
    },
)
"""Of the algorithms of which a forecast may decide once for many ticks."""


@settings(max_examples=20)
@given(spec=POLICIES, loads=st.lists(LOADS, min_size=1, max_size=8), tick_s=st.sampled_from([1.7, 2.0, 10.0]))
def test_one_decision_for_many_ticks_gives_what_one_for_each_gives(spec, loads, tick_s):
    live, last = decided(policy("x", **spec), ordinary(1e9 + 0.3, loads))
    found = [
        forecast(policy("x", **spec), live.export(), last, service_s=20.0, start_s=34.0, tick_s=tick_s, most_ticks=most)
        for most in (1, MOST_TICKS)
    ]
    assert found[0] == found[1]


def live_run(policy, *, ended=0, seconds=120, load=5):
    """Let a service run under a constant load, of which some requests have just ended."""
    live, asked = service_of(policy), 0
    for tick in range(seconds // 2):
        now_s = 1000 + tick * TICK_S
        count = float(load if tick * 2 < seconds - 6 else load - ended)
        observation = Observation(now_s, now_s - 2, count, asked, asked, count, queued=0.0, running=count)
        (taken,) = step({"default/x": live}, {"default/x": (observation, Fleet(asked, ()))})
        asked = taken.decision.desired
        outcome = Outcome("default/x") if taken.request else None
        last = Record("default/x", taken.observation, taken.decision, outcome)
    return live, last


def test_it_ends_at_zero_when_the_last_delay_is_over():
    live, last = live_run(policy("x"), ended=4)
    found = forecast(policy("x"), live.export(), last, service_s=20.0)
    assert [point.desired for point in found.points] == sorted((p.desired for p in found.points), reverse=True)
    assert (found.points[0].desired, found.remaining, found.settled) == (5, 0, True)
    zero_s = next(point.at_s for point in found.points if point.average == 0)
    assert found.last_s == zero_s + 30, "the last replica goes after scaleDown.toZeroDelay"
    assert found.points[-1].at_s - last.observation.now_s < HORIZON_S


def test_a_minimum_stays():
    live, last = live_run(policy("x", minReplicas=2))
    found = forecast(policy("x", minReplicas=2), live.export(), last, service_s=20.0)
    assert (found.remaining, found.settled) == (2, True)
    assert found.first_s < found.last_s


def test_beyond_the_horizon_nothing_is_promised():
    slow = policy("x", scaleDown={"delay": "50m"})
    live, last = live_run(slow)
    found = forecast(slow, live.export(), last, service_s=20.0, horizon_s=600.0)
    assert (found.first_s, found.last_s, found.settled) == (None, None, False)


def test_it_says_that_requests_of_unknown_length_were_assumed_to_end():
    live, last = live_run(policy("x"))
    assert forecast(policy("x"), live.export(), last).ends_at_once
    assert not forecast(policy("x"), live.export(), last, service_s=20.0).ends_at_once


def test_of_a_service_with_several_pools_it_says_that_moves_are_left_out():
    pools = [{"name": "a"}, {"name": "b"}]
    for spec, said in (
        ({}, "If nothing more arrives, "),
        ({"pools": pools}, "If nothing more arrives and no replica moves to another pool, "),
    ):
        live, last = live_run(policy("x", **spec))
        found = forecast(policy("x", **spec), live.export(), last, service_s=20.0)
        assert next_change(view(last, forecast=found), 5).startswith(said)


def test_requests_that_wait_are_served_by_replicas_that_start():
    seen = record("14:31:07", replicas=2, ready=0, inflight=3.0, queued=3.0, running=0.0).observation
    happens = assumed(seen, fleet("10", "4"), service_s=20.0, start_s=34.0)
    now_s = at("14:31:07")
    assert happens.starts == ((now_s + 24, 1), (now_s + 30, 1))
    assert happens.ends_s == (now_s + 44, now_s + 50, now_s + 64)


def test_many_requests_are_as_cheap_as_some():
    seen = record(inflight=1e6, queued=9e5, running=1e5, replicas=100).observation
    happens = assumed(seen, slots=1000, service_s=20.0)
    assert len(happens.ends_s) <= 202
    assert len(happens.ends_s) * happens.each == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize(
    ("spec", "annotations", "changes", "override"),
    [
        ({"mode": "DryRun"}, {}, {}, None),
        ({}, {"inflight.dev/paused-until": "2026-12-01T18:00:00Z"}, {}, None),
        ({}, {}, {"inflight": None}, None),
        ({}, {}, {"problem": "gateway gw-1 does not report: it went silent"}, None),
        ({}, {}, {"error": "forbidden"}, None),
        ({}, {}, {"reasons": [("budget", 5, 3, "GpuBudget a100: of 8 GPUs default/y has 4")]}, None),
        ({}, {}, {}, Override("foreignWriter", at("15:00:00"), "kubectl-scale has written 3")),
    ],
)
def test_there_is_none_while_something_else_decides_or_the_count_is_unknown(spec, annotations, changes, override):
    document = policy("x", annotations=annotations, **spec)
    last = record(recommendation=stable(5.0), **changes)
    seen = fleet(1, 1, 1, 1, 1, override=override)
    assert forecast(document, decider(document).export(), last, seen) is None
