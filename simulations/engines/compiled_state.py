"""The state of a run in the compiled engine: plain arrays, and what stands where in them."""

from math import inf, nan
from typing import Any, NamedTuple

import numpy as np

from simulations.model.history import STILL_IN
from simulations.model.run_inputs import Batch, Floats, Integers, RunInputs

FINISH, READY, EXPIRE, LOSE_PATIENCE, HANG_UP = range(5)
"""Kinds of events on the heap."""

NOW, AREA, AREA_UNTIL, SEND_DUE, SENT_AT, SENT_AREA, OBSERVED_AREA, LAST_CHANGE = range(8)
"""Places in `State.clock`: seconds, but for the areas, which are request-seconds."""

ARRIVED, HEAD, TAIL, QUEUED, RUNNING, EVENTS, SEQUENCE = range(7)
REPLICAS, STAYING, ALIVE, SENT_QUEUED, SENT_INFLIGHT, THINKS, DUE, AVAILABLE = range(7, 15)
"""Places in `State.counts`."""

CONCURRENCY, QUEUE_LENGTH, MIN_REPLICAS, MAX_REPLICAS, WAKES, IMMEDIATE, CLIENTS, EACH, LEAST_LOADED = range(9)
"""Places in `State.limits`."""

COALESCE_S, QUEUE_TIMEOUT_S, TARGET = range(3)
"""Places in `State.spans`."""

Table = Any
"""A numpy record array: columns by name, one record for each place."""

REQUEST = np.dtype(
    [
        ("arrival", "f8"),
        # These three of a closed loop: of the first request of each client, then of the second of each, and so on.
        ("service", "f8"),
        ("patience", "f8"),
        ("timeout", "f8"),
        ("think", "f8"),  # before the first second request of any client, before the next, and so on
        ("work", "f8"),  # service time of each, in order of arrival
        ("start", "f8"),
        ("end", "f8"),
        ("latency", "f8"),
        ("status", "i8"),
        ("replica", "i8"),
        ("client", "i8"),
        ("queue", "i8"),  # those that had to wait, in order; from HEAD to TAIL some may still do
    ]
)
REPLICA = np.dtype(
    [
        ("asked", "f8"),
        ("ready", "f8"),
        ("leaving", "f8"),
        ("gone", "f8"),
        ("busy", "f8"),
        ("draining", "f8"),
        ("accounted_s", "f8"),
        ("speed", "f8"),
        ("cold", "f8"),  # how long it takes to start
        ("serving", "i8"),
        ("staying", "i8"),  # numbers of the STAYING that are not on their way out, ascending
        ("available", "i8"),  # numbers of the ABLE of these that are ready, in the order in which they became so
    ]
)
EVENT = np.dtype([("when", "f8"), ("sequence", "i8"), ("payload", "i8")])


class State(NamedTuple):
    """All of a run; the arrays are changed in place."""

    clock: Floats
    counts: Integers
    limits: Integers
    spans: Floats
    requests: Table
    """In order of arrival."""
    replicas: Table
    """In the order in which they were asked for."""
    events: Table
    """What will happen, as a heap; payload: kind of event + 8 x what it happens to."""
    due: Table
    """When clients of a closed loop send the next request, as a heap; payload: the client."""
    sent: Integers
    """By each of these clients so far."""


ROOM = 1024
"""Places for replicas and events at the beginning; there are more when they are needed."""


def new_state(inputs: RunInputs, batch: Batch) -> State:
    """Give the state at 0: nothing has come, no replica was asked for."""
    queue, flags = inputs.limits, (inputs.wakes, inputs.immediate)
    limits = (
        *(
            queue.concurrency,
            queue.queue_length,
            inputs.min_replicas,
            inputs.max_replicas,
            *flags,
            batch.clients,
            batch.each,
        ),
        queue.takes_least,
    )
    state = State(
        clock=np.zeros(8),
        counts=np.zeros(16, dtype=np.int64),
        limits=np.array(limits, dtype=np.int64),
        spans=np.array([inputs.coalesce_s, queue.queue_timeout_s, inputs.target]),
        requests=_requests(batch),
        replicas=_replicas(ROOM),
        events=np.recarray(ROOM, dtype=EVENT),
        due=np.recarray(batch.clients + 1, dtype=EVENT),
        sent=np.zeros(batch.clients, dtype=np.int64),
    )
    state.clock[SEND_DUE] = inf
    state.clock[SENT_AT] = -inputs.coalesce_s if inputs.coalesce_s < inf else 0.0
    return state


def _requests(batch: Batch) -> Table:
    table = np.recarray(len(batch.service), dtype=REQUEST)
    table.arrival, table.service, table.patience, table.timeout = batch[:4]
    table.work = batch.service
    table.think[: len(batch.think)] = batch.think
    table.start = table.end = table.latency = nan
    table.status, table.replica, table.client = STILL_IN, -1, -1
    return table


def _replicas(room: int) -> Table:
    table = np.recarray(room, dtype=REPLICA)
    table.asked = table.ready = table.leaving = table.gone = nan
    table.busy = table.draining = table.accounted_s = table.cold = 0.0
    table.speed, table.serving = 1.0, 0
    return table


def grown(state: State) -> State:
    """Give twice the room for replicas and events."""
    replicas = np.concatenate([state.replicas, _replicas(len(state.replicas))]).view(np.recarray)
    events = np.concatenate([state.events, np.recarray(len(state.events), dtype=EVENT)]).view(np.recarray)
    return state._replace(replicas=replicas, events=events)
