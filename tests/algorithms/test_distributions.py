"""Distributions have the moments they are described by, scale exactly, and read back from their own text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.distributions import (
    Constant,
    Distribution,
    Exponential,
    Gamma,
    Hyperexp,
    Hyperexp2,
    Lognormal,
    Uniform,
    Weibull,
    parse,
)

positive = st.floats(1e-3, 1e3)
distributions = st.one_of(
    st.builds(Constant, st.floats(0, 1e3)),
    st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)).map(lambda ends: Uniform(min(ends), max(ends))),
    st.builds(Exponential, positive),
    st.builds(Lognormal, positive, st.floats(0, 2)),
    st.builds(Gamma, positive, st.floats(0.1, 5)),
    st.builds(Weibull, positive, st.floats(0.1, 20)),
    st.builds(Hyperexp, positive, st.floats(1, 20)),
    st.builds(Hyperexp2, st.floats(0, 1), positive, positive),
)

WITH_MOMENTS = [
    (Constant(8), 8, 0),
    (Uniform(10, 60), 35, 50 / math.sqrt(12) / 35),
    (Exponential(20), 20, 1),
    (Lognormal(8, 0.3), 8, math.sqrt(math.exp(0.09) - 1)),
    (Gamma(5, 0.5), 5, 0.5),
    (Gamma(5, 2), 5, 2),
    (Weibull(5, 0.4), 5, 0.4),
    (Weibull(5, 1), 5, 1),
    (Weibull(5, 2), 5, 2),
    (Hyperexp2(0.75, 0.5, 2.5), 1.0, math.sqrt(2.5)),
    (Hyperexp(5, 1), 5, 1),
    (Hyperexp(5, 3), 5, 3),
]


@pytest.mark.parametrize(("distribution", "mean", "cv"), WITH_MOMENTS, ids=str)
def test_a_large_sample_has_the_mean_and_the_variation_it_is_named_by(distribution, mean, cv):
    drawn = distribution.samples(np.random.default_rng(7), 400_000)

    assert distribution.expected() == mean
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.03, abs=1e-12)


@given(distributions, st.integers(0, 2**32), st.integers(0, 20))
def test_draws_are_never_negative_and_as_many_as_asked_for(distribution, seed, n):
    drawn = distribution.samples(np.random.default_rng(seed), n)

    assert drawn.shape == (n,)
    assert (drawn >= 0).all()


@given(distributions, st.integers(0, 2**32))
def test_one_draw_is_the_first_of_many_from_a_fresh_generator(distribution, seed):
    one = distribution.sample(np.random.default_rng(seed))

    assert one == distribution.samples(np.random.default_rng(seed), 1)[0]


@given(distributions, positive, st.integers(0, 2**32))
def test_a_scaled_distribution_draws_the_same_values_scaled(distribution, by, seed):
    scaled = distribution.scaled(by).samples(np.random.default_rng(seed), 5)

    assert scaled == pytest.approx(by * distribution.samples(np.random.default_rng(seed), 5), rel=1e-9, abs=1e-12)


@given(distributions)
def test_the_text_of_a_distribution_reads_back_as_the_same(distribution):
    assert parse(str(distribution)) == distribution


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8", Constant(8)),
        ("constant(8)", Constant(8)),
        (" uniform( 10 , 60 ) ", Uniform(10, 60)),
        ("uniform(high=60, low=10)", Uniform(10, 60)),
        ("lognormal(mean=8, sigma=0.3)", Lognormal(8, 0.3)),
        ("lognormal(8, sigma=.3)", Lognormal(8, 0.3)),
        ("exponential(20)", Exponential(20)),
        ("gamma(5, cv=0.5)", Gamma(5, 0.5)),
        ("hyperexp(1e-1, 12)", Hyperexp(0.1, 12)),
    ],
)
def test_a_distribution_is_read_as_a_call_would_be(text, meant):
    assert parse(text) == meant


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "could not convert string to float"),
        ("often", "could not convert string to float: 'often'"),
        (
            "normal(1, 2)",
            "the distributions are constant, uniform, exponential, lognormal, gamma, weibull, hyperexp, hyperexp2",
        ),
        ("uniform(1, 2", "the closing bracket is missing"),
        ("uniform()", "could not convert string to float"),
        ("uniform(1)", "uniform takes low and high"),
        ("uniform(1, 2, 3)", "uniform takes low and high"),
        ("uniform(1, low=2)", "uniform takes low and high"),
        ("gamma(mean=1, mean=2)", "gamma takes mean and cv"),
        ("lognormal(1, sgma=2)", "lognormal takes mean and sigma"),
        ("uniform(3, 1)", "0 <= low <= high"),
        ("uniform(-1, 1)", "0 <= low <= high"),
        ("constant(-8)", "value must be a finite number of at least 0"),
        ("exponential(0)", "mean must be a finite number above 0"),
        ("exponential(nan)", "mean must be a finite number above 0"),
        ("exponential(inf)", "mean must be a finite number above 0"),
        ("lognormal(1, -1)", "sigma must be a finite number of at least 0"),
        ("gamma(1, 0)", "cv must be a finite number above 0"),
        ("hyperexp(1, 0.5)", "cv must be a finite number of at least 1"),
    ],
)
def test_bad_text_is_refused_with_the_text_and_what_is_wrong(text, complaint):
    with pytest.raises(ValueError, match="is no distribution") as refusal:
        parse(text)

    assert repr(text) in str(refusal.value)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize("distribution", [case[0] for case in WITH_MOMENTS], ids=str)
def test_every_kind_can_stand_where_a_distribution_is_asked_for(distribution):
    asked: Distribution = distribution

    assert asked.scaled(2).expected() == 2 * asked.expected()
