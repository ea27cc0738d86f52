"""A controller that starts anew, in virtual time: what it knows at once, and that nothing falls meanwhile."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from autoscaler.controller.backfill import HistoryBackfill
from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.replay import Replay
from autoscaler.controller.services import PolicyEntry, ServiceRegistry
from autoscaler.policy.decider_factory import lookback_s
from autoscaler.ports import Reading, ReadingHistory, Rescale, ScaleRequest
from autoscaler.runtime.clock import SystemClock
from autoscaler.testing import FakeMetricsSource, FakeScaleTarget, FakeStreams, policy

SD, LLM = "default/sd", "default/llm"
START_S = 1_700_000_000.0
TICK_S = 2.0
SLOWLY = {"type": "Pods", "value": 1, "periodSeconds": 900}


class Prometheus(FakeMetricsSource):
    """One that has been told of both services all the time; of the past it may answer late."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.late_s = 0.0

    def was(self, count, since_s, until_s, service=SD):
        """Have counted so many from one time to another, in seconds before the start."""
        for ago_s in range(-since_s, -until_s, -1):
            self.tell(service, Reading(float(count), START_S - ago_s, series=1))

    async def history(self, queries, now_s, *, span_s, step_s):
        self.asked.append((sorted(queries), span_s, step_s))
        await asyncio.sleep(self.late_s)
        return await super().history(queries, now_s, span_s=span_s, step_s=step_s)


class Unknown(Prometheus):
    """One that knows nothing of the past."""

    async def history(self, queries, _now_s, **_span):
        return dict.fromkeys(queries, ReadingHistory((), "it is down"))


class World:
    """What is left when both controllers have ended, and a new one."""

    def __init__(self, prometheus, *policies, replicas=5, age_s=3600, rescale=None, log=None):
        self.clock = SystemClock(START_S)
        self.prometheus, self.streams, self.wake_ups = prometheus, FakeStreams(), WakeUps()
        self.registry = ServiceRegistry(
            "http://prometheus",
            *([lambda policy, follows: log.begin(policy.service, {}, follows.export)] if log else []),
            backfills=True,
        )
        for each in policies:
            self.registry.put(PolicyEntry(each))
        self.target = FakeScaleTarget(self.registry.services, self.clock.now)
        self.replicas, self.age_s = replicas, age_s
        self.records = []
        self.backfill = HistoryBackfill(
            self.registry,
            prometheus,
            self.clock.now,
            tick_s=TICK_S,
            gateways=self.streams.known,
            rescale_of=lambda _service: rescale,
        )
        self.controller = Controller(
            self.registry.services,
            clock=self.clock,
            target=self.target,
            tick_s=TICK_S,
            metered=prometheus,
            queries=self.registry.queries,
            streams=self.streams,
            wake_ups=self.wake_ups,
            recorders=[self.records.append, *([log] if log else [])],
            on_observations=self.backfill.saw,
        )

    @asynccontextmanager
    async def running(self):
        # A new controller finds replicas that have been running.
        self.target._now = lambda: START_S - self.age_s
        await self.target.scale([ScaleRequest(service, self.replicas, ()) for service in self.registry.services])
        self.target._now = self.clock.now
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.controller.run()),
                group.create_task(self.backfill.run(self.controller.is_writing)),
            ]
            yield self
            for task in tasks:
                task.cancel()

    def of(self, service=SD):
        return [record for record in self.records if record.service == service]

    def desired(self, service=SD):
        return [record.decision.desired for record in self.of(service)]

    def rules(self, service=SD):
        return [[reason.rule for reason in record.decision.reasons] for record in self.of(service)]


async def test_windows_are_there_at_once_after_both_controllers_have_ended():
    prometheus = Prometheus()
    prometheus.was(5, -120, 0)
    async with World(prometheus, policy()).running() as world:
        await asyncio.sleep(0.5)
        prometheus.tell(SD, Reading(0.0, START_S + 0.5, series=1))
        await asyncio.sleep(2.0)
    # 57 seconds of 5 are from the past, three of nothing are new: a young window would read the new ones alone.
    assert world.of()[-1].decision.recommendation.why.startswith("stable 4.75,")
    assert set(world.desired()) == {5}


async def test_one_query_is_asked_once_for_all_services_that_share_it_as_far_back_as_they_need():
    prometheus = Prometheus()
    world = World(prometheus, policy(), policy("llm", scaleDown={"delay": "5m"}))
    async with world.running():
        await asyncio.sleep(60.0)
    assert prometheus.asked == [([LLM, SD], 60 + 300, TICK_S)]


async def test_a_long_past_is_asked_for_in_longer_steps_and_never_more_than_an_hour_of_it():
    prometheus = Prometheus()
    async with World(prometheus, policy(scaleDown={"toZeroDelay": "24h"})).running():
        await asyncio.sleep(5.0)
    assert prometheus.asked == [([SD], 3600, 12)]


