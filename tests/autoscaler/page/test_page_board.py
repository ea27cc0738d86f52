"""What viewers get: the fleet, a service, and then what has changed."""

import asyncio
import json
from itertools import pairwise

import pytest
from page_records import SERVICE, record

from autoscaler.explain import sentences
from autoscaler.page import board as module
from autoscaler.page.board import Board
from autoscaler.page.live import Facts, Live
from autoscaler.ports import Fleet, Replica
from autoscaler.testing import policy

OTHER = "default/other"


class World:
    """Two services in virtual time."""

    def __init__(self, **facts):
        loop = asyncio.get_running_loop()
        self.live = Live(lambda: 1e9 + loop.time())
        self.policies = {name: policy(name) for name in (SERVICE, OTHER)}
        self.board = Board(self.live, Facts(self.policies.keys, self.policies.get, **facts))

    def only(self, services):
        """Have these services instead."""
        self.policies.clear()
        self.policies.update(dict.fromkeys(services, policy(SERVICE)))

    def decide(self, service=SERVICE, *, pods=(), **seen):
        made = record(self.live.now(), service=service, **seen)
        self.live.observed({service: (made.observation, Fleet(seen.get("replicas", 0), pods))})
        self.live(made)

    async def events(self, name, number, since_s=None):
        async with self.board.streams.viewer(name, self.live.now() if since_s is None else since_s) as viewer:
            events = aiter(viewer.events())
            return [json.loads((await anext(events)).decode().split("data: ")[1]) for _ in range(number)]


@pytest.fixture
async def world():
    return World()


async def test_the_fleet_has_a_row_for_each_service_and_its_sums(world):
    world.decide(running=3.0, queued=2.0, replicas=3, ready=2)
    world.decide(OTHER, running=1.0, replicas=1, ready=1)
    await asyncio.sleep(1)
    fleet = await world.board.fleet()
    assert [row["name"] for row in fleet["services"]] == [SERVICE, OTHER]
    row = fleet["services"][0]
    assert (row["asked"], row["ready"], row["queued"], row["running"]) == (3, 2, 2, 3)
    assert row["spark"] == [*[None] * 8, [3, 2, 3]]
    totals = fleet["totals"]
    assert (totals["ready"], totals["asked"], totals["queued"], totals["running"]) == (3, 4, 2, 4)
    assert totals["leftOut"] == []
    assert (fleet["role"], fleet["leads"], fleet["leader"]) == ("controller", True, None)
    json.dumps(fleet, allow_nan=False)


async def test_a_count_that_is_unknown_is_null_and_the_sums_say_whom_they_leave_out(world):
    world.decide(running=None, queued=None, replicas=3, ready=3)
    world.decide(OTHER, running=1.0, queued=4.0, replicas=1, ready=1)
    fleet = await world.board.fleet()
    assert (fleet["services"][0]["queued"], fleet["services"][0]["running"]) == (None, None)
    totals = fleet["totals"]
    assert (totals["queued"], totals["running"], totals["leftOut"]) == (4, 1, [SERVICE])
    assert totals["ready"] == 4


async def test_nothing_is_known_of_a_service_before_its_first_decision(world):
    fleet = await world.board.fleet()
    row = fleet["services"][0]
    assert {row[key] for key in ("asked", "ready", "queued", "running", "oldestWait", "cost")} == {None}
    assert {fleet["totals"][key] for key in ("asked", "ready", "queued", "running", "oldestWait")} == {None}
    service = await world.board.service(SERVICE)
    assert service["series"]["time"] == []
    assert service["decisions"] == []


async def test_a_service_has_its_history_its_pods_and_its_decisions(world):
    pods = (Replica("a", ready=True, running=1, age_s=9.0), Replica("b", ready=True, running=0, age_s=9.0))
    world.decide(running=1.0, replicas=2, ready=2, pods=pods)
    await asyncio.sleep(2)
    world.decide(queued=2.0, replicas=2, ready=2, desired=4, pods=pods)
    await asyncio.sleep(1)
    service = await world.board.service(SERVICE)
    now_s = world.live.now()
    assert service["series"]["time"] == [now_s - 3, now_s - 1, now_s]
    assert service["series"]["running"] == [1, 0, 0]
    assert service["series"]["asked"] == [2, 4, 4]
    assert service["begins"] == now_s - 3
    assert [pod["name"] for pod in service["pods"]] == ["b", "a"]
    assert [(row["before"], row["after"], row["result"]) for row in service["decisions"]] == [
        (2, 4, "written"),
        (2, 2, "unchanged"),
    ]
    assert [step["label"] for step in service["decisions"][0]["steps"]][:2] == ["Observation", "Recommendation"]
    assert service["figures"]["max"] == 10
    json.dumps(service, allow_nan=False)


async def test_a_service_that_is_unknown_has_no_figures(world):
    assert await world.board.service("default/unknown") is None


async def test_an_event_of_the_fleet_has_the_rows_that_have_changed(world):
    world.decide(replicas=1, ready=1)
    world.decide(OTHER, replicas=1, ready=1)
    since_s = (await world.board.fleet())["now"]
    await asyncio.sleep(5)
    world.decide(OTHER, running=1.0, replicas=1, ready=1)
    (event,) = await world.events("", 1, since_s)
    assert [row["name"] for row in event["services"]] == [OTHER]
    assert (event["gone"], event["complete"]) == ([], False)


