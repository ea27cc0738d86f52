"""Knative's concurrency autoscaler (KPA): two windows, and the decision on them.

Matches knative.dev/serving v0.51.0 (`scaling/autoscaler.go`) decision for decision. The rules of one evaluation at time
t, with R ready replicas and the averages S (stable window) and P (panic window):

0. While R is unknown or the windows have no data, nothing is decided or recorded.
1. Rates are relative to R1 = max(1, R).
2. up = ceil(max scale-up rate x R1); down = floor(R1 / max scale-down rate), 0 when unreachable.
3. Raw counts: ceil(S / target) and ceil(P / target).
4. Each is kept within down and up; up wins.
5. Demand of any size asks for at least the activation scale, whatever the rates say.
6. Raw panic count / R1 at or above the threshold begins or renews panic; more than a stable window without it ends it.
7. In panic the highest count of that panic applies; else the stable count.
8. While reachable, the highest result within the scale-down delay applies.
9. Excess burst capacity = floor(R x total - target burst capacity - P): capacity left over with R itself, not R1.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal, NamedTuple

from algorithms.good_time import current_count, seconds_covered
from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import Average, Recommendation, State
from algorithms.windows import DelayWindow, LinearWindow, WeightedWindow

Aggregation = Literal["linear", "weighted-exponential"]

ALWAYS_PROXIED = -1
"""Target burst capacity that keeps the activator in the path always, so that nothing is scraped from replicas."""

_WINDOWS: dict[Aggregation, type[LinearWindow | WeightedWindow]] = {
    "linear": LinearWindow,
    "weighted-exponential": WeightedWindow,
}


@dataclass(frozen=True, slots=True)
class KpaOptions:
    """The resolved options of a decision; defaults and ranges are applied when a document is read."""

    target: float
    """The load that one replica should have, after utilisation; at least 0.01."""
    total: float
    """The load that one replica can have, before utilisation."""
    panic_threshold: float
    """Ratio of the panic window's replicas to the ready ones at which panic begins."""
    max_scale_up_rate: float
    max_scale_down_rate: float
    target_burst_capacity: float
    """The burst that must fit without queueing; 0 is none, -1 is unlimited."""
    stable_window_s: int
    panic_window_s: int
    scale_down_delay_s: float
    """Fixed when a decider is made; later changes have no effect, as in Knative."""
    activation_scale: int
    """The lowest number for any demand above zero; 0 is unset."""
    reachable: bool
    """False if no route leads to the revision: the number may then fall at any rate."""
    aggregation: Aggregation
    """The kind of average; fixed when the windows are made."""


class KpaDecision(NamedTuple):
    """The result of one evaluation; an invalid one must not be applied."""

    valid: bool
    desired: int
    excess_burst_capacity: int


_MOST = 2**31 - 1
"""The largest number in Kubernetes; no rate asks for more."""

INVALID = KpaDecision(valid=False, desired=0, excess_burst_capacity=0)


def _rate_limits(options: KpaOptions, pods: int) -> tuple[int, int]:
    """Give the lowest and the highest count reachable from `pods` in one evaluation (rule 2)."""
    lowest = floor(pods / options.max_scale_down_rate) if options.reachable else 0
    return lowest, ceil(min(options.max_scale_up_rate * pods, _MOST))


def _activated(options: KpaOptions, raw: int, limited: int) -> int:
    """Raise a count to the activation scale while there is demand (rule 5)."""
    return max(limited, options.activation_scale) if raw > 0 and options.activation_scale > 1 else limited


def _excess_burst_capacity(options: KpaOptions, ready: int, panic: float) -> int:
    """Give how much more than the target burst would fit (rule 9); negative if it does not fit."""
    burst = options.target_burst_capacity
    if burst <= 0:
        return int(burst)
    return floor(ready * options.total - burst - panic)


