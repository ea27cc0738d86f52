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
from algorithms.types import Decision, Look, Reason, Wish
from autoscaler.ports import Fleet, Order, ServiceName, StandingOrder

_LONGEST = 200
"""Characters of an error that are told in a status."""


class Service(NamedTuple):
    """One service as the loop knows it."""

    decider: Decider
    writes: bool = True
    """False in DryRun: it is decided on and recorded, and nothing is written."""
    orders: tuple[StandingOrder, ...] = ()
    """Pause and manual override, as long as they last; the last one wins."""


class Step(NamedTuple):
    """What one tick came to for one service."""

    service: ServiceName
    look: Look
    decision: Decision
    order: Order | None
    """None where nothing has to be written."""
    failure: Exception | None = None
    """What its decider raised; the decision is that of `Decider.held` then."""


def step(services: Mapping[ServiceName, Service], looks: Mapping[ServiceName, tuple[Look, Fleet]]) -> list[Step]:
    """Ask the decider of every service that was looked at, and order what differs from what is asked for."""
    return [_alone(name, services[name], look, fleet) for name, (look, fleet) in looks.items()]


def _alone(name: ServiceName, service: Service, look: Look, fleet: Fleet) -> Step:
    """Decide on one service so that no other one is touched by what goes wrong with it."""
    try:
        return _decided(name, service, look, fleet)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others must be decided on; the caller tells it
        why = described(error)
        held = Decision(look.replicas, Wish(None, why), (Reason(FAILED, look.replicas, look.replicas, why),))
        return Step(name, look, held, None, error)


def _decided(name: ServiceName, service: Service, look: Look, fleet: Fleet) -> Step:
    failure: Exception | None = None
    # The decider is asked in any case: its windows and delays go on while its wish is not followed.
    try:
        decision = service.decider.decide(look)
    except Exception as error:  # noqa: BLE001 - as above
        decision, failure = service.decider.held(look, described(error)), error
    if service.orders or fleet.hold:
        orders = (*service.orders, fleet.hold) if fleet.hold else service.orders
        decision = ordered(decision, plausible(look), orders)
    if decision.desired == fleet.asked or not service.writes:
        return Step(name, look, decision, None, failure)
    return Step(name, look, decision, Order(name, decision.desired, fleet.leaving(decision.desired)), failure)


def described(error: BaseException) -> str:
    """Say what an error is in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]


def ordered(decision: Decision, look: Look, orders: Sequence[StandingOrder]) -> Decision:
    """Put standing orders above a decision; each that lasts is a reason, also where it does not change the number.

    One that lets the number rise is none where it does.
    """
    for order in orders:
        if look.now_s < order.until_s:
            number = look.replicas if order.replicas is None else order.replicas
            if order.yields_to_load:
                number = max(number, ceil(min(decision.desired, max(look.inflight or 0.0, look.latest))))
            if order.may_rise and decision.desired >= number:
                continue
            reason = Reason(order.rule, decision.desired, number, order.why)
            decision = decision._replace(desired=number, reasons=(*decision.reasons, reason))
    return decision
