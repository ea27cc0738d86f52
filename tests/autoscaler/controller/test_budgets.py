"""Services that share a budget: who gets how much, who waits for whom, and who is woken. In virtual time."""

from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.controller.budgets import UNSEEN_S, Budgets, Wanted
from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.step import Service
from autoscaler.policy.decider_factory import decider
from autoscaler.ports import Fleet, Override, Replica
from autoscaler.runtime.clock import SystemClock
from autoscaler.testing import FakeScaleTarget, FakeStreams, budget, policy, running

SD, LLM = "team-a/sd", "team-b/llm"
START_S, TICK_S, FOREVER_S = 1_700_000_000.5, 2.0, float("inf")
NO_DELAY = {"scaleDown": {"toZeroDelay": "0s"}}


FIRST_SD = budget(gpus=4, services=[{"name": "sd", "priority": 1}, {"name": "*"}])


def service(name, *, overrides=(), mode="Active", **spec):
    return Service(decider(policy(name, **NO_DELAY, **spec)), mode == "Active", overrides)


class World:
    """A controller over two services with a budget, and what was recorded."""

    def __init__(self, *budgets, **services):
        self.clock = SystemClock(START_S)
        self.services = {SD: service(SD), LLM: service(LLM)} | services
        self.target = FakeScaleTarget(self.services, self.clock.now)
        self.streams, self.wake_ups, self.idle = FakeStreams(self.services), WakeUps(), IdleServices()
        self.records = []
        self.budgets = Budgets(self.services, self.wake_ups.add)
        self.budgets.set(budgets)
        self.controller = Controller(
            self.services,
            clock=self.clock,
            target=self.target,
            tick_s=TICK_S,
            streams=self.streams,
            wake_ups=self.wake_ups,
            idle=self.idle,
            budgets=self.budgets,
            recorders=[self.records.append],
        )

    @asynccontextmanager
    async def running(self):
        async with running(self.controller):
            yield self

    async def asked(self):
        fleets = await self.target.observe(list(self.services))
        return tuple(fleets[name].asked if name in fleets else 0 for name in self.services)

    async def alive(self):
        return tuple(len(self.target.alive(name)) for name in self.services)

    def reason(self, name):
        last = [record.decision for record in self.records if record.service == name][-1]
        return next((each for each in last.reasons if each.rule == "budget"), None)

    async def after(self, ticks=1, **counts):
        for name, count in counts.items():
            service_name = {"sd": SD, "llm": LLM}[name]
            self.streams.counts[service_name] = float(count)
            self.idle.wake(service_name)
        await self.clock.sleep_until(self.clock.now() + ticks * TICK_S, WakeUps()._any)
        return await self.asked()


async def test_two_services_share_the_budget_and_who_gets_less_says_who_has_the_rest():
    async with World(budget(gpus=4)).running() as world:
        assert await world.after(sd=9, llm=9) == (2, 2)
        assert world.reason(SD) == ("budget", 9, 2, f"GpuBudget shared: of 4 GPUs {LLM} has 2")


async def test_what_one_does_not_want_is_free_for_the_other():
    async with World(budget(gpus=4)).running() as world:
        assert await world.after(sd=1, llm=9) == (1, 3)
        assert world.reason(SD) is None


async def test_who_needs_more_gets_it_when_the_replicas_of_the_other_are_gone_and_not_before():
    async with World(FIRST_SD).running() as world:
        assert await world.after(llm=4) == (0, 4)
        world.target.running |= dict.fromkeys(world.target.alive(LLM), 1)
        assert await world.after(sd=3) == (0, 1)
        assert await world.alive() == (0, 4)
        assert world.reason(SD).why.endswith("3 more when they have left")
        world.target.running.clear()
        assert await world.after() == (3, 1)


async def test_a_wake_up_of_one_service_shrinks_the_other_without_a_tick():
    async with World(FIRST_SD).running() as world:
        assert await world.after(llm=4) == (0, 4)
        world.streams.counts[SD] = 3.0
        world.wake_ups.add(SD)
        assert await world.after(0.01) == (0, 1)
        assert await world.after(1) == (3, 1)


async def test_an_idle_service_takes_part_as_soon_as_it_wants_something():
    async with World(FIRST_SD).running() as world:
        await world.after(3, llm=4)
        world.records.clear()
        await world.after(2)
        assert {record.service for record in world.records} == {LLM}
        assert await world.after(2, sd=2) == (2, 2)


async def test_a_budget_that_comes_shrinks_its_services_at_once_and_one_that_goes_lets_them_grow():
    async with World().running() as world:
        assert await world.after(sd=5, llm=5) == (5, 5)
        world.budgets.set([budget(gpus=4)])
        assert await world.after(0.01) == (2, 2)
        world.budgets.set([])
        assert await world.after(0.01) == (5, 5)


async def test_a_pause_holds_its_replicas_and_the_others_share_the_rest():
    paused = Override("paused", FOREVER_S, "paused")
    async with World(budget(gpus=4)).running() as world:
        assert await world.after(sd=3) == (3, 0)
        world.services[SD] = service(SD, overrides=(paused,))
        assert await world.after(2, llm=9) == (3, 1)


