"""Counts of one service's requests: plain numbers on the hot path, read by the metrics."""

from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

WAIT_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
SERVICE_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 60.0, 120.0, 300.0)
RESPONSE_BUCKETS_S = (*SERVICE_BUCKETS_S, 600.0)
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
"""The classes of a response's status."""


class RequestOutcome(Enum):
    """How a request ended; each has exactly one."""

    SERVED = "served"
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    ALL_BUSY = "all_busy"
    """The queue was full while a pod was ready, and the policy has limits for that."""
    BEYOND_DEADLINE = "beyond_deadline"
    """Its client waits for less than it should take."""
    WAITING_PAGE = "waiting_page"
    """A browser got the waiting page; it asks again, and its place is kept."""
    OVERLOADED = "overloaded"
    """The gateway was short of memory."""
    ASLEEP = "asleep"
    CUT_OFF = "cut_off"
    """The gateway could ask no other gateway that may grant it."""
    DRAINED = "drained"
    """Still held when the gateway shut down."""
    ABANDONED_QUEUED = "abandoned_queued"
    ABANDONED_RUNNING = "abandoned_running"
    PREFLIGHT = "preflight"
    """A CORS preflight that the gateway answered for `traffic.cors`."""
    ERROR = "error"
    """An internal error; the log has the traceback."""
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    INVALID_RESPONSE = "invalid_response"
    BAD_REQUEST = "bad_request"
    FRAMING_TOO_LARGE = "framing_too_large"
    """What the client sent besides its body is larger than a head may be."""
    BODY_LATE = "body_late"
    """The client sent nothing of its body for too long, or sent it too slowly, while a slot was held for it."""
    BODY_TOO_LARGE = "body_too_large"

    __hash__ = object.__hash__


class WarmUpOutcome(Enum):
    """How the warm-up of a pod went; it gets requests after each."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The answer was an error, or the connection broke off."""
    TIMEOUT = "timeout"


class Exemplar(NamedTuple):
    """One value of a bucket, with the trace of the request that it is of."""

    trace_id: str
    value: float
    unix_s: float

    def __str__(self) -> str:
        return f'# {{trace_id="{self.trace_id}"}} {self.value} {self.unix_s}'


class Histogram:
    """Counts by upper bound, and their sum."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """The newest of each bucket."""

    def observe(self, value: float, trace_id: str = "", unix_s: float = 0.0) -> None:
        """Count a value, of a request with this trace, at that Unix time."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if trace_id:
            self.exemplars[bucket] = Exemplar(trace_id, value, unix_s)

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, how many values are not above it); the last bound is +Inf."""
        so_far = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        return buckets


class Counts:
    """All counts of one service since the gateway's start."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(RequestOutcome, 0)
        self.wait_s = Histogram(WAIT_BUCKETS_S)
        self.service_s = Histogram(SERVICE_BUCKETS_S)
        self.response_s = Histogram(RESPONSE_BUCKETS_S)
        """From arrival to the pod's last byte: the sums of both, of the same requests."""
        self.responses = [0] * len(CLASSES)
        """Responses that clients got, by class of status; one that was cut is among them."""
        self.cut_responses = 0
        """Responses that began and broke off while their clients were still there."""
        self.arrived = 0
        """Counted requests; `outcomes` has their ends, and those of Pass requests."""
        self.retries = 0
        self.abandoned_late = 0
        """Requests that reached a pod although their client had disconnected while they waited."""
        self.failed_busy_polls = 0
        self.warm_ups = dict.fromkeys(WarmUpOutcome, 0)
        """Warm-ups of pods that have ended."""
        self.tunnels = 0
        """Upgraded connections that are open."""

    def responded(self, status: int) -> None:
        """Count a response by its status, from 100 to 599."""
        self.responses[status // 100 - 1] += 1

    def took(
        self, arrived_s: float, granted_s: float, ended_s: float | None, *, trace_id: str = "", unix_s: float = 0.0
    ) -> None:
        """Count the times of a counted request; `ended_s` is None if its connection was upgraded, and goes on."""
        self.wait_s.observe(granted_s - arrived_s, trace_id, unix_s)
        if ended_s is not None:
            self.service_s.observe(ended_s - granted_s, trace_id, unix_s)
            self.response_s.observe(ended_s - arrived_s, trace_id, unix_s)
