"""Hints of several gateways: each tells its own, a lost one takes them with it, and none outlives its time."""

import json

import pytest

from autoscaler.controller.observe import StreamedCounts, observe
from autoscaler.ports import Fleet
from autoscaler.sources.gateway_aggregate import InflightAggregate
from autoscaler.sources.gateway_protocol import MalformedLineError

A = "ns/a"


def told(hinted=0, until_s=0.0, **more):
    counts = {"queued": 0, "running": 0, "seconds_total": 0.0}
    return counts | ({"hinted": hinted, "hinted_until": until_s} if hinted else {}) | more


def take(aggregate, gateway, counts, at_s, clock_s):
    """Let a gateway tell its counts at a time of ours, which is another one on its clock."""
    line = {"gateway": gateway, "started": 1.0, "at": clock_s, "services": {A: counts}}
    return aggregate.take(gateway, json.dumps(line).encode(), at_s)


def heard(*gateways):
    aggregate = InflightAggregate(silent_s=3, history_s=60)
    for gateway in gateways:
        aggregate.add(gateway)
        aggregate.connected(gateway)
    return aggregate


def test_the_hints_of_all_gateways_are_added_up_on_the_controllers_clock():
    aggregate = heard("g1", "g2")
    take(aggregate, "g1", told(2, 5040.0), 10.0, 5000.0)
    take(aggregate, "g2", told(1, 90.0), 10.0, 30.0)
    assert aggregate.hinted(A, 10.0) == (3, 60.0)


def test_a_gateway_that_falls_silent_takes_its_hints_with_it():
    aggregate = heard("g1", "g2")
    take(aggregate, "g1", told(2, 5040.0), 10.0, 5000.0)
    take(aggregate, "g2", told(1, 90.0), 13.0, 33.0)
    assert aggregate.hinted(A, 13.5) == (1, 56.5)
    aggregate.remove("g2")
    assert aggregate.hinted(A, 13.5) == (0, 0.0)


def test_a_hint_ends_with_its_time_also_if_its_gateway_says_nothing_more():
    aggregate = heard("g1")
    take(aggregate, "g1", told(2, 5002.0), 10.0, 5000.0)
    assert aggregate.hinted(A, 11.9)[0] == 2
    assert aggregate.hinted(A, 12.0) == (0, 0.0)


def test_more_hints_wake_the_controller_and_fewer_do_not():
    aggregate = heard("g1")
    assert take(aggregate, "g1", told(1, 100.0), 0.0, 0.0).wakes == [A]
    assert take(aggregate, "g1", told(1, 100.0), 1.0, 1.0).wakes == []
    assert take(aggregate, "g1", told(2, 100.0), 1.1, 1.1).wakes == [A]
    fewer = take(aggregate, "g1", told(1, 100.0), 1.2, 1.2)
    assert (fewer.wakes, fewer.changed) == ([], [A])
    assert take(aggregate, "g1", told(2, 100.0, queued=1), 1.3, 1.3).wakes == [A], "once for both"


@pytest.mark.parametrize("wrong", [{"hinted": -1}, {"hinted": "2"}, {"hinted": 1.5}, {"hinted_until": "x"}])
def test_a_line_whose_hints_are_no_numbers_is_malformed(wrong):
    with pytest.raises(MalformedLineError):
        take(heard("g1"), "g1", told() | wrong, 0.0, 0.0)


def test_an_observation_has_the_hints_and_an_older_gateway_has_none():
    aggregate = heard("g1")
    take(aggregate, "g1", told(), 0.0, 0.0)
    assert aggregate.hinted(A, 1.0) == (0, 0.0)
    seen = observe(2.0, 0.0, Fleet(0, ()), live=StreamedCounts(0.0, 0.0, hinted=2, hinted_s=40.0))
    assert (seen.hinted, seen.hinted_s) == (2.0, 40.0)
