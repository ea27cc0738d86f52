"""One service among several gateways: what they tell each other of it, and how it changes hands.

Requests of this gateway's clients are `claims`; the owner's part is `owned_service`. Rules:
1. A grant is void when its epoch, or its connection to the owner, has ended before the request was started; the request
   waits on, and claims again with its age.
2. An owner gives slots once its book is whole: it owned the service with a whole book in every epoch since, or all
   members have reported and the last owner with a whole book is among them. If that one is lost, each slot that nobody
   names is held as if used.
3. A slot of a lost gateway is held until its release, until it reports in the same life, or until its pod is gone.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from autoscaler.gateway.dispatch.dispatcher import Dispatcher
from autoscaler.gateway.dispatch.types import Grant, Granted, Limits, Refusal, Refused, SlotUse, Turn
from autoscaler.gateway.peers.book import Hold, Ref
from autoscaler.gateway.peers.claims import Claim, Claims
from autoscaler.gateway.peers.longest import LongestServiceTime
from autoscaler.gateway.peers.messages import Answered, End, No, ServiceReport
from autoscaler.gateway.peers.messages import Claim as ClaimMessage
from autoscaler.gateway.peers.outbox import Message, Outbox
from autoscaler.gateway.peers.owned_service import Known, OwnedService
from autoscaler.gateway.peers.wait import Wait


class Group(Protocol):
    """What a service needs to know of the gateways."""

    name: str
    life: str
    out: Outbox

    @property
    def epoch(self) -> int:
        """The present epoch."""

    def can_tell(self, name: str) -> bool:
        """Tell whether a member is connected and has our report."""

    def has_permit(self) -> bool:
        """Tell whether requests may be started now."""

    def await_permit(self, deliver: Callable[[], None]) -> None:
        """Call this when requests may be started again."""

    def was_out(self, ref: Ref) -> bool:
        """Tell whether a request's gateway was put out once, and let in again."""

    def hold(self, ref: Ref, grace_s: float, now_s: float) -> Hold:
        """Return how long a slot of a lost gateway is kept."""


