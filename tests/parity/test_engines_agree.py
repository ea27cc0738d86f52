"""The compiled engine against the reference engine, on scenarios that nobody would think of."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.bounds import fixed_bounds
from algorithms.decider import Decider
from algorithms.distributions import Constant, Exponential, Uniform
from algorithms.state import Stateless
from algorithms.types import Recommendation
from autoscaler.controller.step import Service
from autoscaler.gateway.dispatch.dispatcher import Limits, LoadBalancing
from autoscaler.policy.decider_factory import decider
from autoscaler.testing import policy
from simulations.engines import compiled as compiled_engine
from simulations.engines import fifo
from simulations.engines.reference import ReferenceEngine
from simulations.engines.zero_delay import zero_delay_service
from simulations.model import invariants
from simulations.model.history import QUEUE_TIMEOUT, REFUSED
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import NotExactError, Pool, RunInputs
from simulations.scenario.request_sources import source_of
from simulations.scenario.workloads import Workload

pytestmark = pytest.mark.slow

TIMES = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 3.5])
"""A few values, so that things happen at the same instant."""
DISTRIBUTIONS = st.one_of(
    TIMES.map(Constant), st.just(Exponential(1.5)), st.just(Uniform(0.1, 3.0)), st.just(Exponential(20.0))
)
POSITIVE = st.sampled_from([Constant(0.5), Constant(1.0), Exponential(0.8), Uniform(0.0, 1.0)])


def texts(distribution):
    return str(distribution)


@st.composite
def workloads(draw):
    common = {
        "serviceTime": texts(draw(DISTRIBUTIONS)),
        "start": draw(st.sampled_from(["0s", "1s", "2s"])),
        "patience": draw(st.none() | DISTRIBUTIONS.map(texts)),
        "timeout": draw(st.sampled_from([None, "1s", "4s", "1h"])),
    }
    if draw(st.booleans()):
        clients = draw(st.integers(1, 7))
        loop = {
            "requests": clients * draw(st.integers(1, 8)),
            "clients": clients,
            "thinkTime": texts(draw(DISTRIBUTIONS)),
        }
        return [Workload.model_validate(common | {"closedLoop": loop})]
    count = draw(st.integers(1, 60))
    kinds = [{"renewal": {"interarrival": texts(draw(POSITIVE))}, "requests": count}]
    if draw(st.booleans()):
        times = sorted(draw(st.lists(TIMES.map(lambda t: 4 * t), min_size=1, max_size=12)))
        kinds.append({"trace": {"arrivals": times}})
    return [Workload.model_validate(common | kind) for kind in kinds]


CHANGES = st.fixed_dictionaries(
    {
        "limits": st.builds(
            Limits,
            concurrency=st.integers(0, 3),
            queue_length=st.sampled_from([0, 1, 5, 100]),
            queue_timeout_s=st.sampled_from([1.0, 4.0, 600.0, inf]),
            spill_after_s=st.just(inf),
            load_balancing=st.none() | st.sampled_from(LoadBalancing),
            none_ready=st.none(),  # With limits by state only the reference engine runs.
            all_busy=st.none(),
        ),
        "pools": st.lists(
            st.builds(
                Pool,
                name=st.just("gpu"),
                cold_start=st.lists(DISTRIBUTIONS, min_size=1, max_size=2).map(tuple),
                speed=st.sampled_from([0.5, 1.0, 2.0]),
                price_per_hour=st.just(0.0),
                stock=st.sampled_from([1, 2, inf, inf]),
                lifetime=st.none(),
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
        "initial": st.integers(0, 3),
        "tick_s": st.sampled_from([0.5, 1.0, 2.0]),
        "coalesce_s": st.sampled_from([0.0, 0.02, 0.25, 1.0, inf]),
        "wakes": st.booleans(),
        "scrape_s": st.sampled_from([inf, inf, 0.5, 1.0]),
        "metric_lag": st.sampled_from([Constant(0.0), Constant(0.5), Constant(1.5), Uniform(0.0, 3.0)]),
        "until_s": st.sampled_from([inf, 5.0, 20.0]),
    }
)


class Erratic(Stateless):
    """A policy that changes its mind at every look, by its own seed."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def recommend(self, _observation):
        return Recommendation(int(self._rng.integers(0, 5)), "as it likes")


POLICY = policy(
    "x",
    maxReplicas=4,
    algorithm={"concurrency": {"stableWindow": "6s"}},
    scaleDown={"toZeroDelay": "3s"},
)


def erratic(seed):
    return Service(Decider(Erratic(seed), bounds=fixed_bounds(0, 5)))


def real(_seed):
    return Service(decider(POLICY))


