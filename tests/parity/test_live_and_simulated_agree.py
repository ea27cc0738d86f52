"""The live controller on lines of the stream and on Prometheus' text, against the simulator on the same requests.

The live side is everything but the sockets: `Controller`, its clock, the aggregate of the lines that a gateway would
write, the text that Prometheus would scrape, all on an event loop in virtual time. Its gateway is the same dispatcher,
moved on by timers of that loop instead of the simulator's heap.
"""

import asyncio
import json
from dataclasses import replace
from functools import partial
from io import StringIO
from math import inf
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.observe import StreamedCounts
from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.replay import Replay
from autoscaler.controller.services import service_of
from autoscaler.documents.document import Document
from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Granted, Held
from autoscaler.gateway.dispatch.path_rules import EVERYTHING_COUNTS
from autoscaler.gateway.dispatch.types import ANY_TURN
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Outcome, Query, Reading
from autoscaler.runtime.clock import SystemClock
from autoscaler.sources.gateway_aggregate import InflightAggregate
from simulations import command
from simulations.engines.reference import ARRIVES, ENDS, REPORTS, ReferenceEngine
from simulations.engines.reference_fleet import SimulatedFleet
from simulations.engines.reference_request import Request
from simulations.model.history import HUNG_UP, REFUSED, SERVED
from simulations.model.random_streams import RandomStreams
from simulations.scenario.document import read_scenario, scenario_of
from simulations.scenario.request_sources import source_of
from simulations.scenario.to_run_inputs import run_inputs_of

pytestmark = pytest.mark.slow

DEMO = Path(command.__file__).parent / "demo.yaml"
GATEWAY = "gateway:9090"


