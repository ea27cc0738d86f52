"""What services may ask for under the budgets in force: the controller's one object that knows all of them.

Rules:
1. A decision is limited after the overrides. A pause, and another writer's number, hold: they count as they are. A
   manual override asks, and the budget limits it.
2. A service in several budgets gets the least that one of them allows; the budgets are divided in the order of their
   names, and each sees what those before it allow.
3. A service whose decisions are not written asks for nothing. What it has counts.
4. What was allowed counts as held until the target shows the replicas, or that they were not asked for.
5. Until each service has been observed once, nobody may ask for more than it has: the others' replicas are unknown. A
   service that cannot be observed stops the others for `UNSEEN_S` at most.
6. If what a service may ask for changes without a decision on it, it is woken.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest
from math import inf
from typing import NamedTuple

from algorithms.budget import Demand, Share, divide
from algorithms.types import Reason
from autoscaler.policy.budget import BudgetedService, GpuBudget
from autoscaler.ports import Fleet, ServiceName

RULE = "budget"
"""The name of the rule in the reasons of a decision."""
UNSEEN_S = 30.0
"""How long the first increase waits for services that were never observed."""
_NAMED = 3
"""How many of the others a reason names."""
_NOTHING = Demand(0)


class Wanted(NamedTuple):
    """What one decision asks for before the budgets."""

    replicas: int
    fleet: Fleet
    is_held: bool = False
    """A person, another writer or a failure holds the number: it is not lowered."""
    writes: bool = True
    """False if the decision is not written."""


@dataclass(frozen=True)
class BudgetState:
    """How one budget is used."""

    budget: GpuBudget
    demands: Mapping[ServiceName, Demand]
    shares: Mapping[ServiceName, Share]

    def occupied(self, service: ServiceName) -> int:
        """Units that a service occupies, or may occupy now."""
        demand = self.demands[service]
        return (max(self.shares[service].allowed, demand.held) + demand.leaving) * demand.cost

    @cached_property
    def used(self) -> int:
        """Units that all services occupy, or may occupy now."""
        return sum(map(self.occupied, self.shares))

    @cached_property
    def largest(self) -> list[tuple[int, ServiceName]]:
        """The services that occupy most, with their units."""
        return nlargest(_NAMED + 1, ((self.occupied(each), each) for each in self.shares))


class _Limit(NamedTuple):
    """Why a service gets less than it wants."""

    allowed: int
    state: BudgetState


class Budgets:
    """Divides the budgets; `set` them, and ask for the `limits` of decisions.

    Args:
        services: all services that are decided on; it may change at any time.
        wake: called with a service that must be decided on again.
    """

    def __init__(self, services: Collection[ServiceName], wake: Callable[[ServiceName], None]) -> None:
        self._services = services
        self._wake = wake
        self._budgets: tuple[GpuBudget, ...] = ()
        self._terms: dict[tuple[str, ServiceName], BudgetedService | None] = {}
        self._demands: dict[ServiceName, Demand] = {}
        """What each service that wants or has anything wants and has; also without budgets, because one may come."""
        self._granted: dict[ServiceName, int] = {}
        """What each of them was last allowed to ask for."""
        self._limits: dict[ServiceName, _Limit] = {}
        """The services that get less than they want, by the last division."""
        self._seen: set[ServiceName] = set()
        self._first_s = inf
        self._all_seen = False
        self.states: tuple[BudgetState, ...] = ()
        """How each budget is used."""

    def set(self, budgets: Iterable[GpuBudget]) -> None:
        """Let exactly these budgets be in force; whoever gets more or less by that is woken."""
        self._budgets = tuple(sorted(budgets, key=lambda budget: budget.name))
        self._terms = {}
        self._divide_again(())

    def forget(self, service: ServiceName) -> None:
        """Forget a service that is gone; the others share what it had."""
        self._seen.discard(service)
        self._granted.pop(service, None)
        self._terms = {key: terms for key, terms in self._terms.items() if key[1] != service}
        if self._demands.pop(service, None) is not None:
            self._divide_again(())

    def limits(self, wanted: Mapping[ServiceName, Wanted], now_s: float) -> Mapping[ServiceName, Reason]:
        """Give a reason for each of these decisions that the budgets lower.

        Args:
            wanted: what was decided just now, at once.
            now_s: the time of the decisions.
        """
        demands = {name: _demand(each) for name, each in wanted.items()}
        changed = [name for name, demand in demands.items() if self._demands.get(name, _NOTHING) != demand]
        for name in changed:
            self._keep(name, demands[name])
        if self._sees_all_now(wanted, now_s) or changed:
            self._divide_again(wanted)
        found = {name: self._reason(name, self._limits[name]) for name in wanted if name in self._limits}
        for name, demand in demands.items():
            self._granted[name] = allowed = found[name].after if name in found else demand.wanted
            self._keep(name, demand._replace(held=max(demand.held, allowed)))
        return found

    def _keep(self, service: ServiceName, demand: Demand) -> None:
        if demand.wanted or demand.held or demand.leaving:
            self._demands[service] = demand
        else:
            self._demands.pop(service, None)

    def _sees_all_now(self, names: Iterable[ServiceName], now_s: float) -> bool:
        """Tell whether with these the last service was seen, or has been waited for long enough."""
        if self._all_seen:
            return False
        self._seen.update(names)
        self._first_s = min(self._first_s, now_s)
        self._all_seen = self._seen.issuperset(self._services) or now_s - self._first_s >= UNSEEN_S
        return self._all_seen

    def _divide_again(self, decided: Collection[ServiceName]) -> None:
        """Divide each budget, and wake who may ask for more or less than at its last decision."""
        if not self._budgets and not self.states:
            return
        self._limits, states = {}, list[BudgetState]()
        for budget in self._budgets:
            demands = dict(self._demands_on(budget))
            state = BudgetState(budget, demands, divide(budget.total, demands))
            states.append(state)
            for name, demand in demands.items():
                allowed = self._allowed(demand, state.shares[name])
                if allowed < demand.wanted:
                    self._limits[name] = _Limit(allowed, state)
        self.states = tuple(states)
        for name, demand in self._demands.items():
            now = self._limits[name].allowed if name in self._limits else demand.wanted
            if name not in decided and self._granted.get(name) != now:
                self._wake(name)

    def _allowed(self, demand: Demand, share: Share) -> int:
        return share.allowed if self._all_seen else min(share.allowed, max(demand.held, demand.floor))

    def _demands_on(self, budget: GpuBudget) -> Iterator[tuple[ServiceName, Demand]]:
        for name, demand in self._demands.items():
            if (terms := self._terms_in(budget, name)) is not None:
                wanted = self._limits[name].allowed if name in self._limits else demand.wanted
                yield (
                    name,
                    demand._replace(
                        wanted=wanted,
                        floor=min(demand.floor, wanted),
                        priority=terms.priority,
                        weight=terms.weight,
                        guaranteed=terms.guaranteed,
                        cost=terms.cost,
                    ),
                )

    def _terms_in(self, budget: GpuBudget, service: ServiceName) -> BudgetedService | None:
        key = budget.name, service
        if key not in self._terms:
            self._terms[key] = budget.terms(service)
        return self._terms[key]

    def _reason(self, name: ServiceName, limit: _Limit) -> Reason:
        if self._all_seen or limit.state.shares[name].allowed <= limit.allowed:
            why = _why(limit.state, name)
        else:
            why = f"GpuBudget {limit.state.budget.name}: not every service has been observed yet"
        return Reason(RULE, self._demands[name].wanted, limit.allowed, why)


def _demand(wanted: Wanted) -> Demand:
    fleet = wanted.fleet
    held = max(fleet.asked, len(fleet.replicas))
    if not wanted.writes:
        return Demand(fleet.asked, held, fleet.leaving, floor=fleet.asked)
    floor = min(wanted.replicas, fleet.asked) if wanted.is_held else 0
    return Demand(wanted.replicas, held, fleet.leaving, floor=floor)


def _why(state: BudgetState, name: ServiceName) -> str:
    """Name the budget, who has the rest, and what the service will get when others have given it back."""
    budget, share = state.budget, state.shares[name]
    others = [(units, each) for units, each in state.largest if units and each != name][:_NAMED]
    named = [f"{each} has {budget.amount(units):g}" for units, each in others]
    if rest := state.used - state.occupied(name) - sum(units for units, _ in others):
        named.append(f"others have {budget.amount(rest):g}")
    later = share.fair - share.allowed
    return (
        f"GpuBudget {budget.name}: of {budget.amount(budget.total):g} {budget.of_what} "
        f"{', '.join(named) or 'nobody else has any'}{f'; {later} more when they have left' if later else ''}"
    )
