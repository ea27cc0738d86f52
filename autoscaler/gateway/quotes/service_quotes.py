"""The quotes of one service at run time: of the requests whose clients are connected to this gateway.

If no client asks for a quote, one request that is held in `SAMPLE_EVERY_S` gets one all the same, a second after its
arrival, so that there is always a grade.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from autoscaler.gateway.dispatch.outlook import Outlook
from autoscaler.gateway.dispatch.types import SlotUse
from autoscaler.gateway.quotes.quotes import FRESH_S, Grade, Quote, Quotes

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
        outlook: gives what the dispatcher has; None while another gateway grants the slots.
        cold_starts_s: how long pods take to start according to the policy.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, outlook: Callable[[], Outlook | None], cold_starts_s: Sequence[float]
    ) -> None:
        self._loop = loop
        self._quotes = Quotes(outlook, cold_starts_s)
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
        if request is None:
            return self._quotes.next(now_s)
        if not request.is_held:
            return None
        return self._quotes.quote(request, now_s, takes_slot=request.kind is SlotUse.COUNT)

    def held(self, request: Waits) -> None:
        """Note that a request is held."""
        now_s = self._loop.time()
        if now_s - self._sampled_s >= SAMPLE_EVERY_S:
            self._sampled_s = now_s
            self._sampling = self._loop.call_later(FRESH_S, self.quote, request)

    def started(self, request: Hashable) -> None:
        """Grade the promise to a request that starts now."""
        self._quotes.started(request, self._loop.time())

    def gave_up(self, request: Hashable) -> None:
        """Grade the promise to a request that ends and has not started."""
        self._quotes.gave_up(request, self._loop.time())

    def close(self) -> None:
        """Quote no more."""
        if self._sampling is not None:
            self._sampling.cancel()

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