class LiveWorld:
    """Gateway, replicas and clients on an event loop."""

    def __init__(self, inputs, source, random_streams, clock):
        self.inputs, self.source, self.clock = inputs, source, clock
        self.dispatcher = Dispatcher(inputs.limits)
        self.fleet = SimulatedFleet(inputs.pools, random_streams)
        self.asked, self.pools_asked = inputs.initial, dict.fromkeys(inputs.policy_pools, 0)
        self.requests, self.agenda = [], {}
        self.aggregate, self.wake_ups = InflightAggregate(silent_s=inf, history_s=60.0), WakeUps()
        self.aggregate.add(GATEWAY)
        self.aggregate.connected(GATEWAY)
        self.arrived, self.finished, self.served_s = 0, 0, 0.0
        self.told_s, self.told_queued, self.line_due_s = -inf, 0, inf
        self.scraped = ("", 0.0)
        for _ in range(inputs.initial):
            self.fleet.add(0.0)
        for replica in list(self.fleet.place_pending(0.0)):
            self.become_ready(replica)
        for number, pool in enumerate(inputs.pools):
            for at_s, stock in pool.stock_changes:
                self.at(at_s, ENDS, self.change_stock, number, stock)
        self.tell(self.line_due_s)

    def at(self, when_s, priority, call, *arguments):
        """Let something happen; what happens at one instant does so in the order of the simulator's rule."""
        if when_s == inf:
            return
        if when_s not in self.agenda:
            asyncio.get_running_loop().call_at(when_s, self.happen, when_s)
        self.agenda.setdefault(when_s, []).append((priority, call, arguments))

    def happen(self, when_s):
        agenda = self.agenda[when_s]
        while agenda:
            first = min(agenda, key=lambda entry: entry[0])
            agenda.remove(first)
            first[1](*first[2])
        del self.agenda[when_s]

    # The clients and the gateway.

    def expect(self, arrival):
        if arrival is not None:
            self.at(arrival.t_s, ARRIVES, self.arrive, arrival)

    def arrive(self, arrival):
        request = Request(len(self.requests), arrival, EVERYTHING_COUNTS, ANY_TURN)
        self.requests.append(request)
        self.arrived += 1
        match self.dispatcher.arrive(request.number, self.clock.now()):
            case Granted(name):
                self.begin(request.number, name)
            case Held(deadline_s):
                self.at(deadline_s, ENDS, self.expire)
            case _:
                self.answer(request, REFUSED)
        self.at(arrival.t_s + arrival.timeout_s, ENDS, self.hang_up, request)
        self.changed()

    def begin(self, number, name):
        request, now_s = self.requests[number], self.clock.now()
        request.replica, request.start_s = self.fleet[name], now_s
        request.replica.begin(number, now_s)
        self.at(now_s + request.arrival.service_s, ENDS, self.finish, request)

    def begin_all(self, grants):
        for number, name in grants:
            self.begin(number, name)

    def finish(self, request):
        now_s = self.clock.now()
        request.replica.end(request.number, now_s)
        self.finished += 1
        self.served_s += now_s - request.start_s
        self.begin_all(self.dispatcher.finish(request.number, now_s))
        self.answer(request, SERVED)
        self.let_go(request.replica)
        self.changed()

    def answer(self, request, status):
        if not request.status:
            request.status = status
            self.expect(self.source.after(request.arrival, status, self.clock.now()))

    def hang_up(self, request):
        if not request.status and request.replica is None:
            self.begin_all(self.dispatcher.abandon(request.number, self.clock.now()))
            self.changed()
        self.answer(request, HUNG_UP)

    def expire(self):
        assert not self.dispatcher.expire(self.clock.now()).timed_out

    # What it tells.

    def changed(self):
        lacks_a_replica = self.dispatcher.queued and not self.dispatcher.ready and not self.told_queued
        gathered_s = 0.0 if lacks_a_replica else self.inputs.coalesce_s
        due_s = max(self.clock.now(), self.told_s + gathered_s)
        if due_s < self.line_due_s:
            self.line_due_s = due_s
            self.at(due_s, REPORTS, self.tell, due_s)

    def tell(self, due_s):
        if due_s != self.line_due_s:  # told before
            return
        self.line_due_s, self.told_s, self.told_queued = inf, self.clock.now(), self.dispatcher.queued
        state = {
            "queued": self.dispatcher.queued,
            "running": self.dispatcher.running,
            "seconds_total": self.dispatcher.seconds_total(self.told_s),
            "arrived_total": self.arrived,
            "finished_total": self.finished,
            "served_seconds_total": self.served_s,
        }
        services = {self.inputs.service: state}
        line = {"gateway": "g", "started": 0.0, "at": self.told_s, "services": services}
        for service in self.aggregate.take(GATEWAY, json.dumps(line).encode(), self.told_s).wakes:
            self.wake_ups.add(service)

    def known(self):
        return 1

    def live(self, service, since_s, now_s):
        reading = self.aggregate.readings((service,), now_s)[service]
        mean, queued = self.aggregate.mean(service, since_s, now_s), self.aggregate.queued(service, now_s)
        requests = self.aggregate.requests(service, since_s, now_s)
        return StreamedCounts(reading.value, mean, 0, reading.problem, queued, *requests)

    def scrape(self, number=0):
        name = 'inflight_requests{namespace="default",service="x",state="%s"} %d\n'
        text = name % ("queued", self.dispatcher.queued) + name % ("running", self.dispatcher.running)
        self.scraped = (text, self.clock.now())
        self.at((number + 1) * self.inputs.scrape_s, REPORTS, self.scrape, number + 1)

    async def read(self, queries, _now_s):
        text, sampled_s = self.scraped
        (family,) = text_string_to_metric_families(f"# TYPE inflight_requests gauge\n{text}")
        total = sum(sample.value for sample in family.samples)
        return {service: Reading(total, sampled_s, series=1) for service in queries}

    # The replicas.

    async def observe(self, services):
        if self.pools_asked:
            return {service: self.fleet.observe_pools(self.pools_asked, self.clock.now()) for service in services}
        return {service: self.fleet.observe(self.asked, self.clock.now()) for service in services}

    async def scale(self, orders):
        (order,) = orders
        self.asked, now_s = order.replicas, self.clock.now()
        for pool in self.pools_asked:
            self.pools_asked[pool] = order.pools[self.inputs.pools[pool].name]
        for name in order.remove:
            self.fleet.leave(self.fleet[name], now_s)
            self.begin_all(self.dispatcher.drain_backend(name, now_s))
            self.let_go(self.fleet[name])
        self.start_missing()
        return [Outcome(order.service)]

    def start_missing(self):
        now_s = self.clock.now()
        for pool, asked in self.pools_asked.items():
            for _ in range(asked - self.fleet.staying_in[pool]):
                self.fleet.add(now_s, pool)
        for _ in range(self.asked - len(self.fleet.staying)):
            self.fleet.add(now_s)
        for replica in self.fleet.place_pending(now_s):
            self.at(now_s + self.fleet.cold_start_s(replica), ENDS, self.become_ready, replica)

    def change_stock(self, pool, stock):
        self.fleet.set_stock(pool, stock)
        self.start_missing()

    def let_go(self, replica):
        if replica.leaving and not replica.serving:
            self.fleet.remove(replica, self.clock.now())
            self.start_missing()

    def become_ready(self, replica):
        if not replica.gone:
            replica.ready_s = self.clock.now()
            self.begin_all(self.dispatcher.add_backend(replica.name, replica.ready_s))
            self.changed()


