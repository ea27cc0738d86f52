"""From a policy to the decider that follows it: one row of a table for each algorithm.

`ALGORITHMS` is all that the rest of the program knows of an algorithm. An algorithm that the policy declares and that
has no row here is an error at the start, by name. The settings are in `autoscaler.policy.algorithm`, the mathematics in
`algorithms`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Generic, NamedTuple, TypeVar, get_args

from pydantic import BaseModel

from algorithms.concurrency import Concurrency
from algorithms.decider import Decider
from algorithms.good_time import GoodTimeClock
from algorithms.hpa import Hpa
from algorithms.keda import Keda
from algorithms.kpa import Kpa
from algorithms.kpa_core import KpaOptions
from algorithms.mpa import Mpa
from algorithms.safety_rules import (
    FirstWindow,
    FromZero,
    MaxCold,
    PartialCount,
    Passing,
    ScaleDownDelay,
    ToZeroDelay,
)
from algorithms.standby import Hints, Standby, WithoutHinted, WithoutStandby
from algorithms.starts.worth_a_start import WorthAStart
from algorithms.types import Algorithm, SafetyRule
from autoscaler.documents.go_values import SECOND_NS
from autoscaler.policy.algorithm import AlgorithmChoice, Safety, ScaleDown
from autoscaler.policy.algorithm import Concurrency as ConcurrencySettings
from autoscaler.policy.algorithm import Mpa as MpaSettings
from autoscaler.policy.hpa_keda import BehaviorSettings, ControllerManager
from autoscaler.policy.hpa_keda import Hpa as HpaSettings
from autoscaler.policy.hpa_keda import Keda as KedaSettings
from autoscaler.policy.knative_settings import panic_window_s
from autoscaler.policy.kpa import Kpa as KpaSettings
from autoscaler.policy.spec import PolicySpec, ScalingPolicy

S = TypeVar("S", bound=BaseModel)


class Derived(NamedTuple):
    """What an algorithm is built from and the document does not say."""

    values: Mapping[str, Any]
    """By the key under which `explain-policy` shows it."""
    origin: str
    """What it follows from."""


def _nothing_derived(_settings: BaseModel, _policy: ScalingPolicy) -> Derived:
    return Derived({}, "")


@dataclass(frozen=True, slots=True)
class AlgorithmRow(Generic[S]):
    """One algorithm; each function takes its settings and the policy around them."""

    settings: type[S]
    """Its model in the policy."""
    summary: str
    """One sentence for the documentation: what it does, and for which services."""
    decider: Callable[[S, ScalingPolicy], Decider]
    """Builds the decider of one service."""
    lookback_s: Callable[[S, ScalingPolicy], float]
    """How far back a decision looks: its windows, and the delays that recommendations go through."""
    derived: Callable[[S, ScalingPolicy], Derived] = _nothing_derived
    """What `explain-policy` shows besides the settings."""
    resumes: bool = True
    """Whether a decider with changed settings can continue with the state of the one before it."""
    reads_annotations: bool = False
    """Whether its decisions depend on annotations of the policy."""
    knows_no_ticks: bool = False
    """Whether, with nothing in flight and the same recommendation in the same words, one observation of a long time
    does to its state what many of its parts do. It must not act at times that are counted from an observation."""


def decider(policy: ScalingPolicy) -> Decider:
    """Build the decider of one service. No algorithm gets more than `maxReplicas`."""
    return _row(policy).decider(_settings(policy), policy)


def lookback_s(policy: ScalingPolicy) -> float:
    """Give how far back a decision of this policy looks, in seconds."""
    return _row(policy).lookback_s(_settings(policy), policy)


def knows_no_ticks(policy: ScalingPolicy) -> bool:
    """Tell whether one observation of a long time without load stands for many, as far as they decide the same."""
    return _row(policy).knows_no_ticks


def derived_settings(policy: ScalingPolicy) -> Derived:
    """Give what the algorithm of this policy is built from and the document does not say."""
    return _row(policy).derived(_settings(policy), policy)


def decides_alike(before: ScalingPolicy, policy: ScalingPolicy) -> bool:
    """Tell whether a changed policy decides as it did before the change."""
    same_annotations = before.metadata.annotations == policy.metadata.annotations
    return before.spec.alone() == policy.spec.alone() and (same_annotations or not _row(policy).reads_annotations)


def resumes(before: ScalingPolicy, policy: ScalingPolicy) -> bool:
    """Tell whether the decider of a changed policy can continue with the state of the one before it."""
    return before.spec.algorithm == policy.spec.algorithm or (_row(before).resumes and _row(policy).resumes)


def _row(policy: ScalingPolicy) -> AlgorithmRow[Any]:
    return ALGORITHMS[policy.spec.algorithm.name]


def _settings(policy: ScalingPolicy) -> Any:
    return getattr(policy.spec.algorithm, policy.spec.algorithm.name)


# How each is built.


def _concurrency(chosen: ConcurrencySettings, policy: ScalingPolicy) -> Decider:
    options = _concurrency_options(chosen, policy.spec)
    algorithm = Concurrency(options, partial_counts_may_lower=not chosen.safety.partial_count)
    return _with_safety_rules(algorithm, policy.spec, chosen.safety, options.stable_window_s)


def _kpa(chosen: KpaSettings, policy: ScalingPolicy) -> Decider:
    return _unmodified(Kpa(policy.spec.knative_options(chosen)), policy.spec)


def _mpa(_chosen: MpaSettings, policy: ScalingPolicy) -> Decider:
    return _with_safety_rules(Mpa(target=policy.spec.target), policy.spec, Safety(), window_s=0.0)


def _hpa(chosen: HpaSettings, policy: ScalingPolicy) -> Decider:
    return _unmodified(Hpa(chosen.options(policy.spec.bounds)), policy.spec)


def _keda(chosen: KedaSettings, policy: ScalingPolicy) -> Decider:
    return _unmodified(Keda(chosen.options(policy.spec.bounds, policy.metadata.annotations)), policy.spec)


def _unmodified(algorithm: Algorithm, spec: PolicySpec) -> Decider:
    """Put no rule around an algorithm that reproduces another controller, delays included.

    It has the policy's minimum itself. Outside of it hold the maximum, the bounds of open windows, the reserves of
    pools, and `maxCold`.
    """
    return Decider(algorithm, bounds=spec.bounds_over_time(0), ramp=_ramp(spec), last_resort=Mpa(target=spec.target))


def _with_safety_rules(algorithm: Algorithm, spec: PolicySpec, safety: Safety, window_s: float) -> Decider:
    """Put our own rules around an algorithm that averages over `window_s`."""
    standby: list[SafetyRule] = [Standby(replicas=spec.standby)] if spec.standby else []
    hints = Hints(target=spec.target, most=spec.hints.max) if spec.hints else None
    if spec.standby:
        algorithm = WithoutStandby(algorithm, replicas=spec.standby)
    return Decider(
        WithoutHinted(algorithm, hints) if hints else algorithm,
        rules=[
            *([FromZero(target=spec.target)] if safety.from_zero else []),
            *_scale_up_rules(spec),  # before the spare replicas, which wait for no queue, and before the delays
            *standby,  # before Passing, which needs one replica and no spare ones
            Passing(),
            *([PartialCount()] if safety.partial_count else []),  # before the delays, so that they do not run out
            *_scale_down_rules(spec.scale_down),
            *([FirstWindow(window_s=max(window_s, spec.scale_down.delay))] if safety.first_window else []),
            *([hints] if hints else []),  # after the delays, so that none of them holds its number
        ],
        bounds=spec.bounds_over_time(spec.min_replicas),
        ramp=_ramp(spec),
        good_time=GoodTimeClock() if safety.good_time else None,
        last_resort=Mpa(target=spec.target),
    )


def _ramp(spec: PolicySpec) -> SafetyRule | None:
    return None if spec.max_cold is None else MaxCold(most=spec.max_cold)


def _scale_up_rules(spec: PolicySpec) -> list[SafetyRule]:
    share = spec.worth_a_start
    return [] if share is None else [WorthAStart(share=share, capacity=spec.full_target, standby=spec.standby)]


def _scale_down_rules(scale_down: ScaleDown) -> list[SafetyRule]:
    delay: list[SafetyRule] = [ScaleDownDelay(delay_s=scale_down.delay)] if scale_down.delay else []
    return [*delay, ToZeroDelay(delay_s=scale_down.to_zero_delay)]


def _concurrency_options(chosen: ConcurrencySettings, spec: PolicySpec) -> KpaOptions:
    return KpaOptions(
        target=spec.target,
        total=spec.full_target,
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


# How far each looks back.


def _concurrency_lookback_s(chosen: ConcurrencySettings, policy: ScalingPolicy) -> float:
    return chosen.stable_window + _delay_s(policy.spec.scale_down)


def _mpa_lookback_s(_chosen: MpaSettings, policy: ScalingPolicy) -> float:
    return _delay_s(policy.spec.scale_down)


def _kpa_lookback_s(chosen: KpaSettings, policy: ScalingPolicy) -> float:
    options = policy.spec.knative_options(chosen)
    return options.stable_window_s + max(options.scale_down_delay_s, options.scale_to_zero_pod_retention_period_s)


def _hpa_lookback_s(chosen: HpaSettings, _policy: ScalingPolicy) -> float:
    return _behavior_lookback_s(chosen.behavior, chosen.controller_manager)


def _keda_lookback_s(chosen: KedaSettings, _policy: ScalingPolicy) -> float:
    cooldown_s = chosen.cooldown_period + chosen.polling_interval
    return max(cooldown_s, _behavior_lookback_s(chosen.behavior, chosen.controller_manager))


def _delay_s(scale_down: ScaleDown) -> float:
    return max(scale_down.delay, scale_down.to_zero_delay)


def _behavior_lookback_s(behavior: BehaviorSettings | None, flags: ControllerManager) -> float:
    if behavior is None:
        return flags.downscale_stabilization + flags.sync_period
    rules = behavior.behavior(flags.downscale_stabilization)
    both = (rules.scale_up, rules.scale_down)
    periods = [policy.period_s for each in both for policy in each.policies]
    return max(*(each.stabilization_window_s for each in both), *periods) + flags.sync_period


# What explain-policy shows of each.


def _concurrency_derived(chosen: ConcurrencySettings, _policy: ScalingPolicy) -> Derived:
    seconds = panic_window_s(round(chosen.stable_window * SECOND_NS), chosen.panic_window * 100)
    return Derived({"panicWindow": f"{seconds}s"}, "panicWindow of stableWindow, in whole seconds")


def _kpa_derived(chosen: KpaSettings, policy: ScalingPolicy) -> Derived:
    return Derived({"kpa": policy.spec.knative_options(chosen)}, "Knative's rules")


def _hpa_derived(chosen: HpaSettings, policy: ScalingPolicy) -> Derived:
    return Derived({"hpa": chosen.options(policy.spec.bounds)}, "the HPA's rules")


def _keda_derived(chosen: KedaSettings, policy: ScalingPolicy) -> Derived:
    return Derived({"keda": chosen.options(policy.spec.bounds, policy.metadata.annotations)}, "KEDA's rules")


ALGORITHMS: Mapping[str, AlgorithmRow[Any]] = {
    "concurrency": AlgorithmRow(
        ConcurrencySettings,
        "Keeps the requests in flight per replica at a target, averaged over a window, with safety rules. "
        "The default, for most services.",
        _concurrency,
        _concurrency_lookback_s,
        _concurrency_derived,
        knows_no_ticks=True,
    ),
    "kpa": AlgorithmRow(
        KpaSettings,
        "Decides as Knative's autoscaler does, for services that come from Knative.",
        _kpa,
        _kpa_lookback_s,
        _kpa_derived,
        resumes=False,  # its delay window would be restored with the old length
    ),
    "mpa": AlgorithmRow(
        MpaSettings,
        "Divides the requests in flight by the target, without a window, for services with few and long requests.",
        _mpa,
        _mpa_lookback_s,
        knows_no_ticks=True,
    ),
    "hpa": AlgorithmRow(
        HpaSettings,
        "Decides as a HorizontalPodAutoscaler on requests in flight does, for services that come from one.",
        _hpa,
        _hpa_lookback_s,
        _hpa_derived,
    ),
    "keda": AlgorithmRow(
        KedaSettings,
        "Decides as a KEDA ScaledObject with a Prometheus trigger does, for services that come from KEDA.",
        _keda,
        _keda_lookback_s,
        _keda_derived,
        reads_annotations=True,
    ),
}


def check_wiring(rows: Mapping[str, AlgorithmRow[Any]], choice: type[AlgorithmChoice]) -> None:
    """Check that each algorithm that a policy can choose has a row, of the same model, and each row an algorithm.

    Raises:
        TypeError: one is missing; the message names it and the file to change.
    """
    declared = {name: get_args(field.annotation)[0] for name, field in choice.model_fields.items()}
    for name in sorted(declared.keys() | rows.keys()):
        if name not in rows:
            raise TypeError(f"algorithm.{name} has no row in ALGORITHMS of autoscaler/policy/decider_factory.py")
        if rows[name].settings is not declared.get(name):
            raise TypeError(
                f"algorithm.{name}: AlgorithmChoice in autoscaler/policy/algorithm.py declares "
                f"{declared.get(name)}, its row has {rows[name].settings}"
            )


check_wiring(ALGORITHMS, AlgorithmChoice)
