"""Sources of requests: rates that change, retries, several workloads, the same random streams for every engine."""

from itertools import islice
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Arrival
from simulations.scenario import rate_curve
from simulations.scenario.empirical import Empirical
from simulations.scenario.request_sources import source_of
from simulations.scenario.workloads import KINDS, Workload


def source(*workloads, seed=1, replication=0):
    return source_of([Workload.model_validate(each) for each in workloads], RandomStreams(seed, replication))


EXAMPLES = {
    "closed_loop": {"clients": 2, "requests": 20},
    "poisson": {"rate": 0.5},
    "renewal": {"interarrival": "gamma(mean=2, cv=2)"},
    "diurnal": {"meanRate": 0.5},
    "rate_curve": {"points": [{"at": "0s", "rate": 0.5}]},
    "trace": {"arrivals": [0, 1, 2]},
}
"""One of each kind of workload; a kind that is new has none yet."""


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_workload_is_drawn_and_its_length_is_known(kind):
    alias = Workload.model_fields[kind].alias or kind
    workload = Workload.model_validate(
        {alias: EXAMPLES[kind]} | ({} if kind in {"closed_loop", "trace"} else {"requests": 3})
    )
    assert len(list(islice(source_of([workload], RandomStreams(1, 0)).arrivals(), 2))) == 2
    assert 0 < workload.expected_s() < inf


def times(made, count):
    return np.array([arrival.t_s for arrival in islice(made.arrivals(), count)])


def test_a_rate_that_jumps_is_followed_piece_by_piece():
    made = rate_curve.steps(np.array([0.0, 10.0, 20.0]), np.array([1.0, 0.0, 2.0]))
    assert made.times(np.array([5.0, 9.0, 12.0, 14.0])).tolist() == [5.0, 9.0, 21.0, 22.0]


def test_a_rate_in_lines_is_integrated_exactly():
    made = rate_curve.lines(np.array([0.0, 10.0]), np.array([0.0, 2.0]))
    assert made.times(np.array([2.5, 10.0, 14.0])) == pytest.approx([sqrt(25.0), 10.0, 12.0])


def test_after_a_rate_has_ended_no_request_arrives():
    made = rate_curve.lines(np.array([0.0, 10.0]), np.array([1.0, 0.0]))
    assert made.times(np.array([3.75, 5.5])).tolist() == [5.0, inf]
    falling = {"rateCurve": {"points": [{"at": "0s", "rate": 5}, {"at": "10s", "rate": 0}]}}
    assert len(list(source(falling).arrivals())) == pytest.approx(50, abs=25)


@settings(max_examples=50)
@given(st.floats(0.1, 10.0), st.floats(0.0, 1.0), st.floats(1.0, 1000.0), st.lists(st.floats(0.0, 500.0), min_size=1))
def test_the_times_of_a_sine_are_the_inverse_of_its_cumulative_rate(mean, amplitude, period_s, reached):
    made = rate_curve.sine(mean, amplitude, period_s, peak_s=period_s / 3)
    wanted = np.array(reached)
    at_s = made.times(wanted)
    phase = 2 * np.pi / period_s
    grown = mean * (at_s + amplitude / phase * (np.sin(phase * (at_s - period_s / 3)) + np.sin(2 * np.pi / 3)))
    assert grown == pytest.approx(wanted, rel=1e-3, abs=1e-3 * mean * period_s)


