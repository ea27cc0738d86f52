"""Who rests is not looked at; whatever is heard of it ends its rest, and nothing is missed by it."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import inf

import pytest

from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.idle import LONGEST_S, IdleServices
from autoscaler.controller.step import Service
from autoscaler.policy.decider_factory import decider
from autoscaler.ports import Override, Query, Reading, ScaleRequest
from autoscaler.runtime.clock import SystemClock
from autoscaler.testing import FakeMetricsSource, FakeScaleTarget, FakeStreams, policy, running

START_S, TICK_S, NUMBER = 1_700_000_000.0, 2.0, 300
NAMES = [f"default/s-{number}" for number in range(NUMBER)]
FIRST = NAMES[0]
NO_DELAY = {"scaleDown": {"toZeroDelay": "0s"}}
QUERY = Query("http://prometheus:9090", "sum(x)", "x", max_age_s=1e9)


def service(name, **spec):
    return Service(decider(policy(name, **NO_DELAY, **spec)))


class World:
    def __init__(self, *, prometheus=True):
        self.clock = SystemClock(START_S)
        self.services = {name: service(name) for name in NAMES}
        self.target = FakeScaleTarget(self.services, self.clock.now)
        self.metered = FakeMetricsSource()
        for name in NAMES:
            self.prometheus_says(name, 0.0)
        self.streams, self.wake_ups, self.idle = FakeStreams(NAMES), WakeUps(), IdleServices()
        self.records = []
        self.controller = Controller(
            self.services,
            clock=self.clock,
            target=self.target,
            tick_s=TICK_S,
            metered=self.metered if prometheus else None,
            queries=dict.fromkeys(NAMES, QUERY) if prometheus else None,
            streams=self.streams,
            wake_ups=self.wake_ups,
            idle=self.idle,
            recorders=[self.records.append],
        )

    def prometheus_says(self, name, value, series=1):
        self.metered.tell(name, Reading(value, self.clock.now(), series=series))

    @asynccontextmanager
    async def running(self):
        async with running(self.controller):
            yield self

    async def looked_at(self, ticks=1):
        """Give who is looked at in the next ticks."""
        self.records.clear()
        await asyncio.sleep(ticks * TICK_S)
        return {record.service for record in self.records}


async def test_an_idle_service_is_not_observed():
    async with World().running() as world:
        assert await world.looked_at(ticks=5) == set()


def opens_in(seconds, world):
    """A schedule whose window opens so many seconds from now, at a whole minute."""
    opens = datetime.fromtimestamp(world.clock.now() + seconds, UTC)
    start, end = f"{opens.minute} {opens.hour} * * *", f"{opens.minute} {(opens.hour + 2) % 24} * * *"
    return [{"name": "w", "timeZone": "UTC", "start": start, "end": end, "minReplicas": 1}]


async def test_an_idle_service_is_decided_on_within_one_tick_of_the_opening_of_a_window():
    world = World()
    seconds = 180 - START_S % 60
    world.services[FIRST] = service("s-0", schedule=opens_in(seconds, world))
    async with world.running():
        await asyncio.sleep(seconds - TICK_S)
        assert await world.looked_at() <= {FIRST}
        assert await world.looked_at() == {FIRST}
        assert (await world.target.observe([FIRST]))[FIRST].asked == 1


async def test_a_service_whose_override_has_ended_is_idle_again():
    world = World()
    hour_ago = Override("override", START_S - 3600, "1 asked for by hand", 1)
    world.services[FIRST] = service("s-0")._replace(overrides=(hour_ago,))
    async with world.running():
        assert await world.looked_at(ticks=5) == set()


def test_a_service_changes_by_itself_when_its_override_ends_or_its_bounds_change():
    override = Override("override", START_S + 3600, "1 asked for by hand", 1)
    plain = service("s-0")
    assert plain.next_change_s(START_S) == inf
    assert plain._replace(overrides=(override,)).next_change_s(START_S) == START_S + 3600
    assert plain._replace(overrides=(override,)).next_change_s(START_S + 3600) == inf


async def test_every_service_is_observed_from_time_to_time_and_not_all_at_once():
    async with World().running() as world:
        most = 0
        seen = set()
        for _ in range(int(LONGEST_S / TICK_S)):
            now = await world.looked_at()
            most, seen = max(most, len(now)), seen | now
        assert seen == set(NAMES)
        assert most <= NUMBER / 5


@pytest.mark.parametrize("what", ["a count", "nothing known", "a part", "a word", "another policy"])
async def test_whatever_is_new_about_it_ends_a_rest(what):
    async with World().running() as world:
        assert await world.looked_at() == set()
        match what:
            case "a count":
                world.prometheus_says(FIRST, 2.0)
            case "nothing known":
                world.metered.forget(FIRST)
            case "a part":
                world.prometheus_says(FIRST, 0.0, series=0)
            case "a word":
                world.idle.wake(FIRST)
            case "another policy":
                world.services[FIRST] = service(FIRST, minReplicas=1)
        assert await world.looked_at() == {FIRST}


async def test_a_service_that_goes_and_comes_back_is_observed_and_idle_again():
    async with World().running() as world:
        assert await world.looked_at() == set()
        gone = world.services.pop(FIRST)
        assert await world.looked_at(ticks=int(LONGEST_S / TICK_S)) == set(NAMES) - {FIRST}
        world.services[FIRST] = gone
        assert FIRST in await world.looked_at()
        assert FIRST not in await world.looked_at()


async def test_without_prometheus_a_silent_gateway_ends_every_rest():
    async with World(prometheus=False).running() as world:
        assert await world.looked_at() == set()
        world.streams.silent = True
        assert await world.looked_at() == set(NAMES)


async def test_a_wake_up_ends_an_idle_period_which_is_observed_first():
    async with World().running() as world:
        await asyncio.sleep(9 * TICK_S)
        world.records.clear()
        world.streams.counts[FIRST] = 3.0
        world.wake_ups.add(FIRST)
        await asyncio.sleep(0.1)
        rest, woken = (record.observation for record in world.records)
        assert (rest.since_s, rest.now_s, rest.inflight) == (START_S, START_S + 9 * TICK_S, 0.0)
        assert (woken.since_s, woken.latest) == (rest.now_s, 3.0)
        assert (await world.target.observe([FIRST]))[FIRST].asked == 3


async def test_a_service_that_runs_is_never_idle():
    async with World().running() as world:
        await world.target.scale([ScaleRequest(FIRST, 1, ())])
        world.idle.wake(FIRST)
        world.prometheus_says(FIRST, 1.0)
        for _ in range(3):
            assert await world.looked_at() == {FIRST}


async def life(*, rests):
    """Rest, work and rest again; give when which number was written."""
    world = World()
    if not rests:
        world.controller._idle = None
    async with world.running():
        for value in (0.0, 4.0, 4.0, 1.0, 0.0, 0.0, 2.0):
            await asyncio.sleep(10 * TICK_S)
            world.prometheus_says(FIRST, value)
        await asyncio.sleep(LONGEST_S)
    return [
        (round(record.observation.now_s - START_S), record.decision.desired)
        for record in world.records
        if record.service == FIRST and record.outcome
    ]


@pytest.mark.slow
async def test_decisions_are_the_same_with_and_without_rest():
    written = await life(rests=True)
    assert len({number for _, number in written}) >= 3
    assert await life(rests=False) == written
