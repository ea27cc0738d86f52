"""The compiled engine's inner loop: functions that advance the state of a run, which is plain arrays.

Rules:
1. The steps and their order are those of the reference engine, also for ties: events are ordered by (time, sequence).
2. `NUMBA_DISABLE_JIT=1` runs the same code as plain Python, with the same results.
3. `compiled.py` checks that a run can be done exactly. Nothing is checked here.
"""

from math import ceil, inf

from autoscaler import wake_up
from autoscaler.wake_up import Demand
from simulations.engines.compiled_heap import pop, push
from simulations.engines.compiled_state import (
    ALIVE,
    ARRIVED,
    AVAILABLE,
    CLIENTS,
    COALESCE_S,
    CONCURRENCY,
    DUE,
    EACH,
    EVENTS,
    EXPIRE,
    FINISH,
    FINISHED,
    HANG_UP,
    HEAD,
    IMMEDIATE,
    LAST_CHANGE,
    LEAST_LOADED,
    LOSE_PATIENCE,
    MAX_REPLICAS,
    MIN_REPLICAS,
    NOW,
    QUEUE_LENGTH,
    QUEUE_TIMEOUT_S,
    QUEUED,
    READY,
    REPLICAS,
    RUNNING,
    SEND_DUE,
    SENT_AT,
    SENT_INFLIGHT,
    SENT_QUEUED,
    SEQUENCE,
    SERVED_S,
    STAYING,
    TAIL,
    TARGET,
    THINKS,
    WAKES,
    State,
    Table,
)
from simulations.engines.compiled_stream import integrate_inflight, send_update
from simulations.engines.jit import compiled
from simulations.model.history import HUNG_UP, QUEUE_TIMEOUT, REFUSED, SERVED, STILL_IN

starts_holding = compiled(wake_up.starts_holding)

REACHED, WOKEN, GROW = range(3)
"""Why `advance` returned: the time was reached, an update woke the controller, or an array is too short."""

ROOM = 8
"""One event adds fewer entries than this to any array."""


@compiled
def schedule(s: State, at: float, kind: int, subject: int) -> None:
    """Schedule an event; not if its time is infinite."""
    if at < inf:
        s.counts[SEQUENCE] += 1
        push(s.events, s.counts[EVENTS], at, s.counts[SEQUENCE], kind + 8 * subject)
        s.counts[EVENTS] += 1


@compiled
def account_time(s: State, replica: int) -> None:
    """Add the time since the last call to a replica's busy and draining time."""
    if s.replicas.serving[replica] > 0:
        spent = s.clock[NOW] - s.replicas.accounted_s[replica]
        s.replicas.busy[replica] += spent
        if s.replicas.leaving[replica] >= 0:
            s.replicas.draining[replica] += spent
    s.replicas.accounted_s[replica] = s.clock[NOW]


@compiled
def begin(s: State, request: int, replica: int) -> None:
    """Start a request on a replica."""
    account_time(s, replica)
    s.replicas.serving[replica] += 1
    s.counts[RUNNING] += 1
    s.requests.start[request] = s.clock[NOW]
    s.requests.replica[request] = replica
    schedule(s, s.clock[NOW] + s.requests.work[request] / s.replicas.speed[replica], FINISH, request)


@compiled
def serve(s: State, replica: int) -> None:
    """Start queued requests on a replica in order of arrival, while it has free slots."""
    counts, cap = s.counts, s.limits[CONCURRENCY]
    while counts[QUEUED] > 0 and (cap == 0 or s.replicas.serving[replica] < cap):
        request = s.requests.queue[counts[HEAD]]
        counts[HEAD] += 1
        if s.requests.end[request] >= 0:
            continue
        counts[QUEUED] -= 1
        begin(s, request, replica)


@compiled
def free_replica(s: State) -> int:
    """Give the first ready replica with a free slot, or the least loaded of them; -1 if there is none."""
    cap, least_loaded = s.limits[CONCURRENCY], s.limits[LEAST_LOADED]
    best = -1
    if cap > 0 and s.counts[QUEUED] > 0:
        return best
    for place in range(s.counts[AVAILABLE]):
        replica = int(s.replicas.available[place])
        if cap > 0 and s.replicas.serving[replica] >= cap:
            continue
        if not least_loaded:
            return replica
        if best < 0 or s.replicas.serving[replica] < s.replicas.serving[best]:
            best = replica
    return best


