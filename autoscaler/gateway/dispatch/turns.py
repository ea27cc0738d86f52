"""Whose turn it is among the requests that wait in one queue: for any pod, or for one pod.

Rules:
1. The class with the lowest level goes first. Each class gets at least its share of the grants that are made while it
   waits: a credit grows by the share at each of them, and a class with a credit of one whole grant goes before all.
2. In a class clients take turns. A client has the place of its first request's arrival; after each grant it goes behind
   all clients that wait then. A request without a client stands for itself, so without fairness the order is that of
   arrival.
3. The requests of one client go in the order of their arrival.
4. A request that returns has the place with which it was granted.

Each operation takes logarithmic time, and constant time on average.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Generic, Protocol, TypeVar

from autoscaler.gateway.dispatch.ordered_queue import OrderedQueue
from autoscaler.gateway.dispatch.types import Turn

_WHOLE = 1_000_000
"""A credit of one grant; whole numbers, so that a share is exact however long the service runs."""


class Request(Protocol):
    """What decides about the turn of a request."""

    turn: Turn
    number: int
    """Its place in the order of arrival."""
    arrived_s: float
    place: int | None
    """Its place in the order of turns while it stands in that, and after it was granted."""


R = TypeVar("R", bound=Request)


def place_of(request: Request) -> int:
    """Return the place of a request in the order of turns; until it has one, that of its arrival."""
    return request.number if request.place is None else request.place


class _Stand(Generic[R]):
    """Stands for a request while grants to come are played through."""

    __slots__ = ("arrived_s", "number", "place", "request", "turn")

    def __init__(self, request: R) -> None:
        self.request = request
        self.turn = request.turn
        self.number = request.number
        self.arrived_s = request.arrived_s
        self.place = request.place


class _Line(Generic[R]):
    """The requests of one class.

    Attributes:
        first: returns the request whose turn it is, None if none waits.
    """

    __slots__ = ("_clients", "_turns", "first")

    def __init__(self) -> None:
        self._turns: OrderedQueue[R] = OrderedQueue()
        """The first request of each client, and each request without a client, by place."""
        self._clients: dict[str, OrderedQueue[R]] = {}
        """All requests of each client, in the order of arrival."""
        self.first = self._turns.first

    def oldest(self) -> R | None:
        if not self._clients:
            return self._turns.first()
        return min(self._turns.unordered(), key=lambda request: request.arrived_s)

    def members(self) -> Iterator[R]:
        for own in self._clients.values():
            yield from own.unordered()
        yield from (request for request in self._turns.unordered() if not request.turn.client)

    def in_turn(self) -> list[R] | None:
        """Return all requests in the order of turns; None if clients take turns, which each grant changes."""
        return None if self._clients else self._turns.members()

    def stands(self) -> "_Line[_Stand[R]]":
        """Return a line of stands for the requests, in the same order."""
        line: _Line[_Stand[R]] = _Line()
        stands = {each.number: _Stand(each) for each in self.members()}
        for each in self._turns.unordered():
            line.seat(stands[each.number], place_of(each))
        for client, own in self._clients.items():
            queue: OrderedQueue[_Stand[R]] = OrderedQueue()
            line._clients[client] = queue
            for each in own.unordered():
                queue.add(each.number, stands[each.number])
        return line

    def seat(self, request: R, place: int) -> None:
        """Let a request stand in the order of turns."""
        while not self._turns.add(place, request):
            place += 1
        request.place = place

    def add_to_client(self, request: R) -> None:
        """Add a request behind those of its client that arrived before; the client has the best of their places."""
        place = place_of(request)
        own = self._clients.setdefault(request.turn.client, OrderedQueue())
        before = own.first()
        own.add(request.number, request)
        request.place = None
        if before is None:
            self.seat(request, place)
        elif place < place_of(before) or request.number < before.number:
            place = min(place, place_of(before))
            self._turns.remove(place_of(before))
            before.place = None
            self.seat(min(request, before, key=lambda each: each.number), place)

    def remove(self, request: R, place_of_next: int | None) -> None:
        """Remove a request; if it was its client's first, the next gets this place, or that of its own arrival."""
        place = request.place
        if place is not None:
            self._turns.remove(place)
        if not request.turn.client:
            return
        own = self._clients[request.turn.client]
        own.remove(request.number)
        following = own.first()
        if following is None:
            del self._clients[request.turn.client]
        elif place is not None:
            self.seat(following, max(place_of_next or 0, following.number))


