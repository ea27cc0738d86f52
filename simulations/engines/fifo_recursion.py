"""The inner loop of the `fifo` engine: one queue before replicas that serve one request at a time, without events.

A request's service time is known when it starts, so its end needs no event. It starts at its arrival, or when the first
replica is free if that is later (Kiefer and Wolfowitz, *On the theory of queues with many servers*, 1955).

Rules:
1. A replica is free from the time at which it is ready. A draining replica gets no request.
2. If several replicas are free, the one that became ready first gets the request. If several become free at the same
   time, it is the one with the earlier last start. The other engines do the same.
3. `advance` starts no request after its time: a decision at that time may change the start.

The state is in four arrays of plain numbers, as each array argument makes a call of a compiled function slower.
"""

from math import inf

from simulations.engines.jit import compiled, compiled_without_nan
from simulations.model.run_inputs import Floats, Integers

ARRIVAL, SERVICE, START, REPLICA, REPLICA_READY = range(5)
"""Rows of `requests`, which are in order of arrival: times in seconds, the number of the replica that served each, and
the time at which that replica became ready."""

FREE, READY, ASKED, BUSY, NUMBER, START_ORDER = range(6)
"""Rows of `places`: first the replicas that do not drain, in the order in which they become ready, then the others."""

REMOVED_AT = 6
"""The last row of `departed`, which has a column for each removed replica: the time of the removal."""

HEAD, ARRIVED, KNOWN, STAYING, LEAVING, DEPARTED, STARTS, LONGEST_QUEUE = range(8)
"""Indices in `counts`: requests started, arrived and known; replicas that stay and that drain, and all that were ever
removed; the number of starts; the longest queue at a time of `advance`."""

SPEED, REQUEST_SECONDS, LONGEST_WAIT, LAST_CHANGE, NOW = range(5)
"""Indices in `sums`: the speed of replicas; request-seconds of all started requests, up to their ends; the longest
wait; the last change that no other array has; the time of the last `advance`."""


@compiled_without_nan
def first_idle(places: Floats, staying: int, when: float) -> int:
    """Give the first replica that is free at a time (rule 2); `staying` if there is none."""
    place = 0
    while place < staying and places[FREE, place] > when:
        place += 1
    return place


@compiled_without_nan
def first_free(places: Floats, staying: int) -> int:
    """Give the replica that is free earliest (rule 2); there must be one.

    The minimum is computed for even and odd places side by side, as each comparison depends on the one before; and
    without branches, as a processor cannot predict them.
    """
    even, odd, at_even, at_odd, shared = inf, inf, 0, 0, False
    for place in range(0, staying - 1, 2):
        one, other = places[FREE, place], places[FREE, place + 1]
        shared |= (one == even) | (other == odd)
        at_even, even = place if one < even else at_even, min(one, even)
        at_odd, odd = place + 1 if other < odd else at_odd, min(other, odd)
    if staying % 2:
        one = places[FREE, staying - 1]
        shared |= one == even
        at_even, even = staying - 1 if one < even else at_even, min(one, even)
    first = at_even if even <= odd else at_odd
    return earliest_begun(places, staying, first) if shared or even == odd else first


@compiled_without_nan
def earliest_begun(places: Floats, staying: int, first: int) -> int:
    """Give the replica with the earliest last start among those that become free together with `first` (rule 2)."""
    when = places[FREE, first]
    for place in range(staying):
        if places[FREE, place] == when and places[START_ORDER, place] < places[START_ORDER, first]:
            first = place
    return first


@compiled
def start_requests(requests: Floats, places: Floats, counts: Integers, sums: Floats, until: float) -> None:
    """Start all requests that start up to and including a time."""
    head, filled, staying, begun = counts[HEAD], counts[KNOWN], counts[STAYING], counts[STARTS]
    waited, speed, spent, longest, begins = (
        counts[ARRIVED],
        sums[SPEED],
        sums[REQUEST_SECONDS],
        sums[LONGEST_WAIT],
        -inf,
    )
    while staying > 0 and head < filled and requests[ARRIVAL, head] <= until:
        arrival = requests[ARRIVAL, head]
        # If a request waits, no replica is idle, and the search for one is skipped.
        place = first_idle(places, staying, arrival) if begins <= arrival and head >= waited else staying
        begins = arrival
        if place == staying:
            place = first_free(places, staying)
            begins = max(arrival, places[FREE, place])
            if begins > until:
                break
        begun += 1
        ends = begins + requests[SERVICE, head] / speed
        requests[START, head], requests[REPLICA_READY, head] = begins, places[READY, place]
        requests[REPLICA, head] = places[NUMBER, place]
        places[FREE, place], places[START_ORDER, place] = ends, begun
        places[BUSY, place] += ends - begins
        spent += ends - arrival
        longest = max(longest, begins - arrival)
        head += 1
    counts[HEAD], counts[STARTS], sums[REQUEST_SECONDS], sums[LONGEST_WAIT] = head, begun, spent, longest


@compiled
def count_arrivals(requests: Floats, counts: Integers, until: float) -> int:
    """Count the arrivals up to and including a time; give how many requests are queued then."""
    came, filled = max(counts[ARRIVED], counts[HEAD]), counts[KNOWN]
    while came < filled and requests[ARRIVAL, came] <= until:
        came += 1
    counts[ARRIVED] = came
    queued = int(came - counts[HEAD])
    counts[LONGEST_QUEUE] = max(counts[LONGEST_QUEUE], queued)
    return queued


