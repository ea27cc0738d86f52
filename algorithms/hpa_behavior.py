"""How fast the HorizontalPodAutoscaler follows its metrics: the past recommendations and the rates of `behavior`.

1. A recommendation counts in a window of `behavior` while its age is below the window. Without `behavior` it also
   counts at the very end of the window. A write counts in a policy while its age is below the period.
2. Only the HPA's own successful writes count. Writes of others only change the starting point.
3. Percentages are IEEE doubles as upstream: 90 % down from 10 leaves trunc(0.9999...) = 0, not 1.

Source: pkg/controller/podautoscaler/horizontal.go, Kubernetes v1.36.3.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import NamedTuple

EDGE_S = 1e-6
"""An age this close to the end of a window is at the end: Unix time as a double is exact to a quarter of this."""

LONGEST_WINDOW_S = 3600.0
"""The longest window in the API; nothing older is needed."""


class PolicyType(StrEnum):
    """Whether a policy's value is a number of pods or a percentage of them."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which policy applies: the one that allows the largest change, the smallest change, or no change at all."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `value` pods, or percent, in any `period_s`."""

    type: PolicyType
    value: int
    period_s: int


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """One direction of `behavior`."""

    stabilization_window_s: int
    select_policy: SelectPolicy
    policies: tuple[Policy, ...]
    """At least one."""
    tolerance: float | None
    """None: that of the controller manager."""


@dataclass(frozen=True, slots=True)
class Behavior:
    """The `behavior` of an HPA, with the defaults of the API and of the controller manager."""

    scale_up: ScalingRules
    scale_down: ScalingRules


class Limited(StrEnum):
    """Reasons of the condition ScalingLimited."""

    WITHIN_RANGE = "DesiredWithinRange"
    TOO_FEW = "TooFewReplicas"
    TOO_MANY = "TooManyReplicas"
    SCALE_UP = "ScaleUpLimit"
    SCALE_DOWN = "ScaleDownLimit"


class Limit(NamedTuple):
    """A number after the limits, and which limit changed it."""

    replicas: int
    reason: Limited


class Step(NamedTuple):
    """A number of replicas at a time."""

    at_s: float
    replicas: int


class Recommendations:
    """The proposals of the metrics, as far back as a window can reach.

    Only the highest and the lowest since some time are needed. So an older high is removed when a newer one is not
    below it, and lows likewise: a few numbers cover an hour.
    """

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        self._highs: deque[Step] = deque()
        self._lows: deque[Step] = deque()

    def __bool__(self) -> bool:
        return bool(self._highs)

    def add(self, now_s: float, replicas: int) -> None:
        """Record a proposal."""
        step = Step(now_s, replicas)
        while self._highs and self._highs[-1].replicas <= replicas:
            self._highs.pop()
        while self._lows and self._lows[-1].replicas >= replicas:
            self._lows.pop()
        for steps in (self._highs, self._lows):
            steps.append(step)
            while steps[0].at_s < now_s - LONGEST_WINDOW_S - EDGE_S:
                steps.popleft()

    def highest(self, after_s: float, default: int) -> int:
        """Give the highest after a time, or the default if that is higher."""
        return max(default, _first(self._highs, after_s, default))

    def lowest(self, after_s: float, default: int) -> int:
        """Give the lowest after a time, or the default if that is lower."""
        return min(default, _first(self._lows, after_s, default))

    def export(self) -> list[list[Step]]:
        """Give the state, JSON-ready."""
        return [list(self._highs), list(self._lows)]

    def restore(self, steps: Sequence[Iterable[Sequence[float]]]) -> None:
        """Continue with an exported state."""
        self._highs, self._lows = (deque(Step(at_s, int(number)) for at_s, number in side) for side in steps)


def _first(steps: Iterable[Step], after_s: float, default: int) -> int:
    return next((step.replicas for step in steps if step.at_s > after_s), default)


class ScaleEvents:
    """The HPA's own writes, by direction."""

    __slots__ = ("_downs", "_ups")

    def __init__(self) -> None:
        self._ups: list[Step] = []
        self._downs: list[Step] = []

    def add(self, now_s: float, before: int, after: int, behavior: Behavior) -> None:
        """Record a successful write."""
        if after > before:
            _keep(self._ups, Step(now_s, after - before), behavior.scale_up)
        else:
            _keep(self._downs, Step(now_s, before - after), behavior.scale_down)

    def start(self, now_s: float, spec: int, period_s: int) -> int:
        """Give the replicas at the start of a period, as if only the HPA had written."""
        after_s = now_s - period_s + EDGE_S
        return spec - _changed(self._ups, after_s) + _changed(self._downs, after_s)

    def export(self) -> list[list[Step]]:
        """Give the state, JSON-ready."""
        return [list(self._ups), list(self._downs)]

    def restore(self, steps: Sequence[Iterable[Sequence[float]]]) -> None:
        """Continue with an exported state."""
        self._ups, self._downs = ([Step(at_s, int(number)) for at_s, number in side] for side in steps)


