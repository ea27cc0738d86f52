import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.gateway_aggregate import InflightAggregate
from autoscaler.sources.gateway_protocol import MalformedLineError

A = "ns/a"
B = "ns/b"


def count(queued=0, running=0, seconds_total=0.0, **more):
    return {"queued": queued, "running": running, "seconds_total": seconds_total, **more}


def line(services, gateway="g1", started=1.0):
    return json.dumps({"gateway": gateway, "started": started, "services": services}).encode()


def tally_of(*addresses):
    aggregate = InflightAggregate(silent_s=3, history_s=60)
    for address in addresses:
        aggregate.add(address)
    return aggregate


def read(aggregate, now_s, service=A):
    return aggregate.readings([service], now_s)[service]


def whole(aggregate, address, services, at_s, *, gateway=None, started=1.0):
    """Give a gateway's first line on a new connection."""
    aggregate.connected(address)
    return aggregate.take(address, line(services, gateway or address, started), at_s).wakes


def change(aggregate, address, services, at_s):
    return aggregate.take(address, line(services, address), at_s).wakes


def test_without_gateways_nothing_is_known():
    assert read(tally_of(), 0).value is None
    assert read(tally_of(), 0).problem == "no gateway is known"


def test_a_gateway_is_awaited_until_its_first_line():
    aggregate = InflightAggregate(silent_s=3, history_s=60)
    aggregate.add("g1", 10)
    aggregate.add("g2", 10)
    whole(aggregate, "g1", {}, 11)
    aggregate.failed("g2", "no connection (refused)")
    assert aggregate.awaited(11, patience_s=3) == "gateway g2 has not reported yet: no connection (refused)"
    whole(aggregate, "g2", {}, 12)
    assert aggregate.awaited(12, patience_s=3) == ""


def test_a_gateway_that_is_down_is_awaited_for_so_long_and_no_longer():
    aggregate = InflightAggregate(silent_s=3, history_s=60)
    aggregate.add("g1", 10)
    assert aggregate.awaited(13, patience_s=3) == "gateway g1 has not reported yet: no connection yet"
    assert aggregate.awaited(13.1, patience_s=3) == ""


def test_one_that_sent_garbage_only_has_not_been_heard_and_one_that_fell_silent_has():
    aggregate = InflightAggregate(silent_s=3, history_s=60)
    aggregate.add("g1", 10)
    with pytest.raises(MalformedLineError):
        aggregate.take("g1", b"?", 11)
    assert aggregate.awaited(11, patience_s=100) != ""
    whole(aggregate, "g1", {}, 12)
    assert aggregate.awaited(90, patience_s=100) == ""


def test_a_gateway_that_becomes_known_later_is_awaited_from_then_on():
    aggregate = InflightAggregate(silent_s=3, history_s=60)
    assert aggregate.awaited(0, patience_s=3) == ""
    aggregate.add("g1", 100)
    assert aggregate.awaited(100, patience_s=3) != ""


def test_queued_and_running_requests_are_in_flight():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2, 5)}, 10)
    assert read(aggregate, 11) == (7, 10, 1, "")


def test_those_that_wait_are_known_while_every_gateway_reports():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(2, 1)}, 10)
    assert aggregate.queued(A, 10) is None
    whole(aggregate, "g2", {A: count(3, 4)}, 10)
    assert (aggregate.queued(A, 11), aggregate.queued(B, 11), aggregate.queued(A, 14)) == (5, None, None)


def test_gateways_are_added_up_and_the_oldest_word_gives_the_age():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(2, 5)}, 10)
    whole(aggregate, "g2", {A: count(0, 1)}, 11)
    assert read(aggregate, 12) == (8, 10, 2, "")


def test_a_change_replaces_only_what_it_names():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2), B: count(3)}, 10)
    change(aggregate, "g1", {A: count(4)}, 11)
    assert (read(aggregate, 11, A).value, read(aggregate, 11, B).value) == (4, 3)


def test_a_gateway_never_heard_makes_the_sum_a_part():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(2)}, 10)
    assert read(aggregate, 10).value == 2
    assert read(aggregate, 10).problem == "gateway g2 does not report: no connection yet"


def test_a_gateway_that_fell_silent_makes_the_sum_a_part():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(2)}, 10)
    whole(aggregate, "g2", {A: count(5)}, 12)
    assert read(aggregate, 13) == (7, 10, 2, "")
    assert read(aggregate, 13.5) == (5, 12, 1, "gateway g1 does not report: it went silent")


