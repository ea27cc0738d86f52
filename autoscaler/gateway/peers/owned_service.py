"""One service at its owner: the dispatcher, and the book of who uses which slot.

The owner gives slots once its book is whole. Until then it only collects what the members report.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

from autoscaler.gateway.dispatch.dispatcher import Dispatcher
from autoscaler.gateway.dispatch.types import Grant, Granted, Held, Refusal, Refused, SlotUse
from autoscaler.gateway.peers.book import Book, Hold, Ref
from autoscaler.gateway.peers.wait import Wait


class Known(NamedTuple):
    """The entries that a former owner's whole book had."""

    pods: Mapping[Ref, str]
    holds: Mapping[Ref, Hold]


class OwnedService:
    """The owner's part.

    Args:
        dispatcher: knows the pods, and has the requests while this gateway owns the service.

    Attributes:
        whole: whether no slot in use can be missing in the book, so that slots may be given.
        book: the entries; a former owner keeps them until the next one's book is whole.
        requests: what the dispatcher has and did not adopt.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.whole = False
        self.book = Book()
        self.requests: dict[Ref, Wait] = {}
        self._refused: list[tuple[Ref, Refusal]] = []
        self._reported_runs: dict[Ref, str] = {}
        self._reported_waits: dict[Ref, Wait] = {}
        """What members have told while the book is not whole."""

    # Requests.

    def arrive(self, ref: Ref, wait: Wait, now_s: float, *, again: bool = False) -> Granted | Held | Refused:
        """Take in a request; `again` if it was held before, so that it is not refused and stands by its age."""
        answer = self.dispatcher.arrive(
            ref,
            now_s,
            wait.kind,
            wait.pinned,
            max_per_pod=wait.max_per_pod,
            wakes=wait.wakes,
            arrived_s=wait.arrived_s if again else None,
            turn=wait.turn,
        )
        if not isinstance(answer, Refused):
            self.requests[ref] = wait
        if isinstance(answer, Granted):
            self._note(Grant(ref, answer.backend))
        return answer

    def claim(self, ref: Ref, wait: Wait, now_s: float, *, again: bool) -> Granted | Held | Refused:
        """Take in another gateway's request, also before the book is whole."""
        if self.whole:
            if ref in self.requests or ref in self.book:
                return Held(now_s)
            return self.arrive(ref, wait, now_s, again=again)
        self._reported_waits[ref] = wait
        return Held(now_s)

    def end(self, ref: Ref, now_s: float, *, done: bool) -> list[Grant]:
        """End a request in any state; `done` if its pod has finished it."""
        was_granted = ref in self.book
        self.book.remove(ref)
        self._reported_runs.pop(ref, None)
        self._reported_waits.pop(ref, None)
        wait = self.requests.pop(ref, None)
        if ref not in self.dispatcher:
            return []
        uncounted = wait is not None and wait.kind is not SlotUse.COUNT
        finish = done and (was_granted or uncounted)
        return self.noted((self.dispatcher.finish if finish else self.dispatcher.abandon)(ref, now_s))

    def put_back(self, ref: Ref, now_s: float) -> list[Grant]:
        """Take back a request that its pod refused."""
        self.book.remove(ref)
        self._reported_runs.pop(ref, None)
        return self.noted(self.dispatcher.put_back(ref, now_s)) if ref in self.dispatcher else []

    def opened(self, ref: Ref, now_s: float) -> None:
        """Note that a pod accepted a tunnel."""
        if ref in self.requests:
            self.dispatcher.open_tunnel(ref, now_s)

    def expire(self, now_s: float) -> list[Grant]:
        """Do what is due, with releases of held slots; no wait ends here, because each gateway ends its own."""
        return self.noted(self.dispatcher.expire(now_s).grants) + self.release(self.book.due(now_s), now_s)

    def release(self, refs: Iterable[Ref], now_s: float) -> list[Grant]:
        """Free slots of lost gateways."""
        return [grant for ref in refs for grant in self.end(ref, now_s, done=False)]

    def add_pod(self, name: str, now_s: float, jobs: int | None) -> list[Grant]:
        """Use a pod, after its slots that may be in use are taken."""
        running = [ref for ref in self.book.on(name) if ref not in self.dispatcher] if self.whole else []
        return self.noted(self.dispatcher.add_backend(name, now_s, jobs=jobs, running=running))

    # Hand-over.

    def park(self, holder: str, now_s: float) -> list[Grant]:
        """Take a gateway's waiting requests out until it reports again, so that no slot is given to nobody."""
        grants = []
        for ref in [ref for ref in self.requests if ref.holder == holder and ref not in self.book]:
            grants += self.end(ref, now_s, done=False)
        return grants

    def yield_up(self, now_s: float) -> list[Grant]:
        """Give the service up: the book stays, and the dispatcher loses all that needed a grant."""
        self.whole = False
        waiting = [ref for ref in self.requests if ref not in self.book]
        self.requests.clear()
        grants = []
        for ref in [ref for ref in (*waiting, *self.book.pods) if ref in self.dispatcher]:
            grants += self.dispatcher.abandon(ref, now_s)
        return [grant for grant in grants if not isinstance(grant.request, Ref)]

    def forget_reports(self) -> None:
        """Forget what was reported in an earlier epoch."""
        self._reported_runs.clear()
        self._reported_waits.clear()

    def report(
        self, holder: str, life: str, runs: Mapping[Ref, str], waits: Mapping[Ref, Wait], now_s: float
    ) -> list[Grant]:
        """Take in all that a member has; what it does not name has ended."""
        if not self.whole:
            for collected in (self._reported_runs, self._reported_waits):
                for ref in [ref for ref in collected if ref.holder == holder]:
                    del collected[ref]
            self._reported_runs.update(runs)
            self._reported_waits.update(waits)
            return []
        for ref, pod in runs.items():
            self._run(ref, pod, None, now_s)
        grants = self._enter({ref: wait for ref, wait in waits.items() if ref not in self.book}, now_s)
        for ref in self.book.of(holder, life):
            if ref not in runs:
                grants += self._not_running(ref, waits.get(ref), now_s)
        return grants

    def _not_running(self, ref: Ref, wait: Wait | None, now_s: float) -> list[Grant]:
        """Free a slot whose holder says that it does not use it; its request still needs one if there is a `wait`."""
        if wait is None or ref not in self.dispatcher:
            return self.end(ref, now_s, done=False) + (self._enter({ref: wait}, now_s) if wait else [])
        self.book.remove(ref)
        self.requests[ref] = wait
        return self.noted(self.dispatcher.give_back(ref, now_s))

    def settle(self, entries: Known, runs: Mapping[Ref, str], waits: Mapping[Ref, Wait], now_s: float) -> list[Grant]:
        """Build the whole book: `entries` of lost gateways, what members reported, and what our own clients have."""
        self.book = Book()
        self.whole = True
        for ref, pod in entries.pods.items():
            self._run(ref, pod, entries.holds.get(ref), now_s)
        for ref, pod in (self._reported_runs | dict(runs)).items():
            self._run(ref, pod, None, now_s)
        waiting = self._reported_waits | dict(waits)
        self.forget_reports()
        return self._enter(waiting, now_s)

    def take_refused(self) -> list[tuple[Ref, Refusal]]:
        """Return the requests that were refused although they were held elsewhere before."""
        refused, self._refused = self._refused, []
        return refused

    def drop_book(self) -> None:
        """Forget the book."""
        self.book = Book()

    @property
    def running_here(self) -> int:
        """Entries that take a slot in the dispatcher."""
        return sum(ref in self.dispatcher for ref in self.book.pods)

    @property
    def reported_runs(self) -> Mapping[Ref, str]:
        """The requests that members have reported to run, with their pods, while the book is not whole."""
        return self._reported_runs

    def _run(self, ref: Ref, pod: str, hold: Hold | None, now_s: float) -> None:
        if ref in self.book:
            return
        self.book.put(ref, pod, hold)
        if ref not in self.dispatcher and pod in self.dispatcher.backends:
            self.dispatcher.adopt(ref, now_s, pod)

    def _enter(self, waits: Mapping[Ref, Wait], now_s: float) -> list[Grant]:
        """Let requests that were held elsewhere wait, the oldest first."""
        grants = []
        for ref, wait in sorted(waits.items(), key=lambda each: (each[1].arrived_s, each[0])):
            if ref in self.dispatcher:
                continue
            answer = self.arrive(ref, wait, now_s, again=True)
            if isinstance(answer, Granted):
                grants.append(Grant(ref, answer.backend))
            elif isinstance(answer, Refused):
                self._refused.append((ref, answer.reason))
        return grants

    def noted(self, grants: list[Grant]) -> list[Grant]:
        """Write grants of the dispatcher into the book, and return them."""
        for grant in grants:
            self._note(grant)
        return grants

    def _note(self, grant: Grant) -> None:
        wait = self.requests.get(cast("Ref", grant.request))
        if isinstance(grant.request, Ref) and (wait is None or wait.kind is SlotUse.COUNT):
            self.book.put(grant.request, grant.backend)