def _keep(events: list[Step], event: Step, rules: ScalingRules) -> None:
    """Replace an event that is older than the longest period of its direction, as upstream does.

    The policies of the other direction may reach further back, and then miss the replaced one.
    """
    stale_s = event.at_s - max(policy.period_s for policy in rules.policies) - EDGE_S
    for place in reversed(range(len(events))):
        if events[place].at_s < stale_s:
            events[place] = event
            return
    events.append(event)


def _changed(events: Iterable[Step], after_s: float) -> int:
    return sum(event.replicas for event in events if event.at_s > after_s)


def stabilise_without_behavior(desired: int, now_s: float, window_s: float, recommendations: Recommendations) -> int:
    """Give the highest recommendation of the window, its end included."""
    return recommendations.highest(now_s - window_s - EDGE_S, desired)


def stabilise(spec: int, desired: int, now_s: float, behavior: Behavior, recommendations: Recommendations) -> int:
    """Go no higher than the lowest recent recommendation, and no lower than the highest one.

    If the two conflict, the highest of the scale-down window wins.
    """
    up_s, down_s = behavior.scale_up.stabilization_window_s, behavior.scale_down.stabilization_window_s
    low = recommendations.lowest(now_s - up_s + EDGE_S, desired)
    high = recommendations.highest(now_s - down_s + EDGE_S, desired)
    return min(max(spec, low), high)


def limit_without_behavior(spec: int, wanted: int, min_replicas: int, max_replicas: int) -> Limit:
    """Apply the bounds, and at most double or go to 4 in one step."""
    fastest = max(2 * spec, 4)
    if wanted < min_replicas:
        return Limit(min_replicas, Limited.TOO_FEW)
    if wanted > min(max_replicas, fastest):
        return Limit(fastest, Limited.SCALE_UP) if max_replicas > fastest else Limit(max_replicas, Limited.TOO_MANY)
    return Limit(wanted, Limited.WITHIN_RANGE)


def limit(
    spec: int,
    wanted: int,
    min_replicas: int,
    max_replicas: int,
    *,
    now_s: float,
    behavior: Behavior,
    events: ScaleEvents,
) -> Limit:
    """Apply the rates of the policies and the bound in the direction of the change; a reconcile restores the other."""
    if wanted > spec:
        fastest = max(spec, scale_up_limit(spec, now_s, behavior.scale_up, events))
        if wanted > min(max_replicas, fastest):
            return Limit(fastest, Limited.SCALE_UP) if max_replicas > fastest else Limit(max_replicas, Limited.TOO_MANY)
    elif wanted < spec:
        fastest = min(spec, scale_down_limit(spec, now_s, behavior.scale_down, events))
        if wanted < max(min_replicas, fastest):
            return (
                Limit(fastest, Limited.SCALE_DOWN) if min_replicas < fastest else Limit(min_replicas, Limited.TOO_FEW)
            )
    return Limit(wanted, Limited.WITHIN_RANGE)


def scale_up_limit(spec: int, now_s: float, rules: ScalingRules, events: ScaleEvents) -> int:
    """Give the most replicas that the scale-up policies allow now; percentages round up, so that 1 can become 2."""
    if rules.select_policy is SelectPolicy.DISABLED:
        return spec
    select = min if rules.select_policy is SelectPolicy.MIN else max
    return select(_raised(policy, events.start(now_s, spec, policy.period_s)) for policy in rules.policies)


def scale_down_limit(spec: int, now_s: float, rules: ScalingRules, events: ScaleEvents) -> int:
    """Give the fewest replicas that the scale-down policies allow now; the largest change is the smallest number."""
    if rules.select_policy is SelectPolicy.DISABLED:
        return spec
    select = max if rules.select_policy is SelectPolicy.MIN else min
    return select(_lowered(policy, events.start(now_s, spec, policy.period_s)) for policy in rules.policies)


def _raised(policy: Policy, start: int) -> int:
    return start + policy.value if policy.type is PolicyType.PODS else ceil(start * (1 + policy.value / 100))


def _lowered(policy: Policy, start: int) -> int:
    return start - policy.value if policy.type is PolicyType.PODS else int(start * (1 - policy.value / 100))