def test_a_count_from_silent_gateways_alone_is_unknown():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2)}, 10)
    assert read(aggregate, 14).value is None


def test_an_empty_line_keeps_a_gateway_heard():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2)}, 10)
    change(aggregate, "g1", {}, 12)
    assert read(aggregate, 14) == (2, 12, 1, "")


def test_a_connection_that_just_ended_is_believed_until_it_is_too_old():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2)}, 10)
    aggregate.failed("g1", "it closed the stream")
    assert read(aggregate, 12) == (2, 10, 1, "")
    assert read(aggregate, 14).problem == "gateway g1 does not report: it closed the stream"


def test_a_gateway_that_does_not_know_a_service_counts_zero_for_it():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(2)}, 10)
    whole(aggregate, "g2", {}, 10)
    assert read(aggregate, 10) == (2, 10, 1, "")


def test_a_service_that_no_gateway_knows_is_unknown():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {B: count(1)}, 10)
    assert read(aggregate, 10).value is None
    assert "no gateway knows ns/a" in read(aggregate, 10).problem


def test_what_a_new_whole_state_does_not_name_is_gone():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2), B: count(1)}, 10)
    whole(aggregate, "g1", {B: count(1)}, 11)
    assert read(aggregate, 11).value is None
    assert aggregate.mean(A, 10, 11) is None


def test_a_garbled_line_takes_back_all_that_a_gateway_said_until_its_next_whole_state():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2)}, 10)
    with pytest.raises(MalformedLineError):
        aggregate.take("g1", b'{"gateway": "g1", "started": 1, "services": {"ns/a": {"queued": -1}}}', 11)
    aggregate.failed("g1", "it sent nonsense")
    assert read(aggregate, 11) == (None, 11, 0, "gateway g1 does not report: it sent nonsense")
    whole(aggregate, "g1", {A: count(3)}, 12)
    assert read(aggregate, 12) == (3, 12, 1, "")


def test_another_gateway_on_the_same_connection_is_garbled():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(2)}, 10)
    with pytest.raises(MalformedLineError, match="another gateway"):
        aggregate.take("g1", line({A: count(9)}, "g2"), 11)
    assert read(aggregate, 11).value is None


def test_a_gateway_known_by_two_addresses_counts_once():
    aggregate = tally_of("127.0.0.1:9", "localhost:9")
    whole(aggregate, "127.0.0.1:9", {A: count(2, 0, 1.0, pods={"p": 1})}, 10, gateway="same")
    whole(aggregate, "localhost:9", {A: count(2, 0, 1.0, pods={"p": 1})}, 10, gateway="same")
    assert read(aggregate, 10).value == 2
    assert aggregate.mean(A, 10, 11) == 2
    assert aggregate.pods(A, 10) == {"p": 1}


def test_a_removed_gateway_is_missed_by_nobody():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(2)}, 10)
    aggregate.remove("g2")
    assert read(aggregate, 10) == (2, 10, 1, "")


def test_a_mean_is_the_integral_over_its_time():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(running=1, seconds_total=100)}, 10)
    change(aggregate, "g1", {A: count(running=5, seconds_total=101)}, 11)
    change(aggregate, "g1", {A: count(running=0, seconds_total=106)}, 12)
    assert aggregate.mean(A, 10, 14) == 6 / 4
    assert aggregate.mean(A, 10.5, 11.5) == 0.5 + 2.5
    assert aggregate.mean(A, 12, 13) == 0


def test_a_burst_between_two_lines_is_in_the_mean():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(seconds_total=0)}, 10)
    change(aggregate, "g1", {A: count(seconds_total=3)}, 11)
    assert aggregate.mean(A, 10, 12) == 1.5


def test_the_means_of_all_gateways_are_added_up():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(running=1)}, 10)
    whole(aggregate, "g2", {A: count(running=2)}, 10)
    assert aggregate.mean(A, 10, 12) == 3


def test_a_restarted_gateway_counts_anew():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(seconds_total=1000)}, 10)
    whole(aggregate, "g1", {A: count(seconds_total=3)}, 12, started=11)
    assert aggregate.mean(A, 10, 12) == 1.5


def test_a_restarted_gateway_counts_anew_even_if_it_has_counted_more_since():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(seconds_total=5)}, 10)
    whole(aggregate, "g1", {A: count(seconds_total=8)}, 14, started=11)
    assert aggregate.mean(A, 10, 14) == 2


