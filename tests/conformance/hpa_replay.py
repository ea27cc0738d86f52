"""Replays an HPA and a ScaledObject, and words what their status and their events would show.

The algorithms give reasons as values; here are Kubernetes' sentences, and how a write changes a condition.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from algorithms.hpa_behavior import Limited
from algorithms.hpa_metrics import FAILED_READING, Failure, Metric, MetricKind, Reading, Scale, TargetType
from algorithms.hpa_reconcile import FAILED_TO_GET, Active, Cause, HpaOptions, Outcome, Reconciler
from algorithms.keda import Action, Activity, KedaOptions, Poll, Ready, ScaleLoop, hpa_options, switches_of

ABOVE_TARGET = {
    (MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE): "external metric m{}(nil)",
    (MetricKind.EXTERNAL, TargetType.VALUE): "external metric m{}(nil)",
    (MetricKind.OBJECT, TargetType.AVERAGE_VALUE): "external metric m{}(nil)",
    (MetricKind.OBJECT, TargetType.VALUE): "Service metric m{}",
    (MetricKind.PODS, TargetType.AVERAGE_VALUE): "pods metric m{}",
}
NO_PODS = "no pods returned by selector while calculating replica count"
NO_SAMPLES = "did not receive metrics for targeted pods (pods might be unready)"


def failure_text(asked: Metric, place: int, failure: Failure) -> str:
    """Word the warning of one failed metric."""
    if failure is Failure.NO_SAMPLES:
        return NO_SAMPLES
    if failure is Failure.NO_PODS:
        return NO_PODS if asked.kind is MetricKind.PODS else f"unable to calculate ready pods: {NO_PODS}"
    return {
        MetricKind.EXTERNAL: f"unable to get external metric ns/m{place}/nil: metric unavailable",
        MetricKind.OBJECT: f"unable to get metric m{place}: Service on ns svc/metric unavailable",
        MetricKind.PODS: f"unable to get metric m{place}: metric unavailable",
    }[asked.kind]


def wrapped(asked: Metric, place: int, text: str) -> str:
    """Word the same failure as the reconcile's error quotes it."""
    average = asked.target_type is TargetType.AVERAGE_VALUE
    if asked.kind is MetricKind.EXTERNAL:
        inner = f"failed to get m{place} external metric" if average else f"failed to get external metric m{place}"
        return f"failed to get m{place} external metric value: {inner}: {text}"
    if asked.kind is MetricKind.OBJECT:
        inner = f"failed to get m{place} object metric: " if average else ""
        return f"failed to get object metric value: {inner}{text}"
    return f"failed to get pods metric value: {text}"


def failure_events(options: HpaOptions, outcome: Outcome) -> list[str]:
    texts = [failure_text(options.metrics[place], place, failure) for place, failure in outcome.failures]
    events = [
        f"Warning {FAILED_TO_GET[options.metrics[place].kind]} {text}"
        for (place, _), text in zip(outcome.failures, texts, strict=True)
    ]
    if outcome.failures and outcome.proposed is None:
        first = outcome.failures[0][0]
        counts = f"{len(texts)} invalid out of {len(options.metrics)}"
        error = wrapped(options.metrics[first], first, texts[0])
        events.append(f"Warning FailedComputeMetricsReplicas invalid metrics ({counts}), first error is: {error}")
    return events


def rescale_event(options: HpaOptions, outcome: Outcome, *, fails: bool) -> str:
    reason = str(outcome.cause)
    if outcome.cause is Cause.ABOVE_TARGET:
        asked = options.metrics[outcome.proposer]
        reason = f"{ABOVE_TARGET[asked.kind, asked.target_type].format(outcome.proposer)} {reason}"
    if fails:
        return f"Warning FailedRescale New size: {outcome.desired}; reason: {reason}; error: update refused"
    return f"Normal SuccessfulRescale New size: {outcome.desired}; reason: {reason}"


def condition(reason: str, *, holds: bool) -> dict[str, str]:
    return {"status": str(holds), "reason": str(reason)}


