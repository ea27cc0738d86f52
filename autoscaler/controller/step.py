"""One tick as a plain function: looks in, decisions and orders out. The live driver and the simulator both call it.

Nothing here awaits, reads a clock or knows where a look came from.

One service's failure is that service's: where its decider raises an error it holds what there is, with the reason
`deciderFailed`, and all others are decided on as if nothing had happened.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from algorithms.decider import FAILED, Decider
from algorithms.plausibility import plausible
from algorithms.types import Decision, Observation, Reason, Recommendation
from autoscaler.ports import Fleet, Override, ScaleRequest, ServiceName

_LONGEST = 200
"""Characters of an error that are told in a status."""


class Service(NamedTuple):
    """One service as the loop knows it."""

    decider: Decider
    writes: bool = True
    """False in DryRun: it is decided on and recorded, and nothing is written."""
    orders: tuple[Override, ...] = ()
    """Pause and manual override, as long as they last; the last one wins."""


class Step(NamedTuple):
    """What one tick came to for one service."""

    service: ServiceName
    observation: Observation
    decision: Decision
    order: ScaleRequest | None
    """None where nothing has to be written."""
    failure: Exception | None = None
    """What its decider raised; the decision is that of `Decider.held` then."""


def step(
    services: Mapping[ServiceName, Service], observations: Mapping[ServiceName, tuple[Observation, Fleet]]
) -> list[Step]:
    """Ask the decider of every service that was looked at, and order what differs from what is asked for."""
    return [_alone(name, services[name], observation, fleet) for name, (observation, fleet) in observations.items()]


def _alone(name: ServiceName, service: Service, observation: Observation, fleet: Fleet) -> Step:
    """Decide on one service so that no other one is touched by what goes wrong with it."""
    try:
        return _decided(name, service, observation, fleet)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others must be decided on; the caller tells it
        why = described(error)
        held = Decision(
            observation.replicas,
            Recommendation(None, why),
            (Reason(FAILED, observation.replicas, observation.replicas, why),),
        )
        return Step(name, observation, held, None, error)


def _decided(name: ServiceName, service: Service, observation: Observation, fleet: Fleet) -> Step:
    failure: Exception | None = None
    # The decider is asked in any case: its windows and delays go on while its wish is not followed.
    try:
        decision = service.decider.decide(observation)
    except Exception as error:  # noqa: BLE001 - as above
        decision, failure = service.decider.held(observation, described(error)), error
    if service.orders or fleet.hold:
        orders = (*service.orders, fleet.hold) if fleet.hold else service.orders
        decision = ordered(decision, plausible(observation), orders)
    if decision.desired == fleet.asked or not service.writes:
        return Step(name, observation, decision, None, failure)
    return Step(
        name, observation, decision, ScaleRequest(name, decision.desired, fleet.to_remove(decision.desired)), failure
    )


def described(error: BaseException) -> str:
    """Say what an error is in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]


def ordered(decision: Decision, observation: Observation, orders: Sequence[Override]) -> Decision:
    """Put standing orders above a decision; each that lasts is a reason, also where it does not change the number.

    One that lets the number rise is none where it does.
    """
    for order in orders:
        if observation.now_s < order.until_s:
            number = observation.replicas if order.replicas is None else order.replicas
            if order.yields_to_load:
                number = max(number, ceil(min(decision.desired, max(observation.inflight or 0.0, observation.latest))))
            if order.may_rise and decision.desired >= number:
                continue
            reason = Reason(order.rule, decision.desired, number, order.why)
            decision = decision._replace(desired=number, reasons=(*decision.reasons, reason))
    return decision
