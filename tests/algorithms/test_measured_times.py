"""What is learned of service times and starts from observations, and what cannot be true of them."""

from math import inf, nan

import pytest

from algorithms.observation import ColdStart, Observation
from algorithms.plausibility import plausible
from algorithms.starts.cold_starts import MEMORY, ColdStarts
from algorithms.starts.service_times import ServiceTimes


def seen(now_s=1.0, **values):
    return Observation(now_s, now_s - 1.0, 0.0, 1, 1, **values)


def learned(kind, observations):
    times = kind()
    for each in observations:
        times.record(each)
    return times


def test_nothing_is_known_before_something_was_measured():
    assert ServiceTimes().mean_s is None
    assert ColdStarts().quantile_s() is None


def test_the_mean_is_the_time_served_over_the_requests_that_finished():
    times = learned(ServiceTimes, [seen(served_s=0.0, finished=0), seen(served_s=30.0, finished=3)])
    assert times.mean_s == pytest.approx(10.0, rel=0.02)


def test_the_mean_follows_requests_that_become_longer():
    short, long = [seen(served_s=2.0, finished=1)] * 500, [seen(served_s=20.0, finished=1)] * 500
    assert learned(ServiceTimes, short + long).mean_s == pytest.approx(20.0, rel=0.01)


@pytest.mark.parametrize("values", [{"served_s": 5.0}, {"finished": 5}, {}])
def test_an_observation_that_knows_only_a_part_says_nothing(values):
    assert learned(ServiceTimes, [seen(served_s=8.0, finished=2), seen(**values)]).mean_s == 4.0


def test_starts_are_a_distribution_of_each_pool():
    starts = [ColdStart(4.0), ColdStart(85.0, "far"), ColdStart(5.0), ColdStart(4.5), ColdStart(90.0, "far")]
    times = learned(ColdStarts, [seen(starts=tuple(starts))])
    assert times.quantile_s(pool="") == 4.5
    assert times.quantile_s(0.9, pool="far") == 90.0
    assert times.quantile_s() == 5.0
    assert times.quantile_s(pool="unseen") is None


def test_the_oldest_start_is_forgotten_first():
    times = learned(ColdStarts, [seen(starts=(ColdStart(float(n)),)) for n in range(MEMORY + 10)])
    assert times.quantile_s(1 / MEMORY) == 10.0


@pytest.mark.parametrize("kind", [ServiceTimes, ColdStarts])
def test_another_process_goes_on_with_what_was_learned(kind):
    history = [seen(served_s=3.0 * n, finished=n, starts=(ColdStart(n + 0.5, "ab"[n % 2]),)) for n in range(30)]
    first, second = learned(kind, history[:11]), kind()
    second.restore(first.export())
    for each in history[11:]:
        first.record(each)
        second.record(each)
    assert second.export() == first.export()


@pytest.mark.parametrize("seconds", [-1.0, nan, inf])
def test_an_impossible_start_is_none(seconds):
    assert plausible(seen(starts=(ColdStart(seconds), ColdStart(3.0)))).starts == (ColdStart(3.0),)


@pytest.mark.parametrize("wrong", [-1, nan, inf])
@pytest.mark.parametrize("field", ["arrived", "finished", "served_s"])
def test_what_cannot_be_true_of_requests_is_unknown_and_the_count_stays(field, wrong):
    values = {"arrived": 2, "finished": 1, "served_s": 7.0}
    kept = plausible(seen(**{**values, field: wrong}))
    assert kept == seen(**{**values, field: None})
