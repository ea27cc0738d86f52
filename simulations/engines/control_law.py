"""Control laws of the engine without events, asked at each tick: any plain function, or the live controller."""

from collections.abc import Sequence
from math import inf
from typing import Protocol

from autoscaler.controller.step import Service
from autoscaler.ports import Reading, Recorder
from simulations.engines import lazy_fleet
from simulations.engines.controller import Controller
from simulations.engines.telemetry import NO_SAMPLE
from simulations.model.run_inputs import RunInputs

REPLICA_PREFIX = "replica-"


class ControlLaw(Protocol):
    """How many replicas there should be, given what Prometheus shows: a control law at its plainest."""

    def __call__(self, now_s: float, inflight: float | None, asked: int, ready: int, /) -> int:
        """Say it; `inflight` is None before the first sample has arrived."""
        ...


class ScalableFleet(lazy_fleet.ReplicaSource, Protocol):
    """Whose replicas follow a law."""

    asked: int
    """Replicas asked for now."""

    def scale(self, now_s: float, replicas: int, leaving: Sequence[int] | None = None) -> None:
        """Ask for a number of replicas, and have those go that are named by their numbers."""
        ...


class ControllerLaw:
    """The live controller as a law: looks, asks `step`, has the very replicas leave that it names, and records.

    Attributes:
        engine: whose replicas they are.
    """

    def __init__(self, inputs: RunInputs, service: Service, recorder: Recorder) -> None:
        self.engine: ScalableFleet
        self._controller = Controller(inputs.service, service, recorder)
        self._scraped = inputs.scrape_s < inf

    def __call__(self, now_s: float, inflight: float | None, asked: int, ready: int, /) -> int:
        """Decide, and scale the engine's replicas by that decision."""
        fleet = lazy_fleet.LazyFleet.of(asked, ready, self.engine, now_s)
        request = self._controller.decide(now_s, fleet, self._metered(now_s, inflight))
        if request is not None:
            self.engine.scale(now_s, request.replicas, [int(name[len(REPLICA_PREFIX) :]) for name in request.remove])
        return self.engine.asked

    def _metered(self, now_s: float, inflight: float | None) -> Reading | None:
        if inflight is not None:
            return Reading(inflight, now_s, 1)
        return Reading(None, now_s, problem=NO_SAMPLE) if self._scraped else None
