"""From Knative's desired number to replicas: bounds, initial scale and scale to zero.

Matches knative.dev/serving v0.51.0 (`reconciler/autoscaling/kpa`). A revision is in one of three conditions (`Active`
of its PodAutoscaler); for a desired number of 0:

* Activating: replicas were asked for and too few are ready. After the progress deadline and 30 s more it goes to 0.
* Active: it keeps one replica for a stable window; then it becomes inactive, with its replicas.
* Inactive: it goes to 0 once the activator answers for it, but not before the retention ends. The grace period is the
  longest wait for the network: it ends early when requests have gone through the activator for that long.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from algorithms.kpa_core import ALWAYS_PROXIED, KpaOptions
from algorithms.state import VERSION, check
from algorithms.types import State

UNKNOWN = -1
"""A desired number before the first valid evaluation."""

ACTIVATION_BUFFER_S = 30.0
"""Added to the progress deadline, so that the reason of a failed start is seen before its replicas are removed."""

PROXIED_REQUEUE_S = 3.0


class Active(StrEnum):
    """Knative's condition `Active`."""

    ACTIVE = "True"
    INACTIVE = "False"
    ACTIVATING = "Unknown"


@dataclass(frozen=True, slots=True)
class ScaleOptions(KpaOptions):
    """The resolved options of a revision: those of the decision, and those of its application."""

    min_scale: int
    """0 is none; an unreachable revision has none."""
    max_scale: int
    """0 is none."""
    initial_scale: int
    enable_scale_to_zero: bool
    scale_to_zero_grace_period_s: float
    scale_to_zero_pod_retention_period_s: float
    progress_deadline_s: float


class Condition(NamedTuple):
    """The condition of a revision; `reason` is Knative's word for the cause."""

    active: Active
    reason: str
    initialised: bool
    """Whether its initial scale has once been ready."""


SERVING = Condition(Active.ACTIVE, "", initialised=True)
"""The condition in which all needed replicas are ready."""


class Path(NamedTuple):
    """How requests reach a revision."""

    proxied: bool
    """Whether they should go through the activator."""
    proxied_s: float
    """How long they have done so."""
    probe_ok: bool
    """Whether the activator answers at the address of the revision."""


class Scaling(NamedTuple):
    """What to do about a desired number."""

    want: int
    """The number to report; UNKNOWN if there is none."""
    replicas: int | None = None
    """What to write; None leaves the replicas as they are."""
    requeue_s: float | None = None
    """The latest time of the next evaluation."""
    probed: bool = False
    probe_again: bool = False
    """Whether to continue to probe the activator in the background."""


def _written(want: int, replicas: int, requeue_s: float | None = None) -> Scaling:
    return Scaling(want, None if want == replicas else want, requeue_s)


def _bounded(options: ScaleOptions, *, initialised: bool, desired: int) -> int:
    """Keep a number within its bounds (section 6, steps 2 and 3); the initial scale lifts the lower one."""
    starting = options.initial_scale > 1 and not initialised and options.reachable
    lowest = max(options.min_scale, options.initial_scale) if starting else options.min_scale
    if desired < lowest:
        return lowest
    return min(desired, options.max_scale) if options.max_scale else desired


def scale(
    options: ScaleOptions, condition: Condition, in_condition_s: float, path: Path, *, desired: int, replicas: int
) -> Scaling:
    """Say what to do about a desired number, given the replicas asked for now.

    Args:
        options: the resolved options.
        condition: the condition of the revision.
        in_condition_s: how long it has had this condition.
        path: how requests reach it.
        desired: the last valid decision, or UNKNOWN.
        replicas: replicas asked for.
    """
    if desired < 0 and condition.active is not Active.ACTIVATING:
        return Scaling(desired)
    wanted = _bounded(options, initialised=condition.initialised, desired=desired)
    if wanted:
        return _written(wanted, replicas)
    if not options.enable_scale_to_zero:
        return _written(1, replicas)
    if condition.active is Active.ACTIVATING:
        return _while_activating(options, in_condition_s, replicas)
    if condition.active is Active.ACTIVE:
        return _while_active(options, in_condition_s, path, replicas)
    return _while_inactive(options, in_condition_s, path, replicas)


