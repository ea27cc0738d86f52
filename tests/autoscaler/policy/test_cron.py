"""Times of day as cron has them, without a zone."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policy.schedule.cron import read_cron

A_THURSDAY = datetime.fromisoformat("2026-01-01T12:00:30")


def day(text):
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("* * * * *", "2026-01-01T12:01"),
        ("30 7 * * *", "2026-01-02T07:30"),
        ("0 8 * * MON-FRI", "2026-01-02T08:00"),
        ("0 8 * * 1-5", "2026-01-02T08:00"),
        ("0 8 * * FRI-MON", "2026-01-02T08:00"),
        ("0 8 * * 7", "2026-01-04T08:00"),
        ("0 8 * * 0", "2026-01-04T08:00"),
        ("*/20 22-2/2 * * *", "2026-01-01T22:00"),
        ("0 0 1,15 * *", "2026-01-15T00:00"),
        ("0 0 31 * *", "2026-01-31T00:00"),
        ("0 0 31 FEB-APR *", "2026-03-31T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("5/25 13 * * *", "2026-01-01T13:05"),
    ],
)
def test_the_next_time_is_found(text, after):
    assert read_cron(text).after(A_THURSDAY) == datetime.fromisoformat(after)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("* * * * *", "2026-01-01T12:00"),
        ("0 12 * * *", "2026-01-01T12:00"),
        ("30 17 * * *", "2025-12-31T17:30"),
        ("0 8 * * MON", "2025-12-29T08:00"),
        ("59 23 29 2 *", "2024-02-29T23:59"),
    ],
)
def test_the_last_time_is_found(text, until):
    assert read_cron(text).until(A_THURSDAY) == datetime.fromisoformat(until)


def test_of_two_restricted_days_either_matches_as_in_every_cron():
    cron = read_cron("0 0 13 * FRI")
    assert cron.after(day("2026-01-02")) == day("2026-01-09")
    assert cron.after(day("2026-01-09")) == day("2026-01-13")


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *"])
def test_a_day_that_never_comes_is_not_found(text):
    assert read_cron(text).after(A_THURSDAY) is None
    assert read_cron(text).until(A_THURSDAY) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "0 8 * *", "0 8 * * * *", "60 8 * * *", "0 24 * * *", "0 8 0 * *", "0 8 * 13 *", "0 8 * * 8"),
        *("*/0 * * * *", "@daily", "0 8 ? * *", "0 8 * * mon", "0  8 * * *", "0 8 * * *\n", "-1 8 * * *", "0 8 L * *"),
    ],
)
def test_what_is_no_cron_text_is_refused(text):
    with pytest.raises(ValueError, match="must be minute, hour, day of the month, month and day of the week"):
        read_cron(text)


@given(
    st.sampled_from(["* * * * *", "30 2 * * *", "0 8 * * MON-FRI", "*/7 1-3 1 * 6", "0 0 29 2 *"]),
    st.datetimes(day("1980-01-01"), day("2080-01-01")),
)
def test_nothing_lies_between_two_neighbours(text, moment):
    cron = read_cron(text)
    before, after = cron.until(moment), cron.after(moment)
    assert before <= moment < after
    assert cron.after(before) == after
    assert cron.until(after) == after
