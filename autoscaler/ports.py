"""The ports of the controller: a clock, sources of counts, targets to scale, and the values that cross them.

No exception of a library crosses a port. The failure of a peer is a value (`Reading.problem`, `Outcome.error`), because
every service must be decided on, also if another one fails.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from algorithms.observation import Observation, PoolState
from algorithms.types import Decision, Reason
from autoscaler.accounts import StartTimes
from autoscaler.removal_order import replicas_to_remove

ServiceName = str
"""`namespace/name` of a policy: the key of everything that belongs to one service."""


class Query(NamedTuple):
    """How to ask Prometheus for one service's requests in flight; equal server and text are one query."""

    server: str
    """Base address, such as `http://prometheus.monitoring.svc:9090`."""
    expression: str
    """PromQL with one value for each pair of the labels `namespace` and `service`."""
    series: str
    """Selector of the raw series behind the expression; their time stamps and number say how far to trust the value."""
    max_age_s: float
    """If the oldest sample of a value is older, the value is unknown."""


class PodQuery(NamedTuple):
    """How to ask Prometheus for what the pods of one service run."""

    server: str
    """Base address, as that of a `Query`."""
    expression: str
    """PromQL with one value for each label `pod`."""


class PodCounts(NamedTuple):
    """The requests that pods run; the count of a pod that is missing is unknown."""

    running: Mapping[str, int]
    problem: str = ""
    """Why no count is known."""


class Reading(NamedTuple):
    """The requests in flight of one service, from one source.

    A `value` of None is unknown, and `problem` says why. A value with a problem is a part of the whole: it may raise
    the number of replicas, and never lowers it.
    """

    value: float | None
    sampled_s: float
    """When the oldest sample of the value was taken, by the controller's clock."""
    series: int = 0
    """How many gateways were added up; if more are known, the value is a part of the whole."""
    problem: str = ""


class TimedReading(NamedTuple):
    """What a source would have said at a time before now."""

    at_s: float
    """By the controller's clock."""
    reading: Reading


class ReadingHistory(NamedTuple):
    """The readings of one service before now."""

    readings: tuple[TimedReading, ...]
    """In order of time, evenly spaced; the last one is now."""
    problem: str = ""
    """Why there are none."""


class Rescale(NamedTuple):
    """The last change of the replicas asked for."""

    at_s: float
    """In Unix time."""
    before: int | None
    """Replicas asked for until then; None is unknown."""


class Replica(NamedTuple):
    """One replica as its target sees it."""

    name: str
    ready: bool
    running: int
    """Counted requests that it serves."""
    age_s: float
    pool: str = ""
    """The pool of GPUs in which it runs; empty for a service without pools."""
    unchanged_s: float | None = None
    """For how long it has been idle, or busy, as now; None is unknown."""
    start: StartTimes = StartTimes()
    """How it has started so far."""
    placed: bool = True
    """Whether it has a place: a pod that waits for a node holds no GPU."""
    gpus: int | None = None
    """The GPUs that it holds; None if its target does not say that."""


class Override(NamedTuple):
    """Takes precedence over the algorithm for a time, and is then a reason of each decision."""

    rule: str
    """Its name in the reasons of a decision."""
    until_s: float
    """When it ends."""
    why: str
    replicas: int | None = None
    """The number to set; None holds the present number."""
    may_rise: bool = False
    """The number may rise, and does not fall."""
    yields_to_load: bool = False
    """A decision may still raise the number, up to the requests in flight."""