@compiled
def answer(s: State, request: int, status: int) -> None:
    """Send the response; a client of a closed loop thinks, and sends its next request."""
    if s.requests.status[request] != STILL_IN:
        return
    now, client = s.clock[NOW], s.requests.client[request]
    s.requests.status[request] = status
    s.requests.latency[request] = now - s.requests.arrival[request]
    if s.limits[CLIENTS] > 0 and s.sent[client] < s.limits[EACH]:
        think = s.requests.think[s.counts[THINKS]]
        s.counts[THINKS] += 1
        schedule_next_request(s, client, now + think)


@compiled
def schedule_next_request(s: State, client: int, at: float) -> None:
    """Schedule the next request of a client."""
    s.counts[SEQUENCE] += 1
    push(s.due, s.counts[DUE], at, s.counts[SEQUENCE], client)
    s.counts[DUE] += 1


@compiled
def depart(s: State, request: int, status: int) -> None:
    """End a request."""
    s.requests.end[request] = s.clock[NOW]
    answer(s, request, status)


@compiled
def leave_queue(s: State, request: int, status: int) -> bool:
    """End a request that is still in the queue; say whether it was."""
    if s.requests.end[request] >= 0 or s.requests.start[request] >= 0:
        return False
    integrate_inflight(s)
    s.counts[QUEUED] -= 1
    depart(s, request, status)
    return True


@compiled
def expire(s: State) -> bool:
    """End all requests with an expired queue timeout; say whether there was one."""
    place, gone = s.counts[HEAD], False
    while place < s.counts[TAIL]:
        request = s.requests.queue[place]
        if s.requests.arrival[request] + s.spans[QUEUE_TIMEOUT_S] > s.clock[NOW]:
            break
        gone = leave_queue(s, request, QUEUE_TIMEOUT) or gone
        place += 1
    return gone


@compiled
def arrive(s: State) -> None:
    """Let the next request arrive: start, queue or refuse it."""
    counts, now = s.counts, s.clock[NOW]
    request = counts[ARRIVED]
    counts[ARRIVED] += 1
    number = request
    if s.limits[CLIENTS] > 0:
        client = pop(s.due, counts[DUE])
        counts[DUE] -= 1
        number = s.sent[client] * s.limits[CLIENTS] + client
        s.requests.client[request] = client
        s.requests.arrival[request] = now
        s.requests.work[request] = s.requests.service[number]
        s.sent[client] += 1
    integrate_inflight(s)
    replica = free_replica(s)
    if replica >= 0:
        begin(s, request, replica)
    elif counts[QUEUED] < s.limits[QUEUE_LENGTH]:
        s.requests.queue[counts[TAIL]] = request
        counts[TAIL] += 1
        counts[QUEUED] += 1
        schedule(s, now + s.spans[QUEUE_TIMEOUT_S], EXPIRE, request)
        schedule(s, now + s.requests.patience[number], LOSE_PATIENCE, request)
    else:
        depart(s, request, REFUSED)
    schedule(s, now + s.requests.timeout[number], HANG_UP, request)


@compiled
def finish(s: State, request: int) -> None:
    """End a running request; its replica takes the next one, or goes when it has drained."""
    replica = s.requests.replica[request]
    integrate_inflight(s)
    account_time(s, replica)
    s.replicas.serving[replica] -= 1
    s.counts[RUNNING] -= 1
    s.counts[FINISHED] += 1
    s.clock[SERVED_S] += s.clock[NOW] - s.requests.start[request]
    depart(s, request, SERVED)
    if s.replicas.leaving[replica] >= 0:
        remove_if_drained(s, replica)
    else:
        serve(s, replica)


@compiled
def remove_if_drained(s: State, replica: int) -> None:
    """Remove a draining replica if it serves no request."""
    if s.replicas.serving[replica] == 0:
        s.replicas.gone[replica] = s.clock[NOW]
        s.counts[ALIVE] -= 1


@compiled
def become_ready(s: State, replica: int) -> bool:
    """Mark a replica as ready, and start queued requests on it; False if it was removed before."""
    if s.replicas.gone[replica] >= 0:
        return False
    integrate_inflight(s)
    s.replicas.ready[replica] = s.clock[NOW]
    s.replicas.available[s.counts[AVAILABLE]] = replica
    s.counts[AVAILABLE] += 1
    serve(s, replica)
    return True


@compiled
def add_replica(s: State) -> None:
    """Add a replica; its entries in `cold` and `speed` are already set."""
    counts = s.counts
    replica = counts[REPLICAS]
    counts[REPLICAS] += 1
    counts[ALIVE] += 1
    s.replicas.asked[replica] = s.replicas.accounted_s[replica] = s.clock[NOW]
    s.replicas.staying[counts[STAYING]] = replica
    counts[STAYING] += 1
    schedule(s, s.clock[NOW] + s.replicas.cold[replica], READY, replica)