async def test_a_manual_override_asks_and_the_budget_limits_it():
    manual = Override("override", FOREVER_S, "by hand", replicas=9)
    async with World(budget(gpus=4), **{SD: service(SD, overrides=(manual,))}).running() as world:
        assert await world.after() == (4, 0)
        assert await world.after(2, llm=1) == (3, 1)
        assert (world.reason(SD).before, world.reason(SD).after) == (9, 3)


async def test_a_service_in_dry_run_takes_nothing_from_the_others():
    async with World(budget(gpus=4), **{SD: service(SD, mode="DryRun")}).running() as world:
        assert await world.after(sd=9, llm=9) == (0, 4)


async def test_a_service_in_two_budgets_gets_the_least_of_both():
    both = (budget("a", gpus=3, namespaces=["team-a"]), budget("b", gpus=8))
    async with World(*both).running() as world:
        assert await world.after(sd=9, llm=9) == (3, 5)
        assert "GpuBudget a" in world.reason(SD).why
        assert "GpuBudget b" in world.reason(LLM).why


async def test_what_a_deleted_service_had_is_shared_by_the_others():
    async with World(FIRST_SD).running() as world:
        assert await world.after(sd=4, llm=4) == (4, 0)
        del world.services[SD]
        assert await world.after(2) == (4,)


async def test_nobody_grows_before_each_service_was_observed():
    world = World(budget(gpus=4))
    world.target.unseen = {SD}
    async with world.running():
        assert await world.after(llm=4) == (0, 0)
        assert world.reason(LLM).why == "GpuBudget shared: not every service has been observed yet"
        world.target.unseen = set()
        assert await world.after() == (0, 4)


async def test_a_service_that_cannot_be_observed_does_not_stop_the_others_for_ever():
    world = World(budget(gpus=4))
    world.target.unseen = {SD}
    async with world.running():
        assert await world.after(UNSEEN_S / TICK_S + 1, llm=4) == (0, 4)


def test_another_writers_number_counts_although_it_is_above_the_budget():
    services, woken = {SD: None, LLM: None}, []
    budgets = Budgets(services, woken.append)
    budgets.set([budget(gpus=4)])
    foreign = Wanted(6, Fleet(6, ()), is_held=True)
    found = budgets.limits({SD: foreign, LLM: Wanted(3, Fleet(0, ()))}, START_S)
    assert {name: reason.after for name, reason in found.items()} == {LLM: 0}


COUNTS = st.lists(st.integers(0, 6), min_size=3, max_size=3)
NAMES = ("a/x", "a/y", "b/z")


@given(
    gpus=st.integers(0, 12),
    rounds=st.lists(st.tuples(COUNTS, st.sets(st.sampled_from(NAMES), min_size=1), st.booleans()), max_size=12),
    priorities=st.lists(st.integers(0, 1), min_size=3, max_size=3),
    sizes=st.lists(st.integers(1, 3), min_size=3, max_size=3),
)
def test_in_any_order_of_decisions_what_runs_never_exceeds_the_budget(gpus, rounds, priorities, sizes):
    terms = [
        {"namespace": name[0], "name": name[2:], "priority": priority, "gpusPerReplica": size}
        for name, priority, size in zip(NAMES, priorities, sizes, strict=True)
    ]
    woken = set()
    budgets = Budgets(dict.fromkeys(NAMES), woken.add)
    budgets.set([budget(gpus=gpus, services=terms)])
    asked, leaving, cost = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0), dict(zip(NAMES, sizes, strict=True))
    wants = dict.fromkeys(NAMES, 0)

    def decide(names):
        seen = {name: _wanted(wants[name], asked[name], leaving[name]) for name in names}
        limits = budgets.limits(seen, 0.0)
        for name in names:
            now = limits[name].after if name in limits else wants[name]
            leaving[name] += max(asked[name] - now, 0)
            asked[name] = now
        assert sum((asked[name] + leaving[name]) * cost[name] for name in NAMES) <= gpus

    decide(NAMES)
    for counts, decided, gone in rounds:
        wants |= dict(zip(NAMES, counts, strict=True))
        decide(decided)
        if gone:
            leaving = dict.fromkeys(NAMES, 0)
    for _ in range(6):
        leaving = dict.fromkeys(NAMES, 0)
        decide(NAMES)
    (state,) = budgets.states
    assert {name: asked[name] for name in state.shares} == {name: share.fair for name, share in state.shares.items()}
    woken.clear()
    decide(NAMES)
    assert not woken


def _wanted(replicas, asked, leaving):
    running = tuple(Replica(f"r{number}", ready=True, running=0, age_s=1.0) for number in range(asked))
    return Wanted(replicas, Fleet(asked, running, leaving=leaving))


@pytest.mark.parametrize("known", [True, False])
def test_a_service_that_waits_is_woken_once_the_other_has_left(known):
    woken = []
    budgets = Budgets({SD: None, LLM: None} if known else {SD: None}, woken.append)
    budgets.set([FIRST_SD])
    budgets.limits({LLM: _wanted(4, 4, 0), SD: _wanted(4, 0, 0)}, 0.0)
    budgets.limits({LLM: _wanted(4, 0, 4)}, 0.0)
    assert woken == []
    budgets.limits({LLM: _wanted(4, 0, 0)}, 0.0)
    assert woken == [SD]
