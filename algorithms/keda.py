"""KEDA on live observations: its scale loop owns 0 <-> 1, and its HPA owns 1..N.

Each poll, in this order:

1. The trigger is read. Failures are counted, also those of the HPA's reads. Above the threshold of `fallback` the
   trigger reads target x fallback replicas instead, and counts as active.
2. Active at zero (or below the minimum, with an idle count): to the minimum, at least 1, whatever the load is.
3. Inactive for longer than the cooldown: straight to the idle count or the minimum, whatever the HPA's rates are.
4. An error without a fallback changes nothing. With a fallback to 0 it is no activity, also before the threshold.

Source: pkg/scaling/executor/scale_scaledobjects.go, pkg/fallback/fallback.go, KEDA v2.20.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import floor
from typing import NamedTuple

from algorithms.hpa import Syncs, inflight_milli, recommendation_of
from algorithms.hpa_behavior import EDGE_S, Behavior
from algorithms.hpa_metrics import MAX_INT32, Metric, MetricKind, TargetType
from algorithms.hpa_reconcile import HpaOptions
from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import Recommendation, State


class FallbackBehavior(StrEnum):
    """The replicas of a fallback: its own, the current ones, or the higher or lower of both."""

    STATIC = "static"
    CURRENT = "currentReplicas"
    CURRENT_IF_HIGHER = "currentReplicasIfHigher"
    CURRENT_IF_LOWER = "currentReplicasIfLower"


@dataclass(frozen=True, slots=True)
class Fallback:
    """What a trigger reads after more than `failure_threshold` failed reads in a row."""

    failure_threshold: int
    replicas: int
    behavior: FallbackBehavior


@dataclass(frozen=True, slots=True)
class Switches:
    """What annotations of a ScaledObject switch in KEDA's own loop; the rates of its HPA are in `behavior`."""

    paused: bool
    paused_replicas: int | None
    paused_scale_in: bool
    paused_scale_out: bool
    force_activation: bool


@dataclass(frozen=True, slots=True)
class KedaOptions:
    """A ScaledObject with one trigger of metric type AverageValue."""

    polling_interval_s: float
    cooldown_period_s: float
    initial_cooldown_period_s: float
    min_replica_count: int
    max_replica_count: int
    idle_replica_count: int | None
    """None: there is no idle state below the minimum."""
    threshold_milli: int
    activation_threshold_milli: float
    fallback: Fallback | None
    behavior: Behavior | None
    """`advanced.horizontalPodAutoscalerConfig.behavior`."""
    switches: Switches
    tolerance: float
    """This and the next two are flags of the controller manager, not fields of the ScaledObject."""
    downscale_stabilization_s: float
    sync_period_s: float


_PREFIX = "autoscaling.keda.sh/"
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def switches_of(annotations: Mapping[str, str]) -> Switches:
    """Read the annotations of a ScaledObject; as upstream, a text that is no boolean switches on."""

    def on(name: str) -> bool:
        value = annotations.get(_PREFIX + name)
        return value is not None and value not in _FALSE

    replicas = annotations.get(_PREFIX + "paused-replicas")
    is_number = replicas is not None and replicas.isdecimal() and len(replicas) <= len(str(MAX_INT32))
    return Switches(
        paused=replicas is not None or on("paused"),
        paused_replicas=int(replicas) if replicas is not None and is_number else None,
        paused_scale_in=on("paused-scale-in"),
        paused_scale_out=on("paused-scale-out"),
        force_activation=on("force-activation"),
    )


class Ready(StrEnum):
    """Reasons of the condition Ready, which is true, unknown and false in this order."""

    READY = "ScaledObjectReady"
    PARTIAL = "PartialTriggerError"
    ERROR = "TriggerError"


class Activity(StrEnum):
    """Reasons of the condition Active, which is true for ACTIVE only; PAUSED does not change it."""

    ACTIVE = "ScalerActive"
    INACTIVE = "ScalerNotActive"
    COOLDOWN = "ScalerCooldown"
    PAUSED = "ScaledObjectPaused"


