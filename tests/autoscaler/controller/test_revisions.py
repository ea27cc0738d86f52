import pytest

from autoscaler.controller.revisions import LastRead, RevisedDict


@pytest.mark.parametrize("make", [dict, RevisedDict])
def test_a_mapping_is_stale_after_each_change_and_once(make):
    mapping, last = make(), LastRead()
    assert last.is_stale(mapping)
    assert not last.is_stale(mapping)
    mapping["a"] = 1
    assert last.is_stale(mapping)
    assert not last.is_stale(mapping)
    del mapping["a"]
    assert last.is_stale(mapping)


def test_another_mapping_is_stale_although_it_has_changed_as_often():
    one, other, last = RevisedDict(), RevisedDict(), LastRead()
    one["a"] = other["b"] = 1
    assert last.is_stale(one)
    assert last.is_stale(other)


def test_two_readers_know_of_a_change_each():
    mapping, first, second = RevisedDict(), LastRead(), LastRead()
    assert first.is_stale(mapping)
    assert second.is_stale(mapping)
    mapping["a"] = 1
    assert first.is_stale(mapping)
    assert second.is_stale(mapping)
