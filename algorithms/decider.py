"""One service's decision: the algorithm's recommendation, then each rule in order, then the bounds.

Every decision is within the bounds, whatever the algorithm recommends and whatever was observed. An algorithm
implements `Algorithm` of `algorithms.types`; `ALGORITHMS` in `autoscaler.policy.decider_factory` puts a decider around
it.
"""

from collections.abc import Sequence

from algorithms.good_time import GoodTimeClock, current_count
from algorithms.observation import Observation
from algorithms.plausibility import is_time, plausible
from algorithms.state import VERSION, check
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
        min_replicas: int,
        max_replicas: int,
        good_time: GoodTimeClock | None = None,
        last_resort: Algorithm | None = None,
    ) -> None:
        """Build it from its parts.

        Args:
            algorithm: gives the recommendation.
            rules: the rules that may change it, in their order.
            min_replicas: the lower bound, which always holds.
            max_replicas: the upper bound, which always holds; `min_replicas` wins if it is higher.
            good_time: the clock that stands still while the count is unknown. Without it the algorithm gets every
                observation, also unknown ones.
            last_resort: a stateless algorithm that `decide_after_failure` uses instead; None: it only holds.
        """
        self._algorithm = algorithm
        self._rules = tuple(rules)
        self._min = min_replicas
        self._max = max_replicas
        self._good_time = good_time
        self._last_resort = last_resort
        self._idle: Decision | None = None
        """The last decision if it was on an idle service: another idle observation changes nothing."""

    @property
    def is_settled(self) -> bool:
        """Whether the service was idle, and another idle observation would change nothing except good time."""
        return self._idle is not None

    def decide(self, observation: Observation) -> Decision:
        """Give the desired replicas for one observation, and why."""
        observation = plausible(observation)
        if not is_time(observation.now_s):
            return self._bounded(
                observation.replicas,
                Recommendation(None, f"the clock says {observation.now_s:g}, which is no time"),
                (),
            )
        if self._good_time is not None:
            if observation.inflight is None:
                return self._bounded(observation.replicas, Recommendation(None, observation.problem), ())
            observation = self._good_time(observation)
            if self._idle is not None and _is_idle(observation):
                return self._idle
        recommendation = self._algorithm.recommend(observation)
        if recommendation.replicas is None:
            return self._bounded(observation.replicas, recommendation, ())
        decision = self._by_rules(observation, recommendation, recommendation.replicas)
        self._idle = None if decision.desired or not _is_idle(observation) else decision
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
            number = max(number, min(needed, self._max))
        return Decision(number, recommendation, (Reason(FAILED, observation.replicas, number, why),))

    def _by_rules(self, observation: Observation, recommendation: Recommendation, number: int) -> Decision:
        reasons: tuple[Reason, ...] = ()
        for rule in self._rules:
            after = rule(observation, number)
            if after != number:
                reasons += (Reason(rule.rule, number, after, rule.why(observation)),)
                number = after
        return self._bounded(number, recommendation, reasons)

    def _bounded(self, number: int, recommendation: Recommendation, reasons: tuple[Reason, ...]) -> Decision:
        if number > self._max:
            reasons += (Reason("maxReplicas", number, self._max, f"at most {self._max}"),)
            number = self._max
        if number < self._min:
            reasons += (Reason("minReplicas", number, self._min, f"at least {self._min}"),)
            number = self._min
        return Decision(number, recommendation, reasons)

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
        if set(state["stabilisers"]) != {part.rule for part in self._rules}:
            raise ValueError(f"decider: the state has other rules: {sorted(state['stabilisers'])}")
        if (state["good_time"] is None) != (self._good_time is None):
            raise ValueError("decider: the state has another clock")
        self._algorithm.restore(state["algorithm"])
        for part in self._rules:
            part.restore(state["stabilisers"][part.rule])
        if self._good_time is not None:
            self._good_time.restore(state["good_time"])
        self._idle = None


def _is_idle(observation: Observation) -> bool:
    """Tell whether no replica runs and nothing is in flight, and both are known."""
    return not (
        observation.replicas or observation.inflight or observation.latest or observation.passing or observation.problem
    )
