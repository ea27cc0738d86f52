"""Who goes when the number falls: those named, then those who should; never too many."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.ports import Replica, ScaleRequest
from autoscaler.removal_order import replicas_to_remove

NAMES = list("abcdefgh")


@st.composite
def fleets(draw):
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return [Replica(name, draw(st.booleans()), draw(st.integers(0, 3)), draw(st.floats(0, 100))) for name in names]


orders = st.builds(ScaleRequest, st.just("default/sd"), st.integers(0, 10), st.lists(st.sampled_from(NAMES)).map(tuple))


def replica(name, *, ready=True, running=0, age_s=0.0):
    return Replica(name, ready, running, age_s)


@given(orders, fleets())
def test_as_many_go_as_there_are_too_many_each_once_and_each_from_the_fleet(order, replicas):
    going = replicas_to_remove(order, replicas)

    assert len(going) == len(set(going)) == max(len(replicas) - order.replicas, 0)
    assert set(going) <= {replica.name for replica in replicas}


@given(orders, fleets())
def test_nobody_goes_unnamed_while_somebody_named_stays(order, replicas):
    going = replicas_to_remove(order, replicas)
    named_staying = {replica.name for replica in replicas} & set(order.leaving) - set(going)

    assert not named_staying or set(going) <= set(order.leaving)


def test_the_named_go_in_their_order_and_then_unready_idle_busy_the_youngest_first():
    replicas = [
        replica("busy", running=1, age_s=1),
        replica("idle-old", age_s=9),
        replica("idle-young", age_s=2),
        replica("starting", ready=False, age_s=5),
        replica("named", running=2, age_s=3),
    ]

    going = replicas_to_remove(ScaleRequest("default/sd", 0, ("gone", "named", "named")), replicas)

    assert going == ("named", "starting", "idle-young", "idle-old", "busy")


def test_a_number_that_does_not_fall_sends_nobody_away():
    assert replicas_to_remove(ScaleRequest("default/sd", 2, ("a", "b")), [replica("a"), replica("b")]) == ()
