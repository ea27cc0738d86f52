"""Figures by blocks of time, and what their intervals promise."""

import numpy as np
import pytest

from simulations.model.history import REFUSED, SERVED, STILL_IN, History, Replicas, Requests
from simulations.recorded.blocks import (
    Blocks,
    Interval,
    Sums,
    blocks_of,
    class_ends_s,
    drawn,
    figures_of,
    interval,
    sums_of,
)


def requests(*rows):
    """Make requests of `(arrival, start or None, status)`."""
    arrival, start, status = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    nothing = np.full(len(rows), np.nan)
    none = np.full(len(rows), -1)
    return Requests(arrival, start, nothing, status.astype(int), none, none, nothing, nothing)


def replicas(*rows):
    """Make replicas of `(asked, placed, ready, gone)`."""
    asked, placed, ready, gone = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(rows))
    return Replicas(asked, placed, ready, zeros, gone, zeros, zeros, np.zeros(len(rows), dtype=int))


HISTORY = History(
    engine="by hand",
    end_s=1300.0,
    requests=requests(
        (0.0, 30.0, SERVED),
        (10.0, 30.0, SERVED),
        (600.0, 600.0, SERVED),
        (1250.0, None, REFUSED),
        (1290.0, None, STILL_IN),
    ),
    replicas=replicas((0.0, 0.0, 0.0, 700.0), (0.0, 10.0, 40.0, np.nan), (1200.0, 1250.0, np.nan, np.nan)),
    changes=(),
    decisions=(),
    inflight_s=0.0,
)
TWO = Blocks(600.0, 2)


def sums():
    return sums_of(HISTORY, TWO, class_ends_s({"a": HISTORY}), np.array([3.6]))


def test_what_a_run_used_is_added_up_by_blocks_and_the_rest_belongs_to_the_last():
    found = sums()
    assert found.gpu_s.tolist() == [600.0 + 590.0, 100.0 + 700.0 + 50.0]
    assert found.cost.tolist() == pytest.approx([1.19, 0.85])
    assert (found.served.tolist(), found.wait_s.tolist()) == ([2.0, 1.0], [50.0, 0.0])
    assert (found.cold_starts.tolist(), found.unserved.tolist()) == ([1.0, 0.0], [0.0, 1.0])


def test_figures_of_all_blocks_are_those_of_the_run():
    ends_s = class_ends_s({"a": HISTORY})
    found = figures_of(sums(), ends_s, np.ones((1, 2), dtype=np.int64))
    assert found["gpu_hours"][0] == pytest.approx(2040 / 3600)
    assert found["wait_mean_s"][0] == pytest.approx(50 / 3)
    assert found["wait_p95_s"][0] == 30.0
    assert found["unserved"][0] == 1


def test_a_percentile_by_classes_is_that_of_the_waits():
    waits = np.random.default_rng(3).exponential(10.0, 20_000)
    history = History(
        engine="by hand",
        end_s=1200.0,
        requests=requests(*((float(n % 1200), float(n % 1200) + wait, SERVED) for n, wait in enumerate(waits))),
        replicas=HISTORY.replicas,
        changes=(),
        decisions=(),
        inflight_s=0.0,
    )
    ends_s = class_ends_s({"a": history})
    found = figures_of(sums_of(history, TWO, ends_s, np.array([0.0])), ends_s, np.ones((1, 2), dtype=np.int64))
    assert found["wait_p95_s"][0] == pytest.approx(np.quantile(waits, 0.95), rel=5e-3)


@pytest.mark.parametrize(
    ("span_s", "blocks"),
    [
        (5999.0, None),
        (6000.0, Blocks(600.0, 10)),
        (35_999.0, Blocks(600.0, 59)),
        (7 * 86_400.0, Blocks(3600.0, 168)),
        (864_001.0, Blocks(86_400.0, 10)),
    ],
)
def test_blocks_are_the_longest_of_which_there_are_enough(span_s, blocks):
    assert blocks_of(span_s) == blocks


def of_gpu(values):
    zeros = np.zeros(len(values))
    return Sums(values, zeros, zeros, zeros, np.zeros((len(values), 1)), zeros, zeros)


def draws_of(values, weights):
    return figures_of(of_gpu(values), np.zeros(1), weights)["gpu_hours"]


def test_an_interval_has_the_true_total_about_as_often_as_it_says():
    rng, number = np.random.default_rng(5), 60
    weights, hits = drawn(Blocks(3600.0, number)), 0
    for _ in range(300):
        values = rng.gamma(2.0, 1800.0, number)
        found = interval(values.sum() / 3600, draws_of(values, weights))
        hits += found.low <= number * 1.0 <= found.high
    assert 0.90 <= hits / 300 <= 0.98


def test_a_paired_difference_is_much_narrower_than_its_figures():
    rng, weights = np.random.default_rng(6), drawn(Blocks(3600.0, 60))
    active = rng.gamma(1.0, 3600.0, 60)
    ours, theirs = draws_of(active * 0.9, weights), draws_of(active, weights)
    figure, difference = interval(active.sum(), theirs), interval(-0.1 * active.sum() / 3600, ours - theirs)
    assert difference.settled
    assert difference.high - difference.low < 0.2 * (figure.high - figure.low)


@pytest.mark.parametrize(
    ("difference", "settled"),
    [
        (Interval(1.0, 0.5, 2.0), True),
        (Interval(-1.0, -2.0, -0.5), True),
        (Interval(1.0, -0.1, 2.0), False),
        (Interval(0.0, 0.0, 0.0), True),
        (Interval(1.0), False),
    ],
)
def test_a_difference_is_settled_when_its_interval_does_not_have_zero_in_it(difference, settled):
    assert difference.settled == settled


def test_the_same_blocks_are_drawn_each_time():
    assert (drawn(TWO) == drawn(TWO)).all()
    assert (drawn(TWO).sum(axis=1) == 2).all()


def test_a_draw_without_a_served_request_has_no_wait_and_is_left_out():
    assert interval(1.0, np.array([np.nan, 1.0, 1.0])) == Interval(1.0, 1.0, 1.0)
    assert interval(1.0, np.array([np.nan])) == Interval(1.0)
