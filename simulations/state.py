"""The state of a run in the compiled engine: plain arrays, and what stands where in them."""

from math import inf, nan
from typing import Any, NamedTuple

import numpy as np

from simulations.setup import Batch, Floats, Integers, Setup

FINISH, READY, EXPIRE, LOSE_PATIENCE, HANG_UP = range(5)
"""Kinds of events on the heap."""

NOW, AREA, AREA_UNTIL, LINE_DUE, LINE_AT, LINE_AREA, LOOKED_AREA, MOVED = range(8)
"""Places in `State.clock`: seconds, but for the areas, which are request-seconds."""

CAME, HEAD, TAIL, QUEUED, RUNNING, EVENTS, SEQUENCE = range(7)
REPLICAS, STAYING, ALIVE, LINE_QUEUED, LINE_INFLIGHT, THOUGHT, DUE, ABLE = range(7, 15)
"""Places in `State.counts`."""

CONCURRENCY, QUEUE_LENGTH, LEAST, MOST, WAKES, IMMEDIATE, CLIENTS, EACH = range(8)
"""Places in `State.limits`."""

LINE_S, QUEUE_TIMEOUT_S, TARGET = range(3)
"""Places in `State.spans`."""


class Heap(NamedTuple):
    """Events by time and sequence; how many there are is kept elsewhere."""

    when: Floats
    sequence: Integers
    payload: Integers


class State(NamedTuple):
    """All of a run; the arrays are changed in place."""

    clock: Floats
    counts: Integers
    limits: Integers
    spans: Floats
    # Requests, a place each, in order of arrival.
    arrival: Floats
    service: Floats
    patience: Floats
    timeout: Floats
    """These three of a closed loop: of the first request of each client, then of the second of each, and so on."""
    start: Floats
    end: Floats
    latency: Floats
    status: Integers
    replica: Integers
    client: Integers
    work: Floats
    """Service time of each, in order of arrival."""
    queue: Integers
    """Those that had to wait, in order; from `HEAD` to `TAIL` some may still do."""
    # Clients of a closed loop, a place each, and when the next request of some is due.
    sent: Integers
    think: Floats
    due: Heap
    """Payload: the client."""
    # What will happen.
    events: Heap
    """Payload: kind of event + 8 x what it happens to."""
    # Replicas, a place each, in the order in which they were asked for.
    asked: Floats
    ready: Floats
    leaving: Floats
    gone: Floats
    busy: Floats
    draining: Floats
    changed: Floats
    speed: Floats
    cold: Floats
    """How long each takes to start."""
    serving: Integers
    staying: Integers
    """Numbers of the `STAYING` that are not on their way out, ascending."""
    able: Integers
    """Numbers of the `ABLE` of these that are ready, in the order in which they became so."""


ROOM = 1024
"""Places for replicas and events at the beginning; there are more when they are needed."""


def _unknown(count: int) -> Floats:
    return np.full(count, nan)


def _zeros(count: int) -> Integers:
    return np.zeros(count, dtype=np.int64)


def _heap(room: int) -> Heap:
    return Heap(np.zeros(room), _zeros(room), _zeros(room))


def new_state(setup: Setup, batch: Batch) -> State:
    """Give the state at 0: nothing has come, no replica was asked for."""
    total = len(batch.service)
    limits = setup.limits
    state = State(
        clock=np.zeros(8),
        counts=_zeros(16),
        limits=np.array(
            [
                limits.concurrency,
                limits.queue_length,
                setup.least,
                setup.most,
                setup.wakes,
                setup.immediate,
                batch.clients,
                batch.each,
            ],
            dtype=np.int64,
        ),
        spans=np.array([setup.line_s, limits.queue_timeout_s, setup.target]),
        arrival=batch.arrival.copy(),
        service=batch.service,
        patience=batch.patience,
        timeout=batch.timeout,
        start=_unknown(total),
        end=_unknown(total),
        latency=_unknown(total),
        status=_zeros(total),
        replica=np.full(total, -1, dtype=np.int64),
        client=np.full(total, -1, dtype=np.int64),
        work=batch.service.copy() if batch.clients else batch.service,
        queue=_zeros(total),
        sent=_zeros(batch.clients),
        think=batch.think,
        due=_heap(batch.clients + 1),
        events=_heap(ROOM),
        asked=_unknown(ROOM),
        ready=_unknown(ROOM),
        leaving=_unknown(ROOM),
        gone=_unknown(ROOM),
        busy=np.zeros(ROOM),
        draining=np.zeros(ROOM),
        changed=np.zeros(ROOM),
        speed=np.ones(ROOM),
        cold=np.zeros(ROOM),
        serving=_zeros(ROOM),
        staying=_zeros(ROOM),
        able=_zeros(ROOM),
    )
    state.clock[LINE_DUE] = inf
    return state


GROWING = (
    *("asked", "ready", "leaving", "gone", "busy", "draining"),
    *("changed", "speed", "cold", "serving", "staying", "able"),
)


def grown(state: State) -> State:
    """Give twice the room for replicas and events."""
    columns = {name: getattr(state, name) for name in GROWING}
    longer: dict[str, Any] = {name: np.concatenate([each, _more(each, name)]) for name, each in columns.items()}
    room = len(state.events.when)
    events = Heap(*(np.concatenate([column, np.zeros(room, dtype=column.dtype)]) for column in state.events))
    return state._replace(events=events, **longer)


def _more(column: Any, name: str) -> Any:
    unknown = name in ("asked", "ready", "leaving", "gone")
    return np.full(len(column), nan if unknown else name == "speed", dtype=column.dtype)