@compiled
def remove_number(numbers: Table, count: int, one: int) -> int:
    """Remove one of the first `count` numbers, keep the order of the others, and give their count."""
    place = 0
    while numbers[place] != one:
        place += 1
    for moved in range(place, count - 1):
        numbers[moved] = numbers[moved + 1]
    return count - 1


@compiled
def drain(s: State, replica: int) -> None:
    """Start to drain a replica."""
    counts = s.counts
    account_time(s, replica)
    s.replicas.leaving[replica] = s.clock[NOW]
    counts[STAYING] = remove_number(s.replicas.staying, counts[STAYING], replica)
    if s.replicas.ready[replica] >= 0:
        counts[AVAILABLE] = remove_number(s.replicas.available, counts[AVAILABLE], replica)
    remove_if_drained(s, replica)


@compiled
def first_to_remove(s: State) -> int:
    """Give the replica to remove first, as `removal_order` does."""
    best = int(s.replicas.staying[0])
    for place in range(1, s.counts[STAYING]):
        other = int(s.replicas.staying[place])
        ready, best_ready = s.replicas.ready[other] >= 0, s.replicas.ready[best] >= 0
        if ready != best_ready:
            better = best_ready
        elif s.replicas.serving[other] != s.replicas.serving[best]:
            better = s.replicas.serving[other] < s.replicas.serving[best]
        else:
            better = s.replicas.asked[other] > s.replicas.asked[best]
        if better:
            best = other
    return best


@compiled
def scale_without_delay(s: State) -> None:
    """Set the replicas to what the requests in flight need, without a delay: the zero-delay policy."""
    inflight = s.counts[QUEUED] + s.counts[RUNNING]
    wanted = min(max(ceil(inflight / s.spans[TARGET]), s.limits[MIN_REPLICAS]), s.limits[MAX_REPLICAS])
    while s.counts[STAYING] > wanted:
        drain(s, first_to_remove(s))
    while s.counts[STAYING] < wanted:
        add_replica(s)


@compiled
def handle_event(s: State) -> bool:
    """Handle the first event of the heap; say whether it changed the state."""
    code = pop(s.events, s.counts[EVENTS])
    s.counts[EVENTS] -= 1
    kind, subject = code & 7, code >> 3
    if kind == FINISH:
        finish(s, subject)
        return True
    if kind == READY:
        return become_ready(s, subject)
    if kind == EXPIRE:
        return expire(s)
    if kind == LOSE_PATIENCE:
        return leave_queue(s, subject, HUNG_UP)
    left_queue = leave_queue(s, subject, HUNG_UP)
    answer(s, subject, HUNG_UP)
    return left_queue


@compiled
def note_change(s: State) -> None:
    """Note a change: schedule an update of the stream, or apply the zero-delay policy."""
    clock, counts = s.clock, s.counts
    clock[LAST_CHANGE] = clock[NOW]
    sent = Demand(counts[SENT_QUEUED], counts[SENT_INFLIGHT], 0)
    demand = Demand(counts[QUEUED], counts[QUEUED] + counts[RUNNING], 0)
    if s.limits[IMMEDIATE]:
        scale_without_delay(s)
    elif starts_holding(sent, demand) and counts[AVAILABLE] == 0 and s.spans[COALESCE_S] < inf:
        clock[SEND_DUE] = clock[NOW]
    elif clock[SEND_DUE] == inf:
        clock[SEND_DUE] = max(clock[NOW], clock[SENT_AT] + s.spans[COALESCE_S])


@compiled
def next_arrival(s: State) -> float:
    """Give the time of the next arrival; infinite if there is none."""
    if s.limits[CLIENTS] > 0:
        return s.due.when[0] if s.counts[DUE] > 0 else inf
    return s.requests.arrival[s.counts[ARRIVED]] if s.counts[ARRIVED] < len(s.requests) else inf


@compiled
def advance(s: State, until: float) -> int:
    """Advance the run up to and including a time; give the reason for the return."""
    clock, counts = s.clock, s.counts
    while True:
        if counts[EVENTS] + ROOM > len(s.events) or counts[REPLICAS] + ROOM > len(s.replicas):
            return GROW
        event = s.events.when[0] if counts[EVENTS] > 0 else inf
        coming = next_arrival(s)
        at = min(event, coming, clock[SEND_DUE])
        if at > until or at == inf:
            return REACHED
        clock[NOW] = at
        if event == at:
            if handle_event(s):
                note_change(s)
        elif coming == at:
            arrive(s)
            note_change(s)
        elif send_update(s) and s.limits[WAKES]:
            return WOKEN
