"""An hour of each service is kept in bounded memory, without inventing anything."""

import random
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_records import SERVICE, record

from autoscaler.page import history as module
from autoscaler.page.history import History, Sample, sample_of


def sample(at_s, running=0.0, queued=0.0, *, average=0.0, asked=0, ready=0, starting=0):
    return Sample(at_s, running, queued, average, asked, ready, starting)


def kept(history, since_s, now_s):
    return [(each.at_s, each.running) for each in history.samples(SERVICE, since_s, now_s)]


def test_a_row_says_what_the_decision_saw_and_what_stands_after_it():
    found = sample_of(record(10.0, running=1.0, queued=2.0, replicas=1, ready=1, desired=3))
    assert found == Sample(10.0, 1.0, 2.0, 3.0, 3, 1, 0)


def test_an_unknown_count_is_no_zero():
    found = sample_of(record(10.0, running=None, queued=None, replicas=2, ready=2))
    assert (found.running, found.queued, found.average, found.asked) == (None, None, None, 2)


def test_what_changes_nothing_adds_no_row():
    history = History()
    for tick in range(1000):
        history.add(SERVICE, sample(2.0 * tick, 1.0, asked=1))
    assert kept(history, 0.0, 1998.0) == [(0.0, 1.0), (1998.0, 1.0)]
    assert history.rows(SERVICE) == 1


def test_a_service_that_was_not_observed_is_unknown_meanwhile():
    history = History(gap_s=10.0)
    history.add(SERVICE, sample(0.0, 1.0))
    history.add(SERVICE, sample(4.0, 1.0))
    history.add(SERVICE, sample(30.0, 2.0))
    assert kept(history, 0.0, 31.0) == [(0.0, 1.0), (4.0, None), (30.0, 2.0), (31.0, 2.0)]


def test_a_service_that_is_not_observed_any_more_is_unknown_since_then():
    history = History(gap_s=10.0)
    history.add(SERVICE, sample(0.0, 1.0))
    assert kept(history, 0.0, 10.0) == [(0.0, 1.0), (10.0, 1.0)]
    assert kept(history, 0.0, 11.0) == [(0.0, 1.0), (0.0, None), (11.0, None)]


def test_an_idle_service_is_at_zero_while_nobody_observes_it():
    history = History(gap_s=10.0)
    history.add(SERVICE, sample(0.0))
    assert kept(history, 0.0, 600.0) == [(0.0, 0.0), (600.0, 0.0)]
    history.add(SERVICE, sample(600.0, 3.0))
    assert kept(history, 500.0, 600.0) == [(500.0, 0.0), (600.0, 3.0)]


def test_nothing_is_known_from_before_the_first_row():
    history = History()
    history.add(SERVICE, sample(100.0, 1.0))
    assert kept(history, 0.0, 100.0) == [(100.0, 1.0)]
    assert history.begins_s(SERVICE) == 100.0
    assert history.samples("default/other", 0.0, 100.0) == []
    assert history.begins_s("default/other") is None


def test_a_service_that_is_gone_is_forgotten():
    history = History()
    history(record(1.0))
    history.forget(SERVICE)
    assert history.samples(SERVICE, 0.0, 2.0) == []


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.sampled_from([0.3, 2.0, 8.0]))
def test_no_peak_and_no_unknown_time_gets_lost_and_the_rows_are_bounded(seed, pause_s):
    rng, history, now_s, given_rows = random.Random(seed), History(gap_s=1e9), 0.0, []  # noqa: S311 - of a test
    for _ in range(2000):
        now_s += rng.uniform(0.0, 2 * pause_s)
        running = None if rng.random() < 0.01 else float(rng.randint(0, 50))
        taken = sample(now_s, running, float(rng.randint(0, 50)))
        history.add(SERVICE, taken)
        if not given_rows or given_rows[-1][1:] != taken[1:]:
            given_rows.append(taken)
    found = history.samples(SERVICE, now_s - module.SPAN_S, now_s)
    assert [each.at_s for each in found] == sorted(each.at_s for each in found)
    assert found[-1].at_s == now_s
    assert history.rows(SERVICE) <= module.FINE_ROWS + 32 + 2 * module.SPAN_S / 15 + 2
    first = (now_s - module.SPAN_S) // 15 + 2
    assert {part: busiest(rows) for part, rows in parts(found) if part >= first} == {
        part: busiest(rows) for part, rows in parts(given_rows) if part >= first
    }


def parts(rows):
    return [(part, list(some)) for part, some in groupby(rows, lambda each: each.at_s // 15)]


def busiest(rows):
    """Give the most requests in flight; unknown if any count is."""
    return None if any(each.running is None for each in rows) else max(each.running + each.queued for each in rows)


def test_the_last_row_of_a_part_stays_because_it_holds_for_long():
    history, now_s = History(gap_s=1e9), 0.0
    rng = random.Random(1)  # noqa: S311 - of a test
    for burst in range(40):
        start_s = 100.0 * burst
        for step in range(20):
            history.add(SERVICE, sample(start_s + step / 2, float(rng.randint(1, 50))))
        now_s = start_s + 12.0
        history.add(SERVICE, sample(now_s))
    found = history.samples(SERVICE, now_s - 3000.0, now_s)
    for burst in range(12, 40):
        at_s = 100.0 * burst + 50
        before = [each for each in found if each.at_s <= at_s]
        assert burst == 39 or before[-1].running == 0.0


def test_all_services_share_a_bound(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 4000)
    history, rng = History(gap_s=1e9), random.Random(1)  # noqa: S311 - of a test
    services = [f"default/s{number}" for number in range(40)]
    for tick in range(400):
        for service in services:
            history.add(service, sample(2.0 * tick, float(rng.randint(0, 1000))))
    assert sum(map(history.rows, services)) <= 4000 + 40 * 34
    assert all(history.samples(each, 0.0, 800.0)[-1].at_s == 800.0 for each in services)


@pytest.mark.parametrize("since_s", [0.0, 5.0, 9.0])
def test_the_first_row_is_at_the_time_that_was_asked_for(since_s):
    history = History()
    history.add(SERVICE, sample(0.0, 1.0))
    history.add(SERVICE, sample(4.0, 2.0))
    history.add(SERVICE, sample(9.0, 3.0))
    assert kept(history, since_s, 9.0)[0][0] == since_s
