"""Sums over gateways with a roster: when one is whole, and what held slots add to it."""

import json

import pytest

from autoscaler.sources.gateway_aggregate import InflightAggregate
from autoscaler.sources.gateway_protocol import MalformedLineError, parse_line

A = "ns/a"


def count(queued=0, running=0, seconds_total=0.0, **more):
    return {"queued": queued, "running": running, "seconds_total": seconds_total, **more}


def line(name, epoch, members, services, *, life="1"):
    roster = {} if epoch is None else {"name": name, "epoch": epoch, "members": list(members)}
    return json.dumps({"gateway": f"{name}-{life}", "started": 1.0, "services": services} | roster).encode()


class Gateways:
    """Gateways a, b, ... at the addresses a:9, b:9, ...; each sends lines at one time after the other."""

    def __init__(self, names="abc"):
        self.aggregate = InflightAggregate(silent_s=3, history_s=60)
        self.now_s = 0.0
        for name in names:
            self.aggregate.add(f"{name}:9")
            self.aggregate.connected(f"{name}:9")

    def report(self, name, epoch, members, service, **more):
        self.aggregate.take(f"{name}:9", line(name, epoch, members, {A: service}, **more), self.now_s)

    def later(self, seconds):
        self.now_s += seconds

    @property
    def reading(self):
        return self.aggregate.readings([A], self.now_s)[A]

    @property
    def problem(self):
        return self.reading.problem


def test_a_sum_is_whole_when_all_members_of_the_highest_epoch_report():
    gateways = Gateways()
    gateways.report("a", 2, "ab", count(running=2))
    assert gateways.reading.value == 2
    assert gateways.problem == (
        "gateway b does not report: it is a member, and no known gateway has reported under this name; "
        "gateway b:9 does not report: no connection yet; gateway c:9 does not report: no connection yet"
    )
    gateways.report("b", 2, "ab", count(queued=1))
    assert gateways.reading == (3, 0, 2, "")


def test_a_gateway_that_is_known_and_never_was_a_member_is_not_missing():
    gateways = Gateways()
    gateways.report("a", 1, "a", count(running=2))
    assert gateways.reading == (2, 0, 1, "")
    assert gateways.aggregate.all_report(0)
    assert gateways.aggregate.expected(0) == 1


def test_a_member_whose_last_line_is_of_an_earlier_epoch_makes_the_sum_a_part():
    gateways = Gateways("ab")
    gateways.report("a", 2, "ab", count(running=2))
    gateways.report("b", 1, "b", count(running=1))
    assert gateways.reading == (3, 0, 2, "gateway b has not reported epoch 2 yet")


def test_a_member_without_a_known_address_makes_the_sum_a_part():
    gateways = Gateways("a")
    gateways.report("a", 2, "ab", count(running=2))
    assert "gateway b does not report: it is a member" in gateways.problem


def test_a_killed_gateway_is_missed_until_it_is_written_out_and_its_held_slots_count_from_then_on():
    gateways = Gateways("ab")
    gateways.report("a", 2, "ab", count(running=1, pods={"p": 1}))
    gateways.report("b", 2, "ab", count(running=2, queued=4, pods={"q": 2}))
    gateways.later(4)
    gateways.report("a", 2, "ab", count(running=1, pods={"p": 1}))
    assert gateways.reading == (1, 4, 1, "gateway b does not report: it went silent")
    assert gateways.aggregate.pods(A, 4) == {"p": 1, "q": 2}
    gateways.report("a", 3, "a", count(running=1, pods={"p": 1}, held={"q": 2}))
    assert gateways.reading == (3, 4, 1, "")
    assert gateways.aggregate.pods(A, 4) == {"p": 1, "q": 2}
    gateways.report("a", 3, "a", count(running=1, pods={"p": 1}))
    assert gateways.reading == (1, 4, 1, "")
    assert gateways.aggregate.pods(A, 4) == {"p": 1}


def test_a_written_out_gateway_that_still_reports_counts_once_beside_the_slots_that_are_held_for_it():
    gateways = Gateways("ab")
    gateways.report("b", 3, "a", count(queued=1, running=2, pods={"q": 2}))
    gateways.report("a", 3, "a", count(running=1, pods={"p": 1}, held={"q": 3}))
    assert gateways.reading.value == 1 + 3 + 3 - 2
    assert gateways.aggregate.pods(A, 0) == {"p": 1, "q": 3}
    assert gateways.problem == ""