class RecordedHpa:
    """Replays an HPA, keeping what its status and its events would show."""

    def __init__(self, options: HpaOptions) -> None:
        self.hpa = Reconciler(options)
        self.conditions: dict[str, dict[str, str]] = {}

    def step(
        self, now_s: float, scale: Scale, read: Callable[[], list[Reading]], *, write_fails: bool
    ) -> dict[str, Any]:
        """Reconcile, write, and give what a recording holds of a step."""
        outcome = self.hpa.reconcile(now_s, scale, read)
        due = outcome.desired != scale.spec
        rescaled = due and not write_fails
        if rescaled:
            self.hpa.wrote(now_s, scale.spec, outcome.desired)
        self._show(outcome, due=due, rescaled=rescaled)
        options = self.hpa.options
        events = failure_events(options, outcome)
        if due:
            events.append(rescale_event(options, outcome, fails=write_fails))
        return {
            "metric_desired": outcome.proposed,
            "metric_error": bool(outcome.failures),
            "stabilized": outcome.stabilised,
            "desired": outcome.desired if rescaled else scale.spec,
            "rescaled": rescaled,
            "reconcile_error": bool(outcome.failures) or (due and not rescaled),
            "conditions": self.conditions,
            "events": events,
        }

    def _show(self, outcome: Outcome, *, due: bool, rescaled: bool) -> None:
        shown = self.conditions
        shown["AbleToScale"] = condition(outcome.able, holds=True)
        if outcome.active is not None:
            shown["ScalingActive"] = condition(outcome.active, holds=outcome.active is Active.VALID)
        if outcome.limited is not None:
            shown["ScalingLimited"] = condition(outcome.limited, holds=outcome.limited is not Limited.WITHIN_RANGE)
        if not due:
            return
        shown["AbleToScale"] = condition("SucceededRescale" if rescaled else "FailedUpdateScale", holds=rescaled)
        if rescaled and self.hpa.options.scale_to_zero:
            zero = self.hpa.scaled_to_zero
            shown["ScaledToZero"] = condition("ScaledToZero" if zero else "NotScaledToZero", holds=zero)


READY_STATUS = {Ready.READY: "True", Ready.PARTIAL: "Unknown", Ready.ERROR: "False"}


def poll_events(before: int, poll: Poll, *, forced: bool) -> list[str]:
    change = f"Deployment ns/d from {before} to {poll.replicas}"
    if poll.action is Action.DEACTIVATE:
        return [f"Normal {poll.action} Deactivated {change}"]
    if poll.action is Action.ACTIVATE:
        cause = "caused by forced activation annotation" if forced else "triggered by s0-prometheus"
        return [f"Normal {poll.action} Scaled {change}, {cause}"]
    return []


def poll_conditions(poll: Poll) -> dict[str, dict[str, str]]:
    shown = {"Ready": {"status": READY_STATUS[poll.ready], "reason": str(poll.ready)}}
    if poll.activity is Activity.PAUSED:
        return shown | {"Paused": condition(poll.activity, holds=True)}
    return shown | {"Active": condition(poll.activity, holds=poll.activity is Activity.ACTIVE)}


class RecordedKeda:
    """Replays a ScaledObject and its HPA, each when the recording says."""

    def __init__(self, options: KedaOptions) -> None:
        self.loop = ScaleLoop(options)
        self.loop.created_s = 0.0
        self.hpa = RecordedHpa(hpa_options(options))
        self.conditions: dict[str, dict[str, str]] = {}

    def keda(self, step: Mapping[str, Any]) -> dict[str, Any]:
        annotations = dict(text.split("=", 1) for text in step.get("annotations", ()))
        self.loop.options = replace(self.loop.options, switches=switches_of(annotations))
        poll = self.loop.poll(step["t"], step["spec_replicas"], step["value_milli"])
        self.conditions |= poll_conditions(poll)
        return {
            "out_replicas": poll.replicas,
            "out_conditions": self.conditions,
            "out_events": poll_events(step["spec_replicas"], poll, forced=self.loop.options.switches.force_activation),
        }

    def sync(self, step: Mapping[str, Any]) -> dict[str, Any]:
        # The recordings' driver queries at each of the HPA's steps; the real HPA, switched off at 0, does not, and
        # neither does `Keda`.
        value_milli = self.loop.read(step["value_milli"], step["spec_replicas"]).value_milli
        readings = [FAILED_READING if value_milli is None else Reading((value_milli,))]
        scale = Scale(spec=step["spec_replicas"], status=step["status_replicas"])
        out = self.hpa.step(step["t"], scale, lambda: readings, write_fails=False)
        return {
            "out_replicas": out["desired"],
            "out_conditions": out["conditions"],
            "out_events": out["events"],
        }
