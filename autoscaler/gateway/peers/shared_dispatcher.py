"""One service at one gateway of several: the methods of a `Dispatcher`, whoever owns the service.

If this gateway owns the service and its book is whole, its dispatcher grants its clients' requests; otherwise the owner
does, by messages, and the grants are delivered later. Pass requests without a limit need nobody's grant.

Rules:
1. A counted request may start only if its grant is valid and the permit is live, right before its first byte:
   `may_start` says so. Otherwise it waits on.
2. `queued`, `running`, `passing` and `seconds_total` are of own clients, and at the owner of jobs that pods report
   beyond requests. So the sum over gateways counts each request once.
"""

from collections.abc import Hashable, Mapping
from functools import partial

from autoscaler.gateway.dispatch.types import (
    ANY_TURN,
    Due,
    Grant,
    Granted,
    Held,
    Limits,
    QueueLimits,
    Refusal,
    Refused,
    SlotUse,
    Turn,
)
from autoscaler.gateway.peers.book import Ref
from autoscaler.gateway.peers.claims import Claim
from autoscaler.gateway.peers.messages import GrantMessage
from autoscaler.gateway.peers.quoted_service import QuotedService
from autoscaler.gateway.peers.wait import Wait

_COUNT = SlotUse.COUNT


class SharedDispatcher(QuotedService):
    """See the module."""

    # Requests of own clients.

    def arrive(
        self,
        request: Hashable,
        now_s: float,
        kind: SlotUse = _COUNT,
        pinned: str | None = None,
        *,
        max_per_pod: int = 0,
        wakes: bool = True,
        turn: Turn = ANY_TURN,
        arrived_s: float | None = None,
    ) -> Granted | Held | Refused:
        """Take a request in; see `Dispatcher.arrive`."""
        if request in self._claims:
            raise ValueError(f"request {request!r} has arrived already")
        self._advance(now_s)
        again, since_s = arrived_s is not None, now_s if arrived_s is None else arrived_s
        wait = Wait(since_s, kind, pinned, max_per_pod, wakes, turn)
        claim = Claim(request, self._claims.new_ref(), wait, since_s + self._queue.timeout_s)
        if claim.direct:
            answer = self._local.arrive(claim, now_s, kind, pinned, wakes=wakes, arrived_s=arrived_s)
        elif self._owned.whole:
            answer = self._owned.arrive(claim.ref, wait, now_s, again=again)
        else:
            answer = self._hold(claim)
        if isinstance(answer, Refused):
            return answer
        if isinstance(answer, Granted):
            claim.pod = claim.notified = answer.backend
        self._claims.add(claim)
        if not claim.direct and not self._owned.whole:
            self._tell_claim(claim, now_s, again=again)
        return Held(claim.deadline_s) if isinstance(answer, Held) else answer

    def _hold(self, claim: Claim) -> Held | Refused:
        """Hold a request that another gateway, or nobody yet, may grant; only the owner knows if its queue is full."""
        is_asked = self.owner is not None and self._group.can_tell(self.owner)
        if claim.kind is _COUNT and not is_asked and self._claims.queued >= self._queue.length:
            return Refused(Refusal.QUEUE_FULL)
        return Held(claim.deadline_s)

    def may_start(self, request: Hashable, pod: str, now_s: float) -> bool:  # noqa: ARG002 - as a Dispatcher's
        """Tell whether a request may be sent to the pod that it was granted, in this turn of the loop; then it runs.

        If not, it waits again, and its next grant is delivered later.
        """
        claim = self._claims.get(request)
        if claim is None:
            return False
        if claim.started or claim.direct:
            return True
        if claim.pod == pod == claim.notified and (claim.kind is not _COUNT or self._group.has_permit()):
            claim.started = True
            return True
        self._wait_on(claim)
        return False

    def _wait_on(self, claim: Claim) -> None:
        """Let a request wait for its next grant, which may be here already."""
        had_grant, claim.notified = claim.notified == claim.pod, None
        if claim.refusal is not None:
            self._reject(claim, claim.refusal)
        elif claim.pod is None:
            self._claims.wait_on(claim)
        elif had_grant:
            self._group.await_permit(partial(self._permitted, claim))
        else:
            self._tell_again(claim)

    def _permitted(self, claim: Claim) -> None:
        """Deliver a grant again that could not be used without a permit."""
        if claim.pod is not None and claim.notified is None and claim.request in self._claims:
            self._tell_again(claim)

    def finish(self, request: Hashable, now_s: float) -> list[Grant]:
        """End a request that a pod ran; see `Dispatcher.finish`."""
        return self._end(self._claims[request], now_s, done=True)

    def abandon(self, request: Hashable, now_s: float) -> list[Grant]:
        """End a request in any state; see `Dispatcher.abandon`."""
        return self._end(self._claims[request], now_s, done=False)

    def _end(self, claim: Claim, now_s: float, *, done: bool) -> list[Grant]:
        self._advance(now_s)
        self._claims.remove(claim)
        if claim.direct:
            ended = self._local.finish if done and claim.pod is not None else self._local.abandon
            return self._emit(ended(claim, now_s), now_s)
        if self._owned.whole:
            return self._emit(self._owned.end(claim.ref, now_s, done=done and claim.started), now_s)
        self._tell_end(claim, "done" if done and claim.started else "gone")
        return []

    def put_back(self, request: Hashable, now_s: float) -> list[Grant]:
        """Take back a request that its pod refused; see `Dispatcher.put_back`."""
        self._advance(now_s)
        claim = self._claims[request]
        if not claim.direct and (claim.pod is None or claim.pod != claim.notified):
            self._wait_on(claim)
            return []
        claim.notified, claim.wait = None, claim.wait._replace(pinned=None)
        self._claims.grant(claim, None)
        if claim.direct:
            return self._emit(self._local.put_back(claim, now_s), now_s)
        if self._owned.whole:
            return self._emit(self._owned.put_back(claim.ref, now_s), now_s)
        self._tell_refused(claim, now_s)
        return []

    def open_tunnel(self, request: Hashable, now_s: float) -> None:
        """Note that a pod accepted a tunnel; see `Dispatcher.open_tunnel`."""
        self._advance(now_s)
        claim = self._claims[request]
        if claim.direct:
            self._local.open_tunnel(claim, now_s)
        elif self._owned.whole:
            self._owned.opened(claim.ref, now_s)
        else:
            self._tell_end(claim, "opened")
        self._claims.opened(claim)

    def expire(self, now_s: float) -> Due:
        """Do what is due; see `Dispatcher.expire`. Held slots are released, too."""
        self._advance(now_s)
        grants = self._emit(self._owned.expire(now_s), now_s)
        timed_out = self._claims.due(now_s)
        for claim in timed_out:
            grants += self._end(claim, now_s, done=False)
        return Due([claim.request for claim in timed_out], grants)

    def refuse_waiting(self, refusal: Refusal, now_s: float) -> None:
        """Refuse all that need a grant, because nobody can be asked."""
        for claim in [each for each in self._claims.waiting() if each.notified is None]:
            self._group.out.deliver(self.service, self._end(claim, now_s, done=False), ((claim.request, refusal),))

    def granted(self, message: GrantMessage, now_s: float) -> None:
        """Take a grant; one for a pod that drains here goes back, because the controller may remove that pod."""
        self._advance(now_s)
        self.longest.observe(message["longest"], now_s)
        claim = self._claims.numbered(Ref(self._group.name, self._group.life, message["r"]))
        if claim is None or claim.pod is not None:
            return
        if message["pod"] in self._draining:
            self._tell_refused(claim, now_s)
            return
        self._known.setdefault(message["pod"], message["addr"])
        self._group.out.deliver(self.service, self._notify(claim, message["pod"]))

    def _tell_refused(self, claim: Claim, now_s: float) -> None:
        """Let the owner give a request another pod, and not this one for a while."""
        self._tell_end(claim, "refused")
        self._tell_claim(claim, now_s, again=True)

    # Pods and limits.

    def know_pod(self, name: str, address: str, now_s: float, *, served: bool = False) -> None:
        """Note a pod that is listed, whether it gets requests yet or not; `served` if another gateway may use it."""
        if served and name not in self._known:
            self._hold_found_late(name, now_s)
        self._known[name] = address

    def _hold_found_late(self, pod: str, now_s: float) -> None:
        """Hold the slots of a pod that ran when the book was found unknown, and was not listed yet."""
        hold, book = self._unknown_hold, self._owned.book
        if hold is not None and self._owned.whole and now_s < hold.until_s and not self.takes_over_at_once:
            for slot in range(len(book.on(pod)), self._limits.concurrency):
                book.put(Ref("", f"late-{pod}", slot), pod, hold)

    def address(self, name: str) -> str:
        """Return where a pod serves; a grant may be for one that is not listed here yet. Raises KeyError."""
        return self._known[name]

    def forget_pod(self, name: str) -> None:
        """Note that a pod is listed no more."""
        self._known.pop(name, None)

    def add_backend(self, name: str, now_s: float, *, jobs: int | None = None) -> list[Grant]:
        """Send requests to a pod from now on; see `Dispatcher.add_backend`."""
        self._advance(now_s)
        self._draining.discard(name)
        self._reports_jobs = self._reports_jobs or jobs is not None
        return self._emit(self._owned.add_pod(name, now_s, jobs), now_s)

    def drain_backend(self, name: str, now_s: float) -> list[Grant]:
        """Send a pod nothing new; see `Dispatcher.drain_backend`."""
        self._advance(now_s)
        self._draining.add(name)
        return self._emit(self._owned.noted(self._local.drain_backend(name, now_s)), now_s)

    def remove_backend(self, name: str, now_s: float) -> list[Grant]:
        """Forget a pod at once; see `Dispatcher.remove_backend`. What lost gateways ran there is over."""
        self._advance(now_s)
        self._draining.discard(name)
        grants = self._owned.noted(self._local.remove_backend(name, now_s))
        over = [ref for ref in self._owned.book.on(name) if ref in self._owned.book.holds]
        return self._emit(grants + self._owned.release(over, now_s), now_s)

    def answered(self, name: str, now_s: float, *, well: bool) -> list[Grant]:
        """Note how a pod answered, here and at the owner; see `Dispatcher.answered`."""
        self._advance(now_s)
        if not self._owned.whole:
            self._tell({"t": "answered", "pod": name, "well": well})
        return self._emit(self._owned.noted(self._local.answered(name, now_s, well=well)), now_s)

    def newest_granted(self, name: str) -> int:
        """Return the number of a pod's newest counted request; see `Dispatcher.newest_granted`."""
        return self._local.newest_granted(name)

    def report_jobs(self, name: str, jobs: int | None, newest: int, now_s: float) -> list[Grant]:
        """Note how many jobs a pod reports; see `Dispatcher.report_jobs`."""
        self._advance(now_s)
        self._reports_jobs = True
        return self._emit(self._owned.noted(self._local.report_jobs(name, jobs, newest, now_s)), now_s)

    def idle_seen(self, name: str, now_s: float) -> list[Grant]:
        """Note evidence that a pod runs nothing: slots that are held for lost gateways are released."""
        self._advance(now_s)
        return self._emit(self._owned.release(self._owned.book.idle(name, now_s), now_s), now_s)

    def set_limits(self, limits: Limits, now_s: float) -> list[Grant]:
        """Change the limits; see `Dispatcher.set_limits`."""
        self._advance(now_s)
        self._limits = limits
        return self._emit(self._owned.noted(self._local.set_limits(limits.without_timeouts(), now_s)), now_s)

    # The state to report.

    @property
    def held(self) -> Mapping[str, int]:
        """Slots that are kept for lost gateways, by pod."""
        return self._owned.book.held() if self._owned.whole else {}

    @property
    def limits(self) -> Limits:
        """What the service may take."""
        return self._limits

    @property
    def _queue(self) -> QueueLimits:
        """The limits of the queue for a request that arrives now."""
        return self.limits.queue(any_ready=self.limits.depend_on_pods and bool(self.ready))

    @property
    def queued(self) -> int:
        """Own clients' counted requests that wait."""
        return self._claims.queued

    @property
    def running(self) -> int:
        """Own clients' counted requests that are granted, and at the owner jobs that pods report beyond requests."""
        return self._claims.running + self._other_jobs

    @property
    def passing(self) -> int:
        """Own clients' Pass requests that may wake a pod and are held or open."""
        return self._claims.passing

    @property
    def passed_total(self) -> int:
        """How many of them ever arrived."""
        return self._claims.passed_total

    @property
    def ejections_total(self) -> int:
        """How often a pod was ejected here for its failures."""
        return self._local.ejections_total

    @property
    def holding_pass(self) -> int:
        """Own clients' Pass requests that may wake a pod and wait."""
        return self._claims.holding_pass

    @property
    def backends(self) -> tuple[str, ...]:
        """Every known pod, also those that drain and run something of own clients."""
        known = self._local.backends
        return (*known, *sorted(set(self._claims.pods) - set(known)))

    @property
    def ready(self) -> tuple[str, ...]:
        """The pods that are sent requests."""
        return self._local.ready

    @property
    def reachable(self) -> bool:
        """Whether there is a pod that has not just refused a connection."""
        return self._local.reachable

    @property
    def idle(self) -> tuple[str, ...]:
        """The pods that run nothing as far as this gateway knows."""
        return tuple(name for name in self._local.idle if not self._claims.on(name))

    def running_on(self, backend: str) -> int:
        """Return how many slots of a pod are taken by own clients, and at the owner by other jobs."""
        own = self._claims.on(backend)
        if not self._owned.whole:
            return own
        return own + max(0, self._local.running_on(backend) - len(self._owned.book.on(backend)))

    def idle_or_busy_since_s(self, backend: str) -> float | None:
        """Return since when no slot of a pod is taken, or at least one; None where that is not known: not the owner."""
        return self._local.idle_or_busy_since_s(backend) if self._owned.whole else None

    def seconds_total(self, now_s: float) -> float:
        """Return the integral of `queued + running` over time."""
        return self._seconds + self.in_flight * (now_s - self._seconds_until_s)

    def oldest_wait_s(self, now_s: float) -> float:
        """Return how long the oldest own counted request in the queue has waited; 0 if none waits."""
        waiting = (claim.wait.arrived_s for claim in self._claims if claim.kind is _COUNT and claim.pod is None)
        return now_s - min(waiting, default=now_s)

    @property
    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do next; None if never."""
        due = (self._local.next_deadline_s, self._claims.next_deadline_s, self._owned.book.next_release_s)
        return min((each for each in due if each is not None), default=None)
