"""What a thousand services cost in requests, and what a wake-up waits for: all but the sockets, in virtual time."""

import asyncio
import gc
import random
import tracemalloc
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from types import SimpleNamespace

import pytest

from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.services import PolicyEntry, ServiceRegistry
from autoscaler.gateway.counts import Counts
from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Limits, SlotUse
from autoscaler.gateway.reporting.inflight_stream import lines
from autoscaler.kubernetes.policies import stored_policy
from autoscaler.kubernetes.reporting import Reporter
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.ports import Reading
from autoscaler.runtime.clock import SystemClock
from autoscaler.sources.gateway_stream import StreamSource
from autoscaler.targets.kubernetes import KubernetesTarget, Target

pytestmark = pytest.mark.slow

NAMES = [f"ns/s-{number}" for number in range(1000)]
TICK_S = 2.0
LONG_S = 600.0
DEPLOYMENTS = "/apis/apps/v1/namespaces/ns/deployments"
POLICIES = "/apis/inflight.dev/v1alpha1/namespaces/ns/scalingpolicies"


class Api:
    """An API server's answers to the requests of target and reporter; a write takes 5 ms or what a test says."""

    def __init__(self, now, names):
        self.now = now
        self.asked = []
        self.version = 1000
        self.takes_s = 0.005
        self.replicas = dict.fromkeys([name.partition("/")[2] for name in names], 0)

    async def get(self, path, _query=None, **_options):
        self.asked.append((self.now(), "GET", path))
        items = [self.deployment(name, 1) for name in self.replicas] if path == DEPLOYMENTS else []
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    async def lines(self, _path, _query, *, silence_s, **_options):
        await asyncio.sleep(silence_s * 1e6)
        yield b""

    async def create(self, path, body):
        return await self.patch(path, body, "POST")

    async def patch(self, path, body, method="PATCH"):
        self.asked.append((self.now(), method, path))
        await asyncio.sleep(self.takes_s)
        if not path.endswith("/scale"):
            return body
        name = path.split("/")[-2]
        self.version += 1
        self.replicas[name] = body["spec"]["replicas"]
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": body["spec"]}

    def deployment(self, name, version):
        metadata = {"name": name, "namespace": "ns", "resourceVersion": str(version)}
        selector = {"matchLabels": {"app": name}}
        return {"metadata": metadata, "spec": {"replicas": self.replicas[name], "selector": selector}}


class GatewayServer:
    """A gateway without its sockets: counts, and the lines that tell of them to one reader at a time."""

    uid, started_s = "g", 1.0
    peers = None

    def __init__(self, names):
        limits = Limits(1, 100, 600.0, float("inf"))
        pods = SimpleNamespace(marked=())
        told = {"pods": pods, "counts": Counts(), "hints": None}
        self.proxies = {name: SimpleNamespace(dispatcher=Dispatcher(limits, 0.0), **told) for name in names}
        self.watchers = set()

    def loop_time(self):
        return asyncio.get_running_loop().time()

    def hold(self, name):
        self.proxies[name].dispatcher.arrive(object(), self.loop_time(), SlotUse.COUNT, None)
        for watcher in self.watchers:
            watcher(name)

    @asynccontextmanager
    async def get(self, _url, **_options):
        yield SimpleNamespace(status=HTTPStatus.OK, content=SimpleNamespace(iter_any=lambda: lines(self)))


class Prometheus:
    """Says zero of every service but those that a test says more of; an answer takes 50 ms."""

    def __init__(self):
        self.counts = Counter()
        self.asked = 0

    async def read(self, queries, now_s):
        self.asked += 1
        await asyncio.sleep(0.05)
        return {name: Reading(float(self.counts[name]), now_s, series=1) for name in queries}


def policy(name):
    return stored_policy(
        {
            "metadata": {
                "name": name.partition("/")[2],
                "namespace": "ns",
                "uid": name,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"scaleTargetRef": {"name": name.partition("/")[2]}, "maxReplicas": 10},
        }
    )