def _while_activating(options: ScaleOptions, activating_s: float, replicas: int) -> Scaling:
    timeout_s = options.progress_deadline_s + ACTIVATION_BUFFER_S
    if activating_s > timeout_s:
        return _written(0, replicas)
    return Scaling(UNKNOWN, requeue_s=timeout_s)


def _while_active(options: ScaleOptions, active_s: float, path: Path, replicas: int) -> Scaling:
    if active_s >= options.stable_window_s:
        return Scaling(0, requeue_s=PROXIED_REQUEUE_S if path.proxied else None)
    return _written(1, replicas, options.stable_window_s - active_s)


def _while_inactive(options: ScaleOptions, inactive_s: float, path: Path, replicas: int) -> Scaling:
    probed = options.target_burst_capacity != ALWAYS_PROXIED
    if probed and not path.probe_ok:
        return Scaling(0, probed=True, probe_again=True)
    return _after_retention(options, inactive_s, path, replicas)._replace(probed=probed)


def _after_retention(options: ScaleOptions, inactive_s: float, path: Path, replicas: int) -> Scaling:
    grace_s = options.scale_to_zero_grace_period_s
    retention_s = options.scale_to_zero_pod_retention_period_s if options.reachable else 0.0
    if inactive_s < retention_s:
        return Scaling(0, requeue_s=retention_s - inactive_s)
    if inactive_s >= grace_s or path.proxied_s >= grace_s:
        return _written(0, replicas)
    return Scaling(0, requeue_s=grace_s - path.proxied_s)


def condition_after(options: ScaleOptions, before: Condition, *, want: int, ready: int) -> Condition:
    """Give the next condition, from the reported number and the ready replicas."""
    needed = max(options.min_scale, 1 if before.initialised else options.initial_scale)
    initialised = before.initialised or ready >= needed
    if want == 0 or needed == 0:
        timed_out = before.active is Active.ACTIVATING and needed > 0
        return Condition(Active.INACTIVE, "TimedOut" if timed_out else "NoTraffic", initialised)
    if want < 0 and before.active is Active.INACTIVE:
        return Condition(Active.INACTIVE, "NoTraffic" if ready < needed else before.reason, initialised)
    if ready < needed:
        return Condition(Active.ACTIVATING, "Queued", initialised)
    return SERVING


class Lifecycle:
    """The condition of a revision over time."""

    __slots__ = ("condition", "since_s")

    def __init__(self, condition: Condition, now_s: float) -> None:
        """Begin in a condition."""
        self.condition = condition
        self.since_s = now_s

    def step(
        self, options: ScaleOptions, now_s: float, path: Path, *, desired: int, replicas: int, ready: int
    ) -> Scaling:
        """Say what to do about a desired number, and change to the next condition."""
        in_condition_s = now_s - self.since_s
        scaling = scale(options, self.condition, in_condition_s, path, desired=desired, replicas=replicas)
        after = condition_after(options, self.condition, want=scaling.want, ready=ready)
        if after != self.condition:
            if after[:2] != self.condition[:2]:  # a new reason alone restarts the time, too
                self.since_s = now_s
            self.condition = after
        return scaling

    def export(self) -> State:
        """Give the condition and its start."""
        active, reason, initialised = self.condition
        return {
            "version": VERSION,
            "active": active.value,
            "reason": reason,
            "initialised": initialised,
            "since_s": self.since_s,
        }

    def restore(self, state: State) -> None:
        """Continue from an exported condition; raises ValueError on an unknown version."""
        check(state, "Lifecycle")
        self.condition = Condition(Active(state["active"]), state["reason"], state["initialised"])
        self.since_s = state["since_s"]
