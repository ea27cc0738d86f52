"""One tick as a plain function: observations in, decisions and requests to scale out.

The live controller and the simulator both call it. Nothing here awaits, reads a clock or knows where an observation
came from.

One service's failure stays with that service. If its decider raises an error, the number is held, with the reason
`deciderFailed`, and all other services are decided on as usual.
"""

from collections.abc import Mapping, Sequence
from math import ceil, inf
from typing import NamedTuple

from algorithms.decider import FAILED, Decider
from algorithms.observation import Observation
from algorithms.plausibility import plausible
from algorithms.pools import Placement
from algorithms.types import Decision, Reason, Recommendation, State
from autoscaler.controller import candidates as of_candidates
from autoscaler.controller.budgets import Budgets, Wanted
from autoscaler.controller.candidates import Candidates, Decisions
from autoscaler.policy.cost import Prices
from autoscaler.ports import Fleet, Override, ScaleRequest, ServiceName, Unwritten
from autoscaler.runtime.errors import described

POOLS = "pools"
"""The name of the rule in the reasons of a decision."""


class Service(NamedTuple):
    """One service as the controller knows it."""

    decider: Decider
    writes: bool = True
    """False in DryRun: decisions are recorded, and nothing is written."""
    overrides: tuple[Override, ...] = ()
    """Pause and manual override while they last; the last one wins."""
    requests_per_replica: float = 1.0
    """Requests in flight that a replica should have: what a hold lets the load raise the number to."""
    placement: Placement | None = None
    """Where its replicas run; None for a service without pools."""
    stands_by: bool = False
    """Whether it does not write because another controller leads."""
    prices: Prices | None = None
    """What its replicas cost; None if its policy does not say that."""
    candidates: Candidates = ()
    """What decides beside the decider, and never writes."""

    def export(self) -> State:
        """Give the state of what decides."""
        placement = {} if self.placement is None else {"placement": self.placement.export()}
        candidates = {"candidates": of_candidates.export(self.candidates)} if self.candidates else {}
        return {**self.decider.export(), **placement, **candidates}

    def restore(self, state: State) -> None:
        """Continue from an exported state.

        Raises:
            ValueError: the state is of another version, or of another set of rules.
        """
        self.decider.restore(state)
        if self.placement is not None:
            self.placement.restore(state["placement"])
        of_candidates.restore(self.candidates, state.get("candidates", {}))

    @property
    def is_settled(self) -> bool:
        """Whether another observation without traffic would change no decision, also not that of a candidate."""
        return self.decider.is_settled and all(each.decider.is_settled for each in self.candidates)

    def next_change_s(self, now_s: float) -> float:
        """Give the next time at which it must be decided on although nothing has happened: it changes by itself.

        A service is idle until then at most. What changes by an event instead wakes it by `WakeUps.add`.
        """
        placement_s = inf if self.placement is None else self.placement.next_change_s(now_s)
        ends_s = [override.until_s for override in self.overrides if override.until_s > now_s]
        deciders = (self.decider, *(each.decider for each in self.candidates))
        return min(*(each.next_change_s(now_s) for each in deciders), *ends_s, placement_s)


class Step(NamedTuple):
    """The result of one tick for one service."""

    service: ServiceName
    observation: Observation
    decision: Decision
    request: ScaleRequest | None
    """None if nothing has to be written."""
    failure: Exception | None = None
    """The error of its decider; the decision is then that of `Decider.decide_after_failure`."""
    unwritten: Unwritten = ""
    """Why nothing has to be written."""
    candidates: Decisions = ()
    """What its candidates decided."""
    candidate_failure: Exception | None = None
    """The error of one of them."""


def step(
    services: Mapping[ServiceName, Service],
    observations: Mapping[ServiceName, tuple[Observation, Fleet]],
    budgets: Budgets | None = None,
) -> list[Step]:
    """Decide on every service that was observed, and request what differs from the replicas asked for now.

    Args:
        services: all services.
        observations: what was observed of some of them.
        budgets: limits the decisions of services that share something.
    """
    decided = {name: _decided(services[name], *seen) for name, seen in observations.items()}
    if budgets is not None:
        decided = _limited(budgets, services, observations, decided)
    return [_with_candidates(name, services[name], *seen, decided[name]) for name, seen in observations.items()]


class _Decided(NamedTuple):
    """The decision on one service before it is carried out."""

    decision: Decision
    failure: Exception | None = None
    may_exceed: bool = True
    """Whether there may be one replica more while one moves to another pool."""


def without_spare(observation: Observation, placement: Placement | None) -> Observation:
    """Leave out of the number the replica that a move has added to it: no decision may be based on it."""
    spare = 0 if placement is None else placement.spare(observation.pools)
    return observation._replace(replicas=observation.replicas - spare) if spare else observation


def _held(observation: Observation, error: Exception) -> _Decided:
    """Hold the number after an error; the other services must be decided on, and the caller reports the error."""
    why = described(error)
    reason = Reason(FAILED, observation.replicas, observation.replicas, why)
    return _Decided(Decision(observation.replicas, Recommendation(None, why), (reason,)), error)


def _decided(service: Service, observation: Observation, fleet: Fleet) -> _Decided:
    """Decide on one service, with its overrides; an error stays with it."""
    observation = without_spare(observation, service.placement)
    try:
        decision, failure = _decide(service.decider, observation)
        overrides = _overrides(service, fleet)
        if overrides:
            decision = apply_overrides(decision, plausible(observation), overrides, service.requests_per_replica)
    except Exception as error:  # noqa: BLE001 - see `_held`
        return _held(observation, error)
    return _Decided(decision, failure)


