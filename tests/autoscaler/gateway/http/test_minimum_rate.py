"""A sender is measured against a least rate: seconds in, patience out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.http.minimum_rate import ALLOWANCE_S, MinimumRate

RATE = 1000
HOURS_S = 3600.0


def survived_s(pace, pieces):
    """For how long a sender of such (bytes, seconds before them) is borne with."""
    passed_s = 0.0
    for number, waited_s in pieces:
        if waited_s > pace.left_s:
            return passed_s + pace.left_s
        passed_s += waited_s
        pace.received(number, waited_s)
    return passed_s


@given(st.floats(0.001, 9.9), st.integers(0, 10**6))
def test_a_client_that_keeps_the_rate_never_uses_up_its_allowance(every_s, more):
    number = int(every_s * RATE) + 1 + more
    pieces = [(number, every_s)] * int(HOURS_S)
    assert survived_s(MinimumRate(RATE), pieces) == pytest.approx(every_s * int(HOURS_S))


@given(st.integers(0, 9), st.floats(0.01, 9.0))
def test_a_client_below_the_rate_is_ended_in_bounded_time(tenths, every_s):
    number = int(every_s * RATE * tenths / 10)
    bound_s = ALLOWANCE_S / (1 - tenths / 10) + every_s
    assert survived_s(MinimumRate(RATE), [(number, every_s)] * 10**5) <= bound_s


@given(st.integers(0, 10**9))
def test_no_bytes_sent_before_buy_more_silence_than_ten_seconds(number):
    pace = MinimumRate(RATE)
    pace.received(number, 0.0)
    assert pace.left_s <= ALLOWANCE_S


def test_a_rate_of_0_asks_for_nothing():
    assert survived_s(MinimumRate(0), [(0, HOURS_S)] * 1000) == 1000 * HOURS_S
