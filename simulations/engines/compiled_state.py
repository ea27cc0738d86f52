"""The state of a run in the compiled engine: plain arrays, and the meaning of their entries."""

from math import inf, nan
from typing import Any, NamedTuple

import numpy as np

from simulations.model.history import STILL_IN
from simulations.model.run_inputs import Batch, Floats, Integers, RunInputs

FINISH, READY, EXPIRE, LOSE_PATIENCE, HANG_UP = range(5)
"""Kinds of events on the heap."""

NOW, AREA, AREA_UNTIL, SEND_DUE, SENT_AT, SENT_AREA, OBSERVED_AREA, LAST_CHANGE, SERVED_S, SENT_SERVED_S = range(10)
"""Indices in `State.clock`: seconds; areas are in request-seconds."""

ARRIVED, HEAD, TAIL, QUEUED, RUNNING, EVENTS, SEQUENCE = range(7)
REPLICAS, STAYING, ALIVE, SENT_QUEUED, SENT_INFLIGHT, THINKS, DUE, AVAILABLE = range(7, 15)
FINISHED, SENT_ARRIVED, SENT_FINISHED = range(15, 18)
"""Indices in `State.counts`."""

CONCURRENCY, QUEUE_LENGTH, MIN_REPLICAS, MAX_REPLICAS, WAKES, IMMEDIATE, CLIENTS, EACH, LEAST_LOADED = range(9)
"""Indices in `State.limits`."""

COALESCE_S, QUEUE_TIMEOUT_S, TARGET = range(3)
"""Indices in `State.spans`: seconds, and the target of requests for each replica."""

Table = Any
"""A numpy record array: columns by name."""

REQUEST = np.dtype(
    [
        ("arrival", "f8"),
        # In a closed loop these three are for the first request of each client, then for the second of each, and so on.
        ("service", "f8"),
        ("patience", "f8"),
        ("timeout", "f8"),
        ("think", "f8"),  # think times, in the order in which clients need them
        ("work", "f8"),  # service time, in order of arrival
        ("start", "f8"),
        ("end", "f8"),
        ("latency", "f8"),
        ("status", "i8"),
        ("replica", "i8"),
        ("client", "i8"),
        ("queue", "i8"),  # requests that were queued, in order; those still queued are between HEAD and TAIL
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
        ("cold", "f8"),  # duration of the cold start
        ("serving", "i8"),
        ("staying", "i8"),  # numbers of the STAYING replicas that do not drain, ascending
        (
            "available",
            "i8",
        ),  # numbers of the AVAILABLE of these that are ready, in the order in which they became ready
    ]
)
EVENT = np.dtype([("when", "f8"), ("sequence", "i8"), ("payload", "i8")])


class State(NamedTuple):
    """The whole state of a run; the arrays are changed in place."""

    clock: Floats
    counts: Integers
    limits: Integers
    spans: Floats
    requests: Table
    """In order of arrival."""
    replicas: Table
    """By number."""
    events: Table
    """Scheduled events as a heap; payload: kind of event + 8 x the number of its request or replica."""
    due: Table
    """When clients of a closed loop send their next requests, as a heap; payload: the client's number."""
    sent: Integers
    """Requests sent so far by each client of a closed loop."""


ROOM = 1024
"""Capacity for replicas and events at the beginning; it is doubled when needed."""


def new_state(inputs: RunInputs, batch: Batch) -> State:
    """Give the state at time 0, without requests and replicas."""
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
        clock=np.zeros(10),
        counts=np.zeros(18, dtype=np.int64),
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
    """Double the capacity for replicas and events."""
    replicas = np.concatenate([state.replicas, _replicas(len(state.replicas))]).view(np.recarray)
    events = np.concatenate([state.events, np.recarray(len(state.events), dtype=EVENT)]).view(np.recarray)
    return state._replace(replicas=replicas, events=events)