async def lived(inputs, policy, source, random_streams, until_s):
    """Let the live controller run for a time and give its records."""
    clock, records = SystemClock(start_s=0.0), []
    world = LiveWorld(inputs, source, random_streams, clock)
    for arrival in source.arrivals():
        world.expect(arrival)
    metered = {}
    if inputs.scrape_s < inf:
        world.scrape()
        query = Query("http://p", "inflight_requests", "inflight_requests", 15.0)
        metered = {"metered": world, "queries": {inputs.service: query}}
    controller = Controller(
        {inputs.service: service_of(policy)},
        clock=clock,
        target=world,
        tick_s=inputs.tick_s,
        streams=world,
        wake_ups=world.wake_ups,
        recorders=[records.append],
        **metered,
    )
    running = asyncio.create_task(controller.run())
    await asyncio.sleep(until_s)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return records


ALGORITHMS = {
    "concurrency": {},
    "kpa": {"window": "20s"},
    "hpa": {},
    "keda": {"cooldownPeriod": "60s"},
    "mpa": {},
}
STARTS = {"cold": 0, "warm": 3}
SCRAPES = {"stream alone": inf, "Prometheus and stream": 0.77}


def demo(algorithm, **changes):
    """Give the demo's scenario, and its policy with another algorithm."""
    scenario = read_scenario(DEMO)
    (choice,) = scenario.spec.policies
    document = yaml.safe_load(Path(choice.file).read_text())
    document["spec"] |= {"algorithm": {algorithm: ALGORITHMS[algorithm]}} | changes
    return scenario, ScalingPolicy.model_validate(document)


async def both(scenario, policy, seed, **changes):
    """Give the decision logs of the live controller and of the simulator."""
    inputs = replace(run_inputs_of(scenario, policy), **changes)
    of = partial(source_of, scenario.spec.workloads)
    simulated = (
        ReferenceEngine(inputs, of(RandomStreams(seed)), service_of(policy), RandomStreams(seed)).run().decisions
    )
    live = await lived(
        inputs, policy, of(RandomStreams(seed)), RandomStreams(seed), simulated[-1].observation.now_s + 1.0
    )
    return live, simulated


def assert_same(live, simulated):
    assert len(live) == len(simulated)
    for ours, theirs in zip(live, simulated, strict=True):
        assert rounded(ours) == rounded(theirs)


