from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.good_time import GoodTimeClock, current_count, seconds_covered
from algorithms.observation import Observation
from algorithms.windows import LinearWindow

START_S = 1.7e9


def observe(now_s, since_s, inflight, latest=0.0):
    return Observation(now_s, since_s, inflight, replicas=1, ready=1, latest=latest)


def feed(window, seen):
    for second in seconds_covered(seen):
        window.replace(second, seen.inflight)
    window.replace(floor(seen.now_s), current_count(seen))


steps = st.lists(st.tuples(st.floats(0.001, 7.0), st.booleans()), min_size=1, max_size=60)
"""Times between two looks, from a wake-up to several ticks, and whether the look finds the count known."""


@given(steps, st.floats(0.0, 1.0), st.integers(0, 1000))
def test_a_constant_load_reads_as_itself_with_any_tick_jitter_wake_ups_and_outages(steps, phase_s, load):
    window, good_time = LinearWindow(60), GoodTimeClock()
    now_s = START_S + phase_s
    feed(window, good_time(observe(now_s, now_s, load)))
    for step_s, known in steps:
        since_s, now_s = now_s, now_s + step_s
        if known:
            seen = good_time(observe(now_s, since_s, load))
            feed(window, seen)
            assert window.average(floor(seen.now_s)) == load


@given(steps)
def test_good_time_advances_by_what_was_seen_and_by_nothing_else(steps):
    good_time = GoodTimeClock()
    good_time(observe(START_S, START_S, 1.0))
    now_s = good_s = START_S
    for step_s, known in steps:
        since_s, now_s = now_s, now_s + step_s
        if known:
            good_s += now_s - since_s
            assert good_time(observe(now_s, since_s, 1.0)).now_s == pytest.approx(good_s, abs=1e-5)


def test_if_nothing_was_lost_an_observation_stays_as_it_is():
    good_time = GoodTimeClock()
    first, second = observe(2, 0, 1.0), observe(4, 2, 1.0)
    assert good_time(first) is first
    assert good_time(second) is second


def test_an_observation_after_an_outage_follows_the_last_good_one_without_a_gap():
    good_time = GoodTimeClock()
    good_time(observe(2, 0, 1.0))
    assert good_time(observe(600, 598, 1.0))[:2] == (4, 2)
    assert good_time(observe(603, 597, 1.0))[:2] == (7, 4)


def test_a_burst_is_seen_at_once_in_the_second_in_progress():
    window = LinearWindow(6)
    feed(window, observe(1.1, 1.0, 0.2, latest=5.0))
    assert window.average(1) == 5.0


def test_a_newest_count_gives_way_to_the_mean_of_its_second_once_that_is_over():
    window = LinearWindow(6)
    feed(window, observe(1.1, 1.0, 0.2, latest=5.0))
    feed(window, observe(2.0, 1.1, 2.0))
    assert window.average(2) == 2.0


def test_five_wake_ups_in_one_second_are_one_second():
    window = LinearWindow(6)
    for hundredth in range(5):
        feed(window, observe(1 + (hundredth + 1) / 100, 1 + hundredth / 100, 3.0))
    assert window.average(1) == 3.0


def test_good_time_is_carried_to_another_process():
    before, after = GoodTimeClock(), GoodTimeClock()
    before(observe(2, 0, 1.0))
    before(observe(60, 58, 1.0))
    after.restore(before.export())
    assert after(observe(62, 60, 1.0)) == before(observe(62, 60, 1.0))


def test_a_clock_that_saw_nothing_stands_at_no_time():
    assert GoodTimeClock().export() == {"version": 1, "seen_s": None, "good_s": 0.0}


def test_a_state_of_another_version_is_refused():
    with pytest.raises(ValueError, match=r"^GoodTime: version 99 "):
        GoodTimeClock().restore({"version": 99})