def histories(work, inputs, service):
    """Run both engines on the same luck; None where the compiled one says that it cannot."""
    ours, reference = RandomStreams(7), RandomStreams(7)
    try:
        compiled = compiled_engine.run(inputs, source_of(work, ours).batch(inputs.until_s), service(), ours)
    except NotExactError:
        return None
    return compiled, ReferenceEngine(inputs, source_of(work, reference), service(), reference).run()


def assert_equal(compiled, reference):
    for table in ("requests", "replicas"):
        ours, theirs = getattr(compiled, table), getattr(reference, table)
        for name in theirs.__slots__:
            np.testing.assert_allclose(
                getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-9, err_msg=f"{table}.{name}"
            )
    assert compiled.end_s == reference.end_s
    assert compiled.inflight_s == pytest.approx(reference.inflight_s, rel=1e-9, abs=1e-9)


def assert_same_decisions(compiled, reference):
    assert compiled.changes == reference.changes
    assert len(compiled.decisions) == len(reference.decisions)
    for ours, theirs in zip(compiled.decisions, reference.decisions, strict=True):
        assert ours._replace(observation=None) == theirs._replace(observation=None)
        assert ours.observation._replace(inflight=None) == theirs.observation._replace(inflight=None)
        if theirs.observation.inflight is not None:
            assert ours.observation.inflight == pytest.approx(theirs.observation.inflight, rel=1e-9, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(work=workloads(), changes=CHANGES, seed=st.integers(0, 3), service=st.sampled_from([erratic, real]))
def test_both_engines_give_the_same_history_of_any_scenario(work, changes, seed, service):
    both = histories(work, RunInputs(service="default/x", **changes), lambda: service(seed))
    if both:
        assert_equal(*both)
        assert_same_decisions(*both)
        for history in both:
            invariants.check(history, concurrency=changes["limits"].concurrency)


@settings(max_examples=60, deadline=None)
@given(work=workloads(), changes=CHANGES, max_replicas=st.integers(1, 6))
def test_both_follow_the_zero_delay_policy_in_the_same_way(work, changes, max_replicas):
    now = {
        "immediate": True,
        "tick_s": inf,
        "scrape_s": inf,
        "max_replicas": max_replicas,
        "min_replicas": 0,
        "until_s": 50.0,
    }
    pools = tuple(Pool("gpu", pool.cold_start, pool.speed) for pool in changes["pools"])
    inputs = RunInputs(service="default/x", **(changes | now | {"pools": pools}))
    assert_equal(*histories(work, inputs, lambda: zero_delay_service(0, max_replicas)))


@st.composite
def patient_workloads(draw):
    """Requests of up to three kinds, that come whatever happens and wait."""
    kinds = []
    for _ in range(draw(st.integers(1, 3))):
        common = {"serviceTime": texts(draw(DISTRIBUTIONS)), "start": draw(st.sampled_from(["0s", "1s", "2s"]))}
        times = sorted(draw(st.lists(TIMES.map(lambda t: 4 * t), min_size=1, max_size=12)))
        renewal = {"renewal": {"interarrival": texts(draw(POSITIVE))}, "requests": draw(st.integers(1, 60))}
        kinds.append(common | draw(st.sampled_from([renewal, {"trace": {"arrivals": times}}])))
    return [Workload.model_validate(kind) for kind in kinds]


def in_bits(chunks, size):
    """Cut chunks into small ones, so that many a request waits from one to the next."""
    for arrival, service in chunks:
        yield from ((arrival[at : at + size], service[at : at + size]) for at in range(0, len(arrival), size))


@settings(max_examples=100, deadline=None)
@given(
    work=patient_workloads(),
    changes=CHANGES,
    seed=st.integers(0, 3),
    service=st.sampled_from([erratic, real]),
    size=st.sampled_from([1, 3, 4096]),
)
def test_the_engine_without_events_gives_the_same_history(work, changes, seed, service, size):
    pool = Pool("gpu", changes["pools"][0].cold_start, changes["pools"][0].speed)
    limits = changes["limits"]._replace(concurrency=1)
    lag = Constant(changes["metric_lag"].expected())
    now = {"limits": limits, "pools": (pool,), "coalesce_s": inf, "metric_lag": lag}
    inputs = RunInputs(service="default/x", **(changes | now))
    ours, reference = RandomStreams(7), RandomStreams(7)
    oracle = ReferenceEngine(inputs, source_of(work, reference), service(seed), reference).run()
    try:
        bits, records = in_bits(source_of(work, ours).chunks(), size), []
        found = replace(fifo.run(inputs, bits, service(seed), ours, records.append), decisions=tuple(records))
    except NotExactError:
        assert {QUEUE_TIMEOUT, REFUSED} & set(oracle.requests.status.tolist())
        return
    assert_equal(found, oracle)
    assert_same_decisions(found, oracle)
    invariants.check(found, concurrency=1)