class KpaDecider:
    """Turns averages into a desired number; its state is the panic and the delay.

    Attributes:
        max_panic: the highest count of the present panic.
    """

    __slots__ = ("_delay", "_options", "_panic_s", "max_panic")

    def __init__(self, options: KpaOptions, now_s: float, ready: int) -> None:
        """Begin at `now_s` with `ready` replicas, 0 if unknown.

        With more than one it begins in panic: after a restart the number must not fall before the load is known.
        """
        self._options = options
        self._panic_s: float | None = now_s if ready > 1 else None
        self.max_panic = ready
        self._delay = DelayWindow(options.scale_down_delay_s) if options.scale_down_delay_s > 0 else None

    @property
    def panicking(self) -> bool:
        """Whether there is a panic now."""
        return self._panic_s is not None

    def update(self, options: KpaOptions) -> None:
        """Use other options from now on; the length of the delay stays."""
        self._options = options

    def decide(self, now_s: float, ready: int | None, stable: float | None, panic: float | None) -> KpaDecision:
        """Evaluate at `now_s`; None is an unknown number of ready replicas, or a window without data."""
        if ready is None or stable is None or panic is None:
            return INVALID  # rule 0
        options = self._options
        pods = max(1, ready)  # rule 1
        down, up = _rate_limits(options, pods)
        raw_stable, raw_panic = ceil(stable / options.target), ceil(panic / options.target)  # rule 3
        stable_pods = _activated(options, raw_stable, min(max(raw_stable, down), up))  # rule 4
        panic_pods = _activated(options, raw_panic, min(max(raw_panic, down), up))
        self._watch_for_panic(now_s, over=raw_panic / pods >= options.panic_threshold)
        desired = self._held_in_panic(stable_pods, panic_pods)
        desired = self._delayed(now_s, desired)
        excess = _excess_burst_capacity(options, ready, panic)
        return KpaDecision(True, desired, excess)  # noqa: FBT003 - names would cost a tenth of a decision

    def _watch_for_panic(self, now_s: float, *, over: bool) -> None:
        """Begin, renew or end panic (rule 6)."""
        if over:
            self._panic_s = now_s
        elif self._panic_s is not None and self._panic_s + self._options.stable_window_s < now_s:
            self._panic_s = None
            self.max_panic = 0

    def _held_in_panic(self, stable_pods: int, panic_pods: int) -> int:
        """Hold the highest count of a panic (rule 7)."""
        if self._panic_s is None:
            return stable_pods
        self.max_panic = max(self.max_panic, stable_pods, panic_pods)
        return self.max_panic

    def _delayed(self, now_s: float, desired: int) -> int:
        """Hold the highest result within the delay (rule 8)."""
        if self._delay is None or not self._options.reachable:
            return desired
        self._delay.record(now_s, desired)
        return self._delay.maximum(now_s)

    def export(self) -> State:
        """Give the panic and the delay."""
        return {
            "version": VERSION,
            "panic_s": self._panic_s,
            "max_panic": self.max_panic,
            "delay": None if self._delay is None else self._delay.export(),
        }

    def restore(self, state: State) -> None:
        """Continue from an exported state, with the length of its delay.

        Raises:
            ValueError: the state is of another version.
        """
        check(state, "KpaDecider")
        self._panic_s, self.max_panic = state["panic_s"], state["max_panic"]
        self._delay = None if state["delay"] is None else DelayWindow(state["delay"]["delay_s"])
        if self._delay is not None:
            self._delay.restore(state["delay"])


class KpaCore:
    """The two windows and the decider: from loads per second to a desired number."""

    __slots__ = ("_options", "_panic", "_stable", "decider")

    def __init__(self, options: KpaOptions, now_s: float, ready: int) -> None:
        """Begin at `now_s` with empty windows and `ready` replicas."""
        window = _WINDOWS[options.aggregation]
        self._options = options
        self._stable = window(options.stable_window_s)
        self._panic = window(options.panic_window_s)
        self.decider = KpaDecider(options, now_s, ready)

    def update(self, options: KpaOptions, now_s: float) -> None:
        """Continue with other options and resize the windows; the kind of average stays."""
        self._options = options
        self._stable.resize(options.stable_window_s, floor(now_s))
        self._panic.resize(options.panic_window_s, floor(now_s))
        self.decider.update(options)

    def record(self, second: int, value: float) -> None:
        """Add a load to a second: one of several shares."""
        self._stable.record(second, value)
        self._panic.record(second, value)

    def replace(self, second: int, value: float) -> None:
        """Make a load the only one of its second: the total."""
        self._stable.replace(second, value)
        self._panic.replace(second, value)

    def feed(self, observation: Observation) -> None:
        """Put an observation into its seconds, and its newest count into the one in progress, unless it is unknown."""
        if observation.inflight is None:
            return
        seconds, newest = seconds_covered(observation), current_count(observation)
        self._stable.fill(seconds, observation.inflight, newest)
        self._panic.fill(seconds, observation.inflight, newest)

    def averages(self, now_s: float) -> tuple[float | None, float | None]:
        """Give the averages of the stable and of the panic window; None if there is no data.

        If nothing is scraped from replicas, an empty window reads 0, because no scrape can be missing.
        """
        second = floor(now_s)
        if self._options.target_burst_capacity != ALWAYS_PROXIED and self._stable.is_empty(second):
            return None, None
        return self._stable.average(second), self._panic.average(second)

    def recommendation(
        self, desired: int | None, why: str, now_s: float, averages: tuple[float | None, float | None]
    ) -> Recommendation:
        """Give a recommendation with the averages behind it; in panic the larger one comes first."""
        second, options, panicking = floor(now_s), self._options, self.decider.panicking
        windows = (("stable", self._stable, options.stable_window_s), ("panic", self._panic, options.panic_window_s))
        used = tuple(
            Average(name, value, over_s, window.known_s(second))
            for (name, window, over_s), value in zip(windows, averages, strict=True)
            if value is not None
        )
        if panicking and len(used) > 1 and used[1].value > used[0].value:
            used = used[::-1]
        return Recommendation(desired, why, used, options.target, panicking)

    def export(self) -> State:
        """Give the windows and the state of the decider."""
        return {
            "version": VERSION,
            "stable": self._stable.export(),
            "panic": self._panic.export(),
            "decider": self.decider.export(),
        }

    def restore(self, state: State) -> None:
        """Continue from an exported state.

        Raises:
            ValueError: the state is of another version.
        """
        check(state, "KpaCore")
        self._stable.restore(state["stable"])
        self._panic.restore(state["panic"])
        self.decider.restore(state["decider"])
