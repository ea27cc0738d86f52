"""Others write replicas while requests are in flight: for hours of virtual time, target and controller as they are."""

import asyncio
import random
from contextlib import asynccontextmanager
from math import ceil

import pytest
from api_kit import DEPLOYMENTS, NAMESPACE, ApiServer, workload

from autoscaler.app.local import services
from autoscaler.controller.controller import Controller
from autoscaler.controller.services import query
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.ports import Reading
from autoscaler.runtime.clock import SystemClock
from autoscaler.targets.kubernetes import KubernetesTarget, Target
from autoscaler.testing import policy

WEB = "ns/web"
TICK_S = 2.0
HOLD_S = 300.0
MOST = 8


class Load:
    """Tells how many requests are in flight, and is always right."""

    inflight = 0.0

    async def read(self, queries, now_s):
        return {name: Reading(self.inflight, now_s, series=1) for name in queries}


class World:
    def __init__(self):
        self.api, self.load, self.clock, self.records = ApiServer(), Load(), SystemClock(1_767_229_200.0), []
        self.api.put(DEPLOYMENTS, workload("web", replicas=0))
        server = {"prometheus": {"serverAddress": "http://prometheus:9090"}}
        self.policy = policy(WEB, maxReplicas=MOST, metrics=server)

    @asynccontextmanager
    async def running(self):
        async with KubernetesTarget(
            self.api,
            self.clock.now,
            random.Random(1),  # noqa: S311
            running=lambda _service: {},
            hold_s=HOLD_S,
        ) as target:
            target.set_targets({WEB: Target(NamespacedKind(NAMESPACE, "apps/v1", "Deployment"), "web", 0.0)})
            controller = Controller(
                services([self.policy]),
                clock=self.clock,
                target=target,
                tick_s=TICK_S,
                metered=self.load,
                queries={WEB: query(self.policy.spec.metrics.prometheus, None)},
                recorders=[self.records.append],
            )
            task = asyncio.create_task(controller.run())
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait([task])

    def somebody_writes(self, replicas):
        item = self.api.find(DEPLOYMENTS, "web")
        self.api.put(DEPLOYMENTS, {**item, "spec": {**item["spec"], "replicas": replicas}})

    @property
    def replicas(self):
        return self.api.find(DEPLOYMENTS, "web")["spec"]["replicas"]


@pytest.fixture
async def world():
    async with World().running() as world:
        yield world


async def test_a_manifest_with_one_replica_that_is_applied_under_load_starves_nobody(world):
    world.load.inflight = 4.0
    await asyncio.sleep(3 * TICK_S)
    assert world.replicas == 4
    for _ in range(2):
        world.somebody_writes(1)
        await asyncio.sleep(2 * TICK_S)
        assert world.replicas == 4
    assert "foreignWriter" in {reason.rule for reason in world.records[-1].decision.reasons}


async def test_a_number_that_a_tool_reverts_for_ever_is_written_once_a_minute_and_freely_again_when_the_tool_is_gone(
    world,
):
    world.load.inflight, writes = 4.0, 0
    for _ in range(10 * 30):
        await asyncio.sleep(TICK_S)
        if world.replicas != 1:
            world.somebody_writes(1)
            writes += 1
    assert 2 + 9 <= writes <= 3 + 10, "two at once, then one each minute"
    assert world.records[-1].decision.reasons[-1].rule == "replicasContested"
    await asyncio.sleep(60 + TICK_S)
    assert world.replicas == 4, "the last revert is mended too, though nobody has been quiet for long"
    await asyncio.sleep(HOLD_S)
    world.load.inflight = 5.0
    await asyncio.sleep(2 * TICK_S)
    assert (world.replicas, world.records[-1].decision.reasons) == (5, ())


async def test_a_number_above_what_is_in_flight_is_held_and_then_given_back(world):
    world.load.inflight = 2.0
    await asyncio.sleep(3 * TICK_S)
    world.somebody_writes(5)
    await asyncio.sleep(HOLD_S - 5 * TICK_S)
    assert world.replicas == 5
    await asyncio.sleep(HOLD_S)
    assert world.replicas == 2


async def test_zero_by_hand_stays_while_nothing_is_in_flight(world):
    world.load.inflight = 3.0
    await asyncio.sleep(60)
    world.load.inflight = 0.0
    await asyncio.sleep(TICK_S)
    world.somebody_writes(0)
    await asyncio.sleep(HOLD_S / 2)
    assert world.replicas == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_for_hours_no_fewer_stay_than_are_in_flight_and_nothing_is_lowered_while_it_is_held(seed, world):
    rng = random.Random(seed)  # noqa: S311
    held_until_s = 0.0
    for _ in range(150):
        before = world.replicas
        if rng.random() < 0.1:
            world.somebody_writes(before := rng.choice([number for number in range(MOST + 1) if number != before]))
            held_until_s = world.clock.now() + HOLD_S
        if rng.random() < 0.3:
            world.load.inflight = rng.choice([0.0, 0.0, 1.0, 2.5, 6.0, 40.0])
        await asyncio.sleep(rng.choice([2 * TICK_S, 10.0, 100.0]))
        assert world.replicas >= min(ceil(world.load.inflight), MOST)
        if world.clock.now() < held_until_s:
            assert world.replicas in {before, max(before, min(ceil(world.load.inflight), MOST))}
