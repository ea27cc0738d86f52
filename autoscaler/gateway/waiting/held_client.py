"""One client whose request is held: how long it waits, what it gets meanwhile, and what became of its wait."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

from autoscaler.gateway.config import EventOptions, GatewayService
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.error_responses import RequestRejectedError
from autoscaler.gateway.http.headers import RequestHead
from autoscaler.gateway.http.own_response import own_response
from autoscaler.gateway.waiting.deadlines import MalformedDeadlineError, Patience, patience
from autoscaler.gateway.waiting.estimate import Estimate, header_lines
from autoscaler.gateway.waiting.events import START, comment
from autoscaler.gateway.waiting.navigation import Navigation, harmless_query, is_navigation, new_place, without_token
from autoscaler.gateway.waiting.page import (
    CONTENT_TYPE,
    HEADERS,
    REFRESH_S,
    TOO_LATE,
    WAITING,
    Wait,
    too_late_page,
    waiting_page,
)
from autoscaler.gateway.waiting.place_tokens import PlaceTokens
from autoscaler.gateway.waiting.places import Places

_REFRESH_HELD_S = 4.0
"""How long a refresh is held: with the second between two of them a page is at most 5 s old, and most of the time its
client is there to get a slot."""
_BUSY_HELD_S = 1.0
"""How long a first request is held if a pod is ready: most slots are free sooner, and a page would only flicker."""
_WAKE_S = 60.0
"""For how long, beyond the estimate, a request that was given up before the start starts a pod."""

_P = TypeVar("_P")


class WaitingService(Protocol):
    """What it needs to know of the service."""

    config: GatewayService
    places: Places
    tokens: PlaceTokens
    ready_since_s: float | None
    """Since when there has been a ready pod all the time; None while there is none."""

    def estimate(self, request: Hashable | None) -> Estimate | None:
        """Return what is expected of a wait."""


class HeldRequest(Hashable, Protocol):
    """The request as the dispatcher knows it."""

    arrived_s: float
    in_dispatcher: bool
    placement: asyncio.Future[Any] | None


class HeldClient:
    """Follows one request.

    Args:
        service: its service.
        request: the request at the dispatcher.
        head: what the client sent.
        unix_s: when it arrived, as Unix time.
        loop: the event loop.
        send: writes to the client; None if it can get no comments.

    Attributes:
        committed: whether the head of its response was sent while it waited.
        head: what a pod gets.
        request: the request at the dispatcher: that of an earlier connection if its client is back.
        estimate: what was expected when it began to wait; None if that is unknown.
    """

    __slots__ = (
        "_came_s",
        "_granted_s",
        "_loop",
        "_navigation",
        "_patience",
        "_send",
        "_service",
        "_unix_s",
        "_was_held",
        "committed",
        "estimate",
        "head",
        "request",
    )

    def __init__(
        self,
        service: WaitingService,
        request: HeldRequest,
        head: RequestHead,
        unix_s: float,
        loop: asyncio.AbstractEventLoop,
        *,
        send: Callable[[bytes], None] | None = None,
    ) -> None:
        self.committed = False
        self._send = send
        self.head = head
        self.request = request
        self.estimate: Estimate | None = None
        self._service = service
        self._came_s = request.arrived_s
        self._unix_s = unix_s
        self._loop = loop
        self._was_held = False
        self._granted_s: float | None = None
        self._patience: Patience | None = None
        self._navigation = self._recognised()
        if self._navigation is not None:
            request.arrived_s -= max(0.0, unix_s - self._navigation.place.arrived_s)

    # Before it waits.

    def _recognised(self) -> Navigation | None:
        """Return the page that a browser opens, and take the token out of what a pod gets."""
        keep_s = self._service.config.waiting.page_keeps_s
        if keep_s is None:
            return None
        self.head, token = without_token(self.head)
        if not is_navigation(self.head):
            return None
        place = self._service.tokens.read(token, self._unix_s, keep_s) if token else None
        return Navigation(place or new_place(self._unix_s), place is not None, harmless_query(self.head))

    @property
    def is_back(self) -> bool:
        """Whether its client has waited before."""
        return self._navigation is not None and self._navigation.is_back

    @property
    def waited_s(self) -> float:
        """For how long its client had waited before it came now."""
        return self._came_s - self.request.arrived_s

    def come_back(self) -> HeldRequest | None:
        """Return the request of the client's last connection, to go on with it; None if nothing is left of that."""
        if self._navigation is None or not self._navigation.is_back:
            return None
        if not self._service.places.enter(self._navigation.place.key):
            self._navigation = self._navigation._replace(place=new_place(self._unix_s), is_back=False)
            self.request.arrived_s = self._came_s
            return None
        waiting: HeldRequest | None = self._service.places.take(self._navigation.place.key)
        if waiting is not None:
            self.request = waiting
        return waiting

    def check_deadline(self) -> None:
        """Read until when the client wants to wait.

        Raises:
            RequestRejectedError: it cannot be read, or is over.
        """
        if self._navigation is not None or not self._service.config.waiting.deadlines:
            return
        try:
            self._patience = patience(self.head.values, self._unix_s)
        except MalformedDeadlineError as error:
            raise RequestRejectedError(RequestOutcome.BAD_REQUEST, str(error)) from error

    # While it waits.

    def held(self) -> None:
        """Note that the request waits, for the first time or again.

        Raises:
            RequestRejectedError: it should wait for longer than its client does.
        """
        self._granted_s = None
        if self._was_held:
            return
        self._was_held = True
        self.estimate = self._service.estimate(self.request)
        if self._patience is None:
            return
        expected_s = 0.0 if self.estimate is None else self.estimate.p50_s
        if not self._patience.seconds or expected_s > self._patience.seconds:
            raise RequestRejectedError(RequestOutcome.BEYOND_DEADLINE)

    async def placed(self, placement: asyncio.Future[_P]) -> _P:
        """Wait until the request is granted or refused.

        Raises:
            RequestRejectedError: its client waits no longer, or gets a page meanwhile.
        """
        seconds, outcome = self._limit()
        send, events = self._send, self._service.config.waiting.events
        telling = None if send is None or events is None else self._loop.create_task(self._tell(send, events))
        try:
            await asyncio.wait({placement}, timeout=seconds)
        finally:
            if telling is not None:
                telling.cancel()
        if not placement.done():
            raise RequestRejectedError(outcome)
        return placement.result()

    async def _tell(self, send: Callable[[bytes], None], options: EventOptions) -> None:
        """Send comments until the wait is over."""
        if not self.committed:
            await asyncio.sleep(options.after_s)
            self.committed = True
            send(START + self.lines() + b"\r\n")
        while True:
            send(comment(self._service.estimate(self.request)))
            await asyncio.sleep(options.every_s)

    def _limit(self) -> tuple[float | None, RequestOutcome]:
        if self._navigation is not None:
            first_s = 0.0 if self._service.ready_since_s is None else _BUSY_HELD_S
            return _REFRESH_HELD_S if self._navigation.is_back else first_s, RequestOutcome.WAITING_PAGE
        if self._patience is not None:
            return max(0.0, self._came_s + self._patience.seconds - self._loop.time()), RequestOutcome.QUEUE_TIMEOUT
        return None, RequestOutcome.QUEUE_TIMEOUT

    def granted(self) -> None:
        """Note that the wait is over."""
        self._granted_s = self._loop.time()

    def ended(self) -> bool:
        """Note that this connection has no more to do with the request; return whether that waits on without it."""
        if self._navigation is not None:
            self._service.places.exit(self._navigation.place.key)
        if not self._was_held or self._granted_s is not None or not self.request.in_dispatcher:
            return False
        keep_s = self._service.config.waiting.page_keeps_s
        if self._navigation is not None and keep_s is not None:
            self._service.places.leave(self._navigation.place.key, self.request, keep_s)
            return True
        if self._patience is None or self._service.ready_since_s is not None:
            return False
        expected_s = 0.0 if self.estimate is None else self.estimate.p90_s
        self._service.places.wake(self.request, expected_s + _WAKE_S)
        return True

    # Its answer.

    def lines(self) -> bytes:
        """Return the header lines of its answer, which begins now."""
        applied = b"" if self._patience is None else self._patience.applied
        if not (self._was_held and self._service.config.waiting.headers):
            return applied
        expected = b"" if self.estimate is None else header_lines(self.estimate)
        return b"%b%bServer-Timing: %b\r\n" % (applied, expected, self._timing())

    def _timing(self) -> bytes:
        """Write how long it waited for a pod to start, then for a slot, and then for the pod's answer."""
        now_s, arrived_s = self._loop.time(), self.request.arrived_s
        until_s = now_s if self._granted_s is None else self._granted_s
        ready_s = until_s if self._service.ready_since_s is None else self._service.ready_since_s
        ready_s = min(max(ready_s, arrived_s), until_s)
        spans = [(b"start", ready_s - arrived_s), (b"queue", until_s - ready_s)]
        if self._granted_s is not None:
            spans.append((b"upstream", now_s - until_s))
        return b", ".join(b"%b;dur=%.1f" % (name, seconds * 1000) for name, seconds in spans)

    def page(self, outcome: RequestOutcome, request_id: bytes, *, keep_alive: bool) -> bytes:
        """Return the whole answer of a browser that waits, or that waited in vain; nothing for all others."""
        if self._navigation is None or outcome not in {RequestOutcome.WAITING_PAGE, RequestOutcome.QUEUE_TIMEOUT}:
            return b""
        waits = outcome is RequestOutcome.WAITING_PAGE
        found = self._wait(request_id)
        lines = HEADERS
        if waits:
            now_s = self._unix_s + self._loop.time() - self._came_s
            token = self._service.tokens.issue(self._navigation.place, now_s)
            lines += f"Refresh: {REFRESH_S}; url={self._navigation.refresh_url(token)}\r\n"
        return own_response(
            WAITING if waits else TOO_LATE,
            waiting_page(found) if waits else too_late_page(found),
            CONTENT_TYPE,
            keep_alive=keep_alive,
            added=lines.encode() + self.lines(),
        )

    def _wait(self, request_id: bytes) -> Wait:
        config = self._service.config
        waited_s = self._loop.time() - self.request.arrived_s
        is_ready = self._service.ready_since_s is not None
        return Wait(
            title=config.display_name or config.service,
            is_ready=is_ready,
            waited_s=waited_s,
            left_s=config.limits.queue(any_ready=is_ready).timeout_s - waited_s,
            estimate=self._service.estimate(self.request),
            request_id=request_id.decode("latin-1"),
            fresh_url=self._navigation.fresh_url if self._navigation is not None else "",
        )


class Unfollowed:
    """A client that learns nothing and sets no limit: its request is only held."""

    committed = False
    estimate: Estimate | None = None
    is_back = False
    waited_s = 0.0

    def check_deadline(self) -> None:
        """Read nothing."""

    def come_back(self) -> HeldRequest | None:
        """Return None: it was never here."""
        return None

    def held(self) -> None:
        """Note nothing."""

    async def placed(self, placement: asyncio.Future[_P]) -> _P:
        """Wait until the request is granted or refused."""
        return await placement

    def granted(self) -> None:
        """Note nothing."""

    def ended(self) -> bool:
        """Return False: nothing waits on without it."""
        return False

    def lines(self) -> bytes:
        """Return no header line."""
        return b""

    def page(self, _outcome: RequestOutcome, _request_id: bytes, *, keep_alive: bool) -> bytes:  # noqa: ARG002
        """Return no page."""
        return b""


UNFOLLOWED = Unfollowed()
