"""Why it is not another number, and what a candidate wants."""

from seen import at, record, stable, view

from autoscaler.explain.candidates import wants
from autoscaler.explain.forecast import Forecast, Point
from autoscaler.explain.why_not import why_not, why_not_fewer, why_not_more

DELAYED = [("scaleDown.delay", 2, 5, "the highest recommendation within the last 120 s")]


def test_more_replicas_need_more_load_and_room_below_the_maximum():
    now = view(record(recommendation=stable(4.39)))
    assert why_not_more(now) == (
        "6 replicas would need more than 5 requests in flight on average over 60 s.",
        "4.39 requests were in flight on average over the last 60 s.",
    )
    assert why_not(now, 11)[0] == "The maximum is 10 now; 11 would be above it."


def test_fewer_replicas_name_the_rule_that_keeps_them_and_the_time_when_they_remain():
    foreseen = Forecast((Point(at("14:35:02"), 5, 2.0), Point(at("14:36:16"), 4, 0.0)), at("14:36:16"), at("14:36:16"))
    found = why_not_fewer(view(record(inflight=2.0, recommendation=stable(2.0), reasons=DELAYED), forecast=foreseen))
    assert found[0] == "The rule scaleDown.delay made 5 of 2: the highest recommendation within the last 120 s."
    assert found[-1] == "If nothing more arrives, 4 remain in 1 min 14 s (14:36:16)."


def test_while_the_count_is_unknown_nothing_is_said_of_a_load():
    lost = record(inflight=None, recommendation=stable(5.0)._replace(replicas=None), problem="silence")
    assert why_not(view(lost), 9) == ("The count is unknown: silence.",)


def test_without_a_decision_nothing_is_known():
    assert why_not(view(), 3) == ("No decision on this service is known yet.",)


def test_a_candidate_says_what_it_wants_by_its_average_or_by_its_rule():
    now = view(record(recommendation=stable(4.39)))
    short = record(recommendation=stable(3.78, over=30.0, known=30.0)).decision
    assert wants(now, "short-window", short) == (
        "short-window wants 4, because 3.78 were in flight on average over 30 s."
    )
    held = record(recommendation=stable(2.0), reasons=DELAYED).decision
    assert wants(now, "hold-2m", held) == (
        "hold-2m wants 5, because 5 were recommended within the last 2 min; now it would be 2."
    )
