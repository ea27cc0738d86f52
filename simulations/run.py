"""From a scenario to what happened in it."""

from dataclasses import replace
from math import inf

from autoscaler.deciding import decider
from autoscaler.gateway.dispatch import Limits
from autoscaler.loop import Service
from autoscaler.policy import ScalingPolicy
from autoscaler.traffic_settings import Traffic
from simulations import invariants
from simulations.engine import Engine
from simulations.history import History
from simulations.immediate import immediate
from simulations.luck import Luck
from simulations.scenario import GpuPool, Scenario
from simulations.setup import Pool, Setup
from simulations.workloads import source_of

WORTH_COMPILING = 20_000
"""Requests that the reference engine needs about as long for as it takes to load compiled code."""

NO_TRAFFIC = Traffic.model_validate({"hosts": ["any"]})
"""What the gateway does for a policy that does not say: the defaults."""


def run(scenario: Scenario, policy: ScalingPolicy, *, replication: int = 0, engine: str = "") -> History:
    """Simulate one policy once; deterministic in the scenario's seed and the number of the replication.

    The compiled engine takes what it can do exactly, the reference engine all else; `engine` "reference" forbids the
    choice. `History.engine` says which it was.

    Raises:
        BrokenInvariantError: the simulator is wrong.
    """
    setup = setup_of(scenario, policy)
    run = _reference if engine == "reference" else _quickest
    history = run(scenario, policy, setup, replication)
    invariants.check(history, concurrency=setup.limits.concurrency)
    return history


def _quickest(scenario: Scenario, policy: ScalingPolicy, setup: Setup, replication: int) -> History:
    luck = Luck(scenario.spec.seed, replication)
    batch = source_of(scenario.spec.workloads, luck).batch(setup.until_s)
    if batch is not None and len(batch.service) < WORTH_COMPILING:
        return _reference(scenario, policy, setup, replication)
    from simulations import compiled  # noqa: PLC0415  # small runs do not wait for a compiler

    try:
        return compiled.run(setup, batch, _service(scenario, policy), luck)
    except compiled.NotExactError as error:
        history = _reference(scenario, policy, setup, replication)
        return replace(history, engine=f"{history.engine} (the compiled one cannot: {error})")


def _reference(scenario: Scenario, policy: ScalingPolicy, setup: Setup, replication: int) -> History:
    luck = Luck(scenario.spec.seed, replication)
    return Engine(setup, source_of(scenario.spec.workloads, luck), _service(scenario, policy), luck).run()


def _service(scenario: Scenario, policy: ScalingPolicy) -> Service:
    spec = policy.spec
    if scenario.spec.controller.immediate:
        return immediate(spec.min_replicas, spec.max_replicas, spec.target)
    return Service(decider(policy), spec.mode == "Active")


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
