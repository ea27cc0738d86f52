"""The reference engine: a discrete-event simulation of one service, with a heap of future events.

Rules:
1. Events are ordered by (time, priority, sequence). At the same time ends and readiness come first, then arrivals, then
   updates and scrapes of the gateway, and the controller's tick last. Ties are in the order of scheduling.
2. The gateway's own `Dispatcher` dispatches requests, and the live controller's own `step` decides.
3. A draining replica gets no new request, and is removed when its running requests have ended.
"""

from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from heapq import heappop, heappush
from math import inf
from typing import Any, cast

import numpy as np

from autoscaler.controller.budgets import Budgets
from autoscaler.controller.step import Service
from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Grant, Granted, Held, Refused
from autoscaler.gateway.dispatch.path_rules import EVERYTHING_COUNTS, PathRules
from autoscaler.ports import Reading, Record, ScaleRequest
from simulations.engines.controller import Controller
from simulations.engines.reference_fleet import SimulatedFleet, SimulatedReplica
from simulations.engines.reference_hints import SimulatedHints
from simulations.engines.reference_request import Cookies, Request, Turns, request_columns
from simulations.engines.telemetry import GatewayStream, Samples
from simulations.model.history import (
    HUNG_UP,
    QUEUE_TIMEOUT,
    REFUSED,
    REPLICA_DIED,
    REQUEST_TIMEOUT,
    SERVED,
    STILL_IN,
    Change,
    History,
)
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Announcement, Arrival, RunInputs, Source, next_on_grid

ENDS, ARRIVES, REPORTS, DECIDES = range(4)
"""Priorities of events at the same time."""

EventHandler = Callable[[Any], None]


