"""The candidates of a policy: each decides on what is observed of the service, and writes nothing.

A candidate gets the observation of the active policy: the replicas that were asked for by the active one, and the pods
that are ready because of it. Its own number changes neither. No pause, other writer, budget or pool changes its
decision: it is what the candidate asks for by itself.

A candidate that fails has no effect on the active decision. It starts again without state.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from algorithms.decider import FAILED, Decider
from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation, State
from autoscaler.policy.decider_factory import decider, decides_alike, resumes
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.runtime.errors import described

Decisions = tuple[tuple[str, Decision], ...]
"""What candidates decided, by name."""


class Candidate:
    """One candidate with its decider."""

    def __init__(self, name: str, policy: ScalingPolicy) -> None:
        """Begin without state; the policy is the one that the candidate follows."""
        self.name = name
        self.policy = policy
        self.decider = decider(policy)

    def decide(self, observation: Observation) -> tuple[Decision, Exception | None]:
        """Give what it asks for; after an error the present number, the error, and a decider without state."""
        try:
            return self.decider.decide(observation), None
        except Exception as error:  # noqa: BLE001 - the error must not reach the active decision; the caller reports it
            self.decider, number, why = decider(self.policy), observation.replicas, described(error)
            error.add_note(f"The candidate is {self.name}.")
            return Decision(number, Recommendation(None, why), (Reason(FAILED, number, number, why),)), error


Candidates = tuple[Candidate, ...]


class Decided(NamedTuple):
    """What all candidates of a service decided on one observation."""

    decisions: Decisions = ()
    failure: Exception | None = None
    """The error of one of them."""


def decided(candidates: Candidates, observation: Observation) -> Decided:
    """Let each candidate decide."""
    taken = [(each.name, *each.decide(observation)) for each in candidates]
    failures = (error for _, _, error in taken if error is not None)
    return Decided(tuple((name, decision) for name, decision, _ in taken), next(failures, None))


def candidates_of(policy: ScalingPolicy) -> Candidates:
    """Build the candidates of a policy, without state."""
    return tuple(Candidate(name, each) for name, each in policy.candidates.items())


def continued(policy: ScalingPolicy, before: Candidates, active: tuple[ScalingPolicy, Decider] | None) -> Candidates:
    """Build the candidates of a changed policy.

    A candidate that decides as before stays. A changed one continues with its state, if that fits. A new one continues
    with the state of the active policy, if that fits: it has seen the same service.

    Args:
        policy: the policy as it is now.
        before: the candidates that there were.
        active: the active policy until now with its decider; None if it must start without state.
    """
    known = {each.name: each for each in before}
    made = []
    for candidate in candidates_of(policy):
        earlier = known.get(candidate.name)
        if earlier is not None and decides_alike(earlier.policy, candidate.policy):
            earlier.policy = candidate.policy
            made.append(earlier)
            continue
        source = active if earlier is None else (earlier.policy, earlier.decider)
        if source is not None and resumes(source[0], candidate.policy):
            candidate.decider = restored(candidate.policy, source[1].export()) or candidate.decider
        made.append(candidate)
    return tuple(made)


def restored(policy: ScalingPolicy, state: State) -> Decider | None:
    """Build a decider with the state of another one; None if that does not fit."""
    new = decider(policy)
    try:
        new.restore(state)
    except (ValueError, LookupError, TypeError):
        # The state is of another algorithm or another set of rules; a partly restored decider must not be used.
        return None
    return new


def with_history(policy: ScalingPolicy, observations: Sequence[Observation]) -> Candidates:
    """Build candidates that have seen just these observations."""
    made = candidates_of(policy)
    for observation in observations:
        decided(made, observation)
    return made


def export(candidates: Candidates) -> State:
    """Give the state of each, by name."""
    return {each.name: each.decider.export() for each in candidates}


def restore(candidates: Candidates, states: Mapping[str, State]) -> None:
    """Continue from exported states.

    Raises:
        ValueError: a state is missing, or of another version or another set of rules.
    """
    if states.keys() != {each.name for each in candidates}:
        raise ValueError(f"candidates: the state has others: {sorted(states)}")
    for each in candidates:
        each.decider.restore(states[each.name])
