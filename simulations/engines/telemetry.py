"""What the controller knows of the gateway: the updates of its stream, and the samples of Prometheus.

Rules, as in the live system:
1. The first change after a pause is sent immediately. Changes soon after an update share the next one, unless `wake_up`
   says that a change must be sent now. Between updates the count is that of the last update.
2. `wake_up` says whether an update wakes the controller.
3. A query finds the newest sample whose lag is over.
"""

from math import inf
from typing import NamedTuple

from autoscaler.controller.observe import NO_STREAM, StreamedCounts
from autoscaler.gateway.dispatch.dispatcher import Dispatcher
from autoscaler.ports import Reading
from autoscaler.wake_up import Demand, needs_wake_up, starts_holding
from simulations.engines.reference_hints import SimulatedHints
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import RunInputs

NO_SAMPLE = "Prometheus has no sample yet"


class _Update(NamedTuple):
    t_s: float
    queued: int
    inflight: int
    seconds_total: float
    held: int = 0
    """Held requests that take no slot."""
    passed: int = 0
    """Total of requests that take no slot."""
    hinted: int = 0
    """Requests that are announced."""
    hinted_until_s: float = 0.0
    totals: tuple[int, int, float] = (0, 0, 0.0)
    """As `Totals.since_last` takes them."""

    @property
    def demand(self) -> Demand:
        return Demand(self.queued, self.inflight, self.held)

    def seconds_at(self, now_s: float) -> float:
        return self.seconds_total + self.inflight * (now_s - self.t_s)


class Totals:
    """What is known of requests so far; `since_last` gives what is new."""

    def __init__(self) -> None:
        self._known = (0, 0, 0.0)

    def since_last(self, arrived: int, finished: int, served_s: float) -> tuple[int, int, float]:
        """Give how many arrived and finished since the last call, and how long replicas took for the latter."""
        before, self._known = self._known, (arrived, finished, served_s)
        return arrived - before[0], finished - before[1], served_s - before[2]


class GatewayStream:
    """The gateway's stream of counts for one service."""

    def __init__(self, inputs: RunInputs, dispatcher: Dispatcher, hints: SimulatedHints) -> None:
        self._inputs = inputs
        self._hints = hints
        self._dispatcher = dispatcher
        self._sent = _Update(-inputs.coalesce_s if inputs.coalesce_s < inf else 0.0, 0, 0, 0.0)
        self._observed_seconds = 0.0
        self._observed_passing = 0
        self._observed_totals = Totals()
        self._arrived, self._finished, self._served_s = 0, 0, 0.0

    def arrived(self, slots: int) -> None:
        """Count a request that arrived, if it takes a slot."""
        self._arrived += slots

    def finished(self, took_s: float, slots: int) -> None:
        """Count a request that a replica finished, if it took a slot."""
        self._finished += slots
        self._served_s += took_s * slots

    def next_update_s(self, now_s: float) -> float:
        """Give the time at which a change now is sent (rule 1)."""
        gateway, sent = self._dispatcher, self._sent
        demand = Demand(gateway.queued, gateway.queued + gateway.running, gateway.holding_pass)
        if starts_holding(sent.demand, demand) and not gateway.ready and self._inputs.coalesce_s < inf:
            return now_s
        return max(now_s, sent.t_s + self._inputs.coalesce_s)

    def send_update(self, now_s: float) -> bool:
        """Send an update; say whether it wakes the controller (rule 2)."""
        before = self._sent
        gateway = self._dispatcher
        queued, seconds = gateway.queued, gateway.seconds_total(now_s)
        held, passed = gateway.holding_pass, gateway.passed_total
        totals = (self._arrived, self._finished, self._served_s)
        inflight = queued + gateway.running
        update = _Update(now_s, queued, inflight, seconds, held, passed, *self._hints.at(now_s), totals)
        self._sent = update
        self._observed_seconds = min(self._observed_seconds, update.seconds_total)
        return needs_wake_up(before.demand, update.demand) or update.hinted > before.hinted

    def live(self, since_s: float, now_s: float) -> StreamedCounts:
        """Give the counts of the last update, with the mean since the last observation."""
        if self._inputs.coalesce_s == inf and not self._inputs.immediate:
            return NO_STREAM
        seconds = self._sent.seconds_at(now_s)
        mean = (seconds - self._observed_seconds) / (now_s - since_s) if now_s > since_s else None
        self._observed_seconds = seconds
        passed, self._observed_passing = self._sent.passed - self._observed_passing, self._sent.passed
        sent, left_s = self._sent, self._sent.hinted_until_s - now_s
        hinted, hinted_s = (sent.hinted, left_s) if sent.hinted and left_s > 0 else (0, 0.0)
        arrived, finished, served_s = self._observed_totals.since_last(*sent.totals)
        return StreamedCounts(
            sent.inflight,
            mean,
            passed + sent.held,
            queued=sent.queued,
            arrived=arrived,
            finished=finished,
            served_s=served_s,
            hinted=hinted,
            hinted_s=hinted_s,
        )


class Samples:
    """The samples of Prometheus."""

    def __init__(self, inputs: RunInputs, random_streams: RandomStreams) -> None:
        self._inputs = inputs
        self._random_streams = random_streams
        self._samples: list[tuple[float, Reading]] = []

    def take(self, inflight: float, now_s: float) -> None:
        """Scrape the number of requests in flight."""
        found_s = now_s + self._random_streams.draw("metric lag", self._inputs.metric_lag)
        self._samples.append((found_s, Reading(inflight, now_s, series=1)))

    def newest(self, now_s: float) -> Reading | None:
        """Give what a query finds now (rule 3); None without Prometheus."""
        if self._inputs.scrape_s == inf:
            return None
        found = [place for place, (found_s, _) in enumerate(self._samples) if found_s <= now_s]
        if not found:
            return Reading(None, now_s, problem=NO_SAMPLE)
        del self._samples[: found[-1]]
        return self._samples[0][1]
