"""The seams of the live driver: what it asks of a clock, of a source of counts and of something that scales.

No library's exception crosses a port. A peer that fails is an answer (`Reading.problem`, `Outcome.error`), because each
service must be decided on whatever happened to another.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from algorithms.types import Decision, Observation
from autoscaler.removal_order import replicas_to_remove

ServiceName = str
"""`namespace/name` of a policy: the key under which everything about one service is found."""


class Query(NamedTuple):
    """How Prometheus is asked for one service's requests in flight; equal server and text are one query."""

    server: str
    """Base address, such as `http://prometheus.monitoring.svc:9090`."""
    expression: str
    """PromQL that gives one value for each pair of the labels `namespace` and `service`."""
    series: str
    """The raw series behind the expression, a selector: its time stamps and number say how far to trust the value."""
    max_age_s: float
    """A value whose oldest sample is older than this is unknown."""


class Reading(NamedTuple):
    """What one source says of one service: requests in flight, or why it cannot say.

    `value` None is unknown; `problem` then says why. A value beside a problem is a part of the whole: it may raise,
    never lower.
    """

    value: float | None
    sampled_s: float
    """No sample behind the value was taken before this, by the controller's clock."""
    series: int = 0
    """How many gateways were added up: fewer than are known to live is a part."""
    problem: str = ""


class Moment(NamedTuple):
    """What a source would have said at a time that is past."""

    at_s: float
    """By the controller's clock."""
    reading: Reading


class Past(NamedTuple):
    """What a source knows of the time before now, of one service."""

    moments: tuple[Moment, ...]
    """In order of time and evenly apart; the last one is now."""
    problem: str = ""
    """Why there is none."""


class Rescale(NamedTuple):
    """The last time that the number asked for was changed."""

    at_s: float
    """In Unix time."""
    before: int | None
    """What was asked for until then; None is not known."""


class Replica(NamedTuple):
    """One replica as its target sees it."""

    name: str
    ready: bool
    running: int
    """Counted requests it is serving."""
    age_s: float


class Override(NamedTuple):
    """Something that stands above the algorithm for a while, and is a reason of the decision while it does."""

    rule: str
    """The name under which it stands in a decision's reasons."""
    until_s: float
    """When it ends."""
    why: str
    replicas: int | None = None
    """The number to have; None holds whatever there is."""
    may_rise: bool = False
    """It keeps the number from falling only."""
    yields_to_load: bool = False
    """A decision may raise the number all the same, up to as many as there are requests in flight."""


class Fleet(NamedTuple):
    """What a target runs for one service."""

    asked: int
    """Replicas asked for (`spec.replicas`)."""
    replicas: tuple[Replica, ...]
    """Those that run or start; the ones on their way out are no longer among them."""
    hold: Override | None = None
    """Why the target must not be scaled now, whatever is decided; it would refuse."""

    @property
    def ready(self) -> int:
        """How many of its replicas can serve now."""
        return sum(replica.ready for replica in self.replicas)

    def to_remove(self, staying: int) -> tuple[str, ...]:
        """Name the replicas to remove so that `staying` are left, first to be removed first."""
        return replicas_to_remove(self.replicas, staying)


class ScaleRequest(NamedTuple):
    """A change of one service's replicas."""

    service: ServiceName
    replicas: int
    remove: tuple[str, ...]
    """Names of the replicas to remove, first to be removed first; empty when the number grows."""


class Outcome(NamedTuple):
    """What became of an order; `error` is empty when it was carried out."""

    service: ServiceName
    error: str = ""


class Record(NamedTuple):
    """One service's decision with what led to it and what came of it: what every recorder is given."""

    service: ServiceName
    observation: Observation
    decision: Decision
    outcome: Outcome | None
    """None when nothing had to be written."""


Recorder = Callable[[Record], None]


class Wake(Protocol):
    """Something that can be waited for: asyncio's Event, by its shape, so that nothing here imports asyncio."""

    async def wait(self) -> Literal[True]:
        """Wait until it is set."""
        ...


class Clock(Protocol):
    """Time that never steps: Unix time at start plus monotonic time since, in seconds."""

    def now(self) -> float:
        """Give the time."""
        ...

    async def sleep_until(self, when_s: float, wake: Wake) -> bool:
        """Sleep until `when_s`, or until `wake` is set; True if it was woken."""
        ...


class MetricsSource(Protocol):
    """Reads requests in flight, many services at once."""

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Read all services; every one asked for is in the answer. Raises nothing but asyncio.CancelledError.

        A mapping that was given once is never changed: most ticks give the same one again.
        """
        ...


class PastSource(Protocol):
    """Reads what requests in flight were, many services at once."""

    async def past(
        self, queries: Mapping[ServiceName, Query], now_s: float, *, span_s: float, step_s: float
    ) -> Mapping[ServiceName, Past]:
        """Give the last `span_s`, a moment every `step_s`; every service asked for is in the answer. Raises nothing."""
        ...


class ScaleTarget(Protocol):
    """Observes and changes the replicas of services.

    When the number falls, a target stops routing to the leaving replicas first, and lets the requests they serve end.
    """

    async def observe(self, services: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Give what runs for each service; one that cannot be observed now is left out. Raises nothing."""
        ...

    async def scale(self, orders: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Carry out all orders and say for each, in the same order, what came of it. Raises nothing."""
        ...
