"""The live driver in virtual time: when it decides, on what, and what a slow or broken neighbour does to the others."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from algorithms.types import Recommendation
from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.step import Service
from autoscaler.policy.decider_factory import decider
from autoscaler.ports import Outcome, Query, Reading
from autoscaler.runtime.clock import SystemClock
from autoscaler.testing import FakeMetricsSource, FakeScaleTarget, FakeStreams, VirtualTimeLoop, policy, running

SD, LLM = "default/sd", "default/llm"
START_S = 1_700_000_000.5
TICK_S = 2.0
QUERY = Query("http://prometheus:9090", "sum(x)", "x", max_age_s=15.0)


MPA = {"scaleTargetRef": {"name": "sd"}, "scaleDown": {"toZeroDelay": "0s"}, "algorithm": {"mpa": {}}}


def service(*, writes=True, **spec):
    return Service(decider(policy(**MPA | spec)), writes=writes)


class SlowTarget(FakeScaleTarget):
    """A target in which a test holds the writes of some services, or every look, until it lets them go."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.held = {}
        self.holding_looks = None
        self.orders = []

    def hold(self, name):
        self.held[name] = asyncio.Event()
        return self.held[name]

    async def observe(self, services):
        seen = await super().observe(services)
        if self.holding_looks is not None:
            await self.holding_looks.wait()
        return seen

    async def scale(self, orders):
        self.orders += orders
        for order in orders:
            if order.service in self.held:
                await self.held[order.service].wait()
        return await super().scale(orders)


class SlowSource(FakeMetricsSource):
    """Servers of which each answers so late, what it knew when it was asked."""

    def __init__(self, delay_s=0.0, **delays_s):
        super().__init__()
        self.delay_s = delay_s
        self.delays_s = delays_s
        self.asked = []

    async def read(self, queries, now_s):
        (server,) = {urlsplit(query.server).hostname for query in queries.values()}
        self.asked.append((now_s, server))
        answer = await super().read(queries, now_s)
        await asyncio.sleep(self.delays_s.get(server, self.delay_s))
        return answer


class World:
    """A controller with fakes all around it, and what was recorded."""

    def __init__(self, services=None, *, metered=None, queries=None, tick_s=TICK_S, start_s=START_S, recorders=()):
        self.clock = SystemClock(start_s)
        self.services = {SD: service()} if services is None else services
        self.target = SlowTarget(self.services, self.clock.now)
        self.streams, self.wake_ups, self.metered = FakeStreams(self.services), WakeUps(), metered
        self.records = []
        self.controller = Controller(
            self.services,
            clock=self.clock,
            target=self.target,
            tick_s=tick_s,
            metered=metered,
            queries=queries or ({SD: QUERY} if metered else None),
            streams=self.streams,
            wake_ups=self.wake_ups,
            recorders=[*recorders, lambda record: self.records.append((self.clock.now(), record))],
        )

    @asynccontextmanager
    async def running(self):
        async with running(self.controller):
            yield self

    def wake(self, count, name=SD):
        self.streams.counts[name] = float(count)
        self.wake_ups.add(name)

    def times(self, name=SD):
        return [at_s for at_s, record in self.records if record.service == name]

    def desired(self, name=SD):
        return [record.decision.desired for _, record in self.records if record.service == name]

    async def asked(self, name=SD):
        return (await self.target.observe([name]))[name].asked


def full_disk(_record):
    raise OSError("no space left on device")


async def soon():
    """Let everything happen that needs no time."""
    before_s = asyncio.get_running_loop().time()
    for _ in range(50):
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() == before_s


# The grid.


async def test_it_decides_at_once_and_then_at_every_point_of_the_grid():
    async with World().running() as world:
        await asyncio.sleep(9.0)
    assert world.times() == [START_S, *(START_S + 1.5 + 2 * n for n in range(4))]


def ticks(start_s, tick_s, number):
    async def run():
        world = World(tick_s=tick_s, start_s=start_s)
        async with world.running():
            await asyncio.sleep((number + 0.5) * tick_s)
        return world.times()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(run())


@given(st.floats(0.0, 100.0) | st.floats(1.6e9, 1.9e9), st.sampled_from([0.1, 0.2, 0.7, 1.0, 2.0, 1 / 3, 15.0]))
@example(0.0, 1 / 3)
def test_no_point_of_the_grid_is_ticked_at_twice_or_left_out(start_s, tick_s):
    _, *times = ticks(start_s, tick_s, 20)
    points = [round(time_s / tick_s) for time_s in times]
    assert points == list(range(points[0], points[0] + len(points)))
    assert len(points) >= 20
    assert times == pytest.approx([point * tick_s for point in points], abs=1e-6)


