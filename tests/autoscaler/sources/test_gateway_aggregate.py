import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.gateway_aggregate import InflightAggregate
from autoscaler.sources.gateway_protocol import GarbledLineError

A = "ns/a"
B = "ns/b"


def count(queued=0, running=0, seconds_total=0.0, **more):
    return {"queued": queued, "running": running, "seconds_total": seconds_total, **more}


def line(services, gateway="g1", started=1.0):
    return json.dumps({"gateway": gateway, "started": started, "services": services}).encode()


def tally_of(*addresses):
    tally = InflightAggregate(silent_s=3, history_s=60)
    for address in addresses:
        tally.add(address)
    return tally


def read(tally, now_s, service=A):
    return tally.readings([service], now_s)[service]


def whole(tally, address, services, at_s, *, gateway=None, started=1.0):
    """Give a gateway's first line on a new connection."""
    tally.connected(address)
    return tally.take(address, line(services, gateway or address, started), at_s).urgent


def change(tally, address, services, at_s):
    return tally.take(address, line(services, address), at_s).urgent


def test_without_gateways_nothing_is_known():
    assert read(tally_of(), 0).value is None
    assert read(tally_of(), 0).problem == "no gateway is known"


def test_a_gateway_is_awaited_until_its_first_line():
    tally = InflightAggregate(silent_s=3, history_s=60)
    tally.add("g1", 10)
    tally.add("g2", 10)
    whole(tally, "g1", {}, 11)
    tally.failed("g2", "no connection (refused)")
    assert tally.awaited(11, patience_s=3) == "gateway g2 has not been heard yet: no connection (refused)"
    whole(tally, "g2", {}, 12)
    assert tally.awaited(12, patience_s=3) == ""


def test_a_gateway_that_is_down_is_awaited_for_so_long_and_no_longer():
    tally = InflightAggregate(silent_s=3, history_s=60)
    tally.add("g1", 10)
    assert tally.awaited(13, patience_s=3) == "gateway g1 has not been heard yet: no connection yet"
    assert tally.awaited(13.1, patience_s=3) == ""


def test_one_that_sent_garbage_only_has_not_been_heard_and_one_that_fell_silent_has():
    tally = InflightAggregate(silent_s=3, history_s=60)
    tally.add("g1", 10)
    with pytest.raises(GarbledLineError):
        tally.take("g1", b"?", 11)
    assert tally.awaited(11, patience_s=100) != ""
    whole(tally, "g1", {}, 12)
    assert tally.awaited(90, patience_s=100) == ""


def test_a_gateway_that_becomes_known_later_is_awaited_from_then_on():
    tally = InflightAggregate(silent_s=3, history_s=60)
    assert tally.awaited(0, patience_s=3) == ""
    tally.add("g1", 100)
    assert tally.awaited(100, patience_s=3) != ""


def test_queued_and_running_requests_are_in_flight():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2, 5)}, 10)
    assert read(tally, 11) == (7, 10, 1, "")


def test_gateways_are_added_up_and_the_oldest_word_gives_the_age():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(2, 5)}, 10)
    whole(tally, "g2", {A: count(0, 1)}, 11)
    assert read(tally, 12) == (8, 10, 2, "")


def test_a_change_replaces_only_what_it_names():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2), B: count(3)}, 10)
    change(tally, "g1", {A: count(4)}, 11)
    assert (read(tally, 11, A).value, read(tally, 11, B).value) == (4, 3)


def test_a_gateway_never_heard_makes_the_sum_a_part():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(2)}, 10)
    assert read(tally, 10).value == 2
    assert read(tally, 10).problem == "gateway g2 is not heard: no connection yet"


def test_a_gateway_that_fell_silent_makes_the_sum_a_part():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(2)}, 10)
    whole(tally, "g2", {A: count(5)}, 12)
    assert read(tally, 13) == (7, 10, 2, "")
    assert read(tally, 13.5) == (5, 12, 1, "gateway g1 is not heard: it fell silent")


def test_a_count_from_silent_gateways_alone_is_unknown():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2)}, 10)
    assert read(tally, 14).value is None


def test_an_empty_line_keeps_a_gateway_heard():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2)}, 10)
    change(tally, "g1", {}, 12)
    assert read(tally, 14) == (2, 12, 1, "")


def test_a_connection_that_just_ended_is_believed_until_it_is_too_old():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2)}, 10)
    tally.failed("g1", "it closed the stream")
    assert read(tally, 12) == (2, 10, 1, "")
    assert read(tally, 14).problem == "gateway g1 is not heard: it closed the stream"


def test_a_gateway_that_does_not_know_a_service_counts_zero_for_it():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(2)}, 10)
    whole(tally, "g2", {}, 10)
    assert read(tally, 10) == (2, 10, 1, "")


def test_a_service_that_no_gateway_knows_is_unknown():
    tally = tally_of("g1")
    whole(tally, "g1", {B: count(1)}, 10)
    assert read(tally, 10).value is None
    assert "no gateway knows ns/a" in read(tally, 10).problem