class SharedService:
    """One service at one gateway.

    Args:
        service: its name.
        limits: what it may take.
        group: the gateways.
        now_s: the time.

    Attributes:
        owner: who owns it in the present epoch; None while this gateway is no member.
        whole_since: the epoch since which this gateway owns it with a whole book.
        claims_total: own requests by the owner that was asked for a slot.
        takeovers_total: how often the book became whole here: with a former owner's book, or with unknown slots held.
        takes_over_at_once: whether slots of lost gateways are given at once, although their requests may still run.
        longest: the longest service time.
        on_end: is given the pod of each request of another gateway that ends.
    """

    def __init__(self, service: str, limits: Limits, group: Group, now_s: float) -> None:
        self.service = service
        self.owner: str | None = None
        self.whole_since = 0
        self.claims_total: dict[str, int] = {}
        self.takeovers_total = {"whole": 0, "unknown": 0}
        self.takes_over_at_once = False
        self.longest = LongestServiceTime()
        self.on_end: Callable[[str], None] = lambda _pod: None
        self._group = group
        self._limits = limits
        self._local = Dispatcher(limits.without_timeouts(), now_s)
        self._owned = OwnedService(self._local)
        self._unknown_hold: Hold | None = None
        """How long slots are held that nobody named when the book was found unknown in this epoch."""
        self._claims = Claims(group.name, group.life)
        self._known: dict[str, str] = {}
        """Addresses of the pods that the proxy lists."""
        self._seconds = 0.0
        self._seconds_until_s = now_s
        self._draining: set[str] = set()
        """Pods that get nothing new, as this gateway has told the controller."""
        self._reports_jobs = False
        """Whether a pod reports jobs, so that it may run something that no request is."""

    @property
    def owned(self) -> bool:
        """Whether this gateway owns the service now."""
        return self.owner == self._group.name

    @property
    def whole(self) -> bool:
        """Whether this gateway gives its slots."""
        return self._owned.whole

    @property
    def has_clients(self) -> bool:
        """Whether any request of own clients has not ended."""
        return len(self._claims) > 0

    @property
    def in_flight(self) -> int:
        """Own clients' counted requests that wait or run, and at the owner jobs that pods report beyond requests."""
        return self._claims.queued + self._claims.running + self._other_jobs

    @property
    def _other_jobs(self) -> int:
        if not (self._owned.whole and self._reports_jobs):
            return 0
        return max(0, self._local.running - self._owned.running_here)

    # From other gateways; the messages are of the present epoch, and the senders members.

    def claimed(self, holder: str, life: str, message: ClaimMessage, now_s: float) -> None:
        """Take a claim."""
        self._advance(now_s)
        ref = Ref(holder, life, message["r"])
        answer = self._owned.claim(ref, _wait_of(message, now_s), now_s, again=message["again"])
        if isinstance(answer, Granted):
            self._deliver([Grant(ref, answer.backend)], now_s)
        elif isinstance(answer, Refused):
            self._refuse(ref, answer.reason)

    def ended(self, holder: str, life: str, message: End, now_s: float) -> None:
        """Take the end of a request, or that its pod refused it, or that its tunnel was accepted."""
        self._advance(now_s)
        if (ref := Ref(holder, life, message["r"])) in self._owned.book:
            self.on_end(self._owned.book.pods[ref])
        match message["how"]:
            case "opened":
                self._owned.opened(ref, now_s)
            case "refused":
                self._deliver(self._owned.put_back(ref, now_s), now_s)
            case how:
                self._deliver(self._owned.end(ref, now_s, done=how == "done"), now_s)

    def refused(self, message: No, now_s: float) -> None:
        """Take a refusal of the owner."""
        self._advance(now_s)
        claim = self._claims.numbered(Ref(self._group.name, self._group.life, message["r"]))
        if claim is not None and claim.pod is None:
            self._reject(claim, Refusal(message["why"]))

    def pod_answered(self, message: Answered, now_s: float) -> None:
        """Take how a pod answered another gateway's request."""
        self._advance(now_s)
        self._deliver(self._owned.noted(self._local.answered(message["pod"], now_s, well=message["well"])), now_s)

    # Hand-over.

    def new_epoch(self, owner: str | None, epoch: int, now_s: float, *, continues: bool) -> None:
        """Follow a new epoch; `continues` if this gateway has owned the service in every epoch since `whole_since`."""
        self._advance(now_s)
        self.owner = owner
        self._owned.forget_reports()
        stays = self._owned.whole and continues and self.owned
        if stays:
            self.whole_since = epoch
            others = {ref.holder for ref in self._owned.requests} - {self._group.name}
            grants = [grant for other in others for grant in self._owned.park(other, now_s)]
        else:
            grants = self._give_up(now_s)
        self._deliver(grants, now_s)

    def _give_up(self, now_s: float) -> list[Grant]:
        """Make grants void that are not used, and give the dispatcher's part of the service up."""
        for claim in self._claims.unused():
            self._claims.grant(claim, None)
            self._owned.book.remove(claim.ref)
        return self._owned.yield_up(now_s) if self._owned.whole else []

    def lost_link(self, name: str, now_s: float) -> None:
        """Note that a connection broke: grants by it are void, and its gateway's requests wait for its report."""
        self._advance(now_s)
        if self._owned.whole:
            self._deliver(self._owned.park(name, now_s), now_s)
        elif name == self.owner:
            for claim in self._claims.unused():
                self._claims.grant(claim, None)

    def report(self, now_s: float) -> dict[str, Any] | None:
        """Return what the owner must know; None if there is nothing."""
        runs = [[ref.number, pod] for ref, pod in self._claims.running_refs().items()]
        waits = [self._claim_message(claim, now_s, again=True) for claim in self._claims.waiting()]
        book = [[pod, *ref, self._held_for(ref, now_s)] for ref, pod in self._owned.book.pods.items()]
        if not (runs or waits or book):
            return None
        return {"runs": runs, "waits": waits, "book": book, "longest": self.longest.seconds(now_s)}

    def _held_for(self, ref: Ref, now_s: float) -> float | None:
        hold = self._owned.book.holds.get(ref)
        return None if hold is None else max(0.0, hold.until_s - now_s)

    def reported(self, holder: str, life: str, report: ServiceReport | None, now_s: float) -> None:
        """Take a member's report; None if it has nothing of this service."""
        self._advance(now_s)
        runs = {Ref(holder, life, number): pod for number, pod in report["runs"]} if report else {}
        waits = {Ref(holder, life, each["r"]): _wait_of(each, now_s) for each in report["waits"]} if report else {}
        if report:
            self.longest.observe(report["longest"], now_s)
        grants = self._owned.report(holder, life, runs, waits, now_s)
        self._deliver(grants, now_s)

    @property
    def retained(self) -> Known:
        """The book that this gateway has as the owner of an earlier epoch."""
        return Known(dict(self._owned.book.pods), dict(self._owned.book.holds))

    def drop_book(self) -> None:
        """Forget the book: another owner's is whole."""
        if not self._owned.whole:
            self._owned.drop_book()

    def settle(self, known: Known | None, epoch: int, now_s: float) -> None:
        """Give slots from now on: all members have reported.

        Args:
            known: the entries of lost gateways that a former owner's whole book had; None if nobody knows them.
            epoch: the present epoch.
            now_s: the time.
        """
        self._advance(now_s)
        self._unknown_hold = None
        entries = self._unknown(epoch, now_s) if known is None else self._with_holds(known, now_s)
        waits = {claim.ref: claim.wait for claim in self._claims.waiting()}
        grants = self._owned.settle(entries, self._claims.running_refs(), waits, now_s)
        self.whole_since = epoch
        self.takeovers_total["unknown" if known is None else "whole"] += 1
        self._deliver(grants, now_s)
        self.let_go(now_s)

    def hold_lost(self, lost: list[Ref], gone: list[Ref], now_s: float) -> None:
        """Keep the slots of gateways that are lost now, and free those of gateways that left."""
        self._advance(now_s)
        for ref in lost:
            if ref not in self._owned.book.holds:
                self._owned.book.holds[ref] = self._hold_for(ref, now_s)
        self._deliver(self._owned.release(gone, now_s), now_s)
        self.let_go(now_s)

    def entries(self) -> list[Ref]:
        """Return whose slots may be in use."""
        return list(self._owned.book.pods)

    def lost(self) -> list[Ref]:
        """Return whose slots are held."""
        return list(self._owned.book.holds)

    def came_back(self, refs: list[Ref]) -> None:
        """Hold these no more: their gateway is a member again, and will report."""
        for ref in refs:
            self._owned.book.holds.pop(ref, None)

    def known_dead(self, holder: str, life: str, now_s: float) -> None:
        """Note that a lost gateway's process has ended, so that it can start nothing more."""
        for ref in self._owned.book.of(holder, life):
            hold = self._owned.book.holds.get(ref)
            if hold is not None:
                until_s = min(hold.until_s, self._hold_for(ref, now_s).until_s)
                self._owned.book.holds[ref] = Hold(until_s, now_s)
        self.let_go(now_s)

    def let_go(self, now_s: float) -> None:
        """Release held slots at once if the policy says so."""
        if self.takes_over_at_once and self._owned.book.holds:
            grants = self._owned.release(list(self._owned.book.holds), now_s)
            self._deliver(grants, now_s)

    def _hold_for(self, ref: Ref, now_s: float) -> Hold:
        return self._group.hold(ref, self.longest.grace_s(now_s), now_s)

    def _with_holds(self, known: Known, now_s: float) -> Known:
        holds = {ref: known.holds.get(ref) or self._hold_for(ref, now_s) for ref in known.pods}
        return Known(known.pods, holds)

    def _unknown(self, epoch: int, now_s: float) -> Known:
        """Return an entry for each slot that nobody names; while a gateway was out, its may have been given away."""
        named = {**self._owned.reported_runs, **self._claims.running_refs()}
        taken = Counter(pod for ref, pod in named.items() if not self._group.was_out(ref))
        pods: dict[Ref, str] = {}
        for pod in self._known:
            for _ in range(max(0, self._limits.concurrency - taken[pod])):
                pods[Ref("", f"unknown-{epoch}", len(pods))] = pod
        self._unknown_hold = self._hold_for(Ref("", f"unknown-{epoch}", 0), now_s)
        return Known(pods, dict.fromkeys(pods, self._unknown_hold))

    # Telling.

    def _deliver(self, grants: list[Grant], now_s: float) -> None:
        """Tell other gateways their grants, and deliver those of own clients."""
        self._group.out.deliver(self.service, self._emit(grants, now_s))

    def _emit(self, grants: list[Grant], now_s: float) -> list[Grant]:
        """Tell other gateways their grants, and return those of own clients."""
        for ref, refusal in self._owned.take_refused():
            self._refuse(ref, refusal)
        own: list[Grant] = []
        for request, pod in grants:
            claim = request if isinstance(request, Claim) else None
            if isinstance(request, Ref):
                claim = self._claims.numbered(request)
                if claim is None:
                    self._tell_grant(request, pod, now_s)
            if claim is not None:
                own += self._notify(claim, pod)
        return own

    def _notify(self, claim: Claim, pod: str) -> list[Grant]:
        """Note a grant of an own request, and return it unless the request is still busy with an earlier one."""
        self._claims.grant(claim, pod)
        if claim.notified is not None:
            return []
        claim.notified = pod
        return [self._grant(claim, pod)]

    def _tell_again(self, claim: Claim) -> None:
        """Deliver a grant that came while the request was busy with an earlier one."""
        claim.notified = claim.pod
        if claim.pod is not None:
            self._group.out.deliver(self.service, [self._grant(claim, claim.pod)])

    def _grant(self, claim: Claim, pod: str) -> Grant:
        return Grant(claim.request, pod)

    def _tell_claim(self, claim: Claim, now_s: float, *, again: bool) -> None:
        if self.owner is not None:
            self.claims_total[self.owner] = self.claims_total.get(self.owner, 0) + 1
        self._tell(self._claim_message(claim, now_s, again=again))

    def _claim_message(self, claim: Claim, now_s: float, *, again: bool) -> Message:
        return {
            "t": "claim",
            "s": self.service,
            "epoch": self._group.epoch,
            "r": claim.ref.number,
            "age": max(0.0, now_s - claim.wait.arrived_s),
            "kind": claim.kind.value,
            "pin": claim.wait.pinned,
            "cap": claim.wait.max_per_pod,
            "wakes": claim.wait.wakes,
            "turn": list(claim.wait.turn),
            "again": again,
        }

    def _tell_end(self, claim: Claim, how: str) -> None:
        self._tell({"t": "end", "r": claim.ref.number, "how": how})

    def _tell(self, message: Message) -> None:
        """Tell the owner something; while it is not connected, the next report says it."""
        if self.owner is not None and self._group.can_tell(self.owner):
            self._send(self.owner, message)

    def _tell_grant(self, ref: Ref, pod: str, now_s: float) -> None:
        address, longest = self._known.get(pod, ""), self.longest.seconds(now_s)
        self._send(ref.holder, {"t": "grant", "r": ref.number, "pod": pod, "addr": address, "longest": longest})

    def _refuse(self, ref: Ref, refusal: Refusal) -> None:
        claim = self._claims.numbered(ref)
        if claim is not None:
            self._reject(claim, refusal)
        else:
            self._send(ref.holder, {"t": "no", "r": ref.number, "why": refusal.value})

    def _reject(self, claim: Claim, refusal: Refusal) -> None:
        """Refuse an own request now, or when it asks for the next grant if it is busy with an earlier one."""
        if claim.notified is not None:
            claim.refusal = refusal
            return
        self._claims.remove(claim)
        self._group.out.deliver(self.service, [], ((claim.request, refusal),))

    def _send(self, peer: str, message: Message) -> None:
        self._group.out.send(peer, {"s": self.service, "epoch": self._group.epoch, **message})

    def _advance(self, now_s: float) -> None:
        """Add the time up to now to the integral; each event begins with this."""
        self._seconds += self.in_flight * (now_s - self._seconds_until_s)
        self._seconds_until_s = now_s


def _wait_of(message: ClaimMessage, now_s: float) -> Wait:
    kind, turn = SlotUse(message["kind"]), Turn(*message["turn"])
    return Wait(now_s - message["age"], kind, message["pin"], message["cap"], message["wakes"], turn)
