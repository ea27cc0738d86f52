"""The lines of `/v1/inflight`: what is told of many services, and when, in virtual time."""

import asyncio
import json
from contextlib import aclosing
from types import SimpleNamespace

from autoscaler.gateway.counts import Counts
from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Limits, SlotUse
from autoscaler.gateway.reporting.inflight_stream import LONGEST_SILENCE_S, lines

NAMES = [f"ns/s-{number}" for number in range(100)]


class World:
    """As much of a gateway as a reader of its lines sees."""

    uid, started_s, peers = "g", 1.0, None

    def __init__(self):
        limits = Limits(1, 100, 60.0, float("inf"))
        self.proxies = {
            name: SimpleNamespace(
                dispatcher=Dispatcher(limits, 0.0), pods=SimpleNamespace(marked=set()), counts=Counts(), hints=None
            )
            for name in NAMES
        }
        self.watchers = set()

    def loop_time(self):
        return asyncio.get_running_loop().time()

    def start_pods(self):
        for name, proxy in self.proxies.items():
            proxy.dispatcher.add_backend(f"{name}-pod", 0.0)

    def request(self, name):
        self.proxies[name].dispatcher.arrive(object(), self.loop_time(), SlotUse.COUNT, None)
        for watcher in self.watchers:
            watcher(name)


async def told(stream):
    """Give when the next line comes, and what it says of which service."""
    line = json.loads(await anext(stream))
    return asyncio.get_running_loop().time(), line["services"]


async def test_only_the_first_line_names_services_at_rest():
    async with aclosing(lines(World())) as stream:
        assert set((await told(stream))[1]) == set(NAMES)
        assert await told(stream) == (LONGEST_SILENCE_S, {})
        assert await told(stream) == (2 * LONGEST_SILENCE_S, {})


async def test_a_change_is_sent_at_once_and_names_no_other_service():
    world = World()
    async with aclosing(lines(world)) as stream:
        await told(stream)
        asyncio.get_running_loop().call_at(0.5, world.request, NAMES[3])
        at_s, services = await told(stream)
        assert (at_s, set(services)) == (0.5, {NAMES[3]})
        assert services[NAMES[3]]["queued"] == 1


async def test_changes_within_20_ms_of_a_line_share_the_next_one():
    world = World()
    world.start_pods()
    async with aclosing(lines(world)) as stream:
        await told(stream)
        for number in range(50):
            asyncio.get_running_loop().call_at(0.001 * (number + 1), world.request, NAMES[number])
        found = [await told(stream) for _ in range(3)]
        assert [at_s for at_s, _ in found] == [0.02, 0.04, 0.06]
        assert [len(services) for _, services in found] == [20, 20, 10]


async def test_the_first_held_request_of_a_service_without_a_pod_is_sent_at_once():
    world = World()
    world.proxies[NAMES[1]].dispatcher.add_backend("pod", 0.0)
    at = asyncio.get_running_loop().call_at
    async with aclosing(lines(world)) as stream:
        await told(stream)
        for moment_s, name in ((0.5, 1), (0.505, 1), (0.51, 2), (0.512, 2), (0.515, 3)):
            at(moment_s, world.request, NAMES[name])
        found = [await told(stream) for _ in range(4)]
    assert [(at_s, set(services)) for at_s, services in found] == [
        (0.5, {NAMES[1]}),
        (0.51, {NAMES[1], NAMES[2]}),
        (0.515, {NAMES[2], NAMES[3]}),
        (1.515, {NAMES[1], NAMES[2], NAMES[3]}),
    ]


async def test_a_line_that_only_broke_the_silence_holds_up_no_change():
    world = World()
    world.start_pods()
    async with aclosing(lines(world)) as stream:
        await told(stream)
        assert await told(stream) == (LONGEST_SILENCE_S, {})
        asyncio.get_running_loop().call_at(LONGEST_SILENCE_S + 0.005, world.request, NAMES[3])
        at_s, services = await told(stream)
        assert (at_s, set(services)) == (LONGEST_SILENCE_S + 0.005, {NAMES[3]})


async def test_a_silent_second_brings_the_integral_of_what_is_in_flight():
    world = World()
    async with aclosing(lines(world)) as stream:
        await told(stream)
        asyncio.get_running_loop().call_at(0.5, world.request, NAMES[3])
        await told(stream)
        at_s, services = await told(stream)
        assert (at_s, set(services)) == (1.5, {NAMES[3]})
        assert services[NAMES[3]]["seconds_total"] == 1.0


async def test_a_service_that_comes_is_named():
    world = World()
    async with aclosing(lines(world)) as stream:
        await told(stream)
        world.proxies["ns/new"] = world.proxies[NAMES[0]]
        for watcher in world.watchers:
            watcher("ns/new")
        assert set((await told(stream))[1]) == {"ns/new"}


async def test_a_mark_that_the_gateway_has_seen_is_sent_at_once_and_once():
    world = World()
    async with aclosing(lines(world)) as stream:
        await told(stream)
        world.proxies[NAMES[3]].pods.marked.add("pod")
        for watcher in world.watchers:
            watcher(NAMES[3])
        at_s, services = await told(stream)
        assert (at_s, services[NAMES[3]]["draining"]) == (0.02, ["pod"])
        assert (await told(stream))[1] == {}
