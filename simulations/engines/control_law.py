"""Control laws of the `fifo` engine, called at each tick: a plain function, or the live controller."""

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
    """A control law: gives the desired replicas for what Prometheus shows."""

    def __call__(self, now_s: float, inflight: float | None, asked: int, ready: int, /) -> int:
        """Give the desired replicas.

        Args:
            now_s: seconds since the run began.
            inflight: requests in flight by the newest sample; None before the first.
            asked: replicas asked for now.
            ready: replicas that are ready.
        """
        ...


class ScalableFleet(lazy_fleet.ReplicaSource, Protocol):
    """An engine whose replicas a control law scales."""

    asked: int
    """Replicas asked for now."""

    def scale(self, now_s: float, replicas: int, leaving: Sequence[int] | None = None) -> None:
        """Ask for a number of replicas; `leaving` has the numbers of those to remove."""
        ...


class ControllerLaw:
    """The live controller as a control law, which also chooses the replicas to remove and records decisions.

    Attributes:
        engine: the engine that has the replicas; set it before the first call.
    """

    def __init__(self, inputs: RunInputs, service: Service, recorder: Recorder) -> None:
        self.engine: ScalableFleet
        self._controller = Controller(inputs, service, recorder)
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