async def test_a_tick_that_was_missed_is_not_made_up_for():
    world = World()
    world.target.holding_looks = asyncio.Event()
    async with world.running():
        await asyncio.sleep(5.0)
        world.target.holding_looks.set()
        await asyncio.sleep(3.0)
    # The first look ends after 5 s, in the middle of the grid's steps.
    assert [at_s - START_S for at_s in world.times()] == [pytest.approx(5.1), 5.5, 7.5]


async def test_an_observation_covers_the_time_since_the_one_before_it():
    async with World().running() as world:
        await asyncio.sleep(0.4)
        world.wake(1)
        await asyncio.sleep(2.0)
    spans = [(record.observation.since_s - START_S, record.observation.now_s - START_S) for _, record in world.records]
    assert spans == [(0.0, 0.0), (0.0, 0.5), (0.5, 1.5)]


# What is decided on.


async def test_a_tick_decides_on_what_prometheus_says():
    world = World(metered=FakeMetricsSource())
    world.metered.tell(SD, Reading(3.0, START_S + 2, series=1))
    async with world.running():
        await asyncio.sleep(2.0)
        assert await world.asked() == 3


async def test_without_prometheus_the_streams_decide_alone():
    world = World()
    world.streams.counts[SD] = 2.0
    async with world.running():
        assert await world.asked() == 2


async def test_while_nothing_is_known_the_number_is_held():
    world = World()
    world.streams.counts[SD] = 4.0
    async with world.running():
        world.streams.counts[SD] = None
        await asyncio.sleep(60.0)
        assert await world.asked() == 4
    assert world.records[-1][1].decision.recommendation == Recommendation(None, f"the gateway has no count of {SD}")


async def test_a_service_that_cannot_be_observed_is_left_alone_and_the_others_are_not():
    world = World({SD: service(), LLM: service()})
    world.streams.counts = {SD: 3.0, LLM: 2.0}
    world.target.unseen.add(SD)
    async with world.running():
        await asyncio.sleep(5.0)
        assert (world.times(SD), await world.asked(LLM)) == ([], 2)
        world.target.unseen.clear()
        await asyncio.sleep(2.0)
        assert await world.asked(SD) == 3


# A Prometheus that is slow, or hangs.

HANGS_S = 1e6
SLOW = QUERY._replace(server="http://me:secret@slow:9090")
QUICK = QUERY._replace(server="http://quick:9090")


def two_servers(**delays_s):
    """Build a service on a server that is slow as told, and one on a server that is not."""
    world = World({SD: service(), LLM: service()}, metered=SlowSource(**delays_s), queries={SD: SLOW, LLM: QUICK})
    world.streams.counts = {SD: None, LLM: None}
    for name in (SD, LLM):
        world.metered.tell(name, Reading(4.0, START_S, series=1))
    return world


async def test_ticks_stay_on_their_grid_while_one_server_hangs():
    async with two_servers(slow=HANGS_S).running() as world:
        await asyncio.sleep(9.0)
        assert await world.asked(LLM) == 4
    first_s, *times_s = [at_s - START_S for at_s in world.times(LLM)]
    assert first_s == 0.5, "a quarter of a tick is spent on waiting, once"
    assert times_s == [1.5, 3.5, 5.5, 7.5]
    assert world.times(SD) == world.times(LLM)


async def test_a_server_that_hangs_is_asked_once_and_the_others_at_every_tick():
    async with two_servers(slow=HANGS_S).running() as world:
        await asyncio.sleep(9.0)
    asked = [server for _, server in world.metered.asked]
    assert (asked.count("slow"), asked.count("quick")) == (1, 5)


async def test_what_a_server_said_before_it_hung_holds_until_it_is_too_old_and_is_unknown_then():
    async with two_servers().running() as world:
        await asyncio.sleep(2.0)
        world.metered.delays_s["slow"] = HANGS_S
        await asyncio.sleep(20.0)
        assert await world.asked(SD) == 4
    counts = {
        record.observation.now_s - START_S: record.observation.inflight
        for _, record in world.records
        if record.service == SD
    }
    assert [at_s for at_s, count in counts.items() if count is None] == [15.5, 17.5, 19.5, 21.5]
    problem = [record.observation.problem for _, record in world.records if record.service == SD][-1]
    assert problem.startswith(
        "Prometheus at slow:9090: no answer for 18.0 s; the last one is 21.5 s old, more than maxSampleAge 15 s"
    )


async def test_while_the_server_of_a_service_hangs_its_streams_decide_on_the_grid():
    async with two_servers(slow=HANGS_S).running() as world:
        await asyncio.sleep(2.0)
        world.streams.counts[SD] = 2.0
        await asyncio.sleep(2.0)
        assert await world.asked(SD) == 2
    assert [at_s - START_S for at_s in world.times(SD)] == [0.5, 1.5, 3.5]


