"""The windows, against a plain oracle that keeps every record, and by what the specification says of them."""

import json
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from algorithms.windows import DelayWindow, LinearWindow, WeightedWindow, smoothing_of

START = 1_893_456_000


class PlainWindow:
    """All that was recorded and still counts, in a dict; sums are exact."""

    def __init__(self, window_s):
        self.window_s = window_s
        self.sums = {}
        self.first = None
        self.last = None

    def put(self, second, value, *, adds):
        if self.last is not None and second <= self.last - self.window_s:
            return
        if self.last is None or second - self.last >= self.window_s:
            self.sums, self.first, self.last = {}, second, second
        if second != self.last:
            self.first = second if self.first is None else min(self.first, second)
        self.last = max(self.last, second)
        self.sums[second] = Fraction(value) + (self.sums.get(second, 0) if adds else 0)

    def resize(self, window_s, second):
        if window_s == self.window_s:
            return
        stale = self.last is None or second - self.last > self.window_s
        self.sums = {} if stale else {at: self.sums[at] for at in self.sums if at > self.last - self.window_s}
        self.first = None if stale else self.last - self.window_s + 1
        self.window_s = window_s
        if self.last is not None:
            self.sums = {at: self.sums[at] for at in self.sums if at > self.last - window_s}

    def held(self, second):
        end = max(second, self.last)
        return {at: value for at, value in self.sums.items() if end - self.window_s < at <= self.last}

    def is_empty(self, second):
        return self.last is None or second - self.last > self.window_s

    def linear(self, second):
        if self.last is None or second - self.last >= self.window_s:
            return 0.0
        known = self.window_s if self.first is None else self.last - self.first + 1
        mean = Fraction(sum(self.held(second).values())) / min(known, self.window_s - max(0, second - self.last))
        scaled = Decimal(mean.numerator) / Decimal(mean.denominator) * 10**6
        return float(scaled.to_integral_value(ROUND_HALF_UP)) / 1e6

    def weighted(self, second):
        if self.last is None or second - self.last >= self.window_s:
            return 0.0
        newest, weight = max(second, self.last), smoothing_of(self.window_s)
        return sum(float(value) * weight * (1 - weight) ** (newest - at) for at, value in self.held(second).items())


sizes = st.sampled_from([1, 2, 3, 6, 7, 42, 60])
values = st.integers(0, 400).map(lambda quarters: quarters / 4)
shifts = st.one_of(st.integers(0, 2), st.integers(-70, 70))
events = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["record", "replace"]), shifts, values),
        st.tuples(st.just("resize"), shifts, sizes),
        st.tuples(st.just("read"), shifts, st.none()),
    ),
    max_size=40,
)


def play(window, plain, played, now):
    """Do the same to both, and give what each reads on the way, with the time at the end."""
    readings = []
    for kind, shift, value in played:
        second = now + shift
        if kind == "resize":
            window.resize(value, second)
            plain.resize(value, second)
        elif kind == "read":
            wanted = plain.linear if isinstance(window, LinearWindow) else plain.weighted
            readings.append(
                ((window.average(second), window.is_empty(second)), (wanted(second), plain.is_empty(second)))
            )
        else:
            getattr(window, kind)(second, value)
            plain.put(second, value, adds=kind == "record")
        now = max(now, second)
    return readings, now


@pytest.mark.parametrize("kind", [LinearWindow, WeightedWindow])
@given(size=sizes, played=events)
def test_a_window_reads_what_all_its_records_give(kind, size, played):
    readings, _ = play(kind(size), PlainWindow(size), played, START)
    for (average, empty), (wanted, wanted_empty) in readings:
        assert average == pytest.approx(wanted, rel=1e-12, abs=1e-9)
        assert empty == wanted_empty


@pytest.mark.parametrize("kind", [LinearWindow, WeightedWindow])
@given(size=sizes, before=events, after=events)
def test_a_restored_window_goes_on_as_if_nothing_had_happened(kind, size, before, after):
    window, plain = kind(size), PlainWindow(size)
    _, now = play(window, plain, before, START)
    restored = kind(plain.window_s)
    restored.restore(json.loads(json.dumps(window.export())))
    ours, _ = play(window, PlainWindow(size), after, now)
    theirs, _ = play(restored, PlainWindow(size), after, now)
    assert [reading for reading, _ in theirs] == [reading for reading, _ in ours]
    assert restored.export() == window.export()


def test_a_window_restored_to_another_length_keeps_the_newest_seconds():
    long = LinearWindow(10)
    for age in range(10):
        long.record(START - age, 1.0 if age < 3 else 5.0)
    short = LinearWindow(3)
    short.restore(long.export())
    assert short.average(START) == 1.0


