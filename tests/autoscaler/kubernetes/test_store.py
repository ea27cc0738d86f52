"""Events come twice, late and after a cut; the store is right all the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.store import Store


def item(name, version, value=""):
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version)}, "value": value}


def event(kind, name, version, value=""):
    return {"type": kind, "object": item(name, version, value)}


@pytest.fixture
def store():
    made = Store(lambda item: item["value"])
    made.replace(map(made.item, [item("a", 5, "old"), item("b", 6)]), "10")
    return made


def test_a_list_is_what_there_is(store):
    assert store.items() == {"ns/a": "old", "ns/b": ""}
    assert store.version == "10"
    assert store.get("ns/c") is None


def test_an_event_changes_one_object_and_where_a_watch_can_go_on(store):
    assert store.apply(event("MODIFIED", "a", 11, "new")) == [("ns/a", "old", "new")]
    assert store.apply(event("ADDED", "c", 12, "c")) == [("ns/c", None, "c")]
    assert store.apply(event("DELETED", "b", 13)) == [("ns/b", "", None)]
    assert store.items() == {"ns/a": "new", "ns/c": "c"}
    assert store.version == "13"


def test_an_event_that_comes_twice_changes_nothing_the_second_time(store):
    store.apply(event("MODIFIED", "a", 11, "new"))
    assert store.apply(event("MODIFIED", "a", 11, "new")) == []
    store.apply(event("DELETED", "a", 12))
    assert store.apply(event("DELETED", "a", 12)) == []


def test_an_event_that_is_older_than_what_is_known_changes_nothing(store):
    store.apply(event("MODIFIED", "a", 11, "new"))
    assert store.apply(event("MODIFIED", "a", 7, "older")) == []
    assert store.apply(event("DELETED", "a", 7)) == []
    assert store.get("ns/a") == "new"


def test_a_change_of_what_is_not_kept_is_no_change(store):
    assert store.apply(event("MODIFIED", "a", 11, "old")) == []


def test_a_bookmark_only_says_where_to_go_on(store):
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}
    assert store.apply(bookmark) == []
    assert store.version == "99"
    assert len(store.items()) == 2


def test_a_list_after_a_cut_tells_of_all_that_was_missed(store):
    assert store.replace(map(store.item, [item("a", 20, "new"), item("c", 21, "c")]), "30") == [
        ("ns/a", "old", "new"),
        ("ns/c", None, "c"),
        ("ns/b", "", None),
    ]


def test_a_version_that_is_too_old_means_that_only_a_list_can_tell(store):
    expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    with pytest.raises(ApiError, match="too old") as caught:
        store.apply(expired)
    assert caught.value.is_expired
    assert store.version == ""
    assert len(store.items()) == 2


def test_another_error_lets_the_watch_go_on_where_it_was(store):
    with pytest.raises(ApiError, match="overloaded"):
        store.apply({"type": "ERROR", "object": {"code": 500, "message": "overloaded"}})
    assert store.version == "10"


names = st.sampled_from("abc")
histories = st.lists(st.tuples(names, st.booleans()), min_size=1, max_size=12)


@given(histories, st.data())
def test_whatever_is_repeated_or_cut_the_end_is_the_truth(history, data):
    """A watch repeats some of what was told before it goes on, as after a reconnection from an older version."""
    store = Store(lambda item: item["value"])
    events, truth, heard = [], {}, {}
    for version, (name, exists) in enumerate(history, 1):
        if exists or name in truth:
            events.append(event("MODIFIED" if exists else "DELETED", name, version, str(version)))
            truth.pop(name, None)
            if exists:
                truth[name] = str(version)
    at = 0
    while at < len(events):
        start = data.draw(st.integers(max(at - 1, 0), at)) if at else 0
        end = data.draw(st.integers(at + 1, len(events)))
        for each in events[start:end]:
            heard |= {key: after for key, _before, after in store.apply(each)}
        at = end
    assert {key.removeprefix("ns/"): value for key, value in store.items().items()} == truth
    assert {key: value for key, value in heard.items() if value is not None} == store.items()
