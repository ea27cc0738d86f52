"""Whose number it is, told by value."""

import pytest

from autoscaler.kubernetes.objects import Scale
from autoscaler.targets.kubernetes_ownership import Ownership


def scale(replicas, version, writer=""):
    return Scale(replicas, str(version), (), writer)


@pytest.fixture
def ownership():
    made = Ownership(hold_s=300)
    assert not made.seen(scale(2, 10), 0.0, leading=True), "what is there at the beginning is taken over"
    return made


def write(ownership, replicas, version):
    ownership.begin_write(replicas)
    ownership.wrote(scale(replicas, version))
    ownership.end_write()


def test_our_own_write_is_ours_whether_its_event_comes_before_or_after_its_answer(ownership):
    ownership.begin_write(5)
    assert not ownership.seen(scale(5, 11), 1.0, leading=True)
    ownership.wrote(scale(5, 11))
    ownership.end_write()
    write(ownership, 3, 14)
    assert not ownership.seen(scale(3, 14), 2.0, leading=True)
    assert ownership.hold(2.0) is None


def lose(ownership, replicas):
    """Write, and hear no answer."""
    ownership.begin_write(replicas)
    ownership.end_write(answered=False)


def test_a_write_without_an_answer_is_ours_when_its_event_shows_that_it_was_carried_out(ownership):
    lose(ownership, 0)
    lose(ownership, 5)
    assert not ownership.seen(scale(0, 11), 1.0, leading=True)
    assert ownership.asked == 0
    assert ownership.hold(1.0) is None


def test_a_write_without_an_answer_is_nobodys_any_more_once_something_newer_was_seen(ownership):
    lose(ownership, 0)
    assert not ownership.seen(scale(2, 10), 1.0, leading=True), "what was known already says nothing"
    assert not ownership.seen(scale(2, 11), 1.0, leading=True)
    assert ownership.seen(scale(0, 12), 2.0, leading=True)


def test_what_is_older_than_our_write_says_nothing(ownership):
    write(ownership, 5, 14)
    assert not ownership.seen(scale(2, 12), 1.0, leading=True)
    assert (ownership.asked, ownership.version) == (5, "14")


def test_a_status_that_moves_changes_only_the_version(ownership):
    assert not ownership.seen(scale(2, 11), 1.0, leading=True)
    assert (ownership.asked, ownership.version) == (2, "11")


def test_another_number_is_another_writer_who_is_left_alone_for_a_while(ownership):
    assert ownership.seen(scale(7, 11, "kubectl"), 1.0, leading=True)
    hold = ownership.hold(1.0)
    assert (hold.rule, hold.until_s, hold.replicas) == ("foreignWriter", 301.0, None)
    assert hold.why == "kubectl has written 7; holding until it is quiet for 300 s"
    assert ownership.hold(300.9) is not None
    assert ownership.hold(301.0) is None
    assert ownership.asked == 7


def test_each_write_of_another_one_begins_the_wait_anew(ownership):
    ownership.seen(scale(7, 11), 1.0, leading=True)
    ownership.seen(scale(4, 12), 200.0, leading=True)
    assert ownership.hold(301.0).why.startswith("unknown has written 4")
    assert ownership.hold(500.0) is None


def test_the_number_of_another_one_is_not_taken_for_the_one_we_are_writing(ownership):
    ownership.begin_write(5)
    assert ownership.seen(scale(7, 11), 1.0, leading=True)


def test_who_does_not_lead_takes_over_whatever_comes(ownership):
    assert not ownership.seen(scale(7, 11), 1.0, leading=False)
    assert ownership.hold(1.0) is None
    assert not ownership.seen(scale(7, 12), 2.0, leading=True)
    assert ownership.seen(scale(8, 13), 3.0, leading=True)


def test_a_late_write_of_the_leader_before_us_is_ours(ownership):
    assert not ownership.seen(scale(7, 11, "inflight"), 1.0, leading=True)
    assert ownership.hold(1.0) is None