async def test_what_comes_late_is_decided_on_at_the_next_tick():
    async with two_servers(slow=0.8).running() as world:
        assert (await world.asked(SD), await world.asked(LLM)) == (0, 0)
        await asyncio.sleep(0.5)
        assert (await world.asked(SD), await world.asked(LLM)) == (0, 4)
        await asyncio.sleep(1.0)
        assert await world.asked(SD) == 4


async def test_a_server_that_answers_in_time_again_is_waited_for_again():
    async with two_servers(slow=3.0).running() as world:
        world.metered.delays_s["slow"] = 0.1
        await asyncio.sleep(4.0)
        world.metered.tell(SD, Reading(7.0, START_S + 4, series=1))
        await asyncio.sleep(1.6)
        assert await world.asked(SD) == 7, "the tick at 5.5 has waited for it"
        await asyncio.sleep(2.0)
    assert [round(at_s - START_S, 3) for at_s in world.times(SD)] == [0.5, 1.5, 3.5, 5.6, 7.6]


async def test_a_query_that_comes_or_goes_is_followed_from_the_next_tick_on():
    async with two_servers().running() as world:
        queries = world.controller._readings._queries
        del queries[SD]
        await asyncio.sleep(2.0)
        assert {server for at_s, server in world.metered.asked if at_s > START_S + 1} == {"quick"}
        queries[SD] = QUICK
        world.metered.tell(SD, Reading(6.0, START_S + 2, series=1))
        await asyncio.sleep(2.0)
        assert await world.asked(SD) == 6


# Waking up.


async def test_a_wake_up_precedes_any_tick():
    async with World().running() as world:
        woken_s = world.clock.now()
        world.wake(3)
        await soon()
        assert await world.asked() == 3
        assert world.clock.now() == woken_s < START_S + 1.5
        assert world.times()[-1] == woken_s


async def test_five_requests_at_zero_are_five_replicas_before_the_next_tick():
    async with World().running() as world:
        for count in range(1, 6):
            await asyncio.sleep(0.001)
            world.wake(count)
        await soon()
        assert await world.asked() == 5
    assert world.desired() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("delay_s", [1.9, 3600.0])
async def test_a_wake_up_waits_for_no_slow_prometheus(delay_s):
    async with World(metered=SlowSource(delay_s)).running() as world:
        world.wake(3)
        await soon()
        assert await world.asked() == 3


async def test_a_wake_up_decides_on_the_services_that_were_woken_and_on_no_others():
    async with World({SD: service(), LLM: service()}).running() as world:
        before = len(world.times(LLM))
        world.wake(1)
        await soon()
        assert len(world.times(LLM)) == before


async def test_many_wake_ups_at_one_moment_are_one_decision():
    async with World().running() as world:
        for count in range(1, 100):
            world.wake(count)
        await soon()
        assert world.desired() == [0, 10]


async def test_a_wake_up_of_a_service_that_is_not_ours_is_nothing():
    async with World().running() as world:
        world.wake(3, "default/unknown")
        await asyncio.sleep(2.0)
        assert set(world.desired()) == {0}


async def test_a_wake_up_before_it_runs_is_not_lost():
    world = World()
    world.wake(2)
    async with world.running():
        assert await world.asked() == 2


# Writes.


async def test_a_write_that_hangs_delays_only_its_own_service():
    world = World({SD: service(), LLM: service()})
    world.target.hold(SD)
    world.streams.counts = {SD: 3.0, LLM: 1.0}
    async with world.running():
        for count in (2, 3):
            world.streams.counts[LLM] = float(count)
            await asyncio.sleep(2.0)
            assert await world.asked(LLM) == count
        world.wake(5, LLM)
        await soon()
        assert await world.asked(LLM) == 5
        assert world.times(SD) == []
    assert [order.service for order in world.target.orders].count(SD) == 1


async def test_a_write_that_ends_is_recorded_then_with_what_was_decided():
    world = World()
    written = world.target.hold(SD)
    world.streams.counts[SD] = 3.0
    async with world.running():
        await asyncio.sleep(0.7)
        written.set()
        await soon()
        ((at_s, record),) = world.records
    assert (at_s, record.observation.now_s) == (pytest.approx(START_S + 0.8), START_S)
    assert (record.decision.desired, record.outcome) == (3, Outcome(SD))


async def test_a_write_that_is_under_way_when_it_is_stopped_is_recorded_for_it_may_have_been_carried_out():
    world = World()
    world.target.hold(SD)
    world.streams.counts[SD] = 3.0
    async with world.running():
        assert world.records == []
    ((_, record),) = world.records
    assert (record.decision.desired, record.outcome) == (3, Outcome(SD, "stopped before the answer came"))