def test_a_request_that_waited_at_a_lost_gateway_and_may_have_started_since_makes_the_sum_a_part():
    gateways = Gateways("ab")
    gateways.report("b", 2, "ab", count(queued=1, running=1, pods={"q": 1}))
    gateways.report("a", 3, "a", count(held={"q": 2}))
    assert gateways.reading == (2, 0, 2, "of 1 held slots, 1 may be of requests that wait by an earlier line")
    gateways.later(4)
    gateways.report("a", 3, "a", count(held={"q": 2}))
    assert gateways.reading == (2, 4, 1, "")


def test_the_slots_of_one_lost_gateway_are_not_those_of_a_member_on_the_same_pod():
    gateways = Gateways("ab")
    gateways.report("a", 3, "ab", count(running=1, pods={"p": 1}, held={"p": 1}))
    gateways.report("b", 3, "ab", count(running=1, pods={"p": 1}))
    assert gateways.reading.value == 3
    assert gateways.aggregate.pods(A, 0) == {"p": 3}


def test_a_former_owner_that_still_holds_slots_adds_nothing_to_those_of_the_owner():
    gateways = Gateways("ab")
    gateways.report("a", 3, "ab", count(held={"p": 1, "q": 1}))
    gateways.report("b", 3, "ab", count(held={"p": 1}))
    assert gateways.reading.value == 2


def test_held_slots_of_an_earlier_epoch_do_not_count():
    """Their gateway may have been let in since, and reports them itself."""
    gateways = Gateways("ab")
    gateways.report("a", 3, "a", count(held={"p": 1}))
    gateways.report("b", 4, "ab", count(running=1, pods={"p": 1}))
    assert gateways.reading.value == 1
    assert gateways.problem == "gateway a has not reported epoch 4 yet"


def test_a_gateway_that_joins_or_drains_counts_without_being_a_member():
    gateways = Gateways("ab")
    gateways.report("a", 3, "a", count(running=1))
    gateways.report("b", 0, "", count(queued=2))
    assert gateways.reading == (3, 0, 2, "")
    assert gateways.aggregate.expected(0) == 2


def test_a_gateway_without_peers_that_falls_silent_is_missed_beside_a_roster():
    gateways = Gateways("ab")
    gateways.report("b", None, "", count(running=2, pods={"q": 2}))
    gateways.report("a", 1, "a", count(running=1))
    assert gateways.reading == (3, 0, 2, "")
    gateways.later(4)
    gateways.report("a", 1, "a", count(running=1))
    assert gateways.reading == (1, 4, 1, "gateway b:9 does not report: it went silent")
    assert gateways.aggregate.pods(A, 4) == {"q": 2}


def test_gateways_that_differ_about_the_members_of_an_epoch_are_all_needed():
    gateways = Gateways("ab")
    gateways.report("a", 3, "a", count(running=1))
    gateways.report("b", 3, "b", count(running=1))
    assert gateways.problem == ""
    gateways.later(4)
    gateways.report("a", 3, "a", count(running=1))
    assert gateways.problem == "", "b is no member by the only roster that is reported"
    gateways.report("b", 3, "bc", count(running=1))
    assert "gateway c does not report" in gateways.problem


def test_a_gateway_with_the_name_of_another_life_is_the_new_life():
    gateways = Gateways("ab")
    gateways.report("b", 2, "ab", count(running=2, pods={"q": 2}))
    gateways.report("a", 3, "ab", count(held={"q": 2}))
    assert gateways.reading.value == 2
    assert gateways.problem == "gateway b has not reported epoch 3 yet"
    gateways.aggregate.connected("b:9")
    gateways.report("b", 3, "ab", count(running=1, pods={"q": 1}), life="2")
    assert gateways.reading == (3, 0, 2, "")


def test_a_garbled_member_is_missed():
    gateways = Gateways("ab")
    gateways.report("a", 2, "ab", count(running=1))
    gateways.report("b", 2, "ab", count(running=1))
    with pytest.raises(MalformedLineError):
        gateways.aggregate.take("b:9", b"{}", 0)
    gateways.aggregate.failed("b:9", "it sent nonsense")
    assert gateways.reading == (1, 0, 1, "gateway b does not report: it sent nonsense")