async def test_nothing_falls_while_the_past_is_asked_for_or_before_a_window_is_known():
    prometheus = Prometheus()
    prometheus.was(5, -20, 0)
    prometheus.late_s = 9.0
    async with World(prometheus, policy()).running() as world:
        for _ in range(40):
            prometheus.tell(SD, Reading(0.0, world.clock.now(), series=1))
            await asyncio.sleep(2.0)
    lowered_s = next(record.observation.now_s - START_S for record in world.of() if record.decision.desired < 5)
    # Of a minute 20 s were known, and what was seen before the answer counts too. Panic, in which one begins who finds
    # replicas, is over strictly after that minute.
    assert lowered_s == 42


@pytest.mark.parametrize("algorithm", [{"mpa": {}}, {"kpa": {}}, {"hpa": {}}, {"keda": {}}, {"concurrency": {}}])
async def test_no_algorithm_lowers_the_number_in_the_first_observations(algorithm):
    prometheus = Prometheus()
    prometheus.was(5, -3600, -4)
    prometheus.was(0, -4, 0)
    prometheus.late_s = 5.0
    async with World(prometheus, policy(algorithm=algorithm)).running() as world:
        await asyncio.sleep(5.0)
    assert set(world.desired()) == {5}


async def test_what_keeps_the_number_meanwhile_is_a_reason():
    prometheus = Prometheus()
    prometheus.was(0, -4, 0)
    prometheus.late_s = 3.0
    async with World(prometheus, policy(algorithm={"mpa": {}})).running() as world:
        await asyncio.sleep(5.0)
    assert world.rules() == [
        ["scaleDown.toZeroDelay", "backfill"],
        ["scaleDown.toZeroDelay", "backfill"],
        ["scaleDown.toZeroDelay"],
    ]


@pytest.mark.parametrize(
    ("algorithm", "falls_s"),
    [
        # Half a minute of the minute had run before the start.
        ({"mpa": {}}, 30),
        # Both cooldown and stabilisation are five minutes.
        ({"keda": {}}, 270),
        ({"hpa": {}}, 270),
    ],
)
async def test_delays_run_on_from_where_they_were(algorithm, falls_s):
    prometheus = Prometheus()
    prometheus.was(5, -600, -30)
    prometheus.was(0, -30, 0)
    delays = {"scaleDown": {"delay": "1m", "toZeroDelay": "0s"}} if "mpa" in algorithm else {}
    async with World(prometheus, policy(algorithm=algorithm, **delays)).running() as world:
        for _ in range(200):
            prometheus.tell(SD, Reading(0.0, world.clock.now(), series=1))
            await asyncio.sleep(2.0)
    lowered_s = next(record.observation.now_s - START_S for record in world.of() if record.decision.desired < 5)
    assert lowered_s == pytest.approx(falls_s, abs=18), "reconciles are 15 s apart, slots of a delay 2 s"


async def test_a_gap_in_the_past_is_time_that_did_not_pass():
    prometheus = Prometheus()
    prometheus.was(5, -150, -75)
    prometheus.was(0, -10, 0)
    async with World(prometheus, policy(scaleDown={"toZeroDelay": "80s"})).running() as world:
        await asyncio.sleep(3.0)
    # In the window are 15 seconds of nothing and, before the gap of 50, 45 seconds of 5.
    assert world.of()[-1].decision.recommendation.why.startswith("stable 3.75,")
    assert world.desired() == [5, 4]


async def test_where_nobody_knows_the_past_the_first_window_is_waited_for():
    async with World(Unknown(), policy()).running() as world:
        for _ in range(40):
            world.prometheus.tell(SD, Reading(0.0, world.clock.now(), series=1))
            await asyncio.sleep(2.0)
    lowered_s = next(record.observation.now_s - START_S for record in world.of() if record.decision.desired < 5)
    assert lowered_s == 62


async def test_a_wake_up_is_answered_while_the_past_is_asked_for():
    prometheus = Prometheus()
    prometheus.late_s = 20.0
    prometheus.was(0, -120, 0)
    async with World(prometheus, policy(), replicas=0).running() as world:
        await asyncio.sleep(0.5)
        world.streams.counts[SD] = 3.0
        world.wake_ups.add(SD)
        await asyncio.sleep(0.1)
        assert (await world.target.observe([SD]))[SD].asked == 3


