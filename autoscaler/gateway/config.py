"""What the gateway is told of one service: plain frozen values, built from the document elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from autoscaler.gateway.busy_response import BusyPoll
from autoscaler.gateway.cors import Cors
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.types import FailureKind
from autoscaler.runtime.probe_user_agents import PROBES


@dataclass(frozen=True, slots=True)
class Affinity:
    """A cookie that brings a client back to the pod that served it."""

    cookie: str
    """Its name, such as `sd`."""
    timeout_s: float
    """Counted from its first issue, by the gateway, whatever the client does with `Max-Age`."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long things may take at most, in seconds; time in the queue is not part of them."""

    request_s: float = 300.0
    """From the grant to the response's last byte; ends with a 101."""
    response_start_s: float | None = None
    """From the grant to the response's first byte; None is as long as for all of it."""
    connect_s: float = 2.0
    body_idle_s: float = 60.0
    """Silence of a client that is sending a request's body."""
    stalled_client_s: float = 60.0
    """How long a client may take nothing of a response that is ready for it."""
    tunnel_idle_s: float = 3600.0
    """Silence on both sides of an upgraded connection."""
    stream_idle_s: float = 3600.0
    """Silence of a response that is a stream, to which `request_s` does not apply while its client is there."""


class OnAbort(Enum):
    """What becomes of a counted request at a pod when its client goes; any other one's connection is closed."""

    CLOSE = "Close"
    """The pod's connection is closed and its slot is free at once; one that goes on computing gets a second request."""
    WAIT_UPSTREAM = "WaitUpstream"
    """The slot is free when the pod has said its last byte."""
    INTERRUPT = "Interrupt"
    """As WaitUpstream, and the pod is asked by a POST to `interrupt_path` to break off; the slot is free when both have
    been answered, for a call that comes late would end the next one's work."""


@dataclass(frozen=True, slots=True)
class GatewayService:
    """One service as the gateway sees it."""

    name: str
    """`namespace/name`, the key under which everything about it is found."""
    hosts: tuple[str, ...]
    """Names that clients ask for; `*.example.com` is any name below; `*` is any name at all."""
    limits: Limits
    timeouts: Timeouts = field(default_factory=Timeouts)
    paths: tuple[PathRule, ...] = ()
    affinity: Affinity | None = None
    ready_path: str | None = None
    """What a pod must answer with 200 to 399 before it is sent its first request; None asks nothing."""
    ready_timeout_s: float = 2.0
    busy: BusyPoll | None = None
    """What pods are asked for the number of their jobs; None is that requests are all that they work on."""
    failures: frozenset[FailureKind] = frozenset({FailureKind.RESET})
    """What counts as a failure of a pod."""
    on_abort: OnAbort = OnAbort.WAIT_UPSTREAM
    interrupt_path: str = "/sdapi/v1/interrupt"
    cors: Cors | None = None
    """Which pages the gateway answers browsers for; None leaves that to the pods."""
    probes: tuple[str, ...] = PROBES
    """What the user agents of those who ask only whether somebody is there contain, in any case."""
    half_close: bool = False
    """Whether a client may close its sending side and still wait; else that is taken for its going."""
    max_body_bytes: int | None = None
    """A request with a longer body is refused with 413; None is no limit."""
    min_body_bytes_per_s: int = 16 * 1024
    """How fast a body has to come while a pod's slot is held for it, over 10 s; 0 asks for nothing."""
    backends: Mapping[str, str] | None = None
    """Pods by name with their `host:port`, where the document lists them; None where somebody else tells."""

    @property
    def namespace(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]

    @property
    def service(self) -> str:
        """The part of the name behind the slash."""
        return self.name.partition("/")[2]
