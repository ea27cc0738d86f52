"""What the dispatcher remembers of one pod and of one request."""

from collections.abc import Hashable

from autoscaler.gateway.dispatch.pod_health import Health
from autoscaler.gateway.dispatch.reported_jobs import ReportedJobs
from autoscaler.gateway.dispatch.turns import TurnQueue
from autoscaler.gateway.dispatch.types import ANY_TURN, Limits, SlotUse, Turn

KINDS = COUNT, PASS, TUNNEL = SlotUse.COUNT, SlotUse.PASS, SlotUse.TUNNEL
"""As plain names: looking up a member of an enumeration costs as much as a call."""


class Backend:
    """One pod. A pod that is removed stays alive in its requests, so a new pod of the same name starts empty."""

    __slots__ = (
        "_earlier_s",
        "aside_until_s",
        "draining",
        "ejected",
        "granted",
        "health",
        "held",
        "jobs",
        "name",
        "newest_pass",
        "number",
        "opening",
        "passing",
        "running",
        "since_s",
        "taken",
        "tunnels",
    )

    def __init__(self, name: str, number: int, now_s: float) -> None:
        self.name = name
        self.number = number
        self.granted = 0
        """Counted requests that it was ever granted."""
        self.running = 0
        """Counted requests that are open."""
        self.jobs: ReportedJobs | None = None
        """None if the pod does not report its jobs."""
        self.taken = 0
        """Slots that are taken: by `running`, and by other jobs of the pod."""
        self.since_s = self._earlier_s = now_s
        """Since when none of its slots is taken, or at least one."""
        self.passing = 0
        """Pass requests that are open."""
        self.newest_pass = 0
        """Which of the Pass requests of all pods its newest one was, from 1 on."""
        self.tunnels = 0
        self.opening = 0
        """Those of the tunnels that the pod has not accepted yet."""
        self.draining = False
        self.health = Health()
        self.aside_until_s: float | None = None
        """Until when it gets no request because it refused or failed; None if it is used."""
        self.ejected = False
        """Whether it is set aside because it failed, and not because it refused a connection."""
        self.held: dict[SlotUse, TurnQueue[Request]] = {kind: TurnQueue() for kind in KINDS}
        """Requests that wait for this pod and no other."""

    @property
    def ready(self) -> bool:
        """Whether it is sent requests."""
        return not self.draining and self.aside_until_s is None

    @property
    def busy(self) -> bool:
        """Whether anything but open tunnels is under way."""
        return bool(self.taken or self.passing or self.opening)

    def update_slots(self, now_s: float) -> int:
        """Count the slots that are taken, and return by how many that differs from before."""
        before = self.taken
        self.taken = taken = self.running if self.jobs is None else self.jobs.slots(self.running)
        if (before == 0) is not (taken == 0):
            # A slot that is given back and granted at one time was never free.
            since_s = self._earlier_s if self.since_s == now_s else now_s
            self._earlier_s, self.since_s = self.since_s, since_s
        return taken - before

    def put_aside(self, until_s: float | None, *, ejected: bool) -> None:
        """Send it no requests until then; None sends it requests again."""
        self.aside_until_s = until_s
        self.ejected = ejected


class Request:
    """One request, which waits in `queue` or is open at `backend`."""

    __slots__ = (
        "arrived_s",
        "backend",
        "deadline_s",
        "grant_number",
        "granted_s",
        "id",
        "kind",
        "max_per_pod",
        "number",
        "opened",
        "pinned",
        "place",
        "queue",
        "spill_s",
        "turn",
        "wakes",
    )

    def __init__(
        self,
        request: Hashable,
        kind: SlotUse,
        pinned: str | None,
        max_per_pod: int,
        *,
        wakes: bool,
        turn: Turn = ANY_TURN,
    ) -> None:
        self.id = request
        self.kind = kind
        self.turn = turn if kind is COUNT else ANY_TURN
        self.pinned = pinned
        self.max_per_pod = max_per_pod
        self.wakes = wakes
        self.opened = False
        """Whether it is a tunnel that the pod has accepted."""
        self.number = 0
        """Its place in the order of arrival; 0 before it is admitted."""
        self.grant_number = 0
        """Its number among the requests that its pod was ever granted."""
        self.granted_s: float | None = None
        """When it was granted its pod; None before, and if another gateway granted it."""
        self.place: int | None = None
        """Its place in the order of turns, if it stands in that; see `turns`."""
        self.queue: TurnQueue[Request] | None = None
        self.backend: Backend | None = None

    def admit(self, number: int, now_s: float, limits: Limits, timeout_s: float) -> None:
        """Set its place in the order of arrival, and its deadlines."""
        self.number = number
        self.arrived_s = now_s
        self.deadline_s = now_s + timeout_s
        self.spill_s = now_s + limits.spill_after_s
