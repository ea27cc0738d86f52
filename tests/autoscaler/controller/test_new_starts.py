"""Starts of replicas that are over are given once."""

from autoscaler.accounts import StartTimes
from autoscaler.controller.new_starts import NewStarts
from autoscaler.ports import Fleet, Replica


def replica(name, took_s=None, *, ready=True, pool=""):
    return Replica(name, ready, 0, 100.0, pool, start=StartTimes((), took_s))


def starts(new_starts, *replicas, asked=None):
    fleet = Fleet(len(replicas) if asked is None else asked, replicas)
    return [tuple(each) for each in new_starts(fleet)]


def test_a_start_is_given_when_its_replica_is_first_seen_to_be_ready():
    new_starts = NewStarts()
    assert starts(new_starts, replica("a", ready=False)) == []
    assert starts(new_starts, replica("a", 60.0, pool="l4")) == [(60.0, "l4")]
    assert starts(new_starts, replica("a", 60.0, pool="l4")) == []
    assert starts(new_starts, replica("a", 60.0), replica("b", 4.0)) == [(4.0, "")]


def test_the_first_observation_has_those_of_all_that_run():
    assert starts(NewStarts(), replica("a", 60.0), replica("b", 62.0)) == [(60.0, ""), (62.0, "")]


def test_a_start_of_unknown_length_is_none():
    assert starts(NewStarts(), replica("a", None)) == []


def test_one_that_took_the_place_of_another_is_given_with_the_next_change():
    new_starts = NewStarts()
    starts(new_starts, replica("a", 60.0))
    assert starts(new_starts, replica("b", 61.0)) == []
    assert starts(new_starts, replica("b", 61.0), replica("c", ready=False)) == [(61.0, "")]
