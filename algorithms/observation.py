"""What an algorithm can see of a service: one `Observation` for each decision.

`autoscaler.controller.observe` fills it, in the cluster and in the simulator. The decision log keeps it: a new field
has a default, so that older logs can still be replayed.
"""

from typing import NamedTuple


class PoolState(NamedTuple):
    """What was seen of one pool of GPUs."""

    name: str
    asked: int
    """Replicas asked for in this pool."""
    ready: int = 0
    """Replicas that can serve now."""
    busy: int = 0
    """Ready replicas that serve requests now."""
    unplaced: int = 0
    """Replicas asked for that have no place: no node has room, or Kubernetes does not create them."""
    refused: bool = False
    """Whether Kubernetes refuses to create them, such as for a quota: there is nothing to wait for."""
    why: str = ""
    """Why they have no place."""


class ColdStart(NamedTuple):
    """One start of a replica that is over."""

    seconds: float
    """From its creation until it was ready."""
    pool: str = ""
    """The pool of GPUs in which it runs; empty without pools."""


class Observation(NamedTuple):
    """What was seen of one service for one decision.

    Time is in seconds on a clock that never steps; the observations of one service are in its order. An unknown count
    is None, and never zero.
    """

    now_s: float
    since_s: float
    """The time of the observation before it: this one covers `(since_s, now_s]`."""
    inflight: float | None
    """Mean number of requests queued or running over the time covered."""
    replicas: int
    """Replicas asked for (`spec.replicas`); fewer or more may run."""
    ready: int
    """Replicas that can serve now."""
    latest: float = 0.0
    """The newest count, which may be far above the mean at the start of a burst; 0 if there is none."""
    passing: int = 0
    """Pass requests since the last observation, held ones included, that need a replica."""
    problem: str = ""
    """Why the count is unknown or partial; a partial count may raise the number, and never lowers it."""
    pools: tuple[PoolState, ...] = ()
    """The pools of GPUs of a service that has some, in order of preference."""
    queued: float | None = None
    """Requests that wait, by the newest counts; None is unknown."""
    running: float | None = None
    """Requests that replicas serve, by the newest counts; None is unknown."""
    starting: int | None = None
    """Replicas that exist and are not ready; None is unknown."""
    unplaced: int = 0
    """Replicas asked for that have no place, in all pools."""
    arrived: int | None = None
    """Requests that arrived in the time covered; None is unknown."""
    finished: int | None = None
    """Requests that replicas finished in the time covered; None is unknown."""
    served_s: float | None = None
    """How long the replicas took for those that finished, summed, in seconds; None is unknown."""
    starts: tuple[ColdStart, ...] = ()
    """The starts that were first seen to be over, as far as they were measured."""
    hinted: float = 0.0
    """Requests that are announced and have not arrived; only of services whose policy takes hints."""
    hinted_s: float = 0.0
    """Within how many seconds they are all to come."""
