"""Runs with too many requests to keep: the same figures, in memory that does not grow."""

import tracemalloc
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from algorithms.distributions import Constant, Exponential
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.testing import policy
from simulations import run, study
from simulations.engines import fifo
from simulations.model.invariants import BrokenInvariantError
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import NotExactError, Pool, RunInputs
from simulations.results.streaming_figures import StreamingFigures, TimeHistogram
from simulations.results.tables import requests_table
from simulations.scenario.document import Scenario

pytestmark = pytest.mark.slow

POLICY = policy(
    "x",
    maxReplicas=30,
    algorithm={"concurrency": {"stableWindow": "6s"}},
)
SCENARIO = {
    "apiVersion": "inflight.dev/v1alpha1",
    "kind": "Scenario",
    "metadata": {"name": "x"},
    "spec": {
        "workloads": [{"poisson": {"rate": 5}, "serviceTime": "exponential(1.5)"}],
        "fleet": {"pools": [{"name": "gpu", "coldStart": {"load": "uniform(5, 20)"}}]},
        "controller": {"stream": {"enabled": False}, "prometheus": {"scrapeInterval": "2s", "lag": "2s"}},
        "objective": {"latency": "10s"},
        "run": {"duration": "2000s", "warmUp": "100s"},
    },
}


def simulated():
    return study.simulate(Scenario.model_validate(SCENARIO), POLICY)


def test_the_figures_are_those_of_a_run_whose_requests_are_kept(monkeypatch):
    monkeypatch.setattr(run, "MIN_REQUESTS_TO_COMPILE", 0)
    kept = simulated()
    monkeypatch.setattr(run, "MAX_REQUESTS_TO_KEEP", 1000)
    streamed = simulated()
    assert (kept.history.engine, streamed.history.engine) == ("fifo", "fifo")
    assert len(kept.history.requests) > 9000
    assert not len(streamed.history.requests)
    ours, theirs = streamed.replications[0], kept.replications[0]
    assert ours.keys() == theirs.keys()
    for name in theirs:
        rel = 0.05 if "_p" in name else 1e-9  # kept percentiles lie between neighbours, which may be far apart
        assert ours[name] == pytest.approx(theirs[name], rel=rel, abs=1e-9), name


def test_there_is_no_table_of_requests_that_were_not_kept(monkeypatch):
    monkeypatch.setattr(run, "MIN_REQUESTS_TO_COMPILE", 0)
    monkeypatch.setattr(run, "MAX_REQUESTS_TO_KEEP", 1000)
    with pytest.raises(ValueError, match="too many requests to keep a record of each"):
        requests_table(simulated().history)


INPUTS = RunInputs(
    service="default/x",
    limits=Limits(concurrency=1, queue_length=10**9, queue_timeout_s=inf),
    pools=(Pool("gpu", (Constant(0.0),)),),
    initial=10,
    tick_s=inf,
    coalesce_s=inf,
)


def drawn(count):
    random_streams, last_s = RandomStreams(1), 0.0
    gaps, needs = (
        random_streams.chunks("arrivals", Exponential(0.125)),
        random_streams.chunks("service", Exponential(1.0)),
    )
    for _ in range(count // 4096):
        arrival = last_s + np.cumsum(next(gaps))
        last_s = arrival[-1]
        yield arrival, next(needs)


def peak_of(count):
    tracemalloc.start()
    kept = StreamingFigures(speed=1.0, until_s=inf)
    fifo.run_with_control_law(
        INPUTS, drawn(count), lambda _now, _inflight, asked, _ready: asked, RandomStreams(1), kept
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_ten_times_the_requests_need_no_more_memory():
    peak_of(4096)  # compiles
    column = 8 * 900_000  # what a single number for each of the further requests would take
    assert peak_of(1_000_000) - peak_of(100_000) < column / 20


def test_a_full_queue_is_found_although_requests_are_read_in_pieces():
    limits = Limits(concurrency=1, queue_length=2, queue_timeout_s=inf)
    inputs = replace(INPUTS, limits=limits, initial=1)
    pieces = [([0.0, 1.0, 2.0, 3.0, 10.9], [10.0, 0.5, 0.5, 5.0, 1.0]), ([40.0], [1.0])]
    chunks = ((np.array(arrival), np.array(service)) for arrival, service in pieces)
    with pytest.raises(NotExactError, match="the queue was full"):
        fifo.run_with_control_law(
            inputs, chunks, lambda _now, _inflight, asked, _ready: asked, RandomStreams(1), fifo.RequestColumns()
        )


def test_percentiles_are_exact_to_a_512th_of_their_value():
    values = np.random.default_rng(1).lognormal(0, 3, 100_000)
    histogram = TimeHistogram()
    for piece in np.split(values, 10):
        histogram.add(piece)
    histogram.add(np.zeros(20_000))
    found, everything = histogram.figures("x"), np.concatenate([values, np.zeros(20_000)])
    assert found["x_mean_s"] == pytest.approx(everything.mean(), rel=1e-12)
    for percent in (50, 90, 95, 99):
        assert found[f"x_p{percent}_s"] == pytest.approx(np.quantile(everything, percent / 100), rel=1 / 512)


def test_waits_of_zero_have_percentiles_of_zero():
    histogram = TimeHistogram()
    histogram.add(np.zeros(3))
    assert histogram.figures("x") == {"x_mean_s": 0.0, "x_p50_s": 0.0, "x_p90_s": 0.0, "x_p95_s": 0.0, "x_p99_s": 0.0}


@pytest.mark.parametrize(
    ("requests", "broken"),
    [
        ([[5.0, 6.0], [1.0, 1.0], [5.0, 4.0], [0, 0], [0, 0]], "before it arrived"),
        ([[5.0, 6.0], [1.0, 1.0], [9.0, 8.0], [0, 0], [0, 0]], "in the order"),
        ([[5.0, 6.0], [1.0, 1.0], [5.0, 6.0], [0, 0], [0, 7]], "before it was ready"),
    ],
)
def test_a_run_that_breaks_an_invariant_is_not_reported(requests, broken):
    with pytest.raises(BrokenInvariantError, match=broken):
        StreamingFigures(speed=1.0, until_s=inf).take(np.array(requests, dtype=float))


def test_a_run_that_breaks_littles_law_is_not_reported():
    kept = StreamingFigures(speed=1.0, until_s=10.0)
    kept.take(np.array([[1.0], [2.0], [3.0], [0.0], [0.0]]))
    assert kept.figures(inflight_s=4.0)["served"] == 1
    with pytest.raises(BrokenInvariantError, match="Little"):
        kept.figures(inflight_s=5.0)