@pytest.mark.parametrize(
    ("rescale", "stable"),
    [
        # The idle minute was one at zero, of which windows know nothing.
        (Rescale(START_S - 10, before=0), "stable 5,"),
        # It counts as one in which five replicas had nothing to do.
        (None, "stable 1.25,"),
        (Rescale(START_S - 10, before=None), "stable 1.25,"),
        # By a clock that is ahead of ours.
        (Rescale(START_S + 3600, before=0), "stable 1.25,"),
    ],
)
async def test_what_was_asked_for_before_the_last_change_is_taken_from_the_status(rescale, stable):
    prometheus = Prometheus()
    prometheus.was(0, -120, -10)
    prometheus.was(5, -10, 0)
    async with World(prometheus, policy(), rescale=rescale).running() as world:
        await asyncio.sleep(3.0)
    assert world.of()[-1].decision.recommendation.why.startswith(stable)


async def test_a_burst_that_began_less_than_a_window_ago_is_not_averaged_away_where_no_status_tells_of_it():
    """As with policies from files: that the replicas are young says that there were none before."""
    prometheus = Prometheus()
    prometheus.was(0, -120, -10)
    prometheus.was(5, -10, 0)
    async with World(prometheus, policy(), age_s=9).running() as world:
        await asyncio.sleep(9.0)
    assert set(world.desired()) == {5}


async def test_a_policy_that_comes_later_is_told_its_past_too():
    prometheus = Prometheus()
    prometheus.was(5, -120, 0)
    async with World(prometheus, policy("llm")).running() as world:
        await asyncio.sleep(3.0)
        world.target._asked[SD], world.target._started[SD], world.target._replicas[SD] = 0, 0, {}
        await world.target.scale([ScaleRequest(SD, 5, ())])
        world.registry.put(PolicyEntry(policy()))
        prometheus.tell(SD, Reading(5.0, world.clock.now(), series=1))
        await asyncio.sleep(5.0)
    assert [services for services, _, _ in prometheus.asked] == [[LLM], [SD]]
    assert not world.registry.unwarmed


async def test_a_policy_that_goes_while_it_is_asked_for_is_forgotten():
    prometheus = Prometheus()
    prometheus.late_s = 5.0
    async with World(prometheus, policy()).running() as world:
        await asyncio.sleep(3.0)
        world.registry.remove(SD)
        await asyncio.sleep(10.0)
    assert not world.registry.services


async def test_a_service_that_is_never_seen_is_waited_for_so_long_and_no_longer():
    prometheus = Prometheus()
    prometheus.was(5, -120, 0)
    world = World(prometheus, policy(), policy("llm"))
    world.target.unseen.add(LLM)
    async with world.running():
        await asyncio.sleep(1.0)
        assert world.registry.unwarmed == {LLM}, "the others do not wait"
        await asyncio.sleep(40.0)
        assert not world.registry.unwarmed


async def test_the_log_of_a_controller_that_was_told_of_the_past_replays_to_the_same_decisions(tmp_path):
    prometheus = Prometheus()
    prometheus.was(3, -120, 0)
    prometheus.late_s = 7.0
    with (tmp_path / "decisions.jsonl").open("w+") as file:
        world = World(prometheus, policy(), log=DecisionLog(file))
        async with world.running():
            for count in (3, 2, 0, 9, 9, 1, 0, 0, 0, 0):
                prometheus.tell(SD, Reading(float(count), world.clock.now(), series=1))
                world.streams.counts[SD] = float(count)
                await asyncio.sleep(2.0)
        file.seek(0)
        lines = [json.loads(line) for line in file]
    document = policy().model_dump(mode="json", exclude_unset=True)
    begins = [line | {"policy": document} if "policy" in line else line for line in lines]
    assert sum("policy" in line for line in begins) == 2, "it began twice: with nothing, and with its past"
    replayed = list(Replay().lines(begins))
    assert [each.decision for each in replayed] == [each.recorded.decision for each in replayed]
    assert len({each.recorded.decision.desired for each in replayed}) > 2


@pytest.mark.parametrize(
    ("spec", "reach_s"),
    [
        ({}, 90),
        ({"scaleDown": {"delay": "2m", "toZeroDelay": "1m"}}, 180),
        ({"algorithm": {"concurrency": {"stableWindow": "30s"}}}, 60),
        ({"algorithm": {"mpa": {}}}, 30),
        ({"algorithm": {"kpa": {"window": "50s", "scaleDownDelay": "20s"}}}, 70),
        ({"algorithm": {"hpa": {}}}, 315),
        ({"algorithm": {"hpa": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}}, 75),
        (
            {"algorithm": {"hpa": {"behavior": {"scaleUp": {"policies": [SLOWLY]}}}}},
            915,
        ),
        ({"algorithm": {"keda": {}}}, 330),
        ({"algorithm": {"keda": {"cooldownPeriod": "10m"}}}, 630),
    ],
)
def test_a_policy_reaches_back_as_far_as_its_windows_and_delays(spec, reach_s):
    assert lookback_s(policy(**spec)) == reach_s
