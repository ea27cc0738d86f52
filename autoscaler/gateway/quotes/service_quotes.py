"""The quotes of one service at run time: of the requests whose clients are connected to this gateway.

1. If no client asks for a quote, one request that is held in `SAMPLE_EVERY_S` gets one all the same, a second after its
   arrival, so that there is always a grade.
2. Of several gateways only the owner of the service knows which counted requests wait and run, so only the owner quotes
   those. Another gateway asks it, at most once in `FRESH_S` for each request, and has the answer when its client asks
   again. Each gateway grades the promises to its own clients.
"""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Protocol

from autoscaler.gateway.dispatch.dispatcher import Dispatcher
from autoscaler.gateway.dispatch.types import SlotUse
from autoscaler.gateway.peers.messages import QuoteMessage
from autoscaler.gateway.peers.shared_dispatcher import SharedDispatcher
from autoscaler.gateway.quotes.quotes import FRESH_S, Basis, Grade, Quote, Quotes

SAMPLE_EVERY_S = 5.0


class Waits(Hashable, Protocol):
    """A request that may be held."""

    kind: SlotUse

    @property
    def is_held(self) -> bool:
        """Whether it waits for a grant now."""
        ...


class ServiceQuotes:
    """See the module.

    Args:
        loop: the event loop.
        dispatcher: of the service.
        cold_starts_s: how long pods take to start according to the policy.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dispatcher: Dispatcher | SharedDispatcher,
        cold_starts_s: Sequence[float],
    ) -> None:
        self._loop = loop
        self._quotes = Quotes(dispatcher.outlook, cold_starts_s)
        self._shared = dispatcher if isinstance(dispatcher, SharedDispatcher) else None
        if self._shared is not None:
            self._shared.quote_of, self._shared.on_quote = self._quote_of, self._answered
        self._asked_s: dict[Hashable | None, float] = {}
        self._answers: dict[Hashable | None, tuple[Quote, float]] = {}
        """The owner's newest answers, with their times."""
        self._sampled_s = -SAMPLE_EVERY_S
        self._sampling: asyncio.TimerHandle | None = None

    @property
    def grade(self) -> Grade:
        """How many promises were kept."""
        return self._quotes.grade

    def set_cold_starts(self, cold_starts_s: Sequence[float]) -> None:
        """Use what another policy says of starts."""
        self._quotes.cold_starts_s = cold_starts_s

    # Requests.

    def quote(self, request: Waits | None) -> Quote | None:
        """Return how long a request that is held still waits, to tell its client; None if nothing can be said.

        Args:
            request: the request; None is one that would arrive now and take a slot.
        """
        now_s = self._loop.time()
        if request is not None and not request.is_held:
            return None
        takes_slot = request is None or request.kind is SlotUse.COUNT
        if self._shared is not None and takes_slot and not self._shared.whole:
            return self._from_owner(self._shared, request, now_s)
        if request is None:
            return self._quotes.next(now_s)
        return self._quotes.quote(request, now_s, takes_slot=takes_slot)

    def held(self, request: Waits) -> None:
        """Note that a request is held."""
        now_s = self._loop.time()
        if now_s - self._sampled_s >= SAMPLE_EVERY_S:
            self._sampled_s = now_s
            self._sampling = self._loop.call_later(FRESH_S, self.quote, request)

    def started(self, request: Hashable) -> None:
        """Grade the promise to a request that starts now."""
        self._quotes.started(request, self._loop.time())
        self._forget(request)

    def gave_up(self, request: Hashable) -> None:
        """Grade the promise to a request that ends and has not started."""
        self._quotes.gave_up(request, self._loop.time())
        self._forget(request)

    def close(self) -> None:
        """Quote no more."""
        if self._sampling is not None:
            self._sampling.cancel()

    # Other gateways.

    def _from_owner(self, shared: SharedDispatcher, request: Waits | None, now_s: float) -> Quote | None:
        if now_s - self._asked_s.get(request, -FRESH_S) >= FRESH_S:
            self._asked_s[request] = now_s
            shared.ask_quote(request)
        quote, at_s = self._answers.get(request, (None, now_s))
        return None if quote is None else quote.after(now_s - at_s)

    def _answered(self, request: Hashable | None, answer: QuoteMessage) -> None:
        now_s = self._loop.time()
        quote = Quote(answer["position"], answer["p50"], answer["p90"], Basis(answer["basis"]))
        self._answers[request] = quote, now_s
        if request is not None:
            self._quotes.promise(request, now_s + quote.p90_s)

    def _quote_of(self, request: Hashable | None) -> Quote | None:
        now_s = self._loop.time()
        return self._quotes.next(now_s) if request is None else self._quotes.estimate(request, now_s)

    def _forget(self, request: Hashable) -> None:
        self._asked_s.pop(request, None)
        self._answers.pop(request, None)

    # Pods.

    def pod_starting(self, name: str, since_s: float | None = None) -> None:
        """Note a pod that exists and gets no requests yet; None is since now."""
        self._quotes.pod_starting(name, self._loop.time() if since_s is None else since_s)

    def pod_ready(self, name: str) -> None:
        """Note that a pod gets requests."""
        self._quotes.pod_ready(name, self._loop.time())

    def pod_not_starting(self, name: str) -> None:
        """Note that a pod is gone or gets no requests."""
        self._quotes.pod_not_starting(name)