async def test_an_event_of_the_fleet_names_who_is_gone_and_has_who_is_new(world):
    since_s = (await world.board.fleet())["now"]
    await asyncio.sleep(5)
    del world.policies[OTHER]
    world.live.forget(OTHER)
    world.policies["default/new"] = policy("default/new")
    (event,) = await world.events("", 1, since_s)
    assert event["gone"] == [OTHER]
    assert [row["name"] for row in event["services"]] == ["default/new"]


async def test_a_viewer_from_before_the_process_gets_all_rows(world):
    (event,) = await world.events("", 1, 0.0)
    assert event["complete"]
    assert len(event["services"]) == 2


async def test_an_event_of_a_service_has_the_points_and_decisions_since_the_last_one(world):
    for _ in range(30):
        world.decide(running=1.0, replicas=1, ready=1)
        await asyncio.sleep(2)
    world.decide(running=1.0, replicas=1, ready=1, desired=2)
    since_s = world.live.now() - 1
    (event,) = await world.events(SERVICE, 1, since_s)
    assert event["points"]["series"]["time"][0] == since_s - 15
    assert event["points"]["series"]["time"][-1] == event["now"]
    assert [row["after"] for row in event["decisions"]] == [2]
    assert "series" not in event


async def test_a_service_that_goes_while_it_is_looked_at_says_so(world):
    async with world.board.streams.viewer(SERVICE, 0.0) as viewer:
        events = aiter(viewer.events())
        await anext(events)
        world.policies.clear()
        world.live.forget(SERVICE)
        assert (await anext(events)).decode().startswith("event: gone\n")


async def test_a_change_reaches_a_viewer_within_half_a_second(world):
    async with world.board.streams.viewer(SERVICE, world.live.now()) as viewer:
        events = aiter(viewer.events())
        await anext(events)
        await asyncio.sleep(1.1)
        began_s = world.live.now()
        world.decide(running=5.0, replicas=1, ready=1)
        event = json.loads((await anext(events)).decode().split("data: ")[1])
        assert event["figures"]["running"] == 5
        assert world.live.now() - began_s <= 0.5


async def test_no_sentence_is_made_and_no_forecast_run_while_nobody_looks(monkeypatch):
    made = []
    monkeypatch.setattr(module, "answer", lambda view: made.append(view) or sentences.answer(view))
    world = World(forecast=made.append)
    for _ in range(100):
        world.decide(running=1.0, replicas=1, ready=1)
        await asyncio.sleep(2)
    assert made == []
    await world.board.fleet()
    assert len(made) == 2
    await asyncio.sleep(100)
    await world.board.fleet()
    assert len(made) == 2, "nothing has changed since"


async def test_a_standby_names_the_leader():
    world = World(leads=lambda: False, leader=lambda: "inflight-controller-x2lvb")
    fleet = await world.board.fleet()
    assert (fleet["leads"], fleet["leader"]) == (False, "inflight-controller-x2lvb")


async def test_candidates_say_what_they_change_and_what_they_want(world):
    world.policies[SERVICE] = policy(
        SERVICE,
        candidates=[
            {"name": "short-window", "algorithm": {"concurrency": {"stableWindow": "30s"}}},
            {"name": "in-flight-only", "algorithm": {"mpa": {}}},
            {"name": "hold", "scaleDown": {"delay": "2m"}, "minReplicas": 1},
        ],
    )
    made = record(world.live.now(), running=3.0, replicas=5, ready=5)
    world.live(made._replace(candidates=(("short-window", made.decision._replace(desired=4)),)))
    found = (await world.board.service(SERVICE))["candidates"]
    assert [(each["name"], each["what"], each["wants"]) for each in found] == [
        ("short-window", "stableWindow 30s", 4),
        ("in-flight-only", "algorithm mpa", None),
        ("hold", "minReplicas 1, scaleDown.delay 2m", None),
    ]
    assert found[0]["sentence"].startswith("short-window wants 4")


async def test_decisions_go_on_while_the_rows_of_a_thousand_services_are_computed(monkeypatch):
    world, computed, at_a_time = World(), [], []
    world.only(f"default/s{number}" for number in range(1000))
    monkeypatch.setattr(module, "answer", lambda view: computed.append(view) or sentences.answer(view))

    async def others():
        while True:
            at_a_time.append(len(computed))
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    assert len((await world.board.fleet())["services"]) == 1000
    running.cancel()
    assert max(later - before for before, later in pairwise(at_a_time)) <= 10


async def test_an_idle_service_takes_little_in_a_snapshot_and_nothing_in_an_event(world):
    world.only(f"default/service-{number:03}" for number in range(200))
    for name in world.policies:
        world.decide(name)
    await asyncio.sleep(3700)
    for name in world.policies:
        world.decide(name)
    fleet = await world.board.fleet()
    assert len(fleet["services"]) == 200
    assert len(json.dumps(fleet["services"], separators=(",", ":"))) / 200 <= 250
    await asyncio.sleep(2)
    (event,) = await world.events("", 1, fleet["now"])
    assert event["services"] == []
