"""Whether a pod that leaves has the time to finish what it runs. No I/O.

Rules:
1. A pod is killed when its grace period is over, however long its preStop hooks are.
2. A request runs for at most `requestTimeout`, so the grace period must be at least as long.
3. A preStop hook delays SIGTERM. If it takes the whole grace period, the server is killed without SIGTERM.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from autoscaler.policy.spec import ScalingPolicy
from autoscaler.policy.traffic import Traffic

_DEFAULT_S = 30
"""Kubernetes' own default of `terminationGracePeriodSeconds`."""
_MARGIN_S = 30
"""For a request that was sent in the last moment, and for the server's own end."""


class PodEnding(NamedTuple):
    """How the pods of a workload end."""

    grace_period_s: int
    """From the deletion of a pod until it is killed."""
    pre_stop_s: int = 0
    """The longest sleep of its preStop hooks; other hooks have no known length."""


class DrainProblem(NamedTuple):
    """Why requests can be cut when pods leave."""

    reason: str
    message: str


def pod_ending(spec: Mapping[str, Any]) -> PodEnding:
    """Read it from the spec of a pod."""
    grace_period_s = spec.get("terminationGracePeriodSeconds")
    return PodEnding(_DEFAULT_S if grace_period_s is None else grace_period_s, max(_sleeps(spec), default=0))


def _sleeps(spec: Mapping[str, Any]) -> Iterator[int]:
    for container in spec.get("containers") or ():
        hook = (container.get("lifecycle") or {}).get("preStop") or {}
        yield (hook.get("sleep") or {}).get("seconds", 0)


def drain_problem(ending: PodEnding, policy: ScalingPolicy) -> DrainProblem | None:
    """Say why requests of a policy can be cut when its pods leave; None if they cannot, or others route them."""
    traffic = policy.spec.traffic
    if traffic is None:
        return None
    longest_s = _longest_s(traffic)
    if ending.grace_period_s < longest_s:
        return DrainProblem(
            "GracePeriodTooShort",
            f"a pod that leaves is killed after {ending.grace_period_s} s, and a request may take {longest_s:g} s "
            f"(traffic.requestTimeout): set terminationGracePeriodSeconds of the pods to {longest_s + _MARGIN_S:g}",
        )
    if ending.pre_stop_s >= ending.grace_period_s:
        return DrainProblem(
            "PreStopTooLong",
            f"the preStop hook sleeps {ending.pre_stop_s} s of a grace period of {ending.grace_period_s} s, so the "
            "server is killed without SIGTERM: set terminationGracePeriodSeconds of the pods to "
            f"{ending.pre_stop_s + _MARGIN_S}",
        )
    return None


def _longest_s(traffic: Traffic) -> float:
    return max(traffic.request_timeout, *(path.request_timeout or 0.0 for path in traffic.paths), 0.0)