def test_a_state_of_another_version_is_refused():
    state = LinearWindow(6).export()
    with pytest.raises(ValueError, match=r"^window: version 99 "):
        LinearWindow(6).restore({**state, "version": 99})
    with pytest.raises(ValueError, match=r"^delay: version 99 "):
        DelayWindow(6).restore({**DelayWindow(6).export(), "version": 99})


def test_a_state_is_no_longer_than_what_is_known():
    window = LinearWindow(3600)
    window.record(START, 2.0)
    window.record(START + 1, 3.0)
    assert window.export()["sums"] == [2.0, 3.0]


def test_shares_of_one_second_are_added_up():
    window = LinearWindow(6)
    for share in (1.0, 2.0, 0.5):
        window.record(START, share)
    assert window.average(START) == 3.5


def test_a_total_that_is_replaced_is_not_added():
    window = LinearWindow(6)
    for total in (1.0, 2.0, 5.0):
        window.replace(START, total)
    assert window.average(START) == 5.0


gaps, lengths, loads = st.sampled_from([0, 0, 0, -2, 1, 7]), st.integers(0, 9), st.floats(0, 1e6)
fills = st.lists(st.tuples(gaps, lengths, loads, loads), max_size=40)


@given(size=sizes, fills=fills)
@example(size=1, fills=[(0, 0, 1.0, 1.0), (0, 1, 2.0, 3.0)])  # each second begins the window afresh
def test_seconds_filled_at_once_are_to_the_last_bit_those_replaced_one_by_one(size, fills):
    at_once, one_by_one, now = LinearWindow(size), LinearWindow(size), START
    for shift, length, value, newest in fills:
        seconds = range(now + shift, now + shift + length)
        at_once.fill(seconds, value, newest)
        for second in seconds:
            one_by_one.replace(second, value)
        one_by_one.replace(seconds.stop, newest)
        now = max(now, seconds.stop)
        assert at_once.export() == one_by_one.export()


def test_a_young_window_divides_by_the_age_of_its_data():
    window = LinearWindow(60)
    window.record(START, 6.0)
    window.record(START + 2, 6.0)
    assert window.average(START + 2) == 4.0


def test_a_hole_within_the_window_counts_as_zero():
    window = LinearWindow(6)
    for second in (0, 1, 4, 5):
        window.record(START + second, 6.0)
    assert window.average(START + 5) == 4.0


def test_silence_at_the_end_holds_the_value_until_a_window_has_passed():
    window = LinearWindow(6)
    for second in range(6):
        window.record(START + second, 6.0)
    assert [window.average(START + 5 + silence) for silence in range(8)] == [6.0] * 6 + [0.0] * 2


def test_all_shares_of_a_second_leave_the_window_with_it():
    window = LinearWindow(2)
    for second, share in ((0, 1.0), (0, 2.0), (1, 4.0), (2, 4.0)):
        window.record(START + second, share)
    assert window.average(START + 2) == 4.0


def test_a_window_without_records_holds_nothing():
    state = LinearWindow(6).export()
    assert (state["first"], state["last"], state["total"], state["sums"]) == (None, None, 0.0, [])


def test_late_data_between_first_and_last_leaves_the_age_as_it_is():
    window = LinearWindow(6)
    for second in (0, 3, 1):
        window.record(START + second, 4.0)
    assert window.average(START + 3) == 3.0


def test_late_data_is_the_first_of_a_window_that_was_resized_when_empty():
    window = LinearWindow(3)
    window.record(START, 9.0)
    window.resize(30, START + 10)
    window.record(START - 1, 6.0)
    assert window.average(START) == 3.0


def test_a_gap_of_a_whole_window_begins_afresh():
    window = LinearWindow(6)
    window.record(START, 3.0)
    window.record(START + 6, 4.0)
    assert window.average(START + 6) == 4.0


def test_a_window_is_empty_only_after_more_than_its_length():
    window = LinearWindow(6)
    assert window.is_empty(START)
    window.record(START, 1.0)
    assert not window.is_empty(START + 6)
    assert window.is_empty(START + 7)


def test_late_data_counts_in_its_own_second_and_makes_the_window_older():
    window = LinearWindow(6)
    window.record(START + 3, 8.0)
    window.record(START, 4.0)
    assert window.average(START + 3) == 3.0
    window.record(START - 3, 100.0)
    assert window.average(START + 3) == 3.0


def test_half_a_millionth_is_rounded_away_from_zero():
    up, down = LinearWindow(2), LinearWindow(2)
    for window, value in ((up, 1e-6), (down, -1e-6)):
        window.record(START, 0.0)
        window.record(START + 1, value)
    assert up.average(START + 1) == 1e-6
    assert down.average(START + 1) == -1e-6


