"""Services with pools: one fleet over several members, each of which another target scales.

Rules:
1. The fleet of a service is the sum of the fleets of its members. While a member is unknown, the service is unknown. If
   the object of a member cannot be made, what is asked of it is refused: it is a pool without room.
2. A request is split into one request for each member whose number changes. Members that grow come first. If one of
   them cannot grow, none is lowered, so that a move between pools never leaves too few replicas.
3. What a member reports is reported for its service, with the name of the pool.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from algorithms.observation import PoolState
from algorithms.types import Reason
from autoscaler.policy.pod_ending import PodEnding
from autoscaler.pool_members import member_of, pool_of
from autoscaler.ports import Fleet, Outcome, ScaleRequest, ScaleTarget, ServiceName


class MemberTarget(ScaleTarget, Protocol):
    """A target that scales members as services."""

    def problem(self, service: ServiceName) -> str:
        """Say why a member cannot be observed; empty if it can."""
        ...

    def ending(self, service: ServiceName) -> PodEnding | None:
        """Say how the pods of a member end; None if that is not known."""
        ...

    def own_annotations(self, service: ServiceName) -> tuple[str, ...]:
        """Give the keys of our group that annotate a member's object or its pods."""
        ...

    def shared_problem(self) -> str:
        """Say why many members cannot be observed; empty if they can."""
        ...

    async def quiet(self) -> None:
        """Wait until no request is under way."""
        ...


class MemberObjects(Protocol):
    """The objects that members scale, as far as they are made for them."""

    def refusal(self, member: ServiceName) -> str:
        """Say why a member's object does not exist and cannot be made; empty if it does, or is being made."""
        ...

    def problem(self, member: ServiceName) -> str:
        """Say why a member's object is not as it should be; empty if it is."""
        ...


