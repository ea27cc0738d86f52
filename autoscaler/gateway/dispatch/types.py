"""The values that go into the dispatcher and come out of it."""

import math
from collections.abc import Hashable
from enum import Enum
from typing import NamedTuple, Self

from autoscaler.gateway.dispatch.pod_health import EjectionRules


class SlotUse(Enum):
    """What a request costs."""

    COUNT = "Count"
    """Takes a slot of a pod; the service is scaled by these."""
    PASS = "Pass"  # noqa: S105
    """Takes no slot: it may go to a busy pod."""
    TUNNEL = "Tunnel"
    """A Pass request for another protocol. It waits only behind other tunnels, because it may stay open for days."""

    __hash__ = object.__hash__  # by identity: Enum's own costs ten times as much, and each request asks for it often


class Refusal(Enum):
    """Why a request is not held."""

    QUEUE_FULL = "queue_full"
    ASLEEP = "asleep"
    """There is no pod, or all refuse connections, and this request may not start one."""
    CUT_OFF = "cut_off"
    """No gateway that may grant it can be asked."""


class FailureKind(Enum):
    """What may count as a failure of a pod."""

    RESET = "Reset"
    TIMEOUT = "Timeout"
    SERVER_ERROR = "ServerError"


class LoadBalancing(Enum):
    """Which of several pods with room gets a counted request."""

    FIRST_AVAILABLE = "FirstAvailable"
    """The one that was added first, so that later ones become idle and can leave."""
    LEAST_REQUEST = "LeastRequest"
    """The one with the fewest requests."""


class Turn(NamedTuple):
    """What decides whose turn a counted request is among those that wait.

    It is a list in JSON, so that gateways can tell it each other.
    """

    level: int = 0
    """Of its priority class; 0 is the highest."""
    client: str = ""
    """Stands for its client, without a word of it; empty if clients take no turns."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `json` made of a turn.

        Raises:
            ValueError: it is none.
        """
        match value:
            case [int(level), str(client)] if level >= 0 and not isinstance(level, bool):
                return cls(level, client)
        raise ValueError(f"{value!r}: must be a turn such as [0, ''], a level of at least 0 and a client")


ANY_TURN = Turn()


class QueueLimits(NamedTuple):
    """How many requests may wait, and for how long."""

    length: int
    """Of one kind and class; a client of which none waits there may exceed it up to twice."""
    timeout_s: float


class Limits(NamedTuple):
    """What one service may take, and how its pods share it."""

    concurrency: int = 1
    """Counted requests per pod at a time; 0 is no limit."""
    queue_length: int = 100
    """See `QueueLimits`."""
    queue_timeout_s: float = 600.0
    spill_after_s: float = math.inf
    """How long a request waits for the busy pod that it is pinned to before it may go to any pod."""
    load_balancing: LoadBalancing | None = None
    """None is `FIRST_AVAILABLE` for one request at a time, else `LEAST_REQUEST`."""
    ejection: EjectionRules = EjectionRules()
    """When a pod that fails is ejected."""
    shares: tuple[float, ...] = ()
    """The share of the grants that each priority class gets at least while it waits, by level; 0 for any other."""
    none_ready: QueueLimits | None = None
    """For requests that arrive while no pod is ready; None is the same as always."""
    all_busy: QueueLimits | None = None
    """For requests that arrive while a pod is ready; None is the same as always."""

    def queue(self, *, any_ready: bool) -> QueueLimits:
        """Return the limits for a request that arrives now."""
        special = self.all_busy if any_ready else self.none_ready
        return QueueLimits(self.queue_length, self.queue_timeout_s) if special is None else special

    def without_timeouts(self) -> Self:
        """Return them for a dispatcher that lets others end the waits."""
        none_ready = self.none_ready and self.none_ready._replace(timeout_s=math.inf)
        all_busy = self.all_busy and self.all_busy._replace(timeout_s=math.inf)
        return self._replace(queue_timeout_s=math.inf, none_ready=none_ready, all_busy=all_busy)

    @property
    def depend_on_pods(self) -> bool:
        """Whether it matters for a request if a pod is ready when it arrives."""
        return self.none_ready is not None or self.all_busy is not None

    @property
    def takes_least(self) -> bool:
        """Whether a counted request goes to the pod with the fewest."""
        if self.load_balancing is None:
            return self.concurrency != 1
        return self.load_balancing is LoadBalancing.LEAST_REQUEST


class Granted(NamedTuple):
    """The request may go to the pod now."""

    backend: str


class Held(NamedTuple):
    """The request waits; a later call grants it, or it times out at `deadline_s`."""

    deadline_s: float


class Refused(NamedTuple):
    """The request is not accepted."""

    reason: Refusal


class Grant(NamedTuple):
    """A request that was held may go to a pod now."""

    request: Hashable
    backend: str


class Due(NamedTuple):
    """What is due."""

    timed_out: list[Hashable]
    grants: list[Grant]
