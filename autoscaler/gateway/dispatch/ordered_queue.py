"""A line in which everyone has a number, and the lowest number is first.

A plain queue would not do: a request that a pod refused goes back to its place in the middle. Leaving is O(1), as ten
thousand clients may vanish at once; who left is skipped when their turn comes.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

_SLACK = 16
"""How many dead numbers a short line may carry before it is rebuilt."""


class OrderedQueue(Generic[T]):
    """Members by number. Joining at the end, leaving and looking at the first are O(1) amortised."""

    __slots__ = ("_heap", "_members")

    def __init__(self) -> None:
        self._members: dict[int, T] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, number: int) -> bool:
        return number in self._members

    def add(self, number: int, member: T) -> None:
        """Take a place in the line; a number that is in it already keeps its place."""
        if number not in self._members:
            self._members[number] = member
            heappush(self._heap, number)

    def remove(self, number: int) -> None:
        """Leave the line, if in it."""
        if self._members.pop(number, None) is not None and len(self._heap) > 2 * len(self._members) + _SLACK:
            self._heap = list(self._members)
            heapify(self._heap)

    def first(self) -> T | None:
        """Give the member with the lowest number, None in an empty line."""
        members, heap = self._members, self._heap
        while heap:
            member = members.get(heap[0])
            if member is not None:
                return member
            heappop(heap)
        return None

    def unordered(self) -> Iterable[T]:
        """Give everyone in the line, in no order."""
        return self._members.values()

    def members(self) -> list[T]:
        """Give everyone in the line, first to last."""
        return [self._members[number] for number in sorted(self._members)]