def test_a_restart_under_load_is_no_dip():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(running=4, seconds_total=40)}, 10)
    whole(aggregate, "g1", {A: count(running=4, seconds_total=0)}, 12, started=12)
    assert aggregate.mean(A, 12, 14) == 4


def test_a_total_that_falls_within_one_life_counts_from_zero():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(seconds_total=50)}, 10)
    change(aggregate, "g1", {A: count(seconds_total=2)}, 12)
    assert aggregate.mean(A, 10, 12) == 1


def test_a_mean_is_exact_over_a_lost_connection():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(running=1, seconds_total=10)}, 10)
    assert aggregate.mean(A, 10, 16) is None
    whole(aggregate, "g1", {A: count(running=1, seconds_total=40)}, 20)
    assert aggregate.mean(A, 10, 20) == 3


def test_a_mean_from_before_a_gateway_was_heard_is_unknown():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count()}, 10)
    whole(aggregate, "g2", {}, 12)
    assert aggregate.mean(A, 11, 13) is None
    assert aggregate.mean(A, 12, 13) == 0


def test_a_mean_without_one_of_the_gateways_is_unknown():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count()}, 10)
    assert aggregate.mean(A, 10, 11) is None


def test_a_mean_over_no_time_is_unknown():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count()}, 10)
    assert aggregate.mean(A, 10, 10) is None


def test_a_service_that_appears_later_had_no_requests_before():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {}, 10)
    change(aggregate, "g1", {A: count(running=2, seconds_total=0)}, 12)
    assert aggregate.mean(A, 10, 14) == 1


def test_a_service_that_never_had_a_request_has_a_mean_of_nothing_and_then_of_its_first_ones():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(), B: count(seconds_total=3.0)}, 0)
    change(aggregate, "g1", {}, 9)
    assert [aggregate.mean(name, 1, 9) for name in (A, B)] == [0, 0]
    change(aggregate, "g1", {A: count(queued=1), B: count(queued=1, seconds_total=3.0)}, 10)
    change(aggregate, "g1", {A: count(queued=1, seconds_total=2.0), B: count(queued=1, seconds_total=5.0)}, 12)
    assert [aggregate.mean(name, 8, 12) for name in (A, B)] == [0.5, 0.5]


def test_a_mean_reaches_as_far_as_the_history_and_no_further():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(running=1)}, 0)
    for second in range(1, 1001):
        change(aggregate, "g1", {A: count(running=1, seconds_total=second)}, second)
    assert aggregate.mean(A, 940, 1000) == 1
    assert aggregate.mean(A, 0, 1000) is None


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

    aggregate = InflightAggregate(silent_s=1e9, history_s=1e9)
    aggregate.add("g1")
    aggregate.connected("g1")
    for at_s, running in changes:
        aggregate.take("g1", line({A: count(running=running, seconds_total=integral(at_s))}), at_s)
    times = sorted({0.0, end_s, *(observation for observation in observations if observation < end_s)})
    for since_s, now_s in pairwise(times):
        wanted = (integral(now_s) - integral(since_s)) / (now_s - since_s)
        assert aggregate.mean(A, since_s, now_s) == pytest.approx(wanted, abs=1e-6)


def test_pods_are_added_up_over_gateways():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(running=3, pods={"p1": 2, "p2": 1})}, 10)
    whole(aggregate, "g2", {A: count(running=1, pods={"p1": 1})}, 10)
    assert aggregate.pods(A, 10) == {"p1": 3, "p2": 1}
    assert aggregate.pods(B, 10) == {}


def test_pods_of_a_silent_gateway_may_still_be_busy():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(running=1, pods={"p1": 1})}, 10)
    assert read(aggregate, 20).value is None
    assert aggregate.pods(A, 20) == {"p1": 1}


def test_uncounted_requests_are_counted_apart():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(passed_total=100)}, 10)
    whole(aggregate, "g2", {A: count(passed_total=7)}, 10)
    change(aggregate, "g1", {A: count(passed_total=105)}, 12)
    assert aggregate.passing(A, 10, 12) == 5
    assert aggregate.passing(A, 12, 13) == 0
    assert read(aggregate, 12).value == 0


def served(arrived, finished, served_s, **more):
    totals = {"arrived_total": arrived, "finished_total": finished, "served_seconds_total": served_s}
    return count(**{"seconds_total": served_s, **totals, **more})


