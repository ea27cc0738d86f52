"""The requests of one service whose clients are connected to this gateway."""

from collections.abc import Hashable, Iterable, Iterator
from heapq import heapify, heappop, heappush

from autoscaler.gateway.dispatch.types import Refusal, SlotUse
from autoscaler.gateway.peers.book import Ref
from autoscaler.gateway.peers.wait import Wait

_SLACK = 64
"""How many deadlines may be left over from what has ended, before they are cleared."""


class Claim:
    """One request."""

    __slots__ = (
        "deadline_s",
        "direct",
        "kind",
        "notified",
        "opened",
        "pod",
        "ref",
        "refusal",
        "request",
        "started",
        "wait",
    )

    def __init__(self, request: Hashable, ref: Ref, wait: Wait, deadline_s: float) -> None:
        self.request = request
        self.ref = ref
        self.wait = wait
        self.kind = wait.kind
        self.direct = wait.kind is not SlotUse.COUNT and not wait.max_per_pod
        """Whether it needs nobody's grant: it takes no slot and has no limit."""
        self.deadline_s = deadline_s
        self.pod: str | None = None
        """The pod that it is granted now."""
        self.notified: str | None = None
        """The pod that the request was last notified of; while it connects there, the grant may have become void."""
        self.refusal: Refusal | None = None
        """Why it is refused once its last grant is dealt with."""
        self.started = False
        self.opened = False
        """Whether it is a tunnel that its pod has accepted."""


class Claims:
    """Claims by request, and what they add up to.

    Attributes:
        queued: counted requests that wait.
        running: counted requests that are granted.
        passing: Pass requests that may wake a pod and are held or open.
        passed_total: how many of them ever arrived.
        holding_pass: those of them that are held.
    """

    def __init__(self, holder: str, life: str) -> None:
        self.queued = self.running = self.passing = self.passed_total = self.holding_pass = 0
        self._holder, self._life = holder, life
        self._number = 0
        self._by_request: dict[Hashable, Claim] = {}
        self._by_number: dict[int, Claim] = {}
        self._on: dict[str, int] = {}
        self._deadlines: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._by_request)

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._by_request.values())

    def __contains__(self, request: Hashable) -> bool:
        return request in self._by_request

    def __getitem__(self, request: Hashable) -> Claim:
        return self._by_request[request]

    def get(self, request: Hashable) -> Claim | None:
        """Return the claim of a request, None for an unknown one."""
        return self._by_request.get(request)

    def numbered(self, ref: Ref) -> Claim | None:
        """Return the claim of this process with that name, None if there is none."""
        return self._by_number.get(ref.number) if (ref.holder, ref.life) == (self._holder, self._life) else None

    def new_ref(self) -> Ref:
        """Return a name for the next request."""
        self._number += 1
        return Ref(self._holder, self._life, self._number)

    def add(self, claim: Claim) -> None:
        """Keep a claim."""
        self._by_request[claim.request] = claim
        self._by_number[claim.ref.number] = claim
        self._count(claim, 1)
        self.passed_total += claim.kind is not SlotUse.COUNT and claim.wait.wakes
        self._set_deadline(claim)

    def remove(self, claim: Claim) -> None:
        """Forget a claim."""
        del self._by_request[claim.request]
        del self._by_number[claim.ref.number]
        self._count(claim, -1)

    def grant(self, claim: Claim, pod: str | None) -> None:
        """Note the pod that a claim is granted; None makes a grant that was not used void."""
        self._count(claim, -1)
        claim.pod = pod
        claim.started = claim.started and pod is not None
        self._count(claim, 1)
        self._set_deadline(claim)

    def wait_on(self, claim: Claim) -> None:
        """Note that a claim without a grant is not busy with an earlier one any more, so that its wait may end."""
        self._set_deadline(claim)

    def opened(self, claim: Claim) -> None:
        """Note that a tunnel was accepted."""
        self._count(claim, -1)
        claim.opened = True
        self._count(claim, 1)

    def on(self, pod: str) -> int:
        """Return how many counted requests are granted a pod."""
        return self._on.get(pod, 0)

    @property
    def pods(self) -> Iterable[str]:
        """The pods that counted requests are granted."""
        return self._on

    def waiting(self) -> list[Claim]:
        """Return the claims that need a grant."""
        return [claim for claim in self if claim.pod is None and not claim.direct]

    def running_refs(self) -> dict[Ref, str]:
        """Return the counted requests that have been started, with their pods."""
        return {
            claim.ref: claim.pod
            for claim in self
            if claim.started and claim.pod is not None and claim.kind is SlotUse.COUNT
        }

    def unused(self) -> list[Claim]:
        """Return the claims that are granted and have not been started."""
        return [claim for claim in self if claim.pod is not None and not claim.started and not claim.direct]

    def due(self, now_s: float) -> list[Claim]:
        """Take the claims that have waited too long."""
        due: dict[Ref, Claim] = {}  # a claim that waited more than once has several deadlines
        while self._deadlines and self._deadlines[0][0] <= now_s:
            number = heappop(self._deadlines)[1]
            if not self._is_over(number):
                claim = self._by_number[number]
                due[claim.ref] = claim
        return list(due.values())

    @property
    def next_deadline_s(self) -> float | None:
        """When the next claim has waited too long; None if never."""
        while self._deadlines and self._is_over(self._deadlines[0][1]):
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _is_over(self, number: int) -> bool:
        claim = self._by_number.get(number)
        return claim is None or claim.pod is not None or claim.notified is not None

    def _set_deadline(self, claim: Claim) -> None:
        if claim.pod is not None or claim.notified is not None:
            return
        heappush(self._deadlines, (claim.deadline_s, claim.ref.number))
        if len(self._deadlines) > _SLACK + 4 * len(self):
            self._deadlines = [each for each in self._deadlines if not self._is_over(each[1])]
            heapify(self._deadlines)

    def _count(self, claim: Claim, step: int) -> None:
        if claim.kind is SlotUse.COUNT:
            if claim.pod is None:
                self.queued += step
                return
            self.running += step
            self._on[claim.pod] = self._on.get(claim.pod, 0) + step
            if not self._on[claim.pod]:
                del self._on[claim.pod]
        elif claim.wait.wakes and not claim.opened:
            self.passing += step
            self.holding_pass += step * (claim.pod is None)