def _overrides(service: Service, fleet: Fleet) -> tuple[Override, ...]:
    return (*service.overrides, fleet.override) if fleet.override else service.overrides


def _limited(
    budgets: Budgets,
    services: Mapping[ServiceName, Service],
    observations: Mapping[ServiceName, tuple[Observation, Fleet]],
    decided: Mapping[ServiceName, _Decided],
) -> dict[ServiceName, _Decided]:
    """Limit decisions by the budgets, all at once."""
    wanted = {
        name: Wanted(
            decided[name].decision.desired + _moving(services[name]),
            fleet,
            is_held=_is_held(decided[name], _overrides(services[name], fleet), observation.now_s),
            writes=services[name].writes,
        )
        for name, (observation, fleet) in observations.items()
    }
    try:
        limits = budgets.limits(wanted, max((seen.now_s for seen, _ in observations.values()), default=0.0))
    except Exception as error:  # noqa: BLE001 - see `_held`
        return {name: _held(observation, error) for name, (observation, _) in observations.items()}
    return {name: _with_limit(each, limits.get(name)) for name, each in decided.items()}


def _moving(service: Service) -> int:
    """Give how many replicas more the service needs while one moves to another pool."""
    return int(service.placement is not None and service.placement.is_move_due)


def _is_held(decided: _Decided, overrides: Sequence[Override], now_s: float) -> bool:
    """Tell whether something outside of the policy holds the number: a pause, another writer or a failure."""
    return decided.failure is not None or any(each.replicas is None and now_s < each.until_s for each in overrides)


def _with_limit(decided: _Decided, limit: Reason | None) -> _Decided:
    if limit is None:
        return decided
    decision = decided.decision
    after = min(limit.after, decision.desired)  # what it wanted more is for a move
    limit = limit._replace(before=decision.desired, after=after)
    decision = decision._replace(desired=after, reasons=(*decision.reasons, limit))
    return decided._replace(decision=decision, may_exceed=False)


def _with_candidates(
    name: ServiceName, service: Service, observation: Observation, fleet: Fleet, decided: _Decided
) -> Step:
    """Finish a decision, and let the candidates decide too."""
    if not service.candidates:
        return _finished(name, service, observation, fleet, decided)
    # Before the active decision is placed, so that both leave out the same spare replica.
    beside = of_candidates.decided(service.candidates, without_spare(observation, service.placement))
    taken = _finished(name, service, observation, fleet, decided)
    return taken._replace(candidates=beside.decisions, candidate_failure=beside.failure)


def _finished(name: ServiceName, service: Service, observation: Observation, fleet: Fleet, decided: _Decided) -> Step:
    """Place and request what was decided; an error stays with the service."""
    try:
        decision, pools = decided.decision, None
        if service.placement is not None:
            decision, pools = placed(decision, service.placement, observation, may_exceed=decided.may_exceed)
        request = _request(name, fleet, decision.desired, pools)
    except Exception as error:  # noqa: BLE001 - see `_held`
        return Step(name, observation, _held(observation, error).decision, None, error, "unchanged")
    if request is None or service.writes:
        return Step(name, observation, decision, request, decided.failure, "" if request else "unchanged")
    return Step(name, observation, decision, None, decided.failure, "standby" if service.stands_by else "dryRun")


def placed(
    decision: Decision, placement: Placement, observation: Observation, *, may_exceed: bool
) -> tuple[Decision, Mapping[str, int]]:
    """Place the replicas of a decision in pools; where they run is a reason, also if it does not change the number."""
    asked, why = placement.place(decision.desired, observation.pools, observation.now_s, may_exceed=may_exceed)
    total = sum(asked.values())
    if why or total != decision.desired:
        reason = Reason(POOLS, decision.desired, total, why)
        decision = decision._replace(desired=total, reasons=(*decision.reasons, reason))
    return decision, asked


def _request(name: ServiceName, fleet: Fleet, desired: int, pools: Mapping[str, int] | None) -> ScaleRequest | None:
    """Request what differs from what is asked for now; None if nothing does."""
    if pools is None:
        return None if desired == fleet.asked else ScaleRequest(name, desired, fleet.to_remove(desired))
    asked = {state.name: state.asked for state in fleet.pools}
    if desired == fleet.asked and all(asked.get(name, 0) == number for name, number in pools.items()):
        return None
    return ScaleRequest(name, desired, fleet.to_remove_from(pools), pools)


def _decide(decider: Decider, observation: Observation) -> tuple[Decision, Exception | None]:
    """Decide, also while an override holds the number: windows and delays must go on meanwhile."""
    try:
        return decider.decide(observation), None
    except Exception as error:  # noqa: BLE001 - as above
        return decider.decide_after_failure(observation, described(error)), error


def apply_overrides(
    decision: Decision, observation: Observation, overrides: Sequence[Override], requests_per_replica: float = 1.0
) -> Decision:
    """Apply overrides to a decision; each that lasts is a reason, also if it does not change the number.

    An override that allows the number to rise is no reason if it rises. One that yields to load keeps at least as many
    replicas as the requests in flight need, and never more than were decided.
    """
    for override in overrides:
        if observation.now_s < override.until_s:
            number = observation.replicas if override.replicas is None else override.replicas
            if override.yields_to_load:
                needed = ceil(max(observation.inflight or 0.0, observation.latest) / requests_per_replica)
                number = max(number, min(decision.desired, needed))
            if override.may_rise and decision.desired >= number:
                continue
            reason = Reason(override.rule, decision.desired, number, override.why)
            decision = decision._replace(desired=number, reasons=(*decision.reasons, reason))
    return decision