class World:
    """A controller that leads, a gateway, Prometheus and an API server."""

    def __init__(self, stack, names):
        self.clock, self.names = SystemClock(), names
        self.api, self.gateway, self.prometheus = Api(self.clock.now, names), GatewayServer(names), Prometheus()
        self.records, self.registry = [], ServiceRegistry("http://prometheus")
        self.stack = stack

    async def start(self):
        wake_ups, idle, rng = WakeUps(), IdleServices(), random.Random(1)  # noqa: S311
        streams = await self.stack.enter_async_context(
            StreamSource(self.gateway, self.clock.now, rng, wake_ups.add, on_change=idle.wake)
        )
        streams.set_gateways(["gateway"])
        reporter = Reporter(self.api, "one", self.clock.now, lambda: True)

        def changed(name):
            idle.wake(name)
            reporter.changed(name)

        target = await self.stack.enter_async_context(
            KubernetesTarget(self.api, self.clock.now, rng, running=streams.pods, on_change=changed)
        )
        kind = NamespacedKind("ns", "apps/v1", "Deployment")
        for name in self.names:
            made = policy(name)
            self.registry.put(PolicyEntry(made.resource.policy))
            reporter.keep(name, made, "")
        target.set_targets({name: Target(kind, name.partition("/")[2], 0.0) for name in self.names})
        controller = Controller(
            self.registry.services,
            clock=self.clock,
            target=target,
            tick_s=TICK_S,
            metered=self.prometheus,
            queries=self.registry.queries,
            streams=streams,
            wake_ups=wake_ups,
            idle=idle,
            recorders=[reporter.record, self.records.append],
        )
        tasks = [asyncio.create_task(controller.run()), asyncio.create_task(reporter.run(target))]
        self.stack.push_async_callback(asyncio.wait, tasks)
        for task in tasks:
            self.stack.callback(task.cancel)

    def writes(self):
        return [(at_s, path) for at_s, method, path in self.api.asked if method != "GET"]


@asynccontextmanager
async def settled(names=NAMES):
    """Run until every service has been decided on and every status is written."""
    async with AsyncExitStack() as stack:
        world = World(stack, names)
        await world.start()
        await asyncio.sleep(30.0)
        assert {record.service for record in world.records} == set(names)
        assert len(world.writes()) == len(names)
        assert all(path.endswith("/status") for _, path in world.writes())
        world.records.clear()
        world.api.asked.clear()
        world.prometheus.asked = 0
        yield world


async def test_at_rest_it_asks_prometheus_once_a_tick_and_the_api_server_nothing():
    async with settled() as world:
        await asyncio.sleep(LONG_S)
        assert world.prometheus.asked == LONG_S / TICK_S
        assert world.api.asked == []


async def test_a_service_that_is_active_and_does_not_change_costs_no_write():
    async with settled() as world:
        for name in NAMES[:20]:
            world.prometheus.counts[name] = 3
        await asyncio.sleep(60.0)
        assert [world.api.replicas[name.partition("/")[2]] for name in NAMES[:20]] == [3] * 20
        world.api.asked.clear()
        await asyncio.sleep(LONG_S)
        assert world.api.asked == []


async def test_a_wake_up_waits_for_no_tick_no_scrape_and_no_reading_before_its_write():
    async with settled() as world:
        await asyncio.sleep(0.777)
        begun_s = world.clock.now()
        world.gateway.hold(NAMES[7])
        await asyncio.sleep(1.0)
        (at_s, method, path), *_later = world.api.asked
        assert (round(at_s - begun_s, 9), method, path) == (0.0, "PATCH", f"{DEPLOYMENTS}/s-7/scale")
        assert "GET" not in {method for _, method, _ in world.api.asked}


async def test_a_thousand_wake_ups_at_once_are_written_once_each_and_none_is_stuck():
    async with settled() as world:
        for name in NAMES:
            world.gateway.hold(name)
        await asyncio.sleep(1.0)
        scales = Counter(path for _, path in world.writes() if path.endswith("/scale"))
        assert len(scales) == len(NAMES)
        assert set(scales.values()) == {1}
        assert set(world.api.replicas.values()) == {1}


async def test_while_hundreds_wait_for_a_slow_server_statuses_and_events_let_them_go_first():
    names = NAMES[:200]
    async with settled(names) as world:
        world.api.takes_s = 0.5
        begun_s = world.clock.now()
        for name in names:
            world.gateway.hold(name)
        await asyncio.sleep(60.0)
        scaled_s = [at_s for at_s, path in world.writes() if path.endswith("/scale")]
        others_s = [at_s for at_s, path in world.writes() if not path.endswith("/scale")]
        assert len(scaled_s) == len(names)
        # Four statuses and one event each have to be written and before that to wait for a second.
        assert sum(at_s < max(scaled_s) for at_s in others_s) <= 5 * (max(scaled_s) - begun_s) / 1.5 + 5
        assert len({path for _, path in world.writes() if path.endswith("/status")}) == len(names)


async def test_an_hour_of_ticks_leaves_nothing_behind():
    async with settled(NAMES[:20]) as world:
        world.prometheus.counts[NAMES[1]] = 2
        sizes = []
        tracemalloc.start()
        try:
            for _ in range(2):
                for name in NAMES[:5]:
                    world.prometheus.counts[name] ^= 1
                await asyncio.sleep(1800.0)
                world.records.clear()
                world.api.asked.clear()
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert sizes[1] - sizes[0] < 50_000


def test_services_that_share_a_template_share_their_query():
    registry = ServiceRegistry("http://prometheus")
    for name in NAMES:
        registry.put(PolicyEntry(policy(name).resource.policy))
    assert len(set(registry.queries.values())) == 1
