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


def write(ownership, replicas, version, now_s=0.0):
    ownership.begin_write(replicas, now_s)
    ownership.wrote(scale(replicas, version))
    ownership.end_write()


def test_our_own_write_is_ours_whether_its_event_comes_before_or_after_its_answer(ownership):
    ownership.begin_write(5, 0.0)
    assert not ownership.seen(scale(5, 11), 1.0, leading=True)
    ownership.wrote(scale(5, 11))
    ownership.end_write()
    write(ownership, 3, 14)
    assert not ownership.seen(scale(3, 14), 2.0, leading=True)
    assert ownership.hold(2.0) is None


def lose(ownership, replicas):
    """Write, and hear no answer."""
    ownership.begin_write(replicas, 0.0)
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
    ownership.begin_write(5, 0.0)
    assert ownership.seen(scale(7, 11), 1.0, leading=True)


def test_who_does_not_lead_takes_over_whatever_comes(ownership):
    assert not ownership.seen(scale(7, 11), 1.0, leading=False)
    assert ownership.hold(1.0) is None
    assert not ownership.seen(scale(7, 12), 2.0, leading=True)
    assert ownership.seen(scale(8, 13), 3.0, leading=True)


def test_a_late_write_of_the_leader_before_us_is_ours(ownership):
    assert not ownership.seen(scale(7, 11, "inflight"), 1.0, leading=True)
    assert ownership.hold(1.0) is None


def revert(ownership, now_s, version, writer="flux", replicas=1):
    """Raise the number, and see another writer put its own there; gives the hold after it."""
    write(ownership, 5, version, now_s)
    assert ownership.seen(scale(replicas, version + 1, writer), now_s, leading=True)
    return ownership.hold(now_s)


def test_a_number_that_one_writer_replaces_three_times_in_five_minutes_is_contested(ownership):
    for turn in range(2):
        hold = revert(ownership, 100.0 * turn, 20 + 2 * turn)
        assert (hold.rule, hold.yields_to_load) == ("foreignWriter", True)
    hold = revert(ownership, 200.0, 30)
    assert (hold.rule, hold.until_s) == ("replicasContested", 500.0)
    assert hold.why == "flux has written 1 over our number, 3 times within 5 minutes"


def test_a_contested_number_is_raised_once_a_minute_until_the_other_writer_is_quiet(ownership):
    for turn in range(3):
        revert(ownership, float(turn), 20 + 2 * turn)
    assert [ownership.hold(at_s).yields_to_load for at_s in (2.0, 61.9, 62.0)] == [False, False, True]
    write(ownership, 5, 30, 62.0)
    ownership.seen(scale(1, 31, "flux"), 62.5, leading=True)
    assert [ownership.hold(at_s).yields_to_load for at_s in (62.5, 121.0, 122.0)] == [False, False, True]
    assert ownership.hold(362.5) is None


@pytest.mark.parametrize(
    "reverts",
    [
        [(0.0, "flux", 1), (1.0, "argocd-controller", 1), (2.0, "flux", 1)],
        [(0.0, "flux", 1), (200.0, "flux", 1), (300.1, "flux", 1)],
        [(0.0, "kubectl", 1), (1.0, "kubectl", 2), (2.0, "kubectl", 1)],
    ],
    ids=["several writers", "more than five minutes", "a person who tries numbers"],
)
def test_other_reverts_are_held_without_a_contest(ownership, reverts):
    for turn, (at_s, writer, replicas) in enumerate(reverts):
        hold = revert(ownership, at_s, 20 + 2 * turn, writer, replicas)
    assert (hold.rule, hold.yields_to_load) == ("foreignWriter", True)


def test_who_writes_again_over_a_number_of_its_own_has_replaced_none_of_ours(ownership):
    write(ownership, 5, 20)
    for version in range(21, 30):
        ownership.seen(scale(version, version, "kubectl"), 1.0, leading=True)
    assert ownership.hold(1.0).rule == "foreignWriter"
