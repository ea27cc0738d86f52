"""For how long replicas have been idle or busy: from the observation that first saw them so."""

from autoscaler.targets.activity import Activity


def test_a_replica_is_unchanged_since_it_was_first_observed_idle_or_busy_as_now():
    activity = Activity()
    assert activity.unchanged_s({"a": 0, "b": 2}, 10.0) == {"a": 0.0, "b": 0.0}
    assert activity.unchanged_s({"a": 0, "b": 1}, 13.0) == {"a": 3.0, "b": 3.0}
    assert activity.unchanged_s({"a": 1, "b": 0}, 15.0) == {"a": 0.0, "b": 0.0}


def test_a_replica_that_comes_again_under_its_name_begins_again():
    activity = Activity()
    activity.unchanged_s({"sd-0": 0}, 10.0)
    activity.unchanged_s({}, 12.0)
    assert activity.unchanged_s({"sd-0": 0}, 20.0) == {"sd-0": 0.0}