class ReferenceEngine:
    """One run; `run` may be called once."""

    def __init__(
        self,
        inputs: RunInputs,
        source: Source,
        service: Service,
        random_streams: RandomStreams,
        recorder: Callable[[Record], None] | None = None,
        *,
        in_use: list[int] | None = None,
        budgets: Budgets | None = None,
        announcements: Iterable[Announcement] = (),
    ) -> None:
        """Set up a run that begins at 0.

        Args:
            inputs: the service, its fleet, and how the controller observes it.
            source: the requests.
            service: the algorithm and its state; a run changes the state, so it needs a new one.
            random_streams: the draws of cold starts, lifetimes and failures.
            recorder: called with every decision; without it, the history has all decisions.
            in_use: how many GPUs of each pool are in use, if the fleet is shared.
            budgets: limits the decisions of services that share something.
            announcements: which requests are announced, in order of time.
        """
        self._inputs, self._source, self._arrivals = inputs, source, source.arrivals()
        self._next_arrival = next(self._arrivals, None)
        self._dispatcher = Dispatcher(inputs.limits)
        self._hints = SimulatedHints(inputs.hints, announcements)
        self._stream = GatewayStream(inputs, self._dispatcher, self._hints)
        self._samples = Samples(inputs, random_streams)
        # A scenario has few paths and many requests. The gateway has no such cache, as its clients choose the paths.
        self._rule_of = lru_cache(maxsize=1024)(PathRules(inputs.rules).find)
        self._cookies, self._turns = Cookies(inputs.cookie_s), Turns(inputs)
        self._fleet = SimulatedFleet(inputs.pools, random_streams, in_use)
        self._heap: list[tuple[float, int, int, EventHandler, Any]] = []
        self._sequence = self._to_come = 0
        self._now_s = self._last_change_s = 0.0
        self._requests: list[Request] = []
        self._pools_asked = dict.fromkeys(inputs.policy_pools, 0)
        self._asked, self._changes = inputs.initial, [Change(0.0, inputs.initial)]
        self._records: list[Record] = []
        self._controller = Controller(inputs, service, recorder or self._records.append, budgets)
        self._update_due_s = inf

    def run(self) -> History:
        """Run to the end. After Ctrl-C the history ends there, and is partial."""
        partial = False
        self.begin()
        try:
            while self._heap and self._heap[0][0] <= self._inputs.until_s:
                self.advance()
        except KeyboardInterrupt:
            partial = True
        return self.history(self.end_s(partial=partial), partial=partial)

    def next_event(self) -> tuple[float, int]:
        """Give time and priority of the next event; infinite after the last."""
        return self._heap[0][:2] if self._heap and self._heap[0][0] <= self._inputs.until_s else (inf, 0)

    def advance(self) -> None:
        """Let the next event happen."""
        self._now_s, _, _, handler, subject = heappop(self._heap)
        handler(subject)

    def wake(self, now_s: float) -> None:
        """Decide now, because a budget allows another number."""
        self._now_s = now_s
        self._decide(None)

    def start_pending(self, now_s: float) -> None:
        """Start pending replicas, because another service has freed a GPU."""
        self._now_s = now_s
        self._start_missing()

    def begin(self) -> None:
        """Set up what is there at time 0."""
        for _ in range(self._inputs.initial):
            self._add_initial()
        for replica in list(self._fleet.place_pending(0.0)):
            self._become_ready(replica)
        for number, pool in enumerate(self._inputs.pools):
            for at_s, stock in pool.stock_changes:
                self._schedule(at_s, ENDS, self._change_stock, (number, stock))
        self._schedule_arrivals(None)
        self._schedule(self._hints.next_change_s(0.0), ARRIVES, self._hear, None)
        if self._inputs.scrape_s < inf:
            self._schedule(0.0, REPORTS, self._scrape, None)
        if self._inputs.tick_s < inf:
            self._schedule(0.0, DECIDES, self._tick, None)

    def end_s(self, *, partial: bool) -> float:
        """Give when the run has ended, or was interrupted."""
        if partial or self._inputs.until_s == inf:
            return max(self._last_change_s, self._controller.observed_s)
        return self._inputs.until_s

    def history(self, end_s: float, *, partial: bool) -> History:
        """Give the history up to a time, after which nothing has happened."""
        counted = [request for request in self._requests if request.counts]
        return History(
            engine="reference",
            end_s=end_s,
            requests=request_columns(counted),
            passing=request_columns([request for request in self._requests if not request.counts]),
            replicas=self._fleet.columns(end_s),
            changes=tuple(self._changes),
            decisions=tuple(self._records),
            inflight_s=self._dispatcher.seconds_total(end_s),
            partial=partial,
            classes=tuple(each.name for each in self._inputs.classes),
            levels=np.array([request.turn.level for request in counted]) if self._inputs.classes else None,
        )

    def _schedule(self, t_s: float, priority: int, handler: EventHandler, subject: Any) -> None:
        if t_s < inf:
            self._sequence += 1
            heappush(self._heap, (t_s, priority, self._sequence, handler, subject))

    # Requests.

    def _schedule_arrivals(self, _: None) -> None:
        """Schedule the next arrival and those at the same time, but no more: the source may be endless."""
        if self._next_arrival is None:
            return
        t_s = self._next_arrival.t_s
        while self._next_arrival is not None and self._next_arrival.t_s == t_s:
            self._schedule_arrival(self._next_arrival)
            self._next_arrival = next(self._arrivals, None)
        self._schedule(t_s, ARRIVES, self._schedule_arrivals, None)

    def _schedule_arrival(self, arrival: Arrival | None) -> None:
        if arrival is not None:
            self._to_come += 1
            self._schedule(arrival.t_s, ARRIVES, self._arrive, arrival)

    def _arrive(self, arrival: Arrival) -> None:
        self._to_come -= 1
        number, rule = len(self._requests), self._rule_of(arrival.path) if arrival.path else EVERYTHING_COUNTS
        request = Request(number, arrival, rule, self._turns.of(number, arrival))
        self._requests.append(request)
        self._stream.arrived(request.counts)
        request.pinned = self._cookies.read(arrival)
        match self._dispatcher.arrive(
            number,
            self._now_s,
            rule.kind,
            request.pinned,
            max_per_pod=rule.max_per_pod,
            wakes=rule.wake,
            turn=request.turn,
        ):
            case Granted(name):
                self._start(request, name)
            case Held(deadline_s):
                self._schedule(deadline_s, ENDS, self._expire, None)
                if request.pinned:
                    self._schedule(self._now_s + self._inputs.limits.spill_after_s, ENDS, self._expire, None)
                self._schedule(self._now_s + arrival.patience_s, ENDS, self._lose_patience, request)
            case Refused():
                self._depart(request, REFUSED)
        self._schedule(arrival.t_s + arrival.timeout_s, ENDS, self._hang_up, request)
        self._hints.arrived(arrival, self._now_s, counts=request.counts)
        self._note_change()

    def _hear(self, _: None) -> None:
        """Hear the hints of now, unless the run is over."""
        if not self._is_finished():
            self._hints.advance(self._now_s)
            self._note_change()
            self._schedule(self._hints.next_change_s(self._now_s), ARRIVES, self._hear, None)

    def _start(self, request: Request, backend: str) -> None:
        request.replica, request.start_s = self._fleet[backend], self._now_s
        request.replica.begin(request.number, self._now_s, counts=request.counts)
        takes_s = self._fleet.service_s(request.replica, request.arrival.service_s)
        self._schedule(self._now_s + takes_s, ENDS, self._finish, request)
        if takes_s > (allowed_s := request.rule.request_timeout_s or self._inputs.request_timeout_s):
            self._schedule(self._now_s + allowed_s, ENDS, self._time_out, request)

    def _request(self, called: Hashable) -> Request:
        """Find a request by its key in the dispatcher, which is its number."""
        return self._requests[cast("int", called)]

    def _start_all(self, grants: Iterable[Grant]) -> None:
        for number, backend in grants:
            self._start(self._request(number), backend)

    def _finish(self, request: Request, status: int = SERVED) -> None:
        if request.ended or request.replica is None:
            return
        request.replica.end(request.number, self._now_s)
        self._stream.finished(self._now_s - request.start_s, request.counts)
        if status == SERVED:
            self._cookies.issue(request)
        self._depart(request, status)
        self._start_all(self._dispatcher.finish(request.number, self._now_s))
        self._remove_if_drained(request.replica)
        self._note_change()

    def _time_out(self, request: Request) -> None:
        self._finish(request, REQUEST_TIMEOUT)

    def _depart(self, request: Request, status: int) -> None:
        request.end_s = self._now_s
        self._answer(request, status)

    def _answer(self, request: Request, status: int) -> None:
        if request.status == STILL_IN:
            request.status, request.latency_s = status, self._now_s - request.arrival.t_s
            self._schedule_arrival(self._source.after(request.arrival, status, self._now_s))

    def _expire(self, _: None) -> None:
        due = self._dispatcher.expire(self._now_s)
        for number in due.timed_out:
            self._depart(self._request(number), QUEUE_TIMEOUT)
        self._start_all(due.grants)
        if due.timed_out or due.grants:
            self._note_change()

    def _lose_patience(self, request: Request) -> None:
        if not request.ended and request.replica is None:
            self._start_all(self._dispatcher.abandon(request.number, self._now_s))
            self._depart(request, HUNG_UP)
            self._note_change()

    def _hang_up(self, request: Request) -> None:
        """Let the client disconnect: a queued request leaves the queue, a running one may go on."""
        self._lose_patience(request)
        if self._inputs.cancel_on_disconnect or not request.counts:
            self._finish(request, HUNG_UP)
        self._answer(request, HUNG_UP)

    # Replicas.

    def _add_initial(self) -> None:
        """Add a replica that is there at the beginning, in the first pool with a GPU if the policy has pools."""
        pool = self._fleet.free(self._pools_asked)
        self._fleet.add(0.0, pool)
        if pool is not None:
            self._pools_asked[pool] += 1

    def _change_stock(self, change: tuple[int, float]) -> None:
        self._fleet.set_stock(*change)
        self._start_missing()

    def _start_missing(self) -> None:
        for pool, asked in self._pools_asked.items():
            for _ in range(asked - self._fleet.staying_in[pool]):
                self._fleet.add(self._now_s, pool)
        for _ in range(self._asked - len(self._fleet.staying)):
            self._fleet.add(self._now_s)
        for replica in self._fleet.place_pending(self._now_s):
            self._schedule(self._now_s + self._fleet.cold_start_s(replica), ENDS, self._become_ready, replica)

    def _become_ready(self, replica: SimulatedReplica) -> None:
        if replica.gone:
            return
        if self._fleet.fails_to_start(replica):
            self._lose_replica(replica)
            return
        replica.ready_s = self._now_s
        self._start_all(self._dispatcher.add_backend(replica.name, self._now_s))
        self._schedule(self._now_s + self._fleet.lifetime_s(replica), ENDS, self._end_lifetime, replica)
        self._note_change()

    def _remove_if_drained(self, replica: SimulatedReplica) -> None:
        if replica.leaving and not replica.serving and not replica.passing:
            self._fleet.remove(replica, self._now_s)
            self._start_missing()

    def _end_lifetime(self, replica: SimulatedReplica) -> None:
        """Let a replica die, unless its death is the only event left in the run."""
        if not replica.gone and (self._inputs.until_s < inf or not self._is_idle()):
            self._lose_replica(replica)

    def _lose_replica(self, replica: SimulatedReplica) -> None:
        """Let a replica die with its requests, and start a replacement."""
        self._start_all(self._dispatcher.remove_backend(replica.name, self._now_s))
        for number in sorted(replica.serving | replica.passing):
            replica.end(number, self._now_s)
            self._depart(self._requests[number], REPLICA_DIED)
            self._start_all(self._dispatcher.abandon(number, self._now_s))
        self._fleet.remove(replica, self._now_s)
        self._start_missing()
        self._note_change()

    # The controller.

    def _note_change(self) -> None:
        """Schedule an update of the gateway's stream, which includes later changes until then."""
        self._last_change_s = self._now_s
        if self._inputs.immediate:
            self._stream.send_update(self._now_s)
            self._decide(None)
        elif (due_s := self._stream.next_update_s(self._now_s)) < self._update_due_s:
            self._update_due_s = due_s
            self._schedule(due_s, REPORTS, self._send_update, due_s)

    def _send_update(self, due_s: float) -> None:
        if due_s != self._update_due_s:  # sent before
            return
        self._update_due_s = inf
        if self._stream.send_update(self._now_s) and self._inputs.wakes:
            self._decide(None)

    def _scrape(self, _: None) -> None:
        self._samples.take(float(self._dispatcher.queued + self._dispatcher.running), self._now_s)
        self._repeat(self._inputs.scrape_s, REPORTS, self._scrape)

    def _tick(self, _: None) -> None:
        self._decide(self._samples.newest(self._now_s))
        self._repeat(self._inputs.tick_s, DECIDES, self._tick)

    def _repeat(self, every_s: float, priority: int, handler: EventHandler) -> None:
        """Schedule the next tick or scrape on a fixed grid, as the live controller does, unless the run is over."""
        if not self._is_finished():
            self._schedule(next_on_grid(self._now_s, every_s), priority, handler, None)

    def _is_idle(self) -> bool:
        gateway = self._dispatcher
        return not (self._to_come or gateway.queued or gateway.running or gateway.passing)

    def _is_finished(self) -> bool:
        """Whether nothing else can happen; never true if the run has a fixed duration."""
        settled = self._is_idle() and self._asked == self._fleet.alive <= self._inputs.min_replicas
        changed_s = max(self._last_change_s, self._inputs.last_stock_change_s)
        stuck = not self._to_come and self._now_s - changed_s >= self._inputs.settle_s
        return self._inputs.until_s == inf and (settled or stuck)

    def _decide(self, metered: Reading | None) -> None:
        if self._pools_asked:
            fleet = self._fleet.observe_pools(self._pools_asked, self._now_s)
        else:
            fleet = self._fleet.observe(self._asked, self._now_s)
        live = self._stream.live(self._controller.observed_s, self._now_s)
        request = self._controller.decide(self._now_s, fleet, metered, live)
        if request is not None:
            self._scale(request)

    def _scale(self, request: ScaleRequest) -> None:
        self._asked = request.replicas
        for pool in self._pools_asked:
            self._pools_asked[pool] = request.pools[self._inputs.pools[pool].name]
        self._changes.append(Change(self._now_s, self._asked))
        for name in request.remove:
            replica = self._fleet[name]
            self._fleet.leave(replica, self._now_s)
            self._start_all(self._dispatcher.drain_backend(name, self._now_s))
            self._remove_if_drained(replica)
        self._start_missing()
