"""Converts a scenario and a policy to the inputs of a run."""

from math import inf

from autoscaler.app.gateway_config import gateway_service
from autoscaler.documents.document import DocumentError
from autoscaler.gateway.config import OnAbort
from autoscaler.policy.spec import ScalingPolicy
from simulations.model.run_inputs import NO_TIME, Pool, RunInputs
from simulations.scenario.document import GpuPool, Scenario


def run_inputs_of(scenario: Scenario, policy: ScalingPolicy) -> RunInputs:
    """Give the inputs of an engine. The gateway's configuration is that of the live gateway for this policy.

    Raises:
        DocumentError: the scenario cannot follow the policy's schedule or pools.
    """
    spec, watching = scenario.spec, scenario.spec.controller
    stream, prometheus, gateway = watching.stream, watching.prometheus, gateway_service(policy)
    for key in ("schedule", "pools", "hints") if watching.immediate else ():
        if getattr(policy.spec, key):
            why = "a scenario with controller.immediate: true follows none; leave it out"
            raise DocumentError([f"{policy.service}: spec.{key}: {why}"])
    return RunInputs(
        service=policy.service,
        limits=gateway.limits,
        pools=pools_of(scenario),
        initial=spec.fleet.initial_replicas,
        policy_pools=_pools_of(policy, scenario),
        min_replicas=max(policy.spec.min_replicas, policy.spec.reserve),
        max_replicas=policy.spec.max_replicas,
        target=policy.spec.target,
        immediate=watching.immediate,
        tick_s=inf if watching.immediate else watching.tick,
        coalesce_s=stream.coalesce if stream.enabled else inf,
        wakes=stream.enabled and stream.wake_ups,
        scrape_s=prometheus.scrape_interval if prometheus else inf,
        metric_lag=prometheus.lag if prometheus else NO_TIME,
        start_s=start_s_of(scenario, policy),
        until_s=spec.run.duration or inf,
        rules=gateway.paths,
        classes=gateway.classes,
        fairness=gateway.fairness,
        hints=gateway.hints,
        cookie_s=gateway.affinity.timeout_s if gateway.affinity else 0.0,
        request_timeout_s=gateway.timeouts.request_s,
        cancel_on_disconnect=gateway.on_abort is not OnAbort.WAIT_UPSTREAM,
    )


def start_s_of(scenario: Scenario, policy: ScalingPolicy) -> float:
    """Give the date at which a run begins; 0 for a policy without a schedule, to which all days are alike."""
    return scenario.spec.start if policy.spec.schedule else 0.0


def pools_of(scenario: Scenario) -> tuple[Pool, ...]:
    """Give the pools of GPUs of a scenario."""
    return tuple(_pool(pool) for pool in scenario.spec.fleet.pools)


def _pool(pool: GpuPool) -> Pool:
    stages = pool.cold_start
    return Pool(
        name=pool.name,
        cold_start=(stages.schedule, stages.pull, stages.load, stages.readiness),
        speed=pool.speed,
        price_per_hour=pool.price_per_hour,
        stock=_stock(pool.stock),
        stock_changes=tuple((change.at, _stock(change.stock)) for change in pool.stock_changes),
        lifetime=pool.lifetime,
        start_failure=pool.start_failure,
        service=pool.service_time,
    )


def _stock(written: int | None) -> float:
    return inf if written is None else written


def _pools_of(policy: ScalingPolicy, scenario: Scenario) -> tuple[int, ...]:
    """Give the index of each pool of a policy among those of the scenario.

    Raises:
        DocumentError: the scenario has no such pool.
    """
    known = [pool.name for pool in scenario.spec.fleet.pools]
    named = [pool.name for pool in policy.spec.pools or ()]
    if unknown := [name for name in named if name not in known]:
        legal = f"the scenario's fleet has {', '.join(known)}"
        raise DocumentError([f"{policy.service}: spec.pools: {', '.join(unknown)}: {legal}"])
    return tuple(map(known.index, named))
