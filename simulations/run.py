"""From a scenario to what happened in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from autoscaler.deciding import decider
from autoscaler.gateway.dispatch import Limits
from autoscaler.loop import Service
from autoscaler.policy import ScalingPolicy
from autoscaler.ports import Record, Recorder
from autoscaler.traffic_settings import Traffic
from simulations import invariants
from simulations.engine import Engine
from simulations.history import History
from simulations.immediate import immediate
from simulations.luck import Luck
from simulations.scenario import GpuPool, Scenario
from simulations.setup import NotExactError, Pool, Setup, Source
from simulations.workloads import source_of

WORTH_COMPILING = 20_000
"""Requests that the reference engine needs about as long for as it takes to load compiled code."""

NO_TRAFFIC = Traffic.model_validate({"hosts": ["any"]})
"""What the gateway does for a policy that does not say: the defaults."""


Watch = Callable[[float], None]
"""Is told at every decision what part of the run is behind it."""


def run(
    scenario: Scenario, policy: ScalingPolicy, *, replication: int = 0, engine: str = "", watch: Watch | None = None
) -> History:
    """Simulate one policy once; deterministic in the scenario's seed and the number of the replication.

    The compiled engine takes what it can do exactly, the reference engine all else; `engine` "reference" forbids the
    choice. `History.engine` says which it was.

    Raises:
        BrokenInvariantError: the simulator is wrong.
    """
    task = _Task(scenario, policy, setup_of(scenario, policy), replication, watch)
    history = _reference(task) if engine == "reference" else _quickest(task)
    invariants.check(history, concurrency=task.setup.limits.concurrency)
    return history


@dataclass(frozen=True, slots=True)
class _Task:
    """One run, whichever engine makes it."""

    scenario: Scenario
    policy: ScalingPolicy
    setup: Setup
    replication: int
    watch: Watch | None

    def luck(self) -> Luck:
        return Luck(self.scenario.spec.seed, self.replication)

    def source(self, luck: Luck) -> Source:
        return source_of(self.scenario.spec.workloads, luck)

    def service(self) -> Service:
        spec = self.policy.spec
        if self.setup.immediate:
            return immediate(spec.min_replicas, spec.max_replicas, spec.target)
        return Service(decider(self.policy), spec.mode == "Active")

    def recorder(self, records: list[Record]) -> Recorder:
        watch = self.watch
        if watch is None:
            return records.append
        expected_s = self.scenario.spec.run.duration or max(each.expected_s() for each in self.scenario.spec.workloads)

        def take(record: Record) -> None:
            records.append(record)
            watch(min(record.look.now_s / expected_s, 1.0) if expected_s else 0.0)

        return take


def _quickest(task: _Task) -> History:
    if _is_small(task):
        return _reference(task)
    from simulations import compiled, fifo  # noqa: PLC0415  # small runs do not wait for a compiler

    try:
        luck, records = task.luck(), list[Record]()
        history = fifo.run(task.setup, task.source(luck).chunks(), task.service(), luck, task.recorder(records))
    except NotExactError:
        try:
            luck, records = task.luck(), list[Record]()
            batch = task.source(luck).batch(task.setup.until_s)
            history = compiled.run(task.setup, batch, task.service(), luck, task.recorder(records))
        except NotExactError as error:
            history = _reference(task)
            return replace(history, engine=f"{history.engine} (the compiled one cannot: {error})")
    return replace(history, decisions=tuple(records))


def _is_small(task: _Task) -> bool:
    source, until_s = task.source(task.luck()), task.setup.until_s
    chunks = source.chunks()
    if chunks is None:
        batch = source.batch(until_s)
        return batch is not None and len(batch.service) < WORTH_COMPILING
    known = 0
    for arrival, _ in chunks:
        known += int(np.searchsorted(arrival, until_s, side="right"))
        if known >= WORTH_COMPILING or (len(arrival) and arrival[-1] > until_s):
            break
    return known < WORTH_COMPILING


def _reference(task: _Task) -> History:
    luck, records = task.luck(), list[Record]()
    engine = Engine(task.setup, task.source(luck), task.service(), luck, task.recorder(records))
    return replace(engine.run(), decisions=tuple(records))


def setup_of(scenario: Scenario, policy: ScalingPolicy) -> Setup:
    """Give the numbers that an engine needs."""
    spec, watching = scenario.spec, scenario.spec.controller
    stream, prometheus = watching.stream, watching.prometheus
    return Setup(
        service=policy.service,
        limits=limits_of(policy),
        pools=tuple(_pool(pool) for pool in spec.fleet.pools),
        initial=spec.fleet.initial_replicas,
        least=policy.spec.min_replicas,
        most=policy.spec.max_replicas,
        target=policy.spec.target,
        immediate=watching.immediate,
        tick_s=inf if watching.immediate else watching.tick,
        line_s=stream.coalesce if stream else inf,
        wakes=stream is not None and stream.wake_ups,
        scrape_s=prometheus.scrape_interval if prometheus else inf,
        metric_lag_s=prometheus.lag if prometheus else 0.0,
        until_s=spec.run.duration or inf,
    )


def limits_of(policy: ScalingPolicy) -> Limits:
    """Give the gateway's limits of a service."""
    queue = (policy.spec.traffic or NO_TRAFFIC).queue
    return Limits(
        concurrency=policy.spec.container_concurrency, queue_length=queue.max_length, queue_timeout_s=queue.timeout
    )


def _pool(pool: GpuPool) -> Pool:
    stages = pool.cold_start
    return Pool(
        name=pool.name,
        cold_start=(stages.schedule, stages.pull, stages.load, stages.readiness),
        speed=pool.speed,
        price_per_hour=pool.price_per_hour,
        stock=inf if pool.stock is None else pool.stock,
        lifetime=pool.lifetime,
    )
