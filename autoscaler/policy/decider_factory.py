"""From a policy to the decider that follows it: which algorithm, which rules, in which order."""

from math import floor

from algorithms.concurrency import Concurrency
from algorithms.decider import Decider
from algorithms.feeder import DataClock
from algorithms.hpa import Hpa
from algorithms.keda import Keda
from algorithms.knative import Kpa
from algorithms.kpa import KpaOptions
from algorithms.mpa import Mpa
from algorithms.stabilisers import FirstWindow, FromZero, PartOfTheWhole, Passing, ScaleDownDelay, ToZeroDelay
from algorithms.types import Algorithm, Stabiliser
from autoscaler.policy import algorithm as settings
from autoscaler.policy.hpa_keda import BehaviorSettings, ControllerManager
from autoscaler.policy.spec import PolicySpec, ScaleDown, ScalingPolicy


def decider(policy: ScalingPolicy) -> Decider:
    """Build the decider of one service; whatever its algorithm is, it never asks for more than `maxReplicas`."""
    spec, chosen = policy.spec, policy.spec.algorithm
    if chosen.hpa:
        return _unmodified(Hpa(chosen.hpa.options(spec.bounds)), spec)
    if chosen.keda:
        return _unmodified(Keda(chosen.keda.options(spec.bounds, policy.metadata.annotations)), spec)
    if (kpa := spec.kpa_options()) is not None:
        return _unmodified(Kpa(kpa), spec)
    if chosen.concurrency:
        options = _kpa_options(chosen.concurrency, spec)
        safety = chosen.concurrency.safety
        algorithm = Concurrency(options, parts_lower=not safety.partial_count)
        return _with_safety_rules(algorithm, spec, safety, options.stable_window_s)
    return _with_safety_rules(Mpa(target=spec.target), spec, settings.Safety(), window_s=0.0)


def _unmodified(algorithm: Algorithm, spec: PolicySpec) -> Decider:
    """Put no rule around an algorithm that reproduces another controller, delays included; only the maximum holds."""
    return Decider(algorithm, min_replicas=0, max_replicas=spec.max_replicas, last_resort=Mpa(target=spec.target))


def _with_safety_rules(algorithm: Algorithm, spec: PolicySpec, safety: settings.Safety, window_s: float) -> Decider:
    """Put our own rules around an algorithm that remembers so much."""
    return Decider(
        algorithm,
        stabilisers=[
            *([FromZero(target=spec.target)] if safety.from_zero else []),
            Passing(),
            *([PartOfTheWhole()] if safety.partial_count else []),  # before the delays, so that they do not run out
            *_scale_down_rules(spec.scale_down),
            *([FirstWindow(window_s=max(window_s, spec.scale_down.delay))] if safety.first_window else []),
        ],
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        good_time=DataClock() if safety.good_time else None,
        last_resort=Mpa(target=spec.target),
    )


def _scale_down_rules(settings: ScaleDown) -> list[Stabiliser]:
    delay: list[Stabiliser] = [ScaleDownDelay(delay_s=settings.delay)] if settings.delay else []
    return [*delay, ToZeroDelay(delay_s=settings.to_zero_delay)]


def _kpa_options(chosen: settings.Concurrency, spec: PolicySpec) -> KpaOptions:
    return KpaOptions(
        target=spec.target,
        total=float(spec.container_concurrency or 100),
        panic_threshold=chosen.panic_threshold,
        max_scale_up_rate=chosen.max_scale_up_rate,
        max_scale_down_rate=chosen.max_scale_down_rate,
        target_burst_capacity=0.0,
        stable_window_s=int(chosen.stable_window),
        panic_window_s=max(1, floor(chosen.stable_window * chosen.panic_window + 0.5)),
        scale_down_delay_s=0.0,
        activation_scale=0,
        reachable=True,
        aggregation="linear",
    )


def lookback_s(policy: ScalingPolicy) -> float:
    """Say how far back a decision of this policy reaches: its window, and the delay that wishes go through."""
    spec, chosen = policy.spec, policy.spec.algorithm
    if chosen.hpa:
        return _hpa_lookback_s(chosen.hpa.behavior, chosen.hpa.controller_manager)
    if chosen.keda:
        of_the_hpa_s = _hpa_lookback_s(chosen.keda.behavior, chosen.keda.controller_manager)
        return max(chosen.keda.cooldown_period + chosen.keda.polling_interval, of_the_hpa_s)
    if (kpa := spec.kpa_options()) is not None:
        return kpa.stable_window_s + max(kpa.scale_down_delay_s, kpa.scale_to_zero_pod_retention_period_s)
    window_s = chosen.concurrency.stable_window if chosen.concurrency else 0.0
    return window_s + max(spec.scale_down.delay, spec.scale_down.to_zero_delay)


def _hpa_lookback_s(behavior: BehaviorSettings | None, flags: ControllerManager) -> float:
    if behavior is None:
        return flags.downscale_stabilization + flags.sync_period
    rules = behavior.behavior(flags.downscale_stabilization)
    both = (rules.scale_up, rules.scale_down)
    periods = [policy.period_s for each in both for policy in each.policies]
    return max(*(each.stabilization_window_s for each in both), *periods) + flags.sync_period