def test_what_arrived_and_finished_is_summed_over_gateways_and_over_their_restarts():
    aggregate = tally_of("g1", "g2")
    assert aggregate.requests(A, 10, 12) is None
    whole(aggregate, "g1", {A: served(7, 5, 100.0)}, 10)
    whole(aggregate, "g2", {A: served(3, 3, 60.0)}, 10)
    change(aggregate, "g1", {A: served(9, 6, 130.0)}, 12)
    change(aggregate, "g2", {A: served(3, 3, 60.0)}, 12)
    assert aggregate.requests(A, 10, 12) == (2, 1, 30.0)
    whole(aggregate, "g1", {A: served(1, 0, 0.0)}, 14, started=13)
    change(aggregate, "g2", {A: served(4, 3, 60.0)}, 14)
    assert aggregate.requests(A, 12, 14) == (2, 0, 0.0)


def test_a_gateway_that_does_not_tell_what_finished_makes_the_sum_unknown():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: served(7, 5, 100.0)}, 10)
    whole(aggregate, "g2", {A: count(seconds_total=9.0)}, 10)
    assert aggregate.requests(A, 10, 11) is None
    change(aggregate, "g2", {A: served(1, 0, 9.0)}, 11)
    assert aggregate.requests(A, 11, 12) == (0, 0, 0.0)


def test_an_uncounted_request_that_is_held_counts_for_as_long_as_it_is():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(holding_pass=2, passed_total=2)}, 10)
    assert aggregate.passing(A, 11, 12) == 2
    change(aggregate, "g1", {A: count(holding_pass=0, passed_total=2)}, 12)
    assert aggregate.passing(A, 11, 12) == 0


def test_an_uncounted_request_that_is_merely_open_does_not_count():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(passing=1, passed_total=1)}, 10)
    assert aggregate.passing(A, 11, 12) == 0


def test_uncounted_requests_of_a_restarted_gateway_count_anew():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(passed_total=100)}, 10)
    whole(aggregate, "g1", {A: count(passed_total=3)}, 12, started=11)
    assert aggregate.passing(A, 10, 12) == 3


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
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: before, B: count()}, 10)
    assert change(aggregate, "g1", {A: after, B: count()}, 11) == ([A] if rises else [])


def test_the_first_whole_state_rises_where_requests_are_in_flight():
    assert whole(tally_of("g1"), "g1", {A: count(1), B: count()}, 10) == [A]


def test_what_another_gateway_serves_already_is_no_rise_from_zero():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(running=1)}, 10)
    assert whole(aggregate, "g2", {A: count(running=1)}, 10) == []


def test_after_a_silence_what_is_in_flight_rises_anew():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count(running=1)}, 10)
    assert whole(aggregate, "g1", {A: count(running=1)}, 20) == [A]


# Drains.


def test_a_pod_is_drained_when_every_gateway_that_knows_its_service_has_said_so():
    aggregate = tally_of("g1", "g2")
    whole(aggregate, "g1", {A: count(draining=["p", "q"])}, 0)
    whole(aggregate, "g2", {A: count(draining=["q"])}, 0)
    assert aggregate.undrained(A, ["q"], 1) == ""
    assert aggregate.undrained(A, ["p", "q"], 1) == "gateway g2 has not confirmed that it sends p nothing more"
    change(aggregate, "g2", {A: count(draining=["p", "q"])}, 1)
    assert aggregate.undrained(A, ["p", "q"], 1) == ""
    assert aggregate.undrained(A, [], 1) == ""


def test_a_gateway_that_does_not_know_the_service_sends_its_pods_nothing():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {B: count()}, 0)
    assert aggregate.undrained(A, ["p"], 1) == ""


def test_a_gateway_that_does_not_report_confirms_nothing_whatever_it_said_before():
    aggregate = tally_of("g1")
    assert aggregate.undrained(A, ["p"], 1) == "gateway g1 does not report: no connection yet"
    whole(aggregate, "g1", {A: count(draining=["p"])}, 1)
    assert aggregate.undrained(A, ["p"], 4) == ""
    assert aggregate.undrained(A, ["p"], 5) == "gateway g1 does not report: it went silent"
    aggregate.remove("g1")
    assert aggregate.undrained(A, ["p"], 5) == ""


def test_a_confirmation_is_a_change():
    aggregate = tally_of("g1")
    whole(aggregate, "g1", {A: count()}, 0)
    assert aggregate.take("g1", line({A: count(draining=["p"])}), 1).changed == [A]
