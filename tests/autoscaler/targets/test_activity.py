"""For how long replicas have been idle or busy: from the observation that first saw them so."""

from autoscaler.ports import Fleet, Replica
from autoscaler.targets.activity import Activity


def observed(activity, now_s, **running):
    replicas = (Replica(name, ready=True, running=requests, age_s=now_s) for name, requests in running.items())
    fleet = activity.noted(Fleet(len(running), tuple(replicas)), now_s)
    return {replica.name: replica.unchanged_s for replica in fleet.replicas}


def test_a_replica_is_unchanged_since_it_was_first_observed_idle_or_busy_as_now():
    activity = Activity()
    assert observed(activity, 10.0, a=0, b=2) == {"a": 0.0, "b": 0.0}
    assert observed(activity, 13.0, a=0, b=1) == {"a": 3.0, "b": 3.0}
    assert observed(activity, 15.0, a=1, b=0) == {"a": 0.0, "b": 0.0}


def test_a_replica_that_comes_again_under_its_name_begins_again():
    activity = Activity()
    observed(activity, 10.0, sd=0)
    observed(activity, 12.0)
    assert observed(activity, 20.0, sd=0) == {"sd": 0.0}
