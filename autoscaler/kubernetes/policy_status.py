"""A policy's status from its last decision: conditions with the HPA's reason names, numbers and reasons. No I/O.

The fields and the columns of `kubectl get` are in `autoscaler.policy.status`.

Only changes that matter to a reader are written. A message that counts seconds, or a time, is never by itself a reason
to write again.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from autoscaler.controller.budgets import RULE as BUDGET
from autoscaler.host_claims import Conflict
from autoscaler.kubernetes.objects import NotReady
from autoscaler.kubernetes.pool_status import EXHAUSTED, PoolReport
from autoscaler.kubernetes.timestamps import timestamp, unix_s
from autoscaler.policy.pod_ending import DrainProblem
from autoscaler.ports import Record, Rescale

Status = Mapping[str, Any]

_OVERRIDING_RULES = {
    "secondPolicy": "AmbiguousTarget",
    "replicasContested": "ReplicasContested",
    "foreignWriter": "ForeignWriter",
    "override": "ManualOverride",
    "paused": "Paused",
    "deciderFailed": "DeciderFailed",
}
"""Rules under which the recommendation is not followed at all, the strongest first."""
_HOST_CONFLICT, _HOST_NOT_ALLOWED = "HostConflict", "HostNotAllowed"
_CONFLICTS_SHOWN = 5
_KEPT = (
    "minReplicas",
    "maxReplicas",
    "desiredReplicas",
    "readyReplicas",
    "inflight",
    "lastScaleTime",
    "lastDecision",
)
"""Fields that keep their value while nothing newer is known."""
_LISTS = ("pools", "candidates")
"""Fields that are gone when the policy has them no more."""
_LIMITS = {BUDGET: "BudgetExceeded", "maxReplicas": "TooManyReplicas", "minReplicas": "TooFewReplicas"}
"""Rules that keep the number from what was recommended, the strongest first."""
_SCALE_DOWN_DELAYS = frozenset({"scaleDown.delay", "scaleDown.toZeroDelay"})


class Condition(NamedTuple):
    """One condition, as a reader sees it."""

    type: str
    holds: bool
    reason: str
    message: str


class Facts(NamedTuple):
    """Everything that a status is made from."""

    generation: int
    invalid: str = ""
    """Why the policy is not valid as it is now; the last valid version stays in force."""
    conflicts: tuple[Conflict, ...] = ()
    """Hosts that it cannot have; its other hosts are routed, and it is scaled."""
    problem: str = ""
    """Why its target cannot be observed."""
    dry_run: bool = False
    record: Record | None = None
    """The last decision; None before the first."""
    changed: tuple[Record, float] | None = None
    """The last one that changed the number, or would have, and when: later decisions must not hide it."""
    is_gap: bool = False
    """Whether the count is unknown, and was known a moment ago."""
    not_ready: NotReady | None = None
    """Why fewer pods are ready than were asked for, if Kubernetes says why."""
    pools: PoolReport | None = None
    """The pools of a service that has some."""
    cuts: DrainProblem | None = None
    """Why requests can be cut when pods leave."""
    annotated: str = ""
    """Which annotations of its target have no effect."""
    bounds: tuple[int, int] | None = None
    """The least and the most replicas that the policy in force allows; None if no policy is in force."""


def conditions(facts: Facts) -> tuple[Condition, ...]:
    """Give Ready, ScalingActive, AbleToScale, ScalingLimited, then what there is of pods, other writers and pools."""
    able, active, limited, missing = _able(facts), _active(facts), _limited(facts), _missing(facts)
    needed = (_legal(facts), _routed(facts), able, active, *_placed(facts), *missing)
    first = next((each for each in needed if not each.holds), None)
    if first is None:
        ready = Condition("Ready", holds=True, reason="ScalingActive", message="the target follows the policy")
    else:
        ready = first._replace(type="Ready")
    return (
        ready,
        active,
        able,
        limited,
        *missing,
        *_contested(facts),
        *_exhausted(facts),
        *_cutting(facts),
        *_ignored(facts),
    )


def _missing(facts: Facts) -> tuple[Condition, ...]:
    """Give PodsReady if something keeps pods from being ready; a normal start is no condition.

    If other pools serve in place of one whose pods are not ready, nothing is missing.
    """
    if facts.not_ready is None or (facts.pools and _has_enough(facts)):
        return ()
    return (Condition("PodsReady", holds=False, reason=facts.not_ready.reason, message=facts.not_ready.message),)


def _cutting(facts: Facts) -> tuple[Condition, ...]:
    """Give DrainsSafely if a pod that leaves is killed before its requests can end."""
    if facts.cuts is None:
        return ()
    return (Condition("DrainsSafely", holds=False, reason=facts.cuts.reason, message=facts.cuts.message),)


def _ignored(facts: Facts) -> tuple[Condition, ...]:
    """Give AnnotationIgnored if somebody has annotated the target instead of the policy."""
    if not facts.annotated:
        return ()
    return (Condition("AnnotationIgnored", holds=True, reason="OnTarget", message=facts.annotated),)


def _contested(facts: Facts) -> tuple[Condition, ...]:
    """Give ReplicasContested if another writer replaces our numbers again and again, with what ends it."""
    why = contested(facts.record) if facts.record else ""
    return (Condition("ReplicasContested", holds=True, reason="WrittenAgain", message=why),) if why else ()


def contested(record: Record) -> str:
    """Say who replaces our numbers again and again, and what ends it; empty if nobody does."""
    why = next((each.why for each in record.decision.reasons if each.rule == "replicasContested"), "")
    if not why:
        return ""
    if why.startswith(("HorizontalPodAutoscaler", "ScaledObject")):
        return f"{why}; let one of the two write: delete it, or delete this policy"
    return f"{why}; let one of the two write: remove `replicas` from the manifest, or let its tool ignore spec.replicas"


def _placed(facts: Facts) -> tuple[Condition, ...]:
    """Give Ready as far as it depends on pools: it does not hold while no pool has room for what is asked for."""
    if facts.pools is None or not facts.pools.lacks or _has_enough(facts):
        return ()
    return (Condition("Ready", holds=False, reason=EXHAUSTED, message=facts.pools.message),)


def _exhausted(facts: Facts) -> tuple[Condition, ...]:
    report = facts.pools
    return () if report is None else (Condition(EXHAUSTED, report.is_exhausted, report.reason, report.message),)


def _has_enough(facts: Facts) -> bool:
    return facts.record is not None and facts.record.observation.ready >= facts.record.decision.desired


def _legal(facts: Facts) -> Condition:
    return Condition("Ready", not facts.invalid, "InvalidPolicy", facts.invalid)


def host_problem(conflicts: Sequence[Conflict]) -> tuple[str, str]:
    """Give the reason and the message for hosts that a policy cannot have; the message names the first few."""
    shown = "; ".join(conflict.why for conflict in conflicts[:_CONFLICTS_SHOWN])
    more = len(conflicts) - _CONFLICTS_SHOWN
    owned = any(conflict.owner for conflict in conflicts)
    return _HOST_CONFLICT if owned else _HOST_NOT_ALLOWED, f"{shown}; and {more} more" if more > 0 else shown


def _routed(facts: Facts) -> Condition:
    return Condition("Ready", not facts.conflicts, *host_problem(facts.conflicts))


def _able(facts: Facts) -> Condition:
    error = facts.record.outcome.error if facts.record and facts.record.outcome else ""
    rules = _rules(facts)
    if facts.problem:
        return Condition("AbleToScale", holds=False, reason="FailedGetScale", message=facts.problem)
    if error:
        return Condition("AbleToScale", holds=False, reason="FailedUpdateScale", message=error)
    if not _SCALE_DOWN_DELAYS.isdisjoint(rules):
        return Condition("AbleToScale", holds=True, reason="ScaleDownStabilized", message=", ".join(rules))
    return Condition("AbleToScale", holds=True, reason="ReadyForNewScale", message="the scale can be read and written")


def _active(facts: Facts) -> Condition:
    record, rules = facts.record, _rules(facts)
    if record is None:
        return Condition("ScalingActive", holds=False, reason="NotDecidedYet", message="no decision has been made yet")
    for rule, reason in _OVERRIDING_RULES.items():
        if rule in rules:
            return Condition("ScalingActive", holds=False, reason=reason, message=rules[rule])
    if facts.dry_run:
        return Condition("ScalingActive", holds=False, reason="DryRun", message="decided and recorded, never written")
    if facts.is_gap:
        return Condition(
            "ScalingActive", holds=True, reason="ValidMetricFound", message=f"held: {record.observation.problem}"
        )
    if record.observation.inflight is None:
        return Condition(
            "ScalingActive", holds=False, reason="FailedGetExternalMetric", message=record.observation.problem
        )
    return Condition("ScalingActive", holds=True, reason="ValidMetricFound", message=record.decision.recommendation.why)


def _limited(facts: Facts) -> Condition:
    rules = _rules(facts)
    for rule, reason in _LIMITS.items():
        if rule in rules:
            return Condition("ScalingLimited", holds=True, reason=reason, message=rules[rule])
    return Condition(
        "ScalingLimited", holds=False, reason="DesiredWithinRange", message="the recommendation is within the range"
    )


def _rules(facts: Facts) -> dict[str, str]:
    """Give the rules that changed the number, each with its explanation."""
    return {each.rule: each.why for each in facts.record.decision.reasons} if facts.record else {}


def status(facts: Facts, before: Status, now_s: float) -> dict[str, Any]:
    """Make the status that a policy should have; the status before gives the times of what has not changed."""
    known = {each["type"]: each for each in before.get("conditions") or ()}
    made: dict[str, Any] = {
        "observedGeneration": facts.generation,
        "conditions": [_written(each, known.get(each.type), facts, now_s) for each in conditions(facts)],
    }
    made |= {key: before[key] for key in _KEPT if key in before}
    if facts.bounds is not None:
        made["minReplicas"], made["maxReplicas"] = facts.bounds
    # Null removes a list in a merge patch. Before the first decision nothing newer is known.
    made |= {key: None if facts.record else before[key] for key in _LISTS if before.get(key)}
    if facts.pools is not None:
        made["pools"] = facts.pools.pools
    if facts.record is not None:
        made.update(_counted(facts.record, is_gap=facts.is_gap))
    if facts.changed is not None:
        made.update(_decided(*facts.changed, before))
    return made


def _written(condition: Condition, before: Status | None, facts: Facts, now_s: float) -> dict[str, Any]:
    holds = "True" if condition.holds else "False"
    same = before is not None and before["status"] == holds
    return {
        "type": condition.type,
        "status": holds,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": facts.generation,
        "lastTransitionTime": before["lastTransitionTime"] if same and before else timestamp(now_s),
    }


def _counted(record: Record, *, is_gap: bool) -> dict[str, Any]:
    inflight = record.observation.inflight
    made: dict[str, Any] = {
        "desiredReplicas": record.decision.desired,
        "readyReplicas": record.observation.ready,
    }
    if record.candidates:
        made["candidates"] = [
            {"name": name, "desiredReplicas": decision.desired} for name, decision in record.candidates
        ]
    if is_gap:
        return made
    # An absent count is unknown. Null removes it in a merge patch.
    return {**made, "inflight": None if inflight is None else ceil(max(inflight, record.observation.latest))}


def _decided(record: Record, at_s: float, before: Status) -> dict[str, Any]:
    observation, decision = record.observation, record.decision
    replicas, why, *_ = decision.recommendation
    last = {
        "time": timestamp(at_s),
        "before": observation.replicas,
        "desired": decision.desired,
        "recommendation": {"why": why} if replicas is None else {"replicas": replicas, "why": why},
        "reasons": [
            reason._asdict() for reason in (*decision.reasons, *(record.outcome.drain if record.outcome else ()))
        ],
        "error": record.outcome.error if record.outcome else "",
        **({"written": record.written is not None} if record.outcome else {}),
    }
    known = before.get("lastDecision") or {}
    # Another replica of the controller may have led and decided since.
    if _same_decision(last, known) or last["time"] < known.get("time", ""):
        return {}
    scaled = {"lastScaleTime": last["time"]} if last.get("written") else {}
    return {"lastDecision": last, **scaled}


def last_rescale(status: Status) -> Rescale | None:
    """Read from a status when the number last changed, and from which number."""
    try:
        at_s = unix_s(status["lastScaleTime"])
    except (LookupError, TypeError, ValueError):
        return None
    last = status.get("lastDecision")
    last = last if isinstance(last, Mapping) else {}
    is_it = last.get("written") and last.get("time") == status["lastScaleTime"]
    return Rescale(at_s, last.get("before") if is_it else None)


def _same_decision(last: Status, before: Status) -> bool:
    """Tell whether a decision is already written: in DryRun every tick decides the same."""
    keys = ("desired", "error", "written")
    return not last.get("written") and all(last.get(key) == before.get(key) for key in keys)


def matters(status: Status, *, counts: bool = True) -> list[Any]:
    """Give the parts of a status whose change is worth a write; counts and what candidates ask for only if `counts`."""
    last = status.get("lastDecision") or {}
    return [
        *_conditions(status),
        status.get("observedGeneration"),
        status.get("minReplicas"),
        status.get("maxReplicas"),
        status.get("desiredReplicas"),
        status.get("readyReplicas"),
        status.get("pools"),
        (last.get("time"), last.get("desired"), last.get("error")),
        status.get("inflight") if counts else None,
        status.get("candidates") if counts else None,
    ]


def _conditions(status: Status) -> Iterator[tuple[str, str, str, str]]:
    for each in status.get("conditions") or ():
        # A host may change its owner, whom the message names.
        message = each.get("message", "") if each["reason"] == _HOST_CONFLICT else ""
        yield each["type"], each["status"], each["reason"], message


def visible(record: Record) -> tuple[object, ...]:
    """Give the parts of a record whose change makes a new status due; it is compared at every decision."""
    observation, decision = record.observation, record.decision
    count = None if observation.inflight is None else ceil(max(observation.inflight, observation.latest))
    error = record.outcome.error if record.outcome else ""
    return (
        decision.desired,
        observation.replicas,
        observation.ready,
        observation.pools,
        count,
        [reason.rule for reason in decision.reasons],
        error,
        [decision.desired for _, decision in record.candidates],
    )
