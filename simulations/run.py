"""From a scenario to what happened in it."""

from math import inf

from autoscaler.deciding import decider
from autoscaler.gateway.dispatch import Limits
from autoscaler.loop import Service
from autoscaler.policy import ScalingPolicy, Traffic
from simulations import invariants
from simulations.engine import Engine
from simulations.history import History
from simulations.luck import Luck
from simulations.scenario import GpuPool, Scenario
from simulations.setup import Pool, Setup
from simulations.workloads import source_of

NO_TRAFFIC = Traffic.model_validate({"hosts": ["any"]})
"""What the gateway does for a policy that does not say: the defaults."""


def run(scenario: Scenario, policy: ScalingPolicy, *, replication: int = 0) -> History:
    """Simulate one policy once; deterministic in the scenario's seed and the number of the replication.

    Raises:
        BrokenInvariantError: the simulator is wrong.
    """
    luck = Luck(scenario.spec.seed, replication)
    setup = setup_of(scenario, policy)
    service = Service(decider(policy), policy.spec.mode == "Active")
    history = Engine(setup, source_of(scenario.spec.workloads, luck), service, luck).run()
    invariants.check(history, concurrency=setup.limits.concurrency)
    return history


def setup_of(scenario: Scenario, policy: ScalingPolicy) -> Setup:
    """Give the numbers that an engine needs."""
    spec = scenario.spec
    stream, prometheus = spec.controller.stream, spec.controller.prometheus
    return Setup(
        service=policy.service,
        limits=limits_of(policy),
        pools=tuple(_pool(pool) for pool in spec.fleet.pools),
        initial=spec.fleet.initial_replicas,
        least=policy.spec.min_replicas,
        tick_s=spec.controller.tick,
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
