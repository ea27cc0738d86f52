"""The gateway's configuration of one service, as plain values.

`Affinity`, `Timeouts`, `OnAbort`, `PathRule` and `Cors` exist here and as models of the policy. That is on purpose:
documents and pydantic end where a policy has been read, and `app/gateway_config.py` translates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from autoscaler.gateway.busy_response import BusyPoll
from autoscaler.gateway.cors import Cors
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.dispatch.hints import HintLimits
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.turn_rules import Fairness, PriorityClass
from autoscaler.gateway.dispatch.types import FailureKind
from autoscaler.runtime.probe_user_agents import PROBES


@dataclass(frozen=True, slots=True)
class Affinity:
    """A cookie that brings a client back to the pod that served it."""

    cookie: str
    """Its name, such as `sd`."""
    timeout_s: float
    """Counted by the gateway from the first issue, whatever the client does with `Max-Age`."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; time in the queue does not count."""

    request_s: float = 300.0
    """From the grant to the response's last byte; a 101 ends it."""
    response_start_s: float | None = None
    """From the grant to the response's first byte; None is the same as `request_s`."""
    connect_s: float = 2.0
    body_idle_s: float = 60.0
    """How long a client may send nothing of a request's body."""
    stalled_client_s: float = 60.0
    """How long a client may read nothing of its response."""
    tunnel_idle_s: float = 3600.0
    """How long both sides of an upgraded connection may be silent."""
    stream_idle_s: float = 3600.0
    """How long a stream may be silent; `request_s` does not apply to it while its client is connected."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A request that each pod gets before those of clients."""

    method: str
    path: str
    body: bytes
    """JSON; empty for a request without a body."""
    timeout_s: float
    """How long a pod waits for its end; then it gets requests all the same."""


class OnAbort(Enum):
    """What happens to a counted request at a pod when its client disconnects; a Pass request always ends."""

    CLOSE = "Close"
    """The pod's connection is closed and its slot is free at once, even if the pod goes on computing."""
    WAIT_UPSTREAM = "WaitUpstream"
    """The slot is free when the pod has sent its last byte."""
    INTERRUPT = "Interrupt"
    """Like WaitUpstream, and a POST to `interrupt_path` asks the pod to stop; the slot is free when both are answered,
    because a late call would end the next request's work."""


class Takeover(Enum):
    """What happens to the slots of a gateway that is lost."""

    GRACE = "Grace"
    """They are held until what it ran has surely ended."""
    IMMEDIATE = "Immediate"
    """They are free at once."""


class ErrorFormat(Enum):
    """How the gateway writes its own errors."""

    TEXT = "Text"
    PROBLEM = "Problem"
    """As JSON: RFC 9457, and on the paths of OpenAI's API as its clients expect."""


@dataclass(frozen=True, slots=True)
class EventOptions:
    """When a client that waits for an event stream gets comments."""

    after_s: float
    """How long the status stays open."""
    every_s: float


@dataclass(frozen=True, slots=True)
class WaitingOptions:
    """What clients that wait learn."""

    headers: bool = False
    """Whether answers of requests that were held say how long it took, and what was expected."""
    deadlines: bool = False
    """Whether clients may limit their wait."""
    events: EventOptions | None = None
    """None sends nothing before the response."""
    page_keeps_s: float | None = None
    """How long the place of a browser that is away is kept; None shows no page."""


@dataclass(frozen=True, slots=True)
class GatewayService:
    """One service as the gateway sees it."""

    name: str
    """`namespace/name`."""
    hosts: tuple[str, ...]
    """Hosts that clients ask for; `*.example.com` is any name below; `*` is any host."""
    limits: Limits
    timeouts: Timeouts = field(default_factory=Timeouts)
    paths: tuple[PathRule, ...] = ()
    affinity: Affinity | None = None
    classes: tuple[PriorityClass, ...] = ()
    """From the highest priority; empty if all requests have the same. `limits` has their shares."""
    fairness: Fairness | None = None
    """What tells clients apart that take turns; None if they take none."""
    ready_path: str | None = None
    """A path that a pod must answer with 200 to 399 before its first request; None asks nothing."""
    ready_timeout_s: float = 2.0
    warm_up: WarmUp | None = None
    """What a pod that has just started is sent first; None sends nothing."""
    busy: BusyPoll | None = None
    """How pods are asked for the number of their jobs; None means that requests are their only work."""
    failures: frozenset[FailureKind] = frozenset({FailureKind.RESET})
    """What counts as a failure of a pod."""
    on_abort: OnAbort = OnAbort.WAIT_UPSTREAM
    interrupt_path: str = "/sdapi/v1/interrupt"
    takeover: Takeover = Takeover.GRACE
    cors: Cors | None = None
    """Which pages the gateway answers browsers for; None leaves it to the pods."""
    probes: tuple[str, ...] = PROBES
    """Parts of the user agents of health checks, in any case."""
    errors: ErrorFormat = ErrorFormat.TEXT
    waiting: WaitingOptions = WaitingOptions()
    hints: HintLimits | None = None
    """How many requests may be announced; None takes no hints."""
    display_name: str = ""
    """What a person calls the service; empty is the part of its name after the slash."""
    half_close: bool = False
    """Whether a client may close its sending side and still wait; otherwise that counts as a disconnect."""
    max_body_bytes: int | None = None
    """A request with a longer body gets 413; None is no limit."""
    min_body_bytes_per_s: int = 16 * 1024
    """The minimum rate of a body while a slot is held for it, over 10 s; 0 is none."""
    cold_starts_s: tuple[float, ...] = ()
    """How long pods take to start according to the policy's pools, until one was measured."""
    backends: Mapping[str, str] | None = None
    """Pods by name with their `host:port`, if the document lists them; None if the cluster does."""

    @property
    def longest_request_s(self) -> float:
        """How long a request of any path may take."""
        return max(self.timeouts.request_s, *(rule.request_timeout_s or 0.0 for rule in self.paths), 0.0)

    @property
    def namespace(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]

    @property
    def service(self) -> str:
        """The part of the name after the slash."""
        return self.name.partition("/")[2]
