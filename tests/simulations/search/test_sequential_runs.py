"""When runs settle a difference, and how many more would."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.results.figures import student_95
from simulations.search.sequential import CONFIDENCE, confidence_of, difference, stages, student

PUBLISHED = [(1, 0.95, 12.7062), (2, 0.95, 4.3027), (3, 0.999, 12.9240), (4, 0.99, 4.6041), (30, 0.99, 2.7500)]
"""From any table of Student's t."""


@pytest.mark.parametrize(("freedom", "confidence", "t"), PUBLISHED)
def test_student_is_that_of_the_tables(freedom, confidence, t):
    assert student(freedom, confidence) == pytest.approx(t, abs=6e-5)


@given(freedom=st.integers(4, 400))
def test_student_agrees_with_the_expansion_and_comes_near_the_normal_distribution(freedom):
    assert student(freedom, 0.95) == pytest.approx(student_95(freedom), rel=3e-3)
    assert student(freedom, 0.95) > NormalDist().inv_cdf(0.975)


def test_a_difference_that_all_runs_agree_on_is_settled():
    found = difference([5.0, 5.1, 4.9], [1.0, 1.1, 0.9])
    assert (found.settled, found.more) == (True, 0)
    assert found.mean == pytest.approx(4)
    assert difference([3.0, 4.0], [3.0, 4.0]).settled


def test_common_noise_falls_out_of_a_paired_difference():
    noise = np.random.default_rng(1).normal(0, 100, 10)
    assert difference(list(noise + 1), list(noise)).settled


def test_a_difference_that_does_not_matter_is_settled_too():
    ours, theirs = [100.0, 101.0, 102.0, 101.0], [101.0, 100.0, 102.0, 101.0]
    assert not difference(ours, theirs).settled
    assert difference(ours, theirs, within=0.05).settled


def test_one_run_settles_nothing_and_asks_for_a_second():
    found = difference([5.0], [1.0])
    assert (found.settled, found.more) == (False, 1)


def test_a_figure_that_a_run_does_not_have_makes_the_difference_unknown():
    found = difference([5.0, None], [1.0, 2.0])
    assert (found.known, found.settled, found.more) == (False, False, 0)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=20),
    st.sampled_from([0.0, 0.05]),
)
def test_either_a_difference_is_settled_or_some_more_runs_are_named(pairs, within):
    ours, theirs = zip(*pairs, strict=True)
    found = difference(ours, theirs, within=within)
    assert found.settled == (found.more == 0)


def test_the_runs_that_are_named_are_about_those_that_are_needed():
    """Of 200 questions, most are settled by about as many runs as the first ten runs let expect."""
    rng, ratios = np.random.default_rng(7), []
    for _ in range(200):
        apart = rng.normal(1.0, 2.0, 200)
        first = difference(list(apart[:10]), [0.0] * 10)
        if not first.more:
            continue
        needed = next(n for n in range(11, 201) if difference(list(apart[:n]), [0.0] * n).settled)
        ratios.append((10 + first.more) / needed)
    assert 0.3 < float(np.median(ratios)) < 4


@given(least=st.integers(1, 50), more=st.integers(0, 500))
def test_looks_begin_at_the_least_and_end_at_the_most(least, more):
    found = stages(least, least + more)
    assert (found[0], found[-1]) == (least, least + more)
    assert found == sorted(set(found))
    assert len(found) < 12


def test_all_looks_together_are_wrong_as_seldom_as_one_would_be():
    """Two variants that are equal are told apart in at most one of twenty sweeps, however many stages there are."""
    rng, at = np.random.default_rng(3), stages(3, 48)
    wrong = 0
    for _ in range(1000):
        apart = rng.normal(0, 1, at[-1])
        wrong += any(difference(list(apart[:n]), [0.0] * n, confidence=confidence_of(len(at))).settled for n in at)
    assert wrong / 1000 <= 1 - CONFIDENCE