def test_less_than_half_a_millionth_is_nothing():
    window = LinearWindow(2)
    window.record(START, 4.9e-7)
    assert window.average(START) == 0.0


def test_a_window_that_was_resized_divides_by_its_whole_former_length():
    window = LinearWindow(6)
    window.record(START, 12.0)
    assert window.average(START) == 12.0
    window.resize(60, START)
    assert window.average(START) == 2.0


def test_a_window_resized_after_it_ran_empty_keeps_what_is_still_written_to_its_last_second():
    window = LinearWindow(3)
    window.record(START, 9.0)
    window.resize(30, START + 10)
    window.record(START, 6.0)
    assert window.average(START) == 0.2
    window.record(START + 2, 6.0)
    restored = LinearWindow(30)
    restored.restore(window.export())
    assert [window.average(START + later) for later in (2, 12)] == [12.0, 12.0]
    assert [restored.average(START + later) for later in (2, 12)] == [12.0, 12.0]


@pytest.mark.parametrize(("slots", "smoothing"), [(1, 0.9999), (6, 0.785), (41, 0.2012), (42, 0.2), (3600, 0.2)])
def test_the_newest_second_weighs_more_in_a_short_window(slots, smoothing):
    assert smoothing_of(slots) == pytest.approx(smoothing, abs=5e-4)


def test_a_young_weighted_window_reads_too_little():
    window = WeightedWindow(60)
    window.record(START, 10.0)
    assert window.average(START) == pytest.approx(2.0)


def test_silence_decays_a_weighted_window():
    window = WeightedWindow(60)
    window.record(START, 10.0)
    assert window.average(START + 1) == pytest.approx(1.6)
    assert window.average(START + 59) > 0.0
    assert window.average(START + 60) == 0.0


@pytest.mark.parametrize("silence", [0, 2])
def test_each_second_of_a_weighted_window_weighs_by_its_age_wherever_its_slot_is(silence):
    window, weight = WeightedWindow(6), smoothing_of(6)
    for second in range(8):
        window.record(START + second, second + 1.0)
    ages = range(silence, 6)
    wanted = sum((8 + silence - age) * weight * (1 - weight) ** age for age in ages)
    assert window.average(START + 7 + silence) == pytest.approx(wanted, rel=1e-12)


def test_a_delay_falls_from_one_highest_number_to_the_next():
    window = DelayWindow(4)
    for slot, value in enumerate((5, 3, 1)):
        window.record(START + 2 * slot, value)
    assert [window.maximum(START + 2 * slot) for slot in (2, 3, 4)] == [3, 1, 0]


def test_a_delay_keeps_no_number_that_a_later_one_makes_idle():
    window = DelayWindow(60)
    for later_s, value in ((0, 3), (2, 3), (3, 2), (4, 1)):
        window.record(START + later_s, value)
    assert window.export()["maxima"] == [[START // 2 + 1, 3], [START // 2 + 2, 1]]


@given(
    delay_s=st.integers(1, 30),
    steps=st.lists(st.tuples(st.floats(0, 12), st.integers(0, 9), st.booleans()), max_size=40),
)
def test_a_delay_gives_the_highest_number_of_its_slots(delay_s, steps):
    window, recorded, now_s = DelayWindow(delay_s), [], float(START)
    slots = -(-delay_s // 2)
    for later_s, value, carried in steps:
        now_s += later_s
        window.record(now_s, value)
        recorded.append((now_s // 2, value))
        if carried:
            state, window = json.loads(json.dumps(window.export())), DelayWindow(delay_s)
            window.restore(state)
        assert window.maximum(now_s) == max(number for slot, number in recorded if slot > now_s // 2 - slots)


def test_a_delay_without_numbers_delays_nothing():
    window = DelayWindow(4)
    assert window.maximum(START) == 0
    window.record(START, 3)
    assert window.maximum(START + 2) == 3
    assert window.maximum(START + 4) == 0


def test_no_delay_still_takes_the_highest_of_one_slot():
    window = DelayWindow(0)
    window.record(START, 3)
    window.record(START + 1, 2)
    assert window.maximum(START + 1) == 3
    window.record(START + 2, 1)
    assert window.maximum(START + 2) == 1


def test_one_silent_second_takes_the_oldest_one_out_of_the_window():
    window = LinearWindow(3)
    for second, value in enumerate((9.0, 2.0, 4.0)):
        window.record(START + second, value)
    assert window.average(START + 3) == 3.0


def test_a_window_that_was_resized_when_empty_is_carried_to_another_process():
    window, restored = LinearWindow(3), LinearWindow(30)
    window.record(START, 9.0)
    window.resize(30, START + 10)
    restored.restore(window.export())
    restored.record(START - 1, 6.0)
    assert restored.average(START) == 3.0
