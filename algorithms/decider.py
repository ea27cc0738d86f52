"""One service's decision: the algorithm's recommendation, then each rule in order, then the bounds, then the ramp.

Every decision is within the bounds at its time, whatever the algorithm recommends and whatever was observed; only a
ramp, which limits how many replicas start at once, may be on its way to the minimum. An algorithm
implements `Algorithm` of `algorithms.types`; `ALGORITHMS` in `autoscaler.policy.decider_factory` puts a decider around
it.
"""

from collections.abc import Sequence

from algorithms.bounds import BoundsAt, ReplicaBounds
from algorithms.good_time import GoodTimeClock, current_count
from algorithms.observation import Observation
from algorithms.plausibility import is_time, plausible
from algorithms.state import VERSION, Stateless, check, is_empty
from algorithms.types import Algorithm, Decision, Reason, Recommendation, SafetyRule, State

FAILED = "deciderFailed"
"""The rule in the reasons of a decision after a failure of the decider."""


class Decider:
    """Decides on one service; deterministic in the sequence of observations.

    Without rules and good time it is the algorithm alone, within the bounds.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        rules: Sequence[SafetyRule] = (),
        bounds: BoundsAt,
        ramp: SafetyRule | None = None,
        good_time: GoodTimeClock | None = None,
        last_resort: Algorithm | None = None,
    ) -> None:
        """Build it from its parts.

        Args:
            algorithm: gives the recommendation.
            rules: the rules that may change it, in their order.
            bounds: gives the bounds at a time. They always hold.
            ramp: the rule after the bounds, which may only slow down how the number grows.
            good_time: the clock that stands still while the count is unknown. Without it the algorithm gets every
                observation, also unknown ones.
            last_resort: a stateless algorithm that `decide_after_failure` uses instead; None: it only holds.
        """
        self._algorithm = algorithm
        self._rules = tuple(rules)
        self._bounds = bounds
        self._ramp = () if ramp is None else (ramp,)
        self._good_time = good_time
        self._last_resort = last_resort
        self._limits = ("maxReplicas", "minReplicas", *(part.rule for part in self._ramp))
        self._all_rules = (*(part.rule for part in self._rules), *self._limits)
        self._idle: Decision | None = None
        """The last decision if it was on an idle service: another idle observation within the same bounds changes
        nothing."""
        self._idle_bounds: ReplicaBounds | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the service was idle, and another idle observation would change nothing except good time."""
        return self._idle is not None

    def next_change_s(self, now_s: float) -> float:
        """Give the next time at which the same observation may give another decision, because the bounds change."""
        return self._bounds(now_s).until_s

    def decide(self, observation: Observation) -> Decision:
        """Give the desired replicas for one observation, and why."""
        observation = plausible(observation)
        bounds = self._bounds(observation.now_s)
        if not is_time(observation.now_s):
            return self._held(observation, f"the clock says {observation.now_s:g}, which is no time", bounds)
        if self._good_time is not None:
            if observation.inflight is None:
                return self._held(observation, observation.problem, bounds)
            observation = self._good_time(observation)
            if self._idle is not None and self._idle_bounds == bounds and _is_idle(observation):
                return self._idle
        recommendation = self._algorithm.recommend(observation)
        if recommendation.replicas is None:
            return self._held(observation, recommendation.why, bounds)
        number, reasons = _through(self._rules, observation, recommendation.replicas, ())
        unlimited = Decision(number, recommendation, reasons, self._all_rules)
        decision = self._limited(observation, unlimited, bounds)
        self._idle = None if decision.desired or not _is_idle(observation) else decision
        self._idle_bounds = bounds
        return decision

    def decide_after_failure(self, observation: Observation, why: str) -> Decision:
        """Decide after `decide` has failed: hold the number, or raise it for requests that no replica can serve.

        While no replica is ready, the last resort may raise the number up to the maximum. Nothing lowers it, not even
        the maximum. The state of the decider does not change.
        """
        observation, number, recommendation = plausible(observation), observation.replicas, Recommendation(None, why)
        if (
            self._last_resort is not None
            and not observation.ready
            and (current_count(observation) or observation.passing)
        ):
            recommendation = self._last_resort.recommend(observation._replace(inflight=current_count(observation)))
            needed = max(recommendation.replicas or 0, 1 if observation.passing else 0)
            needed = min(needed, self._bounds(observation.now_s).most)
            number = max(number, _through(self._ramp, observation, needed, ())[0])
        return Decision(number, recommendation, (Reason(FAILED, observation.replicas, number, why),))

    def _held(self, observation: Observation, why: str, bounds: ReplicaBounds) -> Decision:
        """Hold the number, as far as the bounds allow."""
        held = Decision(observation.replicas, Recommendation(None, why), (), self._limits)
        return self._limited(observation, held, bounds)

    def _limited(self, observation: Observation, unlimited: Decision, bounds: ReplicaBounds) -> Decision:
        """Apply the bounds, and then the ramp; `unlimited.unchanged` has all rules that the number passes."""
        number, reasons = unlimited.desired, unlimited.reasons
        if number > bounds.most:
            reasons += (Reason("maxReplicas", number, bounds.most, bounds.most_why),)
            number = bounds.most
        if number < bounds.least:
            reasons += (Reason("minReplicas", number, bounds.least, bounds.least_why),)
            number = bounds.least
        number, reasons = _through(self._ramp, observation, number, reasons)
        return Decision(number, unlimited.recommendation, reasons, _others(unlimited.unchanged, reasons))

    def export(self) -> State:
        """Give the state of every part, in order."""
        return {
            "version": VERSION,
            "algorithm": self._algorithm.export(),
            "stabilisers": {part.rule: part.export() for part in self._rules},
            "good_time": None if self._good_time is None else self._good_time.export(),
        }

    def restore(self, state: State) -> None:
        """Continue from an exported state.

        Raises:
            ValueError: the state is of another version, or of another set of rules.
        """
        check(state, "Decider")
        known = {rule: inner for rule, inner in state["stabilisers"].items() if not is_empty(inner)}
        parts = {part.rule: part for part in self._rules if not isinstance(part, Stateless)}
        if known.keys() != parts.keys():
            raise ValueError(f"decider: the state has other rules: {sorted(known)}")
        if (state["good_time"] is None) != (self._good_time is None):
            raise ValueError("decider: the state has another clock")
        self._algorithm.restore(state["algorithm"])
        for rule, part in parts.items():
            part.restore(known[rule])
        if self._good_time is not None:
            self._good_time.restore(state["good_time"])
        self._idle = None


def _through(
    rules: Sequence[SafetyRule], observation: Observation, number: int, reasons: tuple[Reason, ...]
) -> tuple[int, tuple[Reason, ...]]:
    """Apply rules in their order; each that changes the number is a reason."""
    for rule in rules:
        after = rule(observation, number)
        if after != number:
            reasons += (Reason(rule.rule, number, after, rule.why(observation)),)
            number = after
    return number, reasons


def _others(applied: tuple[str, ...], reasons: tuple[Reason, ...]) -> tuple[str, ...]:
    """Give the names of the applied rules that are no reason."""
    if not reasons:
        return applied
    changed = {reason.rule for reason in reasons}
    return tuple(rule for rule in applied if rule not in changed)


def _is_idle(observation: Observation) -> bool:
    """Tell whether no replica runs, nothing is in flight and nothing announced, and all of it is known."""
    return not (
        observation.replicas
        or observation.inflight
        or observation.latest
        or observation.passing
        or observation.problem
        or observation.hinted
    )