class TurnQueue(Generic[R]):
    """Requests that wait for the same pods.

    Attributes:
        count: how many they are.
    """

    __slots__ = ("_credits", "_lines", "_only", "count")

    def __init__(self) -> None:
        self.count = 0
        self._only: _Line[R] | None = _Line()
        """The line of all requests, if all have the highest class."""
        self._lines: dict[int, _Line[R]] = {0: self._only}
        """The classes that ever waited here, by level."""
        self._credits: dict[int, int] = {}
        """What each class has saved for the next grant here."""

    def add(self, request: R) -> None:
        """Add a request, at the place that it had if it was granted before."""
        line = self._lines.get(request.turn.level) or self._new_line(request.turn.level)
        if request.turn.client:
            line.add_to_client(request)
        else:
            line.seat(request, place_of(request))
        self.count += 1

    def _new_line(self, level: int) -> _Line[R]:
        self._only = None
        line: _Line[R] = _Line()
        self._lines[level] = line
        return line

    def remove(self, request: R, place_of_next: int | None) -> None:
        """Remove a request, which keeps its place; if it was its client's first, the next one gets another.

        Args:
            request: the request.
            place_of_next: a place behind all others; None if the request has ended, as if it had never come.
        """
        self._lines[request.turn.level].remove(request, place_of_next)
        self.count -= 1

    def first(self, shares: Sequence[float]) -> R | None:
        """Return the request whose turn it is."""
        return self._only.first() if self._only is not None else self._due(self.firsts(), shares)

    def first_beside(self, other: "TurnQueue[R]", shares: Sequence[float]) -> R | None:
        """Return the request whose turn it is among those here and those of another queue; the credits are of here."""
        return self._due(self._firsts_beside(other), shares)

    def firsts(self) -> dict[int, R]:
        """Return the first request of each class that waits."""
        return {level: first for level, line in self._lines.items() if (first := line.first()) is not None}

    def oldest(self) -> R | None:
        """Return the request that arrived first."""
        oldest = [each for line in self._lines.values() if (each := line.oldest()) is not None]
        return min(oldest, key=lambda request: request.arrived_s, default=None)

    def pay(self, granted: R, beside: "TurnQueue[R]", shares: Sequence[float]) -> None:
        """Note that a request is granted, here or beside: each waiting class's credit grows, and its own is spent."""
        levels = self._firsts_beside(beside)
        if len(levels) > 1:
            self._credits = {level: self._credit(level, shares) for level in levels}
            self._credits[granted.turn.level] = max(0, self._credits[granted.turn.level] - _WHOLE)

    def members(self) -> list[R]:
        """Return all requests in the order of arrival."""
        everyone = (request for line in self._lines.values() for request in line.members())
        return sorted(everyone, key=lambda request: request.number)

    def in_turn(self, shares: Sequence[float]) -> list[R]:
        """Return all requests in the order in which they are granted if no other comes."""
        if self._only is not None and (order := self._only.in_turn()) is not None:
            return order
        stands, granted = self._stands(), []
        behind = count(2 + 2 * max((max(each.number, place_of(each)) for each in self.members()), default=0))
        while (first := stands.first(shares)) is not None:
            if shares:
                stands.pay(first, stands, shares)
            stands.remove(first, next(behind))
            granted.append(first.request)
        return granted

    def _stands(self) -> "TurnQueue[_Stand[R]]":
        copy: TurnQueue[_Stand[R]] = TurnQueue()
        copy.count = self.count
        copy._lines = {level: line.stands() for level, line in self._lines.items()}
        copy._only = None if self._only is None else copy._lines[0]
        copy._credits = dict(self._credits)
        return copy

    def _firsts_beside(self, other: "TurnQueue[R]") -> dict[int, R]:
        firsts = self.firsts()
        for level, request in other.firsts().items():
            if level not in firsts or place_of(request) < place_of(firsts[level]):
                firsts[level] = request
        return firsts

    def _due(self, firsts: Mapping[int, R], shares: Sequence[float]) -> R | None:
        if len(firsts) <= 1:
            return next(iter(firsts.values()), None)
        richest = max(firsts, key=lambda level: (self._credit(level, shares), -level))
        return firsts[richest if self._credit(richest, shares) >= _WHOLE else min(firsts)]

    def _credit(self, level: int, shares: Sequence[float]) -> int:
        """Return a class's credit at the next grant."""
        return self._credits.get(level, 0) + (round(shares[level] * _WHOLE) if level < len(shares) else 0)
