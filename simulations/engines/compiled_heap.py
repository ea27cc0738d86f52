"""A binary heap of events in arrays, ordered by time, then by the order in which they were scheduled."""

from simulations.engines.compiled_state import Table
from simulations.engines.jit import compiled


@compiled
def push(heap: Table, size: int, at: float, order: int, what: int) -> None:
    """Add an event to a heap of `size` events."""
    when, sequence, payload = heap.when, heap.sequence, heap.payload
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        if when[parent] < at or (when[parent] == at and sequence[parent] < order):
            break
        when[place], sequence[place], payload[place] = when[parent], sequence[parent], payload[parent]
        place = parent
    when[place], sequence[place], payload[place] = at, order, what


@compiled
def pop(heap: Table, size: int) -> int:
    """Remove the first event of a heap of `size` events, and give its payload."""
    when, sequence, payload = heap.when, heap.sequence, heap.payload
    first = int(payload[0])
    last = size - 1
    at, order, what = when[last], sequence[last], payload[last]
    place, child = 0, 1
    while child < last:
        right = child + 1
        if right < last and (
            when[right] < when[child] or (when[right] == when[child] and sequence[right] < sequence[child])
        ):
            child = right
        if at < when[child] or (at == when[child] and order < sequence[child]):
            break
        when[place], sequence[place], payload[place] = when[child], sequence[child], payload[child]
        place, child = child, 2 * child + 1
    when[place], sequence[place], payload[place] = at, order, what
    return first
