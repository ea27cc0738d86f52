"""What there is in the explorer's world: gateways from outside, channels, the store, requests. All of it is a value."""

from dataclasses import dataclass
from typing import NamedTuple

from peer_machine import Output

from autoscaler.gateway.peers.times import Times

NOT_YET, WAITS, GRANTED, RUNS, ORPHANED, SERVED, ENDED = (
    "not yet",
    "waits",
    "granted",
    "runs",
    "runs on",
    "served",
    "ended",
)
"""How it stands with a request. `ORPHANED`: its taker is dead, and its pod computes on. `SERVED`: its pod is done, and
its taker is paused and does not know."""
AWAKE, PAUSED, DEAD, GONE, ABSENT = "awake", "paused", "dead", "gone", "absent"


TIMES = Times(beat_s=10, silent_s=15, permit_s=25, clock_error=1.2, read_s=10, low_permit_s=10, out_s=10**9)
"""In ticks of ten seconds: who is not heard at two of them is silent, and a permit lasts two. Nobody waits too long."""


@dataclass(frozen=True)
class Scope:
    """What is explored."""

    name: str
    gateways: tuple[str, ...] = ("a", "b")
    later: tuple[str, ...] = ()
    """Those of them that are not there at the beginning, and may be started."""
    leavers: tuple[str, ...] = ()
    """Those that may be told to go."""
    service: str = "ns/web"
    pods: tuple[str, ...] = ("p0",)
    requests: tuple[str, ...] = ("a", "b")
    """The gateway that each request comes to."""
    faults: tuple[str, ...] = ()
    """Kinds of what may go wrong."""
    budget: int = 0
    """How many faults there may be in all."""
    in_turn: bool = False
    """Whether each kind of fault happens once, in this order."""
    ticks: int = 4
    """How many ticks of time."""
    times: Times = TIMES
    tick: float = 10.0
    lost: float = 3.0
    """How much of a tick a clock may lose, once."""
    service_time: float = 20.0
    """How long a pod may compute."""
    grace: float = 20.0
    """How long gateways believe that it may."""
    queue_timeout: float = 1e9
    store_returns: bool = True
    """Whether a store that is away comes back."""


class Broken(Exception):  # noqa: N818 - not an error of the program: the explorer's finding
    """A promise was broken."""


class Member(NamedTuple):
    """A gateway from outside."""

    state: int = -1
    life: int = 0
    status: str = ABSENT
    behind: float = 0.0
    """How much its clock has lost."""
    calls: tuple = ()
    """What it asks of the store."""
    answers: tuple = ()
    """What the store has answered, on its way."""
    out: Output = Output()
    told_to_go: bool = False
    knows: frozenset = frozenset()
    """Processes that it knows to have ended."""


class Request(NamedTuple):
    """A request as a bystander sees it."""

    status: str = NOT_YET
    pod: str = ""
    since: float = 0.0
    starts: int = 0


class State(NamedTuple):
    """Everything at one moment."""

    time: float
    members: tuple[Member, ...]
    channels: tuple[tuple, ...]
    """From gateway i to j at i * n + j."""
    linked: frozenset
    """Pairs (i, j), i < j, with a connection."""
    cut: frozenset
    """Directions (i, j) in which nothing arrives."""
    store: str | None
    requests: tuple[Request, ...]
    pods_gone: frozenset
    budget: int
    ticks: int
    store_away: bool = False