class Action(StrEnum):
    """The write of a poll; the first two are events of KEDA."""

    ACTIVATE = "KEDAScaleTargetActivated"
    DEACTIVATE = "KEDAScaleTargetDeactivated"
    RAISE_TO_MIN = "RaisedToMinReplicaCount"


class Poll(NamedTuple):
    """The result of one poll."""

    replicas: int
    activity: Activity
    ready: Ready = Ready.READY
    action: Action | None = None


class Trigger(NamedTuple):
    """The reading of the trigger; `value_milli` None is an error."""

    value_milli: float | None
    fallback: bool = False


class ScaleLoop:
    """State and rules of one ScaledObject; `options` may change between polls, as in an edit of the object."""

    def __init__(self, options: KedaOptions) -> None:
        """Begin without state."""
        self.options = options
        self.created_s: float | None = None
        """When the object was created; None is at the first poll."""
        self.last_active_s: float | None = None
        """In whole seconds, as the API stores it."""
        self._failures = 0

    def read(self, value_milli: float | None, replicas: int) -> Trigger:
        """Give the reading of the trigger for a query's result, None if it failed; KEDA and the HPA both use it."""
        if value_milli is not None:
            self._failures = 0
            return Trigger(value_milli)
        self._failures += 1
        fallback = self.options.fallback
        if fallback is None or self._failures <= fallback.failure_threshold:
            return Trigger(None)
        return Trigger(self.options.threshold_milli * _fallback_replicas(fallback, replicas), fallback=True)

    def poll(self, now_s: float, replicas: int, value_milli: float | None) -> Poll:
        """Decide once, on the replicas asked for now; the write is assumed to succeed."""
        if self.created_s is None:
            self.created_s = now_s
        switches = self.options.switches
        if switches.paused:
            return Poll(replicas, Activity.PAUSED)
        value_milli, fallback = self.read(value_milli, replicas)
        active = fallback or (value_milli is not None and value_milli > self.options.activation_threshold_milli)
        if active or switches.force_activation:
            return self._active(now_s, replicas, error=value_milli is None)
        return self._inactive(now_s, replicas, error=value_milli is None)

    def _active(self, now_s: float, replicas: int, *, error: bool) -> Poll:
        options = self.options
        asleep = replicas == 0 or (options.idle_replica_count is not None and replicas < options.min_replica_count)
        if asleep and options.switches.paused_scale_out:
            return Poll(replicas, Activity.ACTIVE)
        if error and not asleep:
            return Poll(replicas, Activity.ACTIVE, Ready.PARTIAL)
        self.last_active_s = floor(now_s)
        if asleep:
            return Poll(max(1, options.min_replica_count), Activity.ACTIVE, action=Action.ACTIVATE)
        return Poll(replicas, Activity.ACTIVE)

    def _inactive(self, now_s: float, replicas: int, *, error: bool) -> Poll:
        options, idle = self.options, self.options.idle_replica_count
        if error and options.fallback is None:
            return Poll(replicas, Activity.INACTIVE, Ready.ERROR)
        if error and options.fallback and options.fallback.replicas != 0:
            return Poll(replicas, Activity.INACTIVE)
        if (idle is not None and replicas > idle) or replicas > 0 == options.min_replica_count:
            return self._deactivate(now_s, replicas)
        if idle is None and replicas < options.min_replica_count:
            return Poll(options.min_replica_count, Activity.INACTIVE, action=Action.RAISE_TO_MIN)
        return Poll(replicas, Activity.INACTIVE)

    def _deactivate(self, now_s: float, replicas: int) -> Poll:
        options = self.options
        if options.switches.paused_scale_in:
            return Poll(replicas, Activity.INACTIVE)
        if not self._cooled_down(now_s):
            return Poll(replicas, Activity.COOLDOWN)
        rest = options.min_replica_count if options.idle_replica_count is None else options.idle_replica_count
        return Poll(rest, Activity.INACTIVE, action=Action.DEACTIVATE)

    def _cooled_down(self, now_s: float) -> bool:
        """Tell whether the cooldown since the last active poll, or since the creation, is over."""
        if self.last_active_s is not None:
            return now_s - self.last_active_s > self.options.cooldown_period_s + EDGE_S
        created_s = now_s if self.created_s is None else self.created_s
        return now_s - created_s > self.options.initial_cooldown_period_s + EDGE_S

    def export(self) -> State:
        """Give the state."""
        return {
            "version": VERSION,
            "created_s": self.created_s,
            "last_active_s": self.last_active_s,
            "failures": self._failures,
        }

    def restore(self, state: State) -> None:
        """Continue with an exported state; raises ValueError on an unknown version."""
        check(state, "ScaleLoop")
        self.created_s = state["created_s"]
        self.last_active_s = state["last_active_s"]
        self._failures = state["failures"]


