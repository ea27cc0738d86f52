"""The time that a user asks about."""

from datetime import UTC, timedelta, timezone

import pytest

from autoscaler.terminal.times import moment

NOON = 1796126400.0
"""1 December 2026, 12:00:00 UTC."""


def test_a_time_of_the_day_is_the_last_one_before_now():
    assert moment("11:59").unix_s(NOON, UTC) == NOON - 60
    assert moment("12:00:01").unix_s(NOON, UTC) == NOON + 1 - 86_400
    assert moment("13:00").unix_s(NOON, timezone(timedelta(hours=1))) == NOON


def test_a_date_may_name_its_zone():
    assert moment("2026-12-01T13:00:00+01:00").unix_s(NOON, UTC) == NOON
    assert moment("2026-12-01T12:00:00").unix_s(0.0, UTC) == NOON
    assert moment("2026-12-01T12:00:00Z").unix_s(0.0, timezone(timedelta(hours=5))) == NOON


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-13-01T00:00:00", "1796126400"])
def test_anything_else_is_an_error_with_what_is_legal(text):
    with pytest.raises(ValueError, match="legal are 14:35"):
        moment(text)
