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

    @property
    def demand(self) -> Demand:
        return Demand(self.queued, self.inflight, self.held)

    def seconds_at(self, now_s: float) -> float:
        return self.seconds_total + self.inflight * (now_s - self.t_s)


class GatewayStream:
    """The gateway's stream of counts for one service."""

    def __init__(self, inputs: RunInputs, dispatcher: Dispatcher, hints: SimulatedHints) -> None:
        self._inputs = inputs
        self._hints = hints
        self._dispatcher = dispatcher
        self._sent = _Update(-inputs.coalesce_s if inputs.coalesce_s < inf else 0.0, 0, 0, 0.0)
        self._observed_seconds = 0.0
        self._observed_passing = 0

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
        update = _Update(now_s, queued, queued + gateway.running, seconds, held, passed, *self._hints.at(now_s))
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
        hinted = (sent.hinted, left_s) if sent.hinted and left_s > 0 else (0, 0.0)
        return StreamedCounts(sent.inflight, mean, passed + sent.held, "", sent.queued, *hinted)


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