class Fleet(NamedTuple):
    """What a target runs for one service."""

    asked: int
    """Replicas asked for (`spec.replicas`)."""
    replicas: tuple[Replica, ...]
    """Those that run or start, without those that are being removed."""
    override: Override | None = None
    """Why the target would refuse to be scaled now."""
    leaving: int = 0
    """Replicas that are being removed and still occupy what they run on."""
    pools: tuple[PoolState, ...] = ()
    """The pools of a service that has some, in order of preference; `asked` is their sum."""
    unplaced: int = 0
    """Replicas asked for that have no place, in all pools."""
    leaving_from: Mapping[str, int] = {}
    """How many of `leaving` each pool has, without those that have none; empty for a service without pools."""

    @property
    def ready(self) -> int:
        """How many of its replicas can serve now."""
        return sum(replica.ready for replica in self.replicas)

    def to_remove(self, staying: int) -> tuple[str, ...]:
        """Name the replicas to remove so that `staying` are left, first to be removed first."""
        return replicas_to_remove(self.replicas, staying)

    def to_remove_from(self, pools: Mapping[str, int]) -> tuple[str, ...]:
        """Name the replicas to remove so that in each pool its number is left; in a pool, first to be removed first."""
        by_pool = {name: [each for each in self.replicas if each.pool == name] for name in pools}
        return tuple(name for pool, number in pools.items() for name in replicas_to_remove(by_pool[pool], number))


class ScaleRequest(NamedTuple):
    """A change of one service's replicas."""

    service: ServiceName
    replicas: int
    remove: tuple[str, ...]
    """Names of the replicas to remove, first to be removed first; empty when the number grows."""
    pools: Mapping[str, int] = {}
    """Replicas asked for in each pool; their sum is `replicas`. Empty for a service without pools."""


class Outcome(NamedTuple):
    """The result of a request to scale; `error` is empty if it succeeded."""

    service: ServiceName
    error: str = ""
    drain: tuple[Reason, ...] = ()
    """How the drain went, if not as planned. The number after the last reason was written, if it is another one."""


Unwritten = Literal["", "unchanged", "dryRun", "standby"]
"""Why nothing was requested: the number is there already, the policy does not write, or another controller leads."""


class Record(NamedTuple):
    """One decision with its observation and its outcome, for the recorders."""

    service: ServiceName
    observation: Observation
    decision: Decision
    outcome: Outcome | None
    """None if nothing had to be written."""
    unwritten: Unwritten = ""
    """Why nothing was requested."""
    candidates: tuple[tuple[str, Decision], ...] = ()
    """What the policy's candidates decided on the same observation, by name."""

    @property
    def written(self) -> int | None:
        """The number that was written; None if none was."""
        if self.outcome is None or self.outcome.error:
            return None
        number = self.outcome.drain[-1].after if self.outcome.drain else self.decision.desired
        return None if number == self.observation.replicas else number


Recorder = Callable[[Record], None]


class Wake(Protocol):
    """What can be waited for: an `asyncio.Event`, without importing asyncio here."""

    async def wait(self) -> Literal[True]:
        """Wait until it is set."""
        ...


class Clock(Protocol):
    """Time that never steps: Unix time at start plus monotonic time since, in seconds."""

    def now(self) -> float:
        """Give the time."""
        ...

    async def sleep_until(self, when_s: float, wake: Wake) -> bool:
        """Sleep until `when_s`, or until `wake` is set; True if it was set."""
        ...


class MetricsSource(Protocol):
    """Reads requests in flight of many services at once."""

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Give a reading of each service in `queries`. Raises nothing but asyncio.CancelledError.

        A returned mapping is never changed, because most ticks return the same one again.
        """
        ...


class HistorySource(Protocol):
    """Reads earlier requests in flight of many services at once."""

    async def history(
        self, queries: Mapping[ServiceName, Query], now_s: float, *, span_s: float, step_s: float
    ) -> Mapping[ServiceName, ReadingHistory]:
        """Give the last `span_s` of each service in `queries`, one reading every `step_s`. Raises nothing."""
        ...


class ScaleTarget(Protocol):
    """Observes and changes the replicas of services.

    When the number falls, a target first stops routing to the replicas to remove, and lets their requests finish.
    """

    async def observe(self, services: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Give the fleet of each service, without those that cannot be observed now. Raises nothing."""
        ...

    async def scale(self, requests: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Carry out all requests, and give the outcome of each in the same order. Raises nothing."""
        ...