def test_what_a_new_whole_state_does_not_name_is_gone():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2), B: count(1)}, 10)
    whole(tally, "g1", {B: count(1)}, 11)
    assert read(tally, 11).value is None
    assert tally.mean(A, 10, 11) is None


def test_a_garbled_line_takes_back_all_that_a_gateway_said_until_its_next_whole_state():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2)}, 10)
    with pytest.raises(GarbledLineError):
        tally.take("g1", b'{"gateway": "g1", "started": 1, "services": {"ns/a": {"queued": -1}}}', 11)
    tally.failed("g1", "it sent nonsense")
    assert read(tally, 11) == (None, 11, 0, "gateway g1 is not heard: it sent nonsense")
    whole(tally, "g1", {A: count(3)}, 12)
    assert read(tally, 12) == (3, 12, 1, "")


def test_another_gateway_on_the_same_connection_is_garbled():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(2)}, 10)
    with pytest.raises(GarbledLineError, match="another gateway"):
        tally.take("g1", line({A: count(9)}, "g2"), 11)
    assert read(tally, 11).value is None


def test_a_gateway_known_by_two_addresses_counts_once():
    tally = tally_of("127.0.0.1:9", "localhost:9")
    whole(tally, "127.0.0.1:9", {A: count(2, 0, 1.0, pods={"p": 1})}, 10, gateway="same")
    whole(tally, "localhost:9", {A: count(2, 0, 1.0, pods={"p": 1})}, 10, gateway="same")
    assert read(tally, 10).value == 2
    assert tally.mean(A, 10, 11) == 2
    assert tally.pods(A) == {"p": 1}


def test_a_removed_gateway_is_missed_by_nobody():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(2)}, 10)
    tally.remove("g2")
    assert read(tally, 10) == (2, 10, 1, "")


def test_a_mean_is_the_integral_over_its_time():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(running=1, seconds_total=100)}, 10)
    change(tally, "g1", {A: count(running=5, seconds_total=101)}, 11)
    change(tally, "g1", {A: count(running=0, seconds_total=106)}, 12)
    assert tally.mean(A, 10, 14) == 6 / 4
    assert tally.mean(A, 10.5, 11.5) == 0.5 + 2.5
    assert tally.mean(A, 12, 13) == 0


def test_a_burst_between_two_lines_is_in_the_mean():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(seconds_total=0)}, 10)
    change(tally, "g1", {A: count(seconds_total=3)}, 11)
    assert tally.mean(A, 10, 12) == 1.5


def test_the_means_of_all_gateways_are_added_up():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(running=1)}, 10)
    whole(tally, "g2", {A: count(running=2)}, 10)
    assert tally.mean(A, 10, 12) == 3


def test_a_restarted_gateway_counts_anew():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(seconds_total=1000)}, 10)
    whole(tally, "g1", {A: count(seconds_total=3)}, 12, started=11)
    assert tally.mean(A, 10, 12) == 1.5


def test_a_restarted_gateway_counts_anew_even_if_it_has_counted_more_since():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(seconds_total=5)}, 10)
    whole(tally, "g1", {A: count(seconds_total=8)}, 14, started=11)
    assert tally.mean(A, 10, 14) == 2


def test_a_restart_under_load_is_no_dip():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(running=4, seconds_total=40)}, 10)
    whole(tally, "g1", {A: count(running=4, seconds_total=0)}, 12, started=12)
    assert tally.mean(A, 12, 14) == 4


def test_a_total_that_falls_within_one_life_counts_from_zero():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(seconds_total=50)}, 10)
    change(tally, "g1", {A: count(seconds_total=2)}, 12)
    assert tally.mean(A, 10, 12) == 1


def test_a_mean_is_exact_over_a_lost_connection():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(running=1, seconds_total=10)}, 10)
    assert tally.mean(A, 10, 16) is None
    whole(tally, "g1", {A: count(running=1, seconds_total=40)}, 20)
    assert tally.mean(A, 10, 20) == 3


def test_a_mean_from_before_a_gateway_was_heard_is_unknown():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count()}, 10)
    whole(tally, "g2", {}, 12)
    assert tally.mean(A, 11, 13) is None
    assert tally.mean(A, 12, 13) == 0


def test_a_mean_without_one_of_the_gateways_is_unknown():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count()}, 10)
    assert tally.mean(A, 10, 11) is None


def test_a_mean_over_no_time_is_unknown():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count()}, 10)
    assert tally.mean(A, 10, 10) is None


def test_a_service_that_appears_later_had_no_requests_before():
    tally = tally_of("g1")
    whole(tally, "g1", {}, 10)
    change(tally, "g1", {A: count(running=2, seconds_total=0)}, 12)
    assert tally.mean(A, 10, 14) == 1


def test_a_service_that_never_had_a_request_has_a_mean_of_nothing_and_then_of_its_first_ones():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(), B: count(seconds_total=3.0)}, 0)
    change(tally, "g1", {}, 9)
    assert [tally.mean(name, 1, 9) for name in (A, B)] == [0, 0]
    change(tally, "g1", {A: count(queued=1), B: count(queued=1, seconds_total=3.0)}, 10)
    change(tally, "g1", {A: count(queued=1, seconds_total=2.0), B: count(queued=1, seconds_total=5.0)}, 12)
    assert [tally.mean(name, 8, 12) for name in (A, B)] == [0.5, 0.5]