def _fallback_replicas(fallback: Fallback, replicas: int) -> int:
    match fallback.behavior:
        case FallbackBehavior.STATIC:
            return fallback.replicas
        case FallbackBehavior.CURRENT:
            return replicas
        case FallbackBehavior.CURRENT_IF_HIGHER:
            return max(replicas, fallback.replicas)
        case FallbackBehavior.CURRENT_IF_LOWER:
            return min(replicas, fallback.replicas)


def hpa_options(options: KedaOptions) -> HpaOptions:
    """Give the HPA that KEDA makes for a ScaledObject: never below 1, because only KEDA scales to zero."""
    return HpaOptions(
        min_replicas=max(1, options.min_replica_count),
        max_replicas=options.max_replica_count,
        metrics=(Metric(MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE, options.threshold_milli),),
        behavior=options.behavior,
        tolerance=options.tolerance,
        downscale_stabilization_s=options.downscale_stabilization_s,
        sync_period_s=options.sync_period_s,
        scale_to_zero=False,
    )


class Keda:
    """A ScaledObject on the requests in flight, with its HPA.

    Each acts at its own times, and KEDA first if both are due. Between these times the replicas asked for are held.
    """

    def __init__(self, options: KedaOptions) -> None:
        """Begin with a poll and a sync at the first observation."""
        self._options = options
        self._loop = ScaleLoop(options)
        self._syncs = Syncs(hpa_options(options))
        self._next_poll_s = 0.0

    def recommend(self, observation: Observation) -> Recommendation:
        """Poll, and let the HPA reconcile, if they are due."""
        if self._options.switches.paused:
            return self._paused()
        self._syncs.saw(observation.replicas)
        value_milli = inflight_milli(observation)
        recommendation = Recommendation(observation.replicas, "between two polls and syncs")
        if observation.now_s >= self._next_poll_s - EDGE_S:
            recommendation = self._poll(observation, value_milli)
        if self._syncs.due(observation.now_s):
            recommendation = self._sync(observation, recommendation, value_milli)
        return recommendation

    def _poll(self, observation: Observation, value_milli: float | None) -> Recommendation:
        self._next_poll_s = observation.now_s + self._options.polling_interval_s
        poll = self._loop.poll(observation.now_s, observation.replicas, value_milli)
        return Recommendation(poll.replicas, poll.activity)

    def _sync(
        self, observation: Observation, recommendation: Recommendation, value_milli: float | None
    ) -> Recommendation:
        replicas = observation.replicas if recommendation.replicas is None else recommendation.replicas
        outcome = self._syncs.sync(
            observation.now_s, replicas, lambda: self._loop.read(value_milli, replicas).value_milli
        )
        synced = recommendation_of(outcome, value_milli, self._options.threshold_milli)
        return synced._replace(
            replicas=recommendation.replicas if synced.replicas is None else synced.replicas,
            why=f"{recommendation.why}; {synced.why}",
        )

    def _paused(self) -> Recommendation:
        """Delete the HPA with its state, as KEDA does; after the pause it polls and syncs at once."""
        self._syncs = Syncs(hpa_options(self._options))
        self._next_poll_s = 0.0
        return Recommendation(self._options.switches.paused_replicas, Activity.PAUSED)

    def export(self) -> State:
        """Give the whole state."""
        return {
            "version": VERSION,
            "loop": self._loop.export(),
            "syncs": self._syncs.export(),
            "next_poll_s": self._next_poll_s,
        }

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        check(state, "Keda")
        self._loop.restore(state["loop"])
        self._syncs.restore(state["syncs"])
        self._next_poll_s = state["next_poll_s"]
