"""Which replicas are removed when the number falls: those named, then by the order; never too many."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.ports import Replica
from autoscaler.removal_order import removal_order, replicas_to_remove

NAMES = list("abcdefgh")


@st.composite
def fleets(draw):
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return [
        Replica(
            name,
            draw(st.booleans()),
            draw(st.integers(0, 3)),
            draw(st.sampled_from([0.0, 5.0, 100.0])),
            unchanged_s=draw(st.none() | st.floats(0, 100)),
        )
        for name in names
    ]


STAYING = st.integers(0, 10)
NAMED = st.lists(st.sampled_from(NAMES))


def replica(name, *, ready=True, running=0, age_s=0.0):
    return Replica(name, ready, running, age_s)


@given(fleets(), STAYING, NAMED)
def test_as_many_are_removed_as_there_are_too_many_each_once_and_each_of_the_fleet(replicas, staying, named):
    removed = replicas_to_remove(replicas, staying, named)

    assert len(removed) == len(set(removed)) == max(len(replicas) - staying, 0)
    assert set(removed) <= {replica.name for replica in replicas}


@given(fleets(), STAYING, NAMED)
def test_none_is_removed_that_was_not_named_while_a_named_one_stays(replicas, staying, named):
    removed = replicas_to_remove(replicas, staying, named)
    named_staying = {replica.name for replica in replicas} & set(named) - set(removed)

    assert not named_staying or set(removed) <= set(named)


def test_the_named_are_removed_in_their_order_and_then_unready_idle_busy_the_youngest_first():
    replicas = [
        replica("busy", running=1, age_s=1),
        replica("idle-old", age_s=9),
        replica("idle-young", age_s=2),
        replica("starting", ready=False, age_s=5),
        replica("named", running=2, age_s=3),
    ]

    removed = replicas_to_remove(replicas, 0, ["gone", "named", "named"])

    assert removed == ("named", "starting", "idle-young", "idle-old", "busy")


def test_a_number_that_does_not_fall_removes_none():
    assert replicas_to_remove([replica("a"), replica("b")], 2, ["a", "b"]) == ()


def test_the_not_ready_go_first_then_the_idle_then_the_busy_and_the_youngest_of_each():
    replicas = [
        Replica("busy", ready=True, running=2, age_s=10.0),
        Replica("less busy", ready=True, running=1, age_s=10.0),
        Replica("idle, old", ready=True, running=0, age_s=900.0),
        Replica("idle, young", ready=True, running=0, age_s=9.0),
        Replica("starting", ready=False, running=0, age_s=5.0),
        Replica("started just now", ready=False, running=0, age_s=1.0),
    ]
    assert removal_order(replicas) == (
        "started just now",
        "starting",
        "idle, young",
        "idle, old",
        "less busy",
        "busy",
    )


def test_of_one_age_the_one_goes_first_that_has_been_idle_for_longest_then_by_name():
    replicas = [
        Replica("d", ready=True, running=0, age_s=60.0),
        Replica("c", ready=True, running=0, age_s=60.0, unchanged_s=2.0),
        Replica("b", ready=True, running=0, age_s=60.0, unchanged_s=9.0),
        Replica("a", ready=True, running=0, age_s=60.0, unchanged_s=2.0),
    ]
    assert removal_order(replicas) == ("b", "a", "c", "d")


@given(fleets(), st.randoms())
def test_each_replica_has_one_place_in_the_order_whatever_order_they_are_given_in(replicas, random_streams):
    ranks = {
        replica.name: (replica.ready, replica.running, replica.age_s, -(replica.unchanged_s or 0.0), replica.name)
        for replica in replicas
    }
    names = removal_order(replicas)
    assert sorted(names) == sorted(ranks)
    assert [ranks[name] for name in names] == sorted(ranks.values())
    shuffled = list(replicas)
    random_streams.shuffle(shuffled)
    assert removal_order(shuffled) == names
