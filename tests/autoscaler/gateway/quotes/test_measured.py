"""What is known of durations from those that were measured."""

import math
import random

from autoscaler.gateway.quotes.measured import Durations

CHANCES = [number / 1000 for number in range(1000)]


def test_with_nothing_measured_every_duration_is_unknown():
    assert Durations([]).rests(3.0, CHANCES) == [math.inf] * 1000


def test_each_of_the_measured_durations_and_a_longer_one_are_equally_likely():
    rests = Durations([10.0, 30.0, 20.0]).rests(0.0, CHANCES)
    assert [rests.count(each) for each in (10.0, 20.0, 30.0)] == [250, 250, 251]
    assert sum(rest > 30.0 for rest in rests) == 249


def test_something_that_lasts_is_compared_with_what_lasted_longer_and_has_that_much_less_left():
    rests = Durations([10.0, 20.0, 30.0]).rests(15.0, CHANCES)
    assert rests.count(5.0) == 334
    assert min(rests) == 5.0


def test_what_is_later_than_everything_measured_takes_on_average_at_least_as_long_again_as_it_is_late():
    for age_s, mean_s in ((30.0, 0.0), (31.0, 1.0), (90.0, 60.0)):
        rests = Durations([30.0] * 20).rests(age_s, CHANCES)
        assert abs(sum(rests) / len(rests) - mean_s) <= 0.01 * mean_s


def test_a_larger_chance_is_a_longer_duration():
    rng = random.Random(1)  # noqa: S311
    for _ in range(100):
        law = Durations(rng.uniform(0.0, 50.0) for _ in range(rng.randrange(30)))
        rests = law.rests(rng.uniform(0.0, 60.0), CHANCES)
        assert rests == sorted(rests)
        assert min(rests) >= 0.0