class PooledTarget:
    """A `ScaleTarget` over the members of services; services without pools are passed on as they are.

    Args:
        members: scales the members.
        objects: the objects of the members.
    """

    def __init__(self, members: MemberTarget, objects: MemberObjects) -> None:
        self._members = members
        self._objects = objects
        self._pools: dict[ServiceName, tuple[str, ...]] = {}
        self._refused: dict[ServiceName, int] = {}
        """What was asked of members whose object cannot be made."""

    def set_pools(self, pools: Mapping[ServiceName, Iterable[str]]) -> None:
        """Set the pools of each service that has some, in order of preference."""
        self._pools = {service: tuple(names) for service, names in pools.items()}
        members = {member for service in self._pools for member in self.members_of(service)}
        self._refused = {member: asked for member, asked in self._refused.items() if member in members}

    # Observing.

    async def observe(self, services: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Give what runs for each service; one with a member that is not known yet is left out. Raises nothing."""
        if self._pools.keys().isdisjoint(services):
            return await self._members.observe(services)
        fleets = await self._members.observe([each for service in services for each in self.members_of(service)])
        found = {service: self._fleet(service, fleets) for service in services}
        return {service: fleet for service, fleet in found.items() if fleet is not None}

    def problem(self, service: ServiceName) -> str:
        """Say why a service cannot be observed, or why its observation may be stale; empty if all is well."""
        for member in self.members_of(service):
            problem = self._objects.problem(member)
            if not problem and not self._objects.refusal(member):
                problem = self._members.problem(member)
            if problem:
                return _of_pool(member, problem)
        return ""

    def ending(self, service: ServiceName) -> PodEnding | None:
        """Say how the pods of a service end: those that are killed first, of several pools."""
        endings = (self._members.ending(member) for member in self.members_of(service))
        return min((each for each in endings if each is not None), default=None)

    def own_annotations(self, service: ServiceName) -> tuple[str, ...]:
        """Give the keys of our group that annotate the targets of a service or their pods."""
        return tuple(sorted({key for each in self.members_of(service) for key in self._members.own_annotations(each)}))

    def shared_problem(self) -> str:
        """Say why many services cannot be observed; empty if they can."""
        return self._members.shared_problem()

    def members_of(self, service: ServiceName) -> tuple[ServiceName, ...]:
        """Give the members of a service, the most wanted pool first; one without pools is its own."""
        pools = self._pools.get(service)
        return (service,) if pools is None else tuple(member_of(service, pool) for pool in pools)

    def _fleet(self, service: ServiceName, fleets: Mapping[ServiceName, Fleet]) -> Fleet | None:
        if service not in self._pools:
            return fleets.get(service)
        found = {}
        for member in self.members_of(service):
            fleet = fleets.get(member) or self._without_object(member)
            if fleet is None:
                return None
            found[member] = fleet
        return _merged(found)

    def _without_object(self, member: ServiceName) -> Fleet | None:
        """Give the fleet of a member whose object cannot be made; None if it is only not known yet."""
        why = self._objects.refusal(member)
        if not why:
            self._refused.pop(member, None)
            return None
        asked = self._refused.get(member, 0)
        return Fleet(asked, (), pools=(PoolState("", asked, unplaced=asked, refused=True, why=why),))

    # Scaling.

    async def scale(self, requests: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Carry out all requests and give the outcome of each. Raises nothing."""
        return await asyncio.gather(*map(self._carry_out, requests))

    async def quiet(self) -> None:
        """Wait until no request is under way."""
        await self._members.quiet()

    async def _carry_out(self, request: ScaleRequest) -> Outcome:
        if request.service not in self._pools:
            (outcome,) = await self._members.scale([request])
            return outcome
        if problem := self._flaw(request):
            return Outcome(request.service, problem)
        fleets = await self._members.observe(self.members_of(request.service))
        drain: list[Reason] = []
        for part in self._parts(request, fleets):
            outcomes = await self._members.scale(part)
            for wanted, outcome in zip(part, outcomes, strict=True):
                drain += _of_service(outcome, wanted, drain[-1].after if drain else sum(request.pools.values()))
            errors = [_of_pool(outcome.service, outcome.error) for outcome in outcomes if outcome.error]
            if errors:
                return Outcome(request.service, "; ".join(errors), tuple(drain))
        return Outcome(request.service, drain=tuple(drain))

    def _flaw(self, request: ScaleRequest) -> str:
        if unknown := request.pools.keys() - set(self._pools[request.service]):
            return f"{request.service} has no pool {', '.join(sorted(unknown))}"
        if not request.pools:
            return f"{request.service} has pools, and the request for {request.replicas} replicas names none"
        return ""

    def _parts(self, request: ScaleRequest, fleets: Mapping[ServiceName, Fleet]) -> Iterator[list[ScaleRequest]]:
        """Give the requests for the members that grow, then those for the members that shrink."""
        grow, shrink = [], []
        for member in self.members_of(request.service):
            wanted, fleet = request.pools.get(pool_of(member), 0), fleets.get(member)
            if fleet is None and self._objects.refusal(member):
                self._refused[member] = wanted
            elif fleet is None or wanted > fleet.asked:
                grow.append(ScaleRequest(member, wanted, ()))
            elif wanted < fleet.asked:
                names = {replica.name for replica in fleet.replicas}
                shrink.append(ScaleRequest(member, wanted, tuple(name for name in request.remove if name in names)))
        yield grow
        yield shrink


def _merged(fleets: Mapping[ServiceName, Fleet]) -> Fleet:
    """Add up the fleets of the members of one service."""
    replicas, pools, override = [], [], None
    for member, fleet in fleets.items():
        pool = pool_of(member)
        replicas += [replica._replace(pool=pool) for replica in fleet.replicas]
        pools.append(_state(pool, fleet))
        if fleet.override is not None and override is None:
            override = fleet.override._replace(why=_of_pool(member, fleet.override.why))
    leaving = {pool_of(member): fleet.leaving for member, fleet in fleets.items() if fleet.leaving}
    unplaced = sum(pool.unplaced for pool in pools)
    asked = sum(fleet.asked for fleet in fleets.values())
    return Fleet(asked, tuple(replicas), override, sum(leaving.values()), tuple(pools), unplaced, leaving)


def _state(pool: str, fleet: Fleet) -> PoolState:
    (known,) = fleet.pools or (PoolState(pool, fleet.asked),)
    busy = sum(replica.ready and replica.running > 0 for replica in fleet.replicas)
    return known._replace(name=pool, asked=fleet.asked, ready=fleet.ready, busy=busy)


def _of_service(outcome: Outcome, wanted: ScaleRequest, total: int) -> list[Reason]:
    """Give how the drain of a member went in numbers of its service, for which `total` was wanted."""
    others = total - wanted.replicas
    return [
        reason._replace(
            before=reason.before + others, after=reason.after + others, why=_of_pool(outcome.service, reason.why)
        )
        for reason in outcome.drain
    ]


def _of_pool(member: ServiceName, text: str) -> str:
    pool = pool_of(member)
    return f"pool {pool}: {text}" if pool else text
