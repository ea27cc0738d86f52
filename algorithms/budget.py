"""Divides a budget among services in whole replicas: never more than the total, and nothing is left that one could use.

Rules, in this order:
1. A number that cannot be lowered now (`Demand.floor`) is given first, also beyond the total.
2. Each service gets its guaranteed replicas, but no more than it wants.
3. What is left goes by priority, the highest first. Within one priority it is divided weighted max-min fair: the next
   replica goes to the service that has least beyond its guarantee, in proportion to its weight. If two have equally
   little, the one that holds this replica already gets it, then the first by name.
4. Guarantees that exceed the total are divided in the same way, by priority and weight.
5. A service that must shrink holds its share until its replicas are gone. Those who get it wait until then.

Costs and the total are whole units: GPUs, or small units of money.
"""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple


class Demand(NamedTuple):
    """What one service wants of a budget, what it has, and its terms."""

    wanted: int
    """The replicas that it would ask for without the budget."""
    held: int = 0
    """The replicas that it asks for now, or more if more run."""
    leaving: int = 0
    """Replicas that are being removed and still occupy their GPUs; `held` does not have them."""
    floor: int = 0
    """The number is not lowered below this, at most `wanted`: a person or another program holds it."""
    priority: int = 0
    weight: int = 1
    guaranteed: int = 0
    cost: int = 1
    """Units that a replica costs."""

    @property
    def occupied(self) -> int:
        """Units that its replicas occupy now."""
        return (self.held + self.leaving) * self.cost


class Share(NamedTuple):
    """What one service gets of a budget."""

    fair: int
    """The replicas that it gets of the whole budget."""
    allowed: int
    """The replicas that it may ask for now; fewer than `fair` while others still hold what it waits for."""


def divide(total: int, demands: Mapping[str, Demand]) -> dict[str, Share]:
    """Give the share of each service.

    Args:
        total: the units of the budget.
        demands: what each service wants and has, by name.
    """
    if sum((max(each.wanted, each.held) + each.leaving) * each.cost for each in demands.values()) <= total:
        return {name: Share(each.wanted, each.wanted) for name, each in demands.items()}
    fair = {name: min(each.floor, each.wanted) for name, each in demands.items()}
    _fill(fair, {name: each.wanted for name, each in demands.items()}, demands, total - _cost(fair, demands))
    allowed = {name: min(fair[name], each.held) for name, each in demands.items()}
    _fill(allowed, fair, demands, total - sum(each.occupied for each in demands.values()))
    return {name: Share(fair[name], allowed[name]) for name in demands}


def _cost(replicas: Mapping[str, int], demands: Mapping[str, Demand]) -> int:
    return sum(count * demands[name].cost for name, count in replicas.items())


def _fill(replicas: dict[str, int], most: Mapping[str, int], demands: Mapping[str, Demand], room: int) -> None:
    """Raise the numbers towards `most` while there is room: first the guarantees, then the rest; each by priority."""
    guaranteed = {name: min(each.guaranteed, most[name]) for name, each in demands.items()}
    for limits, base in ((guaranteed, dict.fromkeys(demands, 0)), (most, guaranteed)):
        for equals in _by_priority(demands):
            room -= _fill_fairly(replicas, {name: limits[name] for name in equals}, base, demands, room)


def _by_priority(demands: Mapping[str, Demand]) -> Iterable[list[str]]:
    classes: dict[int, list[str]] = {}
    for name, each in demands.items():
        classes.setdefault(each.priority, []).append(name)
    return (classes[priority] for priority in sorted(classes, reverse=True))


def _fill_fairly(
    replicas: dict[str, int], most: Mapping[str, int], base: Mapping[str, int], demands: Mapping[str, Demand], room: int
) -> int:
    """Raise the numbers of one priority replica by replica; give the units that they took.

    Args:
        replicas: the numbers so far.
        most: the services of this priority, and how far each can rise.
        base: what does not count when it is compared who has least.
        demands: the terms of all services.
        room: the units that are left.
    """

    def turn(name: str) -> tuple[float, bool, str]:
        each, count = demands[name], replicas[name]
        return (count - base[name]) * each.cost / each.weight, count >= each.held, name

    left = room
    turns = [turn(name) for name, limit in most.items() if replicas[name] < limit]
    heapify(turns)
    while turns and left > 0:
        name = turns[0][-1]
        if demands[name].cost > left:
            heappop(turns)
            continue
        replicas[name] += 1
        left -= demands[name].cost
        if replicas[name] < most[name]:
            heapreplace(turns, turn(name))
        else:
            heappop(turns)
    return room - left
