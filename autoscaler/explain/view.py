"""What is known of one service at one time: the input of everything else in this package.

None is unknown, or not there; each field says which. Nothing here is zero because it is missing.
"""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Literal, NamedTuple

from autoscaler.accounts import Account, Starts
from autoscaler.explain.episodes import Episodes
from autoscaler.explain.forecast import Forecast
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Fleet, Record, ServiceName

Role = Literal["controller", "gateway", "log"]
"""Who answers: a controller, a gateway that knows no controller, or a decision log."""


class PodFigures(NamedTuple):
    """One pod as the gateways see it."""

    running: int
    """Requests that it serves now."""
    answers: int | None = None
    """Responses since its gateways started."""
    since_s: float | None = None
    """Since when it is idle or busy as now, in Unix time."""


class ServiceFigures(NamedTuple):
    """What the gateways measured of one service; times in seconds, shares from 0 to 1."""

    queued: int | None = None
    """Requests that wait now."""
    running: int | None = None
    """Requests that pods serve now."""
    oldest_wait_s: float | None = None
    """How long the oldest of them has waited; None if none waits, or if `queued` is unknown."""
    answers_per_s: float | None = None
    success: float | None = None
    """The share of 1xx, 2xx and 3xx; None without an answer."""
    errors_4xx_per_s: float | None = None
    errors_5xx_per_s: float | None = None
    p50_s: float | None = None
    """Response times, from arrival to the last byte."""
    p90_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    service_s: float | None = None
    """The mean time that a pod takes for a request."""
    pods: Mapping[str, PodFigures] = {}
    quotes_kept: int | None = None
    """Quoted waits that were kept, of `quotes`."""
    quotes: int | None = None
    problem: str = ""
    """Why the figures are only a part, such as a gateway that is silent."""


class ServiceView(NamedTuple):
    """All that is known of one service at one time."""

    service: ServiceName
    now_s: float
    policy: ScalingPolicy | None = None
    record: Record | None = None
    """Its newest decision."""
    fleet: Fleet | None = None
    episodes: Episodes = Episodes()
    forecast: Forecast | None = None
    figures: ServiceFigures | None = None
    starts: Starts = Starts()
    """Its measured cold starts."""
    account: Account | None = None
    leader: str | None = None
    """The identity of the controller that leads; None if this one does, or if there is no election."""
    leads_since_s: float | None = None
    """Since when it leads."""
    role: Role = "controller"
    zone: tzinfo | None = UTC
    """The zone of the times in sentences; None is that of this process."""

    @property
    def queued(self) -> float | None:
        """Requests that wait now; what the gateways measured is newer than the decision."""
        if self.figures is not None and self.figures.queued is not None:
            return self.figures.queued
        return None if self.record is None else self.record.observation.queued

    @property
    def running(self) -> float | None:
        """Requests that pods serve now."""
        if self.figures is not None and self.figures.running is not None:
            return self.figures.running
        return None if self.record is None else self.record.observation.running