def test_a_bursty_workload_has_the_rate_and_the_variation_it_was_given():
    gaps = np.diff(times(source({"renewal": {"interarrival": "gamma(mean=2, cv=3)"}}), 60_000))
    assert gaps.mean() == pytest.approx(2.0, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(3.0, rel=0.05)


def test_a_diurnal_rate_is_high_at_its_peak():
    swinging = {"diurnal": {"meanRate": 10, "amplitude": "100%", "period": "1000s", "peak": "250s"}}
    phase = times(source(swinging), 100_000) % 1000
    around_peak, around_trough = np.sum(abs(phase - 250) < 50), np.sum(abs(phase - 750) < 50)
    assert around_peak / len(phase) == pytest.approx(0.1984, rel=0.05)
    assert around_trough / len(phase) == pytest.approx(0.0016, abs=0.001)


def test_a_failed_request_is_retried_up_to_its_number_of_attempts():
    made = source({"trace": {"arrivals": [0.0]}, "retries": {"attempts": 3, "backoff": "2s"}})
    (first,) = made.arrivals()
    second = made.after(first, 503, 10.0)
    third = made.after(second, 504, 20.0)
    assert (second.t_s, third.t_s, third.attempt) == (12.0, 22.0, 3)
    assert made.after(third, 503, 30.0) is None
    assert made.after(second, 200, 30.0) is None


def test_a_client_of_a_closed_loop_sends_what_hey_would_send():
    made = source({"closedLoop": {"requests": 11, "clients": 3, "thinkTime": 2}, "start": "5s"})
    first = list(made.arrivals())
    assert [(arrival.t_s, arrival.client) for arrival in first] == [(5.0, 0), (5.0, 1), (5.0, 2)]
    following = made.after(first[1], 503, 9.0)
    assert (following.t_s, following.client) == (11.0, 1)
    assert made.after(following, 200, 20.0) is not None
    assert made.after(following, 200, 30.0) is None


def test_several_workloads_are_merged_in_order_of_time():
    made = source({"trace": {"arrivals": [1.0, 4.0]}}, {"trace": {"arrivals": [2.0, 3.0], "service": [7.0, 8.0]}})
    assert [(a.t_s, a.service_s, a.source) for a in made.arrivals()] == [
        (1.0, 1.0, 0),
        (2.0, 7.0, 1),
        (3.0, 8.0, 1),
        (4.0, 1.0, 0),
    ]


def test_a_retry_in_a_mixture_is_known_by_its_own_workload():
    mixture = {"trace": {"arrivals": [1.0]}}, {"trace": {"arrivals": [2.0]}, "retries": {"backoff": "1s"}}
    made = source(*mixture)
    first, second = made.arrivals()
    assert made.after(first, 503, 5.0) is None
    assert made.after(second, 503, 5.0) == second._replace(t_s=6.0, attempt=2)
    assert source(*mixture).batch(inf) is None


@pytest.mark.parametrize(
    "workload",
    [
        {"poisson": {"rate": 3}, "serviceTime": "hyperexp(2, 3)", "patience": "exponential(4)", "requests": 9000},
        {"diurnal": {"meanRate": 2, "period": "1h", "peak": "0s", "cv": 3}, "requests": 5000, "start": "30s"},
        {"trace": {"arrivals": [1.0, 2.0, 2.0, 5.0], "service": [3.0, 1.0, 2.0, 4.0]}, "timeout": "9s"},
    ],
    ids=["Poisson", "diurnal", "trace"],
)
def test_a_batch_has_the_same_requests_as_single_arrivals(workload):
    batch = source(workload).batch(inf)
    for arrival, *row in zip(source(workload).arrivals(), *batch[:4], strict=True):
        assert arrival == Arrival(*row)


def test_replications_differ_and_repeat():
    again = times(source({"poisson": {"rate": 1}}, replication=1), 100)
    assert times(source({"poisson": {"rate": 1}}, replication=1), 100).tolist() == again.tolist()
    assert not np.any(times(source({"poisson": {"rate": 1}}, replication=2), 100) == again)


def test_an_empirical_distribution_draws_its_own_values():
    drawn = Empirical((1.0, 2.0, 6.0)).samples(np.random.default_rng(1), 3000)
    assert set(drawn.tolist()) == {1.0, 2.0, 6.0}
    assert drawn.mean() == pytest.approx(3.0, rel=0.05)
    assert Empirical((1.0, 3.0)).scaled(2.0) == Empirical((2.0, 6.0))
    assert Empirical((1.0, 3.0)).expected() == 2.0
    assert Empirical((1.0,)).sample(np.random.default_rng(1)) == 1.0
    with pytest.raises(ValueError, match="none of them below 0"):
        Empirical((-1.0,))