# Drains.


def test_a_pod_is_drained_when_all_members_have_confirmed_it_and_a_lost_gateway_has_not():
    gateways = Gateways()
    gateways.report("a", 2, "ab", count(draining=["p"]))
    gateways.report("b", 2, "ab", count())
    assert gateways.aggregate.undrained(A, ["p"], 0) == "gateway b has not confirmed that it sends p nothing more"
    gateways.report("b", 2, "ab", count(draining=["p"]))
    assert gateways.aggregate.undrained(A, ["p"], 0) == ""


def test_a_member_that_does_not_report_confirms_no_drain():
    gateways = Gateways("a")
    gateways.report("a", 2, "ab", count(draining=["p"]))
    assert "gateway b does not report" in gateways.aggregate.undrained(A, ["p"], 0)


# Means.


def test_the_requests_of_a_gateway_that_left_stay_in_the_mean_of_the_time_before():
    gateways = Gateways("ab")
    gateways.report("a", 2, "ab", count(running=1))
    gateways.report("b", 2, "ab", count(running=4))
    gateways.later(1)
    gateways.report("b", 2, "ab", count(seconds_total=4.0))
    gateways.report("a", 3, "a", count(running=1, seconds_total=1.0))
    gateways.aggregate.remove("b:9")
    gateways.later(1)
    gateways.report("a", 3, "a", count(running=1, seconds_total=2.0))
    assert gateways.aggregate.mean(A, 0, 2) == (2 + 4) / 2
    assert gateways.aggregate.mean(A, 1, 2) == 1


def test_a_killed_gateway_ran_what_it_ran_until_its_last_line():
    gateways = Gateways("ab")
    gateways.report("a", 2, "ab", count())
    gateways.report("b", 2, "ab", count(running=3))
    gateways.later(1)
    gateways.report("b", 2, "ab", count(running=3, seconds_total=3.0))
    gateways.later(5)
    gateways.report("a", 3, "a", count())
    assert gateways.aggregate.mean(A, 0, 6) == 3 / 6


def test_a_mean_is_unknown_while_slots_are_held():
    gateways = Gateways("a")
    gateways.report("a", 3, "a", count(held={"p": 1}))
    gateways.later(1)
    assert gateways.aggregate.mean(A, 0, 1) is None
    gateways.report("a", 3, "a", count())
    assert gateways.aggregate.mean(A, 0, 1) == 0


def test_a_mean_from_before_a_newcomer_reported_is_unknown():
    gateways = Gateways("ab")
    gateways.report("a", 1, "a", count())
    gateways.later(1)
    gateways.report("b", 0, "", count())
    gateways.later(1)
    assert gateways.aggregate.mean(A, 0, 2) is None
    assert gateways.aggregate.mean(A, 1, 2) == 0


def test_a_gateway_that_left_is_forgotten_with_the_history():
    gateways = Gateways("ab")
    gateways.report("a", 1, "a", count())
    gateways.report("b", 1, "a", count(running=1))
    gateways.aggregate.remove("b:9")
    for _ in range(61):
        gateways.later(1)
        gateways.report("a", 1, "a", count())
    assert not gateways.aggregate._removed


# Lines.


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": -1},
        {"epoch": "3"},
        {"epoch": None},
        {"name": ""},
        {"name": None},
        {"members": "ab"},
        {"members": [1]},
        {"services": {A: count(held={"p": -1})}},
        {"services": {A: count(held=["p"])}},
    ],
    ids=str,
)
def test_a_roster_or_a_held_slot_that_is_none_is_garbled(change):
    document = json.loads(line("a", 3, "ab", {A: count()}))
    assert parse_line(json.dumps(document).encode()).membership == ("a", 3, ("a", "b"))
    with pytest.raises(MalformedLineError):
        parse_line(json.dumps(document | change).encode())


def test_an_epoch_without_a_name_is_garbled():
    with pytest.raises(MalformedLineError, match="'name'"):
        parse_line(b'{"gateway": "a", "started": 1, "services": {}, "epoch": 1, "members": ["a"]}')
