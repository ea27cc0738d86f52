"""What a service has used: its measured cold starts, and its account of the day. Values only."""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

SCHEDULED, IMAGE, CONTAINER, MODEL = "scheduled", "image", "container", "model"
STAGES = (SCHEDULED, IMAGE, CONTAINER, MODEL)
"""The stages of a cold start, in order."""
STARTING, BUSY, IDLE, DRAINING = "starting", "busy", "idle", "draining"
STATES = (STARTING, BUSY, IDLE, DRAINING)
"""The states of a replica that holds GPUs."""


class StartTimes(NamedTuple):
    """How a replica has started so far."""

    stages: tuple[tuple[str, float], ...] = ()
    """The stages that are over and whose length is known, in order, with their seconds."""
    total_s: float | None = None
    """From its creation until it was ready; None until then."""


NOT_YET = StartTimes()
"""Those of a replica of which nothing is known."""


class Start(NamedTuple):
    """One measured cold start."""

    pod: str
    at_s: float
    """When the pod was ready, in Unix time."""
    stages: tuple[tuple[str, float], ...]
    """As those of `StartTimes`; a stage of unknown length is left out."""
    total_s: float


class Starts(NamedTuple):
    """The newest measured cold starts of one service."""

    newest: tuple[Start, ...] = ()
    """In order of time, the newest last."""

    def quantile_s(self, share: float) -> float | None:
        """Give the time within which this share of them was ready; None without any."""
        lengths = sorted(start.total_s for start in self.newest)
        return lengths[max(ceil(share * len(lengths)), 1) - 1] if lengths else None

    @property
    def median_s(self) -> float | None:
        """The time within which half of them were ready."""
        return self.quantile_s(0.5)

    @property
    def p90_s(self) -> float | None:
        """The time within which nine of ten were ready."""
        return self.quantile_s(0.9)


class Account(NamedTuple):
    """What one service has used since the local day began, as far as it was observed."""

    since_s: float
    """When the account begins, in Unix time: at midnight, or when this controller observed the service first."""
    until_s: float
    """When it was observed last."""
    gpu_seconds: Mapping[str, float]
    """By state; each of `STATES` is there."""
    unknown_s: float = 0.0
    """How much of the time between was not observed; no GPU time and no cost is counted for it."""
    currency: str | None = None
    """None if the policy has no `cost`; the costs are then None too."""
    cost: float | None = None
    """What its replicas have cost."""
    peak_cost: float | None = None
    """What the day's peak, kept through the time that was observed, would have cost."""
    peak_replicas: int = 0
    """The day's peak: the most replicas that held GPUs at the same time, without those that drain."""
    gpus_assumed: bool = False
    """Whether a replica's GPUs were not known, and counted as one."""
