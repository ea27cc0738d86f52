from autoscaler.kubernetes.events import BURST, ONE_EVERY_S, SAME_AGAIN_S, Event, EventLimit, body


def events(limit, number, now_s):
    return sum(limit.allows(Event("Rescale", str(index)), now_s) for index in range(number))


def test_a_burst_is_told_and_then_one_now_and_then():
    limit = EventLimit()
    assert events(limit, 100, 0.0) == BURST
    assert events(limit, 100, ONE_EVERY_S) == 1
    assert events(limit, 100, 1e6) == BURST


def test_the_same_words_are_not_said_again_for_a_while():
    limit = EventLimit()
    event = Event("ForeignWriter", "somebody", warning=True)
    assert limit.allows(event, 0.0)
    assert not limit.allows(event, SAME_AGAIN_S - 1)
    assert limit.allows(event, SAME_AGAIN_S)


def test_an_event_names_what_it_is_about_and_who_tells():
    regarding = {"kind": "ScalingPolicy", "namespace": "ns", "name": "sd"}
    made = body(Event("ForeignWriter", "x" * 2000, warning=True), regarding, "controller-1", 1795456800.5)
    assert made["metadata"] == {"generateName": "sd-", "namespace": "ns"}
    assert made["regarding"] == regarding
    assert (made["type"], made["reason"], made["reportingInstance"]) == ("Warning", "ForeignWriter", "controller-1")
    assert made["eventTime"] == "2026-11-23T18:00:00.500000Z"
    assert len(made["note"]) == 1000
