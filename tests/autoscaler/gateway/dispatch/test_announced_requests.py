"""What a gateway keeps of announced requests: bounded, expiring, used up by what arrives, and no book is open."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.dispatch.hints import HintEnd, HintLimits, Hints, PathHint

LIMITS = HintLimits(most=5, most_per_sender=3, lead_s=20.0)
PAGE = PathHint(requests=1, within_s=60.0)


def test_a_hint_counts_from_its_lead_time_before_its_requests_and_not_after_their_time():
    hints = Hints(LIMITS)
    assert hints.announce("shop", 2, 0.0, in_s=100.0, for_s=30.0) == 2
    assert [hints.at(now_s).requests for now_s in (0.0, 79.9, 80.0, 129.9, 130.0)] == [0, 0, 2, 2, 0]
    assert hints.at(90.0).until_s == 130.0
    assert [hints.next_change_s(now_s) for now_s in (0.0, 80.0, 130.0)] == [80.0, 130.0, inf]


def test_one_that_opens_a_page_a_thousand_times_announces_one_request():
    hints = Hints(LIMITS)
    for second in range(1000):
        assert hints.opened("ann", PAGE, second / 100) == 1
    assert hints.at(10.0) == (1, 69.99)
    assert hints.ends[HintEnd.REPLACED] == 999


def test_a_thousand_clients_announce_no_more_than_the_maximum():
    hints = Hints(LIMITS)
    assert sum(hints.opened(client, PAGE, 0.0) for client in range(1000)) == 5
    assert hints.at(1.0).requests == 5
    assert hints.ends[HintEnd.REFUSED] == 995


def test_a_sender_has_a_maximum_of_its_own():
    hints = Hints(LIMITS)
    assert hints.announce("shop", 1000, 0.0, in_s=0.0, for_s=60.0) == 3
    assert hints.announce("bank", 1000, 0.0, in_s=0.0, for_s=60.0) == 2


def test_a_request_uses_up_the_hint_of_its_own_client():
    hints = Hints(LIMITS)
    hints.opened("ann", PAGE, 0.0)
    hints.opened("bob", PAGE, 1.0)
    assert hints.arrived("bob", 2.0)
    assert not hints.arrived("bob", 2.0)
    assert hints.at(2.0) == (1, 60.0)


def test_a_request_of_another_client_uses_up_the_oldest_that_a_program_announced():
    hints = Hints(LIMITS)
    hints.opened("ann", PAGE, 0.0)
    hints.announce("shop", 1, 0.0, in_s=0.0, for_s=30.0)
    hints.announce("shop", 1, 0.0, in_s=0.0, for_s=90.0)
    assert hints.arrived("eve", 1.0)
    assert hints.at(31.0) == (2, 90.0)


def test_a_client_with_a_name_like_a_program_has_no_part_in_its_hints():
    hints = Hints(LIMITS)
    hints.announce("x", 2, 0.0, in_s=0.0, for_s=60.0)
    assert hints.opened("x", PAGE, 0.0) == 1
    assert hints.at(1.0).requests == 3


def test_lower_limits_take_nothing_away_and_add_nothing():
    hints = Hints(LIMITS)
    hints.announce("shop", 3, 0.0, in_s=0.0, for_s=60.0)
    hints.limit(HintLimits(1, 1, 20.0))
    assert hints.announce("bank", 1, 0.0, in_s=0.0, for_s=60.0) == 0
    assert hints.at(1.0).requests == 3


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["announce", "opened", "arrived", "expire"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 4),
        st.floats(0, 100),
        st.floats(1, 100),
    ),
    max_size=40,
)


@given(EVENTS)
def test_each_announced_request_is_kept_or_has_ended_once_and_never_are_too_many_kept(events):
    hints, now_s = Hints(LIMITS), 0.0
    for kind, who, requests, in_s, for_s in events:
        now_s += in_s / 4
        match kind:
            case "announce":
                hints.announce(who, requests, now_s, in_s=in_s, for_s=for_s)
            case "opened":
                hints.opened(who, PathHint(requests, for_s), now_s)
            case "arrived":
                hints.arrived(who, now_s)
            case _:
                hints.expire(now_s)
        assert hints.announced_total == hints.kept + sum(hints.ends.values())
        assert 0 <= hints.at(now_s).requests <= hints.kept <= LIMITS.most
        assert hints.next_change_s(now_s) > now_s
    hints.expire(now_s + 1000.0)
    assert (hints.kept, hints.next_change_s(now_s)) == (0, inf)
