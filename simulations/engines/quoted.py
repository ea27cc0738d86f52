"""The reference engine with a gateway that quotes waits, and what became of each promise."""

from typing import Any, NamedTuple

from autoscaler.gateway.quotes.quotes import Quote, Quotes
from autoscaler.ports import ScaleRequest
from simulations.engines.reference import ENDS, ReferenceEngine
from simulations.engines.reference_fleet import SimulatedReplica
from simulations.engines.reference_request import Request
from simulations.model.run_inputs import Arrival, RunInputs


class Promise(NamedTuple):
    """The first quote of one request, and how long it waited from then on."""

    quote: Quote
    waited_s: float


class QuotedEngine(ReferenceEngine):
    """A run in which each request that is held gets a quote after a while.

    Attributes:
        quotes: of the service.
        promises: those of the requests that started.
        unquoted: how many requests were held for so long and got no quote.

    Args:
        inputs: as of every engine; so are the others that are not named.
        after_s: how long after its arrival a request gets its quote.
    """

    def __init__(self, inputs: RunInputs, *args: Any, after_s: float = 1.0, **more: Any) -> None:
        super().__init__(inputs, *args, **more)
        self.quotes = Quotes(self._dispatcher.outlook)
        self.promises: list[Promise] = []
        self.unquoted = 0
        self._after_s = after_s
        self._quoted: dict[int, tuple[float, Quote]] = {}

    def _arrive(self, arrival: Arrival) -> None:
        number = len(self._requests)
        super()._arrive(arrival)
        if self._requests[number].replica is None:
            self._schedule(self._now_s + self._after_s, ENDS, self._give, self._requests[number])

    def _give(self, request: Request) -> None:
        if request.replica is not None or request.ended:
            return
        quote = self.quotes.quote(request.number, self._now_s, takes_slot=request.counts)
        if quote is None:
            self.unquoted += 1
        else:
            self._quoted[request.number] = (self._now_s, quote)

    def _start(self, request: Request, backend: str) -> None:
        self.quotes.started(request.number, self._now_s)
        if request.number in self._quoted:
            at_s, quote = self._quoted.pop(request.number)
            self.promises.append(Promise(quote, self._now_s - at_s))
        super()._start(request, backend)

    def _depart(self, request: Request, status: int) -> None:
        if request.replica is None:
            self.quotes.gave_up(request.number, self._now_s)
        super()._depart(request, status)

    # What the gateway sees of pods.

    def _scale(self, request: ScaleRequest) -> None:
        super()._scale(request)
        for name in request.remove:
            self.quotes.pod_not_starting(name)

    def _start_missing(self) -> None:
        super()._start_missing()
        for name, replica in self._fleet.staying.items():
            if not replica.ready:
                self.quotes.pod_starting(name, replica.asked_s)

    def _become_ready(self, replica: SimulatedReplica) -> None:
        self.quotes.pod_ready(replica.name, self._now_s)
        super()._become_ready(replica)

    def _lose_replica(self, replica: SimulatedReplica) -> None:
        self.quotes.pod_not_starting(replica.name)
        super()._lose_replica(replica)
