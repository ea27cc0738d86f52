"""Numbers, durations and times as they are written."""

from datetime import UTC
from math import ceil
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen import CET, at

from autoscaler.explain import wording


@pytest.mark.parametrize(
    ("value", "per", "text"),
    [
        (4.39, 1, "4.39"),
        (49.62, 8, "49.6"),
        (22.3, 4, "22.3"),
        (5.0, 1, "5"),
        (0.88, 1, "0.88"),
        (10.04, 1, "10.04"),
        (5.001, 1, "over 5"),
        (0.001, 1, "under 0.01"),
        (104.6, 8, "105"),
        (4.0000001, 1, "4"),
    ],
)
def test_an_average_has_the_digits_that_explain_the_number(value, per, text):
    assert wording.average(value, per) == text


@given(value=st.floats(0, 1e6), per=st.sampled_from([0.1, 0.7, 1.0, 3.0, 8.0, 100.0]))
def test_an_average_as_it_is_written_never_needs_another_number_of_replicas(value, per):
    text = wording.average(value, per)
    exact = ceil(round(value / per, 6))
    if text == "under 0.01":
        assert 0 < value < 0.01
    elif text.startswith("over "):
        assert ceil(round(float(text.removeprefix("over ")) / per, 6)) < exact
    else:
        assert ceil(round(float(text) / per, 6)) == exact


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.3, "under 1 s"),
        (6, "6 s"),
        (60, "60 s"),
        (81, "1 min 21 s"),
        (120, "2 min"),
        (3599.7, "1 h"),
        (3660, "1 h 1 min"),
        (90_000, "25 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, text):
    assert wording.duration(seconds) == text


def test_two_durations_that_are_compared_have_one_unit():
    assert wording.compared(6, 92) == ("6 s", "92 s")
    assert wording.compared(74, 92) == ("1 min 14 s", "1 min 32 s")
    assert wording.compared(6, 200) == ("6 s", "3 min 20 s")


def test_a_time_has_a_date_if_it_is_not_today():
    now = at("14:35:02")
    assert wording.clock(at("13:52:10"), now, CET) == "13:52:10"
    assert wording.clock(now - 2 * 86_400, now, CET) == "29 Nov, 14:35"
    assert wording.clock(now - 366 * 86_400, now, CET) == "30 Nov 2025, 14:35"
    assert wording.clock(now, now, UTC) == "13:35:02"


def test_a_time_that_a_person_has_set_names_its_zone():
    now = at("14:35:02")
    assert wording.appointed(at("18:00:00"), now, CET) == "18:00 CET"
    assert wording.appointed(at("18:00:30") + 86_400, now, CET) == "2 Dec, 18:00:30 CET"


def test_the_zone_is_that_of_the_time():
    summer = at("14:35:02") - 150 * 86_400
    assert wording.zone_of(at("14:35:02"), ZoneInfo("Europe/Berlin")) == ("CET", 3600)
    assert wording.zone_of(summer, ZoneInfo("Europe/Berlin")) == ("CEST", 7200)


def test_texts_of_others_become_sentences():
    assert wording.sentence("gateway gw-1 does not report") == "Gateway gw-1 does not report."
    assert wording.sentence("") == ""
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.ordinal(11) == "number 11"
