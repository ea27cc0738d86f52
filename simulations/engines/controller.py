"""The controller of every engine: the live controller's step, called at a time of the simulation."""

from algorithms.observation import Observation
from autoscaler.controller.budgets import Budgets
from autoscaler.controller.new_starts import NewStarts
from autoscaler.controller.observe import NO_STREAM, StreamedCounts, observe
from autoscaler.controller.step import Service, step
from autoscaler.ports import Fleet, Outcome, Reading, Record, Recorder, ScaleRequest
from simulations.model.run_inputs import RunInputs


class Controller:
    """Observes one service, decides, and records the decision.

    Args:
        inputs: has the service's name, and the date at which the run begins.
        service: the service.
        recorder: gets each decision.

    Attributes:
        observed_s: the time of the last observation, in seconds since the run began.
    """

    def __init__(self, inputs: RunInputs, service: Service, recorder: Recorder, budgets: Budgets | None = None) -> None:
        self.observed_s = 0.0
        self._name, self._services, self._recorder = inputs.service, {inputs.service: service}, recorder
        self._start_s = inputs.start_s
        self._budgets = budgets
        self._new_starts = NewStarts()

    def decide(
        self, now_s: float, fleet: Fleet, metered: Reading | None, live: StreamedCounts = NO_STREAM
    ) -> ScaleRequest | None:
        """Give what the target is asked to do; None if the replicas stay as they are.

        Raises:
            Exception: the algorithm failed; the live controller keeps the replicas instead, but a figure must not hide
                a defect.
        """
        starts = self._new_starts(fleet)
        observation = observe(now_s, self.observed_s, fleet, metered=metered, live=live, gateways=1, starts=starts)
        self.observed_s = now_s
        (taken,) = step(self._services, {self._name: (dated(observation, self._start_s), fleet)}, self._budgets)
        if taken.failure is not None:
            raise taken.failure
        outcome = Outcome(self._name) if taken.request else None
        self._recorder(Record(self._name, observation, taken.decision, outcome, taken.unwritten, taken.candidates))
        return taken.request


def dated(observation: Observation, start_s: float) -> Observation:
    """Give an observation of a run with the date that it has if the run begins at `start_s`."""
    if not start_s:
        return observation
    return observation._replace(now_s=start_s + observation.now_s, since_s=start_s + observation.since_s)