@compiled
def advance(requests: Floats, places: Floats, counts: Integers, sums: Floats, until: float) -> tuple[float, int]:
    """Advance the run to a time; give the requests in flight and the ready replicas then."""
    sums[NOW] = until
    start_requests(requests, places, counts, sums, until)
    inflight, ready = float(count_arrivals(requests, counts, until)), 0
    for place in range(counts[STAYING] + counts[LEAVING]):
        if places[READY, place] <= until:
            ready += place < counts[STAYING]
            inflight += places[FREE, place] > until
    return inflight, ready


@compiled
def copy_place(places: Floats, source: int, target: int) -> None:
    """Copy a replica's column."""
    for row in range(len(places)):
        places[row, target] = places[row, source]


@compiled
def add_replica(places: Floats, counts: Integers, number: int, now: float, ready: float) -> int:
    """Add a replica in a free place; give the number of used places."""
    place = counts[STAYING] + counts[LEAVING]
    while place > 0 and (place > counts[STAYING] or places[READY, place - 1] > ready):
        copy_place(places, place - 1, place)
        place -= 1
    counts[STAYING] += 1
    counts[STARTS] += 1
    places[FREE, place], places[READY, place], places[ASKED, place] = ready, ready, now
    places[BUSY, place], places[NUMBER, place], places[START_ORDER, place] = 0.0, number, counts[STARTS]
    return int(counts[STAYING] + counts[LEAVING])


@compiled
def remove_replica(places: Floats, counts: Integers, sums: Floats, departed: Floats, number: int) -> None:
    """Start to drain a replica, and note it in `departed`; without a running request it is gone immediately."""
    now = sums[NOW]
    drop_departed(places, counts, sums, now)
    place, end, at = 0, counts[STAYING] + counts[LEAVING], counts[DEPARTED]
    while places[NUMBER, place] != number:
        place += 1
    for row in range(len(places)):
        departed[row, at] = places[row, place]
    departed[REMOVED_AT, at] = now
    counts[DEPARTED] += 1
    copy_place(places, place, end)
    for moved in range(place, end):
        copy_place(places, moved + 1, moved)
    counts[STAYING] -= 1
    if departed[READY, at] <= now < departed[FREE, at]:
        counts[LEAVING] += 1
    elif departed[FREE, at] <= now:
        sums[LAST_CHANGE] = max(sums[LAST_CHANGE], departed[FREE, at])


@compiled
def remove_until(places: Floats, counts: Integers, sums: Floats, departed: Floats, staying: int) -> None:
    """Remove replicas until `staying` are left."""
    while counts[STAYING] > staying:
        remove_replica(places, counts, sums, departed, places[NUMBER, next_to_remove(places, counts, -1, sums[NOW])])


@compiled
def drop_departed(places: Floats, counts: Integers, sums: Floats, now: float) -> None:
    """Drop draining replicas that are gone from `places`."""
    kept, end = counts[STAYING], counts[STAYING] + counts[LEAVING]
    for place in range(counts[STAYING], end):
        if places[FREE, place] > now:
            copy_place(places, place, kept)
            kept += 1
        else:
            sums[LAST_CHANGE] = max(sums[LAST_CHANGE], places[FREE, place])
    counts[LEAVING] = kept - counts[STAYING]


@compiled
def next_to_remove(places: Floats, counts: Integers, after: int, now: float) -> int:
    """Give the place of the replica to remove next after another (-1 for none), as `removal_order` does."""
    best = -1
    for place in range(counts[STAYING]):
        if after >= 0 and not is_removed_before(places, after, place, now):
            continue
        if best < 0 or is_removed_before(places, place, best, now):
            best = place
    return best


@compiled
def is_removed_before(places: Floats, one: int, other: int, now: float) -> bool:
    """Say whether a replica is removed before another: not ready, then idle, then busy; the youngest first."""
    ready, other_ready = places[READY, one] <= now, places[READY, other] <= now
    if ready != other_ready:
        return bool(other_ready)
    busy, other_busy = ready and places[FREE, one] > now, other_ready and places[FREE, other] > now
    if busy != other_busy:
        return bool(other_busy)
    if places[ASKED, one] != places[ASKED, other]:
        return bool(places[ASKED, one] > places[ASKED, other])
    return bool(places[NUMBER, one] < places[NUMBER, other])


@compiled
def last_change(requests: Floats, places: Floats, counts: Integers, sums: Floats, now: float) -> float:
    """Give the time of the last change: a request arrived, started or ended, or a replica became ready."""
    moved = sums[LAST_CHANGE]
    if counts[ARRIVED] > 0:
        moved = max(moved, requests[ARRIVAL, counts[ARRIVED] - 1])
    if counts[HEAD] > 0:
        moved = max(moved, requests[START, counts[HEAD] - 1])
    for place in range(counts[STAYING] + counts[LEAVING]):
        if places[READY, place] <= now:
            moved = max(moved, places[READY, place])
        if places[FREE, place] <= now:
            moved = max(moved, places[FREE, place])
    return float(moved)
