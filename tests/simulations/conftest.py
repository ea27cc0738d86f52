"""Short ways to make the inputs and sources of a run."""

from math import inf

import pytest

from algorithms.bounds import fixed_bounds
from algorithms.decider import Decider
from algorithms.distributions import Constant
from algorithms.state import Stateless
from algorithms.types import Recommendation
from autoscaler.controller.step import Service
from autoscaler.gateway.dispatch.dispatcher import Limits
from simulations.engines.reference import ReferenceEngine
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Arrival, Pool, RunInputs

UNLIMITED = Limits(concurrency=1, queue_length=10**9, queue_timeout_s=inf)


class Given:
    """Requests that are given as they are."""

    def __init__(self, *arrivals):
        self._arrivals = [arrival if isinstance(arrival, Arrival) else Arrival(*arrival) for arrival in arrivals]

    def arrivals(self):
        return iter(self._arrivals)

    def after(self, _ended, _status, _now_s):
        return None


class Scripted(Stateless):
    """Wishes for what is written for a time: `[(from_s, replicas), ...]`."""

    def __init__(self, script):
        self._script = script

    def recommend(self, observation):
        return Recommendation(
            [replicas for from_s, replicas in self._script if from_s <= observation.now_s][-1], "as written"
        )


def scripted(*script):
    return Service(Decider(Scripted(script), bounds=fixed_bounds(0, 1000)))


def inputs_with(**changes):
    known = {"service": "default/x", "limits": UNLIMITED, "pools": (Pool("gpu", (Constant(20.0),)),)}
    return RunInputs(**(known | changes))


@pytest.fixture
def simulate():
    """Run requests through the reference engine, by a script of replicas."""

    def run(*arrivals, script=((0.0, 0),), seed=1, placement=None, **changes):
        service = scripted(*script)._replace(placement=placement)
        return ReferenceEngine(inputs_with(**changes), Given(*arrivals), service, RandomStreams(seed)).run()

    return run
