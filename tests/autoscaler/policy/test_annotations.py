import pytest

from autoscaler.policy.annotations import overrides_of, without_effect
from autoscaler.ports import Override

UNTIL = "2026-11-23T18:00:00Z"
UNTIL_S = 1795456800.0

LEGAL = "inflight.dev/paused-until, inflight.dev/replicas, inflight.dev/replicas-until"


def orders(**annotations):
    return overrides_of({f"inflight.dev/{name.replace('_', '-')}": value for name, value in annotations.items()})


def test_annotations_of_others_order_nothing():
    assert overrides_of({"example.com/paused-until": "x"}) == ()


def test_a_pause_holds_until_it_ends():
    assert orders(paused_until=UNTIL) == (Override("paused", UNTIL_S, f"paused until {UNTIL}"),)


def test_an_override_sets_the_number_and_wins_over_a_pause():
    made = orders(paused_until=UNTIL, replicas="5", replicas_until="2026-11-23T19:00:00+01:00")
    assert [(order.rule, order.until_s, order.replicas) for order in made] == [
        ("paused", UNTIL_S, None),
        ("override", UNTIL_S, 5),
    ]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"paused_until": "soon"}, "paused-until: 'soon': must be a time such as"),
        ({"paused_until": "2026-11-23T18:00:00"}, "must be a time such as"),
        ({"replicas": "5"}, "replicas-until: is required beside inflight.dev/replicas"),
        ({"replicas_until": UNTIL}, "replicas: is required beside"),
        ({"replicas": "-1", "replicas_until": UNTIL}, "replicas: '-1': must be a whole number of 0 to 10000"),
        ({"replicas": "10001", "replicas_until": UNTIL}, "must be a whole number"),
        ({"replicas": "two", "replicas_until": UNTIL}, "must be a whole number"),
        ({"replicas": "٣", "replicas_until": UNTIL}, "must be a whole number"),
        ({"replicas": "", "replicas_until": UNTIL}, "replicas: '': must be a whole number"),
        ({"replicas": "9" * 5000, "replicas_until": UNTIL}, r"^.*replicas: '9{60}\.\.\.': must be a whole number"),
        ({"replicas": "5", "replicas_until": "9" * 5000}, r"'9{60}\.\.\.': must be a time"),
        ({"shower": "true"}, f"^metadata.annotations.inflight.dev/shower: unknown key; legal here: {LEGAL}$"),
        ({"paused": "true"}, rf"{LEGAL}; did you mean inflight.dev/paused-until\?$"),
        ({"Replicas": "5"}, r"; did you mean inflight.dev/replicas\?$"),
        ({"pause_until": UNTIL}, "pause-until: unknown key; legal here"),
        ({"Replicas": "5"}, "Replicas: unknown key; legal here"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_legal(annotations, message):
    with pytest.raises(ValueError, match=message):
        orders(**annotations)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("10000", 10_000), ("007", 7), ("000", 0)])
def test_a_number_may_begin_with_zeros(text, number):
    assert orders(replicas=text, replicas_until=UNTIL)[0].replicas == number


def test_annotations_of_a_target_have_no_effect_and_the_key_that_was_meant_is_named():
    assert without_effect([]) == ""
    said = without_effect(["inflight.dev/paused", "inflight.dev/replicas"])
    assert said.endswith(
        "annotate the ScalingPolicy: inflight.dev/paused (unknown key; did you mean inflight.dev/paused-until?), "
        "inflight.dev/replicas"
    )
