"""One service's failure is that service's: whatever raises for it, the controller goes on and the others scale."""

import asyncio
import gc
import logging
import re
from contextlib import asynccontextmanager
from types import CodeType, FrameType, FunctionType, ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.failures import CANDIDATE, DECIDER, Failures
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.metrics import ControllerMetrics
from autoscaler.controller.recorders import Latest, OnChange, log_changes
from autoscaler.controller.services import Origins, PolicyEntry, ServiceRegistry
from autoscaler.ports import Reading, ScaleRequest
from autoscaler.runtime.clock import SystemClock
from autoscaler.testing import FakeMetricsSource, FakeScaleTarget, FakeStreams, VirtualTimeLoop, policy, running

BAD, GOOD = "team-b/bad", "team-a/good"
START_S, TICK_S = 1_700_000_000.0, 2.0
NO_DELAY = {"scaleDown": {"toZeroDelay": "0s"}}
SERVER = "http://prometheus:9090"


class Source(FakeMetricsSource):
    """A source that raises for queries of some services."""

    def __init__(self):
        super().__init__()
        self.failing = set()

    async def read(self, queries, now_s):
        if self.failing & queries.keys():
            raise OverflowError("int too large to convert to float")
        return await super().read(queries, now_s)


class Target(FakeScaleTarget):
    """A target that raises for some services when they are observed, or when they are scaled."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.blind, self.stuck = set(), set()
        self.takes_s = 0.0

    async def observe(self, services):
        if self.blind & set(services):
            raise AttributeError("'NoneType' object has no attribute 'replicas'")
        return await super().observe(services)

    async def scale(self, orders):
        if any(order.service in self.stuck for order in orders):
            raise ValueError("no such pod")
        await asyncio.sleep(self.takes_s)
        return await super().scale(orders)


class World:
    """Two services of one controller with all its parts."""

    def __init__(self, *, begins_with=1, **spec):
        self.clock = SystemClock(START_S)
        self.begins_with, self.begun = begins_with, []
        self.registry = ServiceRegistry(SERVER, lambda policy, _decider: self.begun.append(policy.service))
        self.origins = Origins(self.registry, ("files",))
        self.streams, self.metered, self.wake_ups = FakeStreams(), Source(), WakeUps()
        self.target = Target((BAD, GOOD), self.clock.now)
        self.records, self.told = [], []
        self.metrics, self.latest = ControllerMetrics(), Latest()
        self.on_change = OnChange(log_changes)
        self.failures = Failures(lambda *what: self.told.append(what))
        self.idle = IdleServices()
        self.controller = Controller(
            self.registry.services,
            clock=self.clock,
            target=self.target,
            tick_s=TICK_S,
            metered=self.metered,
            queries=self.registry.queries,
            streams=self.streams,
            wake_ups=self.wake_ups,
            idle=self.idle,
            recorders=[self.records.append, self.metrics, self.latest, self.on_change],
            failures=self.failures,
            renew=self.registry.renew,
        )
        for name in (BAD, GOOD):
            # Each is asked for by a query of its own: a query that fails is unknown for all that share it.
            query = f"sum by (namespace, service) ({name[5]})"
            self.put(policy(name, metrics={"prometheus": {"query": query}}, **NO_DELAY | spec))
            self.count(name, 1.0)

    def put(self, entry):
        assert self.origins.put("files", entry.service, PolicyEntry(entry)) == ""

    def count(self, name, count):
        self.streams.counts[name] = count
        self.metered.tell(name, Reading(count, self.clock.now() + 1e6, 1))

    @asynccontextmanager
    async def running(self):
        if self.begins_with:
            await self.target.scale([ScaleRequest(name, self.begins_with, ()) for name in (BAD, GOOD)])
        async with running(self.controller, first_s=10.0):
            yield

    async def asked(self, name):
        self.target.blind.clear()
        return (await self.target.observe([name]))[name].asked

    def decided(self, name):
        return [record for record in self.records if record.service == name]


def decider_fails(world, monkeypatch):
    monkeypatch.setattr(world.registry.services[BAD].decider, "decide", _raising)
    monkeypatch.setattr(world.registry, "renew", _raising)
    world.controller._renew = _raising


def _raising(*_arguments):
    raise ZeroDivisionError("division by zero")


FAULTS = {
    "decider": decider_fails,
    "standing orders": lambda world, _: world.registry.services.update(
        {BAD: world.registry.services[BAD]._replace(overrides=(None,))}
    ),
    "observation": lambda world, _: world.target.blind.add(BAD),
    "write": lambda world, _: world.target.stuck.add(BAD),
    "streams": lambda world, _: world.streams.failing.add(BAD),
    "source": lambda world, _: world.metered.failing.add(BAD),
    "source and streams": lambda world, _: (world.streams.failing.add(BAD), world.metered.failing.add(BAD)),
    "count": lambda world, _: world.count(BAD, 1e308),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("algorithm", ["mpa", "concurrency", "kpa", "hpa", "keda"])
async def test_whatever_raises_for_one_service_the_other_one_is_scaled_as_if_it_were_alone(
    fault, algorithm, monkeypatch
):
    world = World(algorithm={algorithm: {}})
    async with world.running():
        before = await world.asked(BAD)
        FAULTS[fault](world, monkeypatch)
        world.count(BAD, 9.0) if fault != "count" else None
        world.count(GOOD, 4.0)
        await asyncio.sleep(120.0)
        assert await world.asked(GOOD) == 4
        if fault in {"streams", "source"}:
            assert await world.asked(BAD) == 9, "of two that count one is enough"
        elif algorithm != "kpa" or fault not in {
            "count",
            "source and streams",
        }:  # Knative takes a silent window for zero
            assert await world.asked(BAD) == before, "it holds what it had"


async def test_a_broken_decider_is_told_once_and_counted_each_time_and_is_tried_again(caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    world = World()
    async with world.running():
        decider_fails(world, monkeypatch)
        await asyncio.sleep(60.0)
        failed = world.failures.counts[BAD, "decider"]
        assert 29 <= failed <= 31
        (said,) = [line for line in caplog.records if "decider fails" in line.message]
        assert said.exc_info is not None
        assert (
            world.told
            == [
                (BAD, "renewal", "ZeroDivisionError: division by zero"),
                (BAD, "decider", "ZeroDivisionError: division by zero"),
            ][::-1]
        )
        text = b"".join(world.metrics.text({BAD, GOOD}, leads=True, failures={}, of_services=world.failures.counts))
        line = f'inflight_controller_service_failures_total{{namespace="team-b",service="bad",part="decider"}} {failed}'
        assert line in text.decode()
        assert {reason.rule for record in world.decided(BAD)[-20:] for reason in record.decision.reasons} == {
            "deciderFailed"
        }
        monkeypatch.undo()
        await asyncio.sleep(10.0)
        assert world.told[-1] == (BAD, "decider", "")
        assert world.decided(BAD)[-1].decision.reasons == ()


async def test_a_decider_that_fails_by_what_it_remembers_is_replaced_and_more_and_more_rarely(monkeypatch):
    world = World()
    async with world.running():
        poisoned = world.registry.services[BAD].decider
        monkeypatch.setattr(poisoned, "decide", _raising)
        await asyncio.sleep(10.0)
        assert world.registry.services[BAD].decider is not poisoned
        assert world.begun.count(BAD) == 2
        assert world.told[-1] == (BAD, "decider", "")
        monkeypatch.setattr("algorithms.concurrency.Concurrency.recommend", _raising)
        await asyncio.sleep(200.0)
        assert world.begun.count(BAD) == 2 + 6, "after 3, 6, 12, 24, 48 and 96 failures in a row"


async def test_requests_at_zero_are_served_though_the_decider_is_broken(monkeypatch):
    world = World(maxReplicas=3, begins_with=0)
    world.count(BAD, 0.0)
    async with world.running():
        decider_fails(world, monkeypatch)
        assert await world.asked(BAD) == 0
        world.count(BAD, 9.0)
        world.wake_ups.add(BAD)
        await asyncio.sleep(0.1)
        assert await world.asked(BAD) == 3
        world.count(BAD, 0.0)
        await asyncio.sleep(60.0)
        assert await world.asked(BAD) == 3


def test_a_policy_that_cannot_be_followed_whatever_is_raised_is_its_own_problem(monkeypatch, caplog):
    registry = ServiceRegistry()
    origins = Origins(registry, ("files",))
    monkeypatch.setattr(
        "autoscaler.controller.services.overrides_of",
        lambda found: _raising() if "bad" in found else (),
        raising=True,
    )
    bad = policy(BAD, annotations={"bad": "1"}, **NO_DELAY)
    problems = origins.set("files", {BAD: PolicyEntry(bad), GOOD: PolicyEntry(policy(GOOD, **NO_DELAY))})
    assert problems == {BAD: "it cannot be followed: ZeroDivisionError: division by zero"}
    assert list(registry.services) == [GOOD]
    assert "its policy cannot be followed" in caplog.text


async def test_nothing_is_kept_of_services_that_came_and_went(monkeypatch):
    world = World()
    async with world.running():
        for number in range(40):
            world.target.takes_s = number % 5
            name = f"team-c/passing-{number}"
            world.target._asked[name] = world.target._started[name] = 0
            world.target._replicas[name] = {}
            world.streams.counts[name] = 3.0
            world.put(policy(name, **NO_DELAY))
            if number % 3 == 0:
                monkeypatch.setattr(world.registry.services[name].decider, "decide", _raising)
            if number % 4 == 0:
                world.target.errors[name] = "HTTP 403"
            world.wake_ups.add(name)
            await asyncio.sleep(number % 3 * 1.5)
            world.wake_ups.add(name)
            world.origins.put("files", name, None)
        await asyncio.sleep(5.0)
        b"".join(world.metrics.text(world.registry.services, leads=True, failures={}))
        world.records.clear()
        world.told.clear()
        assert _names_in(world.controller, world.registry, world.origins) == set()


def _names_in(*roots):
    """Find every name of a passing service that is held by some objects of ours."""
    found, seen, todo = set(), set(), list(roots)
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, _NOT_OURS):
            continue
        seen.add(id(each))
        if isinstance(each, str):
            found |= {each} if re.fullmatch(r"team-c/passing-\d+", each) else set()
        else:
            todo += [
                *gc.get_referents(each),
                *(each if isinstance(each, dict) else ()),
            ]  # keys that are text are left out
    return found


_NOT_OURS = (type, ModuleType, FunctionType, CodeType, FrameType, asyncio.AbstractEventLoop, asyncio.Task)
_NOT_OURS += (FakeScaleTarget, FakeStreams, Source, World)


def test_an_error_is_said_once_whatever_its_words_and_another_one_is_said_too(caplog):
    failures = Failures()
    for number in range(6):
        for error in (ValueError(f"the value is {number}"), KeyError(number)):
            try:
                raise error
            except (ValueError, KeyError) as raised:
                failures.failed(BAD, "decider", raised)
    assert len(caplog.records) == 2
    assert failures.counts[BAD, "decider"] == 12
    failures.works(BAD, "decider")
    failures.works(GOOD, "decider")
    assert [line.message for line in caplog.records[2:]] == ["team-b/bad: its decider works again"]


def test_the_log_says_that_a_service_goes_on_while_a_candidate_fails_and_that_it_holds_while_its_decider_does(caplog):
    failures = Failures()
    failures.failed(BAD, CANDIDATE, ZeroDivisionError("by design"))
    failures.failed(BAD, DECIDER, ZeroDivisionError("by design"))
    assert [line.message for line in caplog.records] == [
        "team-b/bad: its candidate fails; nothing else of it changes: ZeroDivisionError: by design",
        "team-b/bad: its decider fails; it holds and the others go on: ZeroDivisionError: by design",
    ]


SEAMS = {
    "observation": lambda world: world.target.blind,
    "write": lambda world: world.target.stuck,
    "streams": lambda world: world.streams.failing,
    "source": lambda world: world.metered.failing,
}
HOUR = st.lists(
    st.tuples(st.sampled_from([*SEAMS]), st.booleans(), st.sampled_from([0.0, 1.0, 7.0, 1e308, float("nan")])),
    min_size=20,
    max_size=20,
)


@pytest.mark.slow
@given(HOUR, st.sampled_from(["mpa", "concurrency", "kpa", "hpa", "keda"]))
@settings(max_examples=8)
def test_an_hour_of_faults_of_one_service_changes_no_decision_on_the_other(hour, algorithm):
    async def decisions(*, faults):
        world = World(algorithm={algorithm: {}})
        async with world.running():
            for minute, (seam, fails, count) in enumerate(hour):
                if faults:
                    (SEAMS[seam](world).add if fails else SEAMS[seam](world).discard)(BAD)
                    world.count(BAD, count)
                world.count(GOOD, float(minute * 7 % 5))
                await asyncio.sleep(180.0)
        return [(record.observation, record.decision) for record in world.decided(GOOD)]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        alone = runner.run(decisions(faults=False))
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(decisions(faults=True)) == alone
