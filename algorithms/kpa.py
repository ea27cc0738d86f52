"""Knative's autoscaler as a whole: windows, decision, bounds and scale to zero, for one service behind our gateway.

The gateway is what Knative calls the activator. It is always in the path: it answers every probe, and its grace period
is over. It reports requests in flight, so the metric is concurrency.
"""

from math import inf

from algorithms.good_time import current_count
from algorithms.kpa_core import KpaCore
from algorithms.kpa_scale import SERVING, UNKNOWN, Active, Condition, Lifecycle, Path, ScaleOptions
from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import Recommendation, State

_BEHIND_GATEWAY = Path(proxied=True, proxied_s=inf, probe_ok=True)


def _condition_found(observation: Observation) -> Condition:
    """Give the condition of a service at its first observation.

    A service that serves or is at zero was started before, and its initial scale no longer counts. A service with
    replicas of which none is ready is starting.
    """
    if observation.ready:
        return SERVING
    if not observation.replicas:
        return Condition(Active.INACTIVE, "NoTraffic", initialised=True)
    return Condition(Active.ACTIVATING, "Queued", initialised=False)


class Kpa:
    """Recommends what Knative would ask for on the same seconds."""

    def __init__(self, options: ScaleOptions) -> None:
        self._options = options
        self._core: KpaCore | None = None
        self._lifecycle = Lifecycle(Condition(Active.ACTIVATING, "", initialised=False), 0.0)
        self._desired = UNKNOWN

    def recommend(self, observation: Observation) -> Recommendation:
        """Put the observation into the windows, decide on them, and apply bounds and scale to zero."""
        core = self._core or self._begin(observation)
        # A service without replicas and requests reports nothing.
        if observation.replicas or current_count(observation):
            core.feed(observation)
        stable, panic = averages = core.averages(observation.now_s)
        decision = core.decider.decide(observation.now_s, observation.ready, stable, panic)
        if decision.valid:
            self._desired = decision.desired
        seen = f"stable {stable:g}, panic {panic:g} in flight" if decision.valid else "no data, the last decision holds"
        replicas, why = self._applied(observation, seen + ", in panic" if core.decider.panicking else seen)
        return core.recommendation(replicas, why, observation.now_s, averages)

    def _begin(self, observation: Observation) -> KpaCore:
        self._lifecycle = Lifecycle(_condition_found(observation), observation.now_s)
        self._core = KpaCore(self._options, observation.now_s, observation.ready)
        return self._core

    def _applied(self, observation: Observation, seen: str) -> tuple[int | None, str]:
        """Apply bounds and scale to zero to the desired number; if nothing is to be written, the number is held."""
        before = self._lifecycle.condition.active
        scaling = self._lifecycle.step(
            self._options,
            observation.now_s,
            _BEHIND_GATEWAY,
            desired=self._desired,
            replicas=observation.replicas,
            ready=observation.ready,
        )
        if self._desired == UNKNOWN and scaling.replicas is None:
            return None, seen
        replicas = observation.replicas if scaling.replicas is None else scaling.replicas
        return replicas, seen if replicas == self._desired else f"{seen}; {self._desired} desired while {before.name}"

    def export(self) -> State:
        """Give windows, decision, condition and the last desired number; no windows before the first observation."""
        return {
            "version": VERSION,
            "core": self._core and self._core.export(),
            "lifecycle": self._lifecycle.export(),
            "desired": self._desired,
        }

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        check(state, "Kpa")
        self._core = None
        if state["core"] is not None:
            self._core = KpaCore(self._options, 0.0, 0)
            self._core.restore(state["core"])
        self._lifecycle.restore(state["lifecycle"])
        self._desired = state["desired"]