def test_a_mean_reaches_as_far_as_the_history_and_no_further():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(running=1)}, 0)
    for second in range(1, 1001):
        change(tally, "g1", {A: count(running=1, seconds_total=second)}, second)
    assert tally.mean(A, 940, 1000) == 1
    assert tally.mean(A, 0, 1000) is None


@given(
    steps=st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 50)), min_size=1, max_size=30),
    observations=st.lists(st.floats(0.01, 20), min_size=1, max_size=10),
)
def test_means_of_looks_at_any_time_add_up_to_what_was_there(steps, observations):
    changes = [(0.0, 0)]
    for milliseconds, running in steps:
        changes.append((changes[-1][0] + milliseconds / 1000, running))
    end_s = changes[-1][0] + 1

    def integral(until_s):
        ends = [at_s for at_s, _ in changes[1:]] + [end_s]
        return sum(
            running * max(min(end, until_s) - start, 0) for (start, running), end in zip(changes, ends, strict=True)
        )

    tally = InflightAggregate(silent_s=1e9, history_s=1e9)
    tally.add("g1")
    tally.connected("g1")
    for at_s, running in changes:
        tally.take("g1", line({A: count(running=running, seconds_total=integral(at_s))}), at_s)
    times = sorted({0.0, end_s, *(observation for observation in observations if observation < end_s)})
    for since_s, now_s in pairwise(times):
        wanted = (integral(now_s) - integral(since_s)) / (now_s - since_s)
        assert tally.mean(A, since_s, now_s) == pytest.approx(wanted, abs=1e-6)


def test_pods_are_added_up_over_gateways():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(running=3, pods={"p1": 2, "p2": 1})}, 10)
    whole(tally, "g2", {A: count(running=1, pods={"p1": 1})}, 10)
    assert tally.pods(A) == {"p1": 3, "p2": 1}
    assert tally.pods(B) == {}


def test_pods_of_a_silent_gateway_may_still_be_busy():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(running=1, pods={"p1": 1})}, 10)
    assert read(tally, 20).value is None
    assert tally.pods(A) == {"p1": 1}


def test_uncounted_requests_are_counted_apart():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(passed_total=100)}, 10)
    whole(tally, "g2", {A: count(passed_total=7)}, 10)
    change(tally, "g1", {A: count(passed_total=105)}, 12)
    assert tally.passing(A, 10, 12) == 5
    assert tally.passing(A, 12, 13) == 0
    assert read(tally, 12).value == 0


def test_an_uncounted_request_that_is_held_counts_for_as_long_as_it_is():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(holding_pass=2, passed_total=2)}, 10)
    assert tally.passing(A, 11, 12) == 2
    change(tally, "g1", {A: count(holding_pass=0, passed_total=2)}, 12)
    assert tally.passing(A, 11, 12) == 0


def test_an_uncounted_request_that_is_merely_open_does_not_count():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(passing=1, passed_total=1)}, 10)
    assert tally.passing(A, 11, 12) == 0


def test_uncounted_requests_of_a_restarted_gateway_count_anew():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(passed_total=100)}, 10)
    whole(tally, "g1", {A: count(passed_total=3)}, 12, started=11)
    assert tally.passing(A, 10, 12) == 3


BUSY = count(1, 1, pods={"p": 1})


@pytest.mark.parametrize(
    ("before", "after", "rises"),
    [
        (count(), count(queued=1), True),
        (count(), count(running=1), True),
        (BUSY, count(2, 1, pods={"p": 1}), True),
        (BUSY, count(1, 5, pods={"p": 5}), False),
        (BUSY, count(0, 2, pods={"p": 2}), False),
        (BUSY, count(), False),
        (BUSY, BUSY, False),
        (count(), count(holding_pass=1), True),
        (count(holding_pass=1), count(holding_pass=2), False),
        (count(), count(passing=1, passed_total=1), False),
    ],
    ids=str,
)
def test_a_rise_is_a_longer_queue_or_anything_after_nothing(before, after, rises):
    tally = tally_of("g1")
    whole(tally, "g1", {A: before, B: count()}, 10)
    assert change(tally, "g1", {A: after, B: count()}, 11) == ([A] if rises else [])


def test_the_first_whole_state_rises_where_requests_are_in_flight():
    assert whole(tally_of("g1"), "g1", {A: count(1), B: count()}, 10) == [A]


def test_what_another_gateway_serves_already_is_no_rise_from_zero():
    tally = tally_of("g1", "g2")
    whole(tally, "g1", {A: count(running=1)}, 10)
    assert whole(tally, "g2", {A: count(running=1)}, 10) == []


def test_after_a_silence_what_is_in_flight_rises_anew():
    tally = tally_of("g1")
    whole(tally, "g1", {A: count(running=1)}, 10)
    assert whole(tally, "g1", {A: count(running=1)}, 20) == [A]
