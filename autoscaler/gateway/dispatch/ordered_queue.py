"""A queue in which each member has a number, and the lowest number is first.

A plain queue does not suffice: a request that a pod refused returns to its place in the middle. Removal is O(1),
because ten thousand clients may disconnect at once; removed numbers are skipped when they reach the front.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

_SLACK = 16
"""How many removed numbers a short queue may keep before it is rebuilt."""


class OrderedQueue(Generic[T]):
    """Members by number. Adding at the end, removing and reading the first are O(1) amortised."""

    __slots__ = ("_heap", "_members")

    def __init__(self) -> None:
        self._members: dict[int, T] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, number: int) -> bool:
        return number in self._members

    def add(self, number: int, member: T) -> bool:
        """Add a member; return False for a number that is in the queue already, which keeps its member."""
        if number in self._members:
            return False
        self._members[number] = member
        heappush(self._heap, number)
        return True

    def remove(self, number: int) -> None:
        """Remove a member, if it is in the queue."""
        if self._members.pop(number, None) is not None and len(self._heap) > 2 * len(self._members) + _SLACK:
            self._heap = list(self._members)
            heapify(self._heap)

    def first(self) -> T | None:
        """Return the member with the lowest number, None if the queue is empty."""
        members, heap = self._members, self._heap
        while heap:
            member = members.get(heap[0])
            if member is not None:
                return member
            heappop(heap)
        return None

    def unordered(self) -> Iterable[T]:
        """Return all members, in no order."""
        return self._members.values()

    def members(self) -> list[T]:
        """Return all members, in order."""
        return [self._members[number] for number in sorted(self._members)]