@pytest.mark.parametrize("scrape_s", SCRAPES.values(), ids=SCRAPES)
@pytest.mark.parametrize("initial", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_the_live_controller_and_the_simulator_write_the_same_decision_log(algorithm, initial, scrape_s):
    scenario, policy = demo(algorithm)
    min_replicas = 1 if algorithm == "hpa" else 0  # the HPA neither leaves zero nor goes there
    live, simulated = await both(scenario, policy, seed=1, scrape_s=scrape_s, initial=max(initial, min_replicas))
    assert_same(live, simulated)
    desired = [record.decision.desired for record in simulated]
    assert max(desired) == 5
    assert desired[-1] == min_replicas


@pytest.mark.parametrize("seed", [2, 3])
async def test_they_do_for_other_seeds(seed):
    assert_same(*await both(*demo("concurrency"), seed=seed, scrape_s=0.77))


async def test_they_do_where_busy_replicas_have_to_leave():
    scenario, policy = demo("mpa", scaleDown={"delay": "0s", "toZeroDelay": "0s"})
    live, simulated = await both(scenario, policy, seed=4)
    assert_same(live, simulated)


async def test_the_log_of_a_run_replays_to_the_same_decisions():
    scenario, policy = demo("concurrency")
    live, _ = await both(scenario, policy, seed=1, scrape_s=0.77)
    log = DecisionLog(file := StringIO())
    log.begin(policy.service, policy.model_dump(mode="json", exclude_unset=True), service_of(policy).export)
    for record in live:
        log(record)
    replayed = list(Replay().lines(map(json.loads, file.getvalue().splitlines())))
    assert [each.decision for each in replayed] == [record.decision for record in live]


def out_of_stock():
    """Give a scenario in which the better of two pools runs out in the middle, and has GPUs again later."""
    document = yaml.safe_load(DEMO.read_text())
    document["spec"] |= {
        "workloads": [{"poisson": {"rate": 0.1}, "requests": 120, "serviceTime": "uniform(10, 30)"}],
        "fleet": {
            "pools": [
                {
                    "name": "p100",
                    "stock": 4,
                    "stockChanges": [{"at": "200s", "stock": 1}, {"at": "700s", "stock": 4}],
                    "coldStart": {"load": "uniform(10, 20)"},
                },
                {"name": "p4", "coldStart": {"load": "uniform(10, 20)"}},
            ]
        },
    }
    document["spec"].pop("expect", None)
    scenario = scenario_of(Document(str(DEMO), document, {}))
    _, policy = demo("mpa", pools=[{"name": "p100"}, {"name": "p4"}], spillAfter="20s")
    return scenario, policy


@pytest.mark.parametrize("scrape_s", SCRAPES.values(), ids=SCRAPES)
async def test_they_do_where_a_pool_runs_out_in_the_middle(scrape_s):
    scenario, policy = out_of_stock()
    live, simulated = await both(scenario, policy, seed=1, scrape_s=scrape_s)
    assert_same(live, simulated)
    why = [reason.why for record in simulated for reason in record.decision.reasons if reason.rule == "pools"]
    assert any("p100 has no room for more" in text for text in why)
    assert any("one more starts in p100" in text for text in why)


def rounded(record):
    """Give the record as both sides must have it: the event loop counts in whole nanoseconds."""
    numbers = {name: value for name, value in record.observation._asdict().items() if isinstance(value, float)}
    starts = tuple(start._replace(seconds=round(start.seconds, 6)) for start in record.observation.starts)
    numbers = {name: round(value, 6) for name, value in numbers.items()}
    observation = record.observation._replace(starts=starts, **numbers)
    candidates = tuple((name, rounded_averages(decision)) for name, decision in record.candidates)
    return record._replace(observation=observation, decision=rounded_averages(record.decision), candidates=candidates)


def rounded_averages(decision):
    recommendation = decision.recommendation
    averages = tuple(average._replace(value=round(average.value, 5)) for average in recommendation.averages)
    return decision._replace(recommendation=recommendation._replace(averages=averages))