async def test_wake_ups_during_a_write_lead_to_one_more_decision_after_it():
    world = World()
    written = world.target.hold(SD)
    world.streams.counts[SD] = 1.0
    async with world.running():
        for count in (2, 3, 4):
            world.wake(count)
            await soon()
        assert len(world.target.orders) == 1
        written.set()
        await soon()
        assert await world.asked() == 4
    assert [order.replicas for order in world.target.orders] == [1, 4]


async def test_without_a_wake_up_nothing_is_decided_right_after_a_write():
    world = World()
    written = world.target.hold(SD)
    world.streams.counts[SD] = 1.0
    async with world.running():
        world.streams.counts[SD] = 4.0
        written.set()
        await soon()
        assert world.desired() == [1]


async def test_a_wake_up_is_not_lost_when_a_write_begins_while_the_service_is_observed():
    world = World()
    async with world.running():
        observations = world.target.holding_looks = asyncio.Event()
        written = world.target.hold(SD)
        world.streams.counts[SD] = 1.0
        await asyncio.sleep(1.5)  # the tick has begun, and looks
        world.wake(1)
        await soon()  # the wake-up looks as well
        observations.set()
        await soon()
        assert [order.replicas for order in world.target.orders] == [1]
        world.streams.counts[SD] = 6.0
        written.set()
        await soon()
        assert await world.asked() == 6


async def test_nothing_is_decided_on_what_was_observed_before_a_write():
    world = World({SD: service(algorithm={"concurrency": {}})})
    async with world.running():
        observations = world.target.holding_looks = asyncio.Event()
        await asyncio.sleep(1.5)  # the tick has begun; it looks, and sees zero
        world.target.holding_looks = None
        world.wake(5)
        await soon()
        assert await world.asked() == 5
        observations.set()
        await soon()
        assert {record.observation.replicas for at_s, record in world.records if at_s > START_S} == {0}
        assert world.desired() == [0, 5]


async def test_an_error_is_recorded_and_the_write_is_tried_again_at_the_next_tick():
    world = World()
    world.target.errors[SD] = "HTTP 403"
    world.streams.counts[SD] = 2.0
    async with world.running():
        assert [record.outcome for _, record in world.records] == [Outcome(SD, "HTTP 403")]
        await asyncio.sleep(1.0)
        assert len(world.records) == 1
        world.target.errors.clear()
        await asyncio.sleep(1.0)
        assert [record.outcome for _, record in world.records] == [Outcome(SD, "HTTP 403"), Outcome(SD)]
        assert await world.asked() == 2


async def test_what_is_as_it_should_be_is_not_written():
    world = World()
    world.streams.counts[SD] = 2.0
    async with world.running():
        await asyncio.sleep(60.0)
    assert [order.replicas for order in world.target.orders] == [2]
    assert {record.outcome for _, record in world.records[1:]} == {None}


async def test_dry_run_writes_nothing_but_records():
    world = World({SD: service(writes=False)})
    async with world.running():
        world.wake(3)
        await asyncio.sleep(2.0)
        assert await world.asked() == 0
    assert world.target.orders == []
    assert world.desired()[-1] == 3
    assert {record.outcome for _, record in world.records} == {None}


async def test_those_that_leave_are_named_not_ready_then_idle_then_busy():
    world = World()
    world.target._cold_start_s = 1.0
    async with world.running():
        world.wake(2)
        await asyncio.sleep(1.2)
        world.target.running["sd-2"] = 1
        world.wake(3)
        await soon()
        world.streams.counts[SD] = 0.0
        await asyncio.sleep(0.5)
    assert world.target.orders[-1].remove == ("sd-3", "sd-1", "sd-2")


# The end.


@pytest.mark.parametrize("wait_s", [0.0, 0.1, 1.5, 3.0])
async def test_cancelled_at_any_moment_it_ends_and_leaves_no_task(wait_s):
    world = World({SD: service(), LLM: service()}, metered=SlowSource(3600.0))
    world.target.hold(SD)
    task = asyncio.create_task(world.controller.run())
    await asyncio.sleep(wait_s)
    world.wake(3, SD)
    world.wake(3, LLM)
    await soon()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_recorder_that_fails_is_said_once_and_counted_and_decisions_and_other_recorders_go_on(caplog):
    world = World(recorders=[full_disk])
    world.streams.counts[SD] = 3.0
    async with world.running():
        await asyncio.sleep(10.0)
        assert await world.asked() == 3
    assert len(world.records) == 6
    assert world.controller.recording.failures[full_disk.__qualname__] == 6
    assert [each.message for each in caplog.records] == [
        "full_disk does not record, and deciding goes on without it: no space left on device"
    ]


async def test_a_day_of_ten_services_takes_no_time():
    names = [f"default/service-{number}" for number in range(10)]
    world = World({name: service() for name in names}, tick_s=600.0)
    async with world.running():
        await asyncio.sleep(86400)
    assert {len(world.times(name)) for name in names} == {145}
