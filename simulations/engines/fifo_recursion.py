"""One queue before replicas that take one request at a time, without events: the fastest engine's inner loop.

What a request needs is known when it starts, so nothing has to happen when it ends: it starts at its arrival, or when
the first replica is free if that is later (Kiefer and Wolfowitz, *On the theory of queues with many servers*, 1955).

Rules:
1. A replica that starts is free from when it is ready; one on its way out takes nothing more.
2. Of several that are free it is the one that became ready first; of several that become free at once, the one whose
   beginning came first: as in the other engines.
3. What would start after the time that is asked for is not started: a decision at that time may change it.

Everything is kept in four arrays of plain numbers, as each array that a compiled function is given costs a call time.
"""

from math import inf

from simulations.engines.jit import compiled, compiled_without_nan
from simulations.model.run_inputs import Floats, Integers

ARRIVAL, SERVICE, START, REPLICA, REPLICA_READY = range(5)
"""Rows of `requests`, which are in order of arrival: times in seconds, the number of the replica that took each, and
since when that replica was ready."""

FREE, READY, ASKED, BUSY, NUMBER, START_ORDER = range(6)
"""Rows of `places`: first those that stay, in the order in which they are ready, then those on their way out."""

REMOVED_AT = 6
"""One more row of `departed`, which has a column for each that was sent on its way, as it was then: when that was."""

HEAD, ARRIVED, KNOWN, STAYING, LEAVING, DEPARTED, STARTS, LONGEST_QUEUE = range(8)
"""Places in `counts`: requests started, come and known; replicas of both kinds, and those ever sent on their way; a
number for each beginning; how many waited at most at a time that was reached."""

SPEED, REQUEST_SECONDS, LONGEST_WAIT, LAST_CHANGE, NOW = range(5)
"""Places in `sums`: what service times are divided by; request-seconds of all that has started, to their ends; the
longest wait; the last change that stands nowhere else; the time that was reached."""


@compiled_without_nan
def first_idle(places: Floats, staying: int, when: float) -> int:
    """Give the first replica that is free then (rule 2), else how many there are."""
    place = 0
    while place < staying and places[FREE, place] > when:
        place += 1
    return place


@compiled_without_nan
def first_free(places: Floats, staying: int) -> int:
    """Give the replica that is free first (rule 2); there is one.

    The least time is looked for at even and at odd places side by side, as each comparison waits for the one before it;
    and without a branch, as a processor cannot foresee which is the least.
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
    """Give whose beginning came first among those that are free when a certain one is (rule 2)."""
    when = places[FREE, first]
    for place in range(staying):
        if places[FREE, place] == when and places[START_ORDER, place] < places[START_ORDER, first]:
            first = place
    return first


@compiled
def start_requests(requests: Floats, places: Floats, counts: Integers, sums: Floats, until: float) -> None:
    """Start what starts up to a time, that included."""
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
        # One that waits, or comes while another does, is spared the search for an idle replica.
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
    """Let requests come up to a time, that included; give how many are waiting then."""
    came, filled = max(counts[ARRIVED], counts[HEAD]), counts[KNOWN]
    while came < filled and requests[ARRIVAL, came] <= until:
        came += 1
    counts[ARRIVED] = came
    queued = int(came - counts[HEAD])
    counts[LONGEST_QUEUE] = max(counts[LONGEST_QUEUE], queued)
    return queued


@compiled
def advance(requests: Floats, places: Floats, counts: Integers, sums: Floats, until: float) -> tuple[float, int]:
    """Let everything happen up to a time; give how many are in flight then, and how many replicas ready."""
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
    """Ask for a replica, for which there is place; give how many places are taken then."""
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
    """Send a replica on its way out now, as `departed` notes; if it serves nobody it is counted no more."""
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
    """Send replicas on their way until so many stay, as `remove` does each."""
    while counts[STAYING] > staying:
        remove_replica(places, counts, sums, departed, places[NUMBER, next_to_leave(places, counts, -1, sums[NOW])])


@compiled
def drop_departed(places: Floats, counts: Integers, sums: Floats, now: float) -> None:
    """Forget replicas on their way out that are gone."""
    kept, end = counts[STAYING], counts[STAYING] + counts[LEAVING]
    for place in range(counts[STAYING], end):
        if places[FREE, place] > now:
            copy_place(places, place, kept)
            kept += 1
        else:
            sums[LAST_CHANGE] = max(sums[LAST_CHANGE], places[FREE, place])
    counts[LEAVING] = kept - counts[STAYING]


@compiled
def next_to_leave(places: Floats, counts: Integers, after: int, now: float) -> int:
    """Give where the replica stands that should go next after another (-1 is none), as `removal_order` does."""
    best = -1
    for place in range(counts[STAYING]):
        if after >= 0 and not leaves_before(places, after, place, now):
            continue
        if best < 0 or leaves_before(places, place, best, now):
            best = place
    return best


@compiled
def leaves_before(places: Floats, one: int, other: int, now: float) -> bool:
    """Say whether a replica should go before another: not ready, then idle, then busy; the youngest first."""
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
    """Give when something happened last: a request came, started or ended, a replica became ready."""
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
