"""Lines take their time to arrive; with the moment of their integrals on them, a mean is exact all the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.gateway_aggregate import InflightAggregate
from autoscaler.sources.gateway_protocol import MalformedLineError

SERVICE = "ns/a"
OURS_S = 1.7e9
"""Our clock when the gateway's shows 0."""

delays_s = st.lists(st.floats(0.0, 0.05), min_size=20, max_size=20)


def line(moment_s, inflight, seconds, *, started=1.0):
    counts = {"queued": inflight, "running": 0, "seconds_total": seconds}
    return json.dumps({"gateway": "g", "started": started, "at": moment_s, "services": {SERVICE: counts}}).encode()


def tally_with_one():
    aggregate = InflightAggregate(silent_s=3, history_s=60)
    aggregate.add("g")
    aggregate.connected("g")
    return aggregate


@given(delays_s, st.integers(0, 9), st.floats(0.05, 1.0))
def test_a_constant_count_is_its_own_mean_however_late_its_lines_are(delays, inflight, step_s):
    aggregate = tally_with_one()
    for number, delay_s in enumerate(delays):
        moment_s = 100 + number * step_s
        aggregate.take("g", line(moment_s, inflight, moment_s * inflight), OURS_S + moment_s + delay_s)
    since_s = OURS_S + 100 + 0.06
    until_s = OURS_S + 100 + 19 * step_s + 0.06
    assert aggregate.mean(SERVICE, since_s, until_s) == pytest.approx(inflight, abs=1e-6)


@given(delays_s)
def test_a_gateway_that_starts_again_counts_on_by_its_new_clock(delays):
    aggregate = tally_with_one()
    for second, delay_s in enumerate(delays[:10]):
        aggregate.take("g", line(5000.0 + second, 2, 2.0 * second), OURS_S + second + delay_s)
    aggregate.connected("g")
    for second, delay_s in enumerate(delays[10:]):
        aggregate.take("g", line(7.0 + second, 2, 2.0 * second, started=2.0), OURS_S + 10 + second + delay_s)
    mean = aggregate.mean(SERVICE, OURS_S + 12, OURS_S + 19)
    assert mean == pytest.approx(2.0, abs=1e-6)


@given(st.lists(st.integers(0, 5), min_size=40, max_size=40), st.integers(1, 7), st.integers(0, 7), st.integers(8, 30))
def test_a_mean_is_never_above_the_highest_nor_below_the_lowest_count(counts, every, since, until):
    """Counts change each step, and only every so many steps there is a line."""
    aggregate = tally_with_one()
    seconds = 0.0
    for step, inflight in enumerate(counts):
        if step % every == 0:
            aggregate.take("g", line(step / 100, inflight, seconds), OURS_S + step / 100)
        seconds += inflight / 100
    mean = aggregate.mean(SERVICE, OURS_S + since / 100, OURS_S + until / 100)
    assert min(counts) - 1e-6 <= mean <= max(counts) + 1e-6


def test_a_moment_that_is_no_time_garbles_the_line():
    with pytest.raises(MalformedLineError, match="whose at"):
        tally_with_one().take("g", line("noon", 1, 0.0), OURS_S)


@pytest.mark.parametrize("drift", [5e-4, -5e-4])
def test_clocks_that_drift_apart_for_days_leave_the_mean_where_it_was(drift):
    """The count goes up by one with each line, so that a mean tells of when it is."""
    aggregate = InflightAggregate(silent_s=200, history_s=600)
    aggregate.add("g")
    aggregate.connected("g")
    seconds = 0.0
    for number in range(2000):
        aggregate.take("g", line(100.0 * number, number, seconds), OURS_S + 100.0 * number * (1 + drift))
        seconds += 100.0 * number
    now_s = OURS_S + 100.0 * 1999 * (1 + drift)
    assert aggregate.mean(SERVICE, now_s - 200, now_s) == pytest.approx(1997.5, abs=0.01)


def test_a_line_older_than_the_one_before_it_is_garbled():
    aggregate = tally_with_one()
    aggregate.take("g", line(10.0, 1, 0.0), OURS_S)
    with pytest.raises(MalformedLineError, match="older"):
        aggregate.take("g", line(9.0, 1, 0.0), OURS_S + 1)


def test_a_line_of_the_same_moment_replaces_the_one_before_it():
    aggregate = tally_with_one()
    for inflight in (1, 3):
        aggregate.take("g", line(10.0, inflight, 0.0), OURS_S)
    assert aggregate.mean(SERVICE, OURS_S, OURS_S + 1) == 3
