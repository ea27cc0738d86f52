"""The roster in a Lease: compare-and-set by the resource version, and what an API server can do to it."""

import json

import pytest
from lease_api import LEASES, NAMESPACE, PODS, LeaseApi, lease

from autoscaler.app.roster_lease import ANNOTATION, LEASE, LeaseRoster, new_life
from autoscaler.gateway.peers.roster import Member, Roster
from autoscaler.gateway.peers.roster_store import RosterUnavailableError
from autoscaler.kubernetes.client import ApiError

FIRST = Roster.first("gw-a", Member("10.0.0.1:9091", "uid-a/1"))
SECOND = FIRST.joined("gw-b", Member("10.0.0.2:9091", "uid-b/1"))
THIRD = SECOND.joined("gw-c", Member("10.0.0.3:9091", "uid-c/1"))


@pytest.fixture
def api():
    return LeaseApi()


@pytest.fixture
def store(api):
    return LeaseRoster(api, NAMESPACE)


async def test_what_else_the_lease_has_stays(api, store):
    mine = {"name": LEASE, "labels": {"app": "inflight"}, "annotations": {"by": "somebody"}}
    api.put(LEASES, {"metadata": mine, "spec": {"holderIdentity": "nobody"}})
    assert await store.read() is None
    assert await store.write(FIRST, 0)
    assert await store.write(SECOND, 1)
    stored = lease(api)
    assert stored["spec"] == {"holderIdentity": "nobody"}
    assert stored["metadata"]["labels"] == {"app": "inflight"}
    assert stored["metadata"]["annotations"].keys() == {"by", ANNOTATION}
    assert Roster.from_json(json.loads(stored["metadata"]["annotations"][ANNOTATION])) == SECOND


@pytest.mark.parametrize("annotations", [None, {}])
async def test_a_lease_without_a_roster_has_none(api, store, annotations):
    api.put(LEASES, {"metadata": {"name": LEASE, "annotations": annotations}})
    assert await store.read() is None
    assert await store.write(FIRST, 0)
    assert await store.read() == FIRST


@pytest.mark.parametrize("begun", [False, True])
async def test_a_write_that_was_done_and_not_answered_is_found(api, store, begun):
    if begun:
        await store.write(FIRST, 0)
    api.unanswered = 1
    assert await store.write(*((SECOND, 1) if begun else (FIRST, 0)))
    assert api.unanswered == 0
    assert await store.read() == (SECOND if begun else FIRST)


async def test_a_write_that_was_not_answered_and_not_done_is_not_known_and_can_be_tried_again(api, store):
    await store.write(FIRST, 0)
    api.lost = 1
    with pytest.raises(RosterUnavailableError, match="a write was not answered, and may still be done"):
        await store.write(SECOND, 1)
    assert await store.read() == FIRST
    assert await store.write(SECOND, 1)


async def test_a_write_that_was_not_answered_is_not_taken_for_that_of_another_who_was_first(api, store):
    await store.write(FIRST, 0)
    other = LeaseRoster(api, NAMESPACE)
    theirs = FIRST.joined("gw-z", Member("10.0.0.9:9091", "uid-z/1"))
    replace = api.replace

    async def beaten(path, body):
        api.replace = replace
        assert await other.write(theirs, 1)
        raise ApiError(0, "Timeout", "no answer")

    api.replace = beaten
    assert not await store.write(SECOND, 1)
    assert await store.read() == theirs


async def test_whoever_writes_between_our_read_and_our_write_was_first(api, store):
    await store.write(FIRST, 0)
    other = LeaseRoster(api, NAMESPACE)
    replace = api.replace

    async def late(path, body):
        api.replace = replace
        assert await other.write(SECOND, 1)
        return await replace(path, body)

    api.replace = late
    assert not await store.write(FIRST.joined("gw-c", Member("10.0.0.3:9091", "uid-c/1")), 1)
    assert await store.read() == SECOND


async def test_somebody_else_who_changes_the_lease_does_not_change_the_roster(api, store):
    """A conflict may be another client's: then nothing was written, and the same write can be done again."""
    await store.write(FIRST, 0)
    replace = api.replace

    async def labelled_first(path, body):
        api.replace = replace
        api.put(LEASES, {**lease(api), "metadata": {**lease(api)["metadata"], "labels": {"x": "y"}}})
        return await replace(path, body)

    api.replace = labelled_first
    assert not await store.write(SECOND, 1)
    assert await store.write(SECOND, 1)
    assert lease(api)["metadata"]["labels"] == {"x": "y"}


@pytest.mark.parametrize(
    "error", [ApiError(403, "Forbidden", "no"), ApiError(500, "", "oh"), ApiError(429, "", "wait")]
)
async def test_a_refusal_says_what_the_api_server_said(api, store, error):
    await store.write(FIRST, 0)
    api.failing = error
    with pytest.raises(RosterUnavailableError, match=f"{LEASE}: {error}"):
        await store.read()
    with pytest.raises(RosterUnavailableError, match=f"{LEASE}: {error}"):
        await store.write(SECOND, 1)
    with pytest.raises(RosterUnavailableError, match=f"{LEASE}: {error}"):
        await store.is_dead("gw-a", "uid-a/1")
    api.failing = None
    assert await store.read() == FIRST


async def test_a_page_that_is_not_found_by_something_else_is_no_empty_store(api, store):
    api.refusals[f"{LEASES}/{LEASE}"] = ApiError(404, "", "no such page")
    with pytest.raises(RosterUnavailableError, match="no such page"):
        await store.write(FIRST, 0)


async def test_an_api_server_that_never_answers_is_left_after_two_seconds(api, store):
    api.stuck = True
    for call in (store.read(), store.write(FIRST, 0), store.is_dead("gw-a", "uid-a/1")):
        with pytest.raises(RosterUnavailableError, match=r"no answer within 2 s|not answered"):
            await call


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 9000, '{"epoch": 0}', '{"epoch": 1, "members": []}'])
async def test_an_annotation_that_is_no_roster_is_an_error_that_says_what_to_do_and_is_never_replaced(api, store, text):
    api.put(LEASES, {"metadata": {"name": LEASE, "annotations": {ANNOTATION: text}}})
    for call in (store.read(), store.write(FIRST, 0), store.write(SECOND, 1)):
        with pytest.raises(RosterUnavailableError) as refused:
            await call
        assert str(refused.value).startswith(
            f"the annotation {ANNOTATION} of {LEASES}/{LEASE} is no roster of gateways, and is not replaced: "
        )
        assert "Scale the gateways to zero, remove the annotation, and scale them up again" in str(refused.value)
    assert lease(api)["metadata"]["annotations"] == {ANNOTATION: text}


@pytest.mark.parametrize(
    ("pod", "dead"),
    [
        ({"metadata": {"uid": "uid-a"}, "status": {"phase": "Running"}}, False),
        ({"metadata": {"uid": "uid-a", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
        ({"metadata": {"uid": "uid-a"}, "status": {"phase": "Unknown"}}, False),
        ({"metadata": {"uid": "uid-a"}, "status": {"phase": "Failed"}}, True),
        ({"metadata": {"uid": "uid-a"}, "status": {"phase": "Succeeded"}}, True),
        ({"metadata": {"uid": "uid-of-a-later-pod"}, "status": {"phase": "Running"}}, True),
    ],
)
async def test_a_gateway_is_dead_if_its_pod_has_ended_or_is_another(api, store, pod, dead):
    api.put(PODS, {**pod, "metadata": {"name": "gw-a", **pod["metadata"]}})
    assert await store.is_dead("gw-a", "uid-a/1") is dead


async def test_a_gateway_whose_pod_is_gone_is_dead(store):
    assert await store.is_dead("gw-a", "uid-a/1")


async def test_every_other_life_of_our_own_name_is_dead(api):
    api.put(PODS, {"metadata": {"name": "gw-a", "uid": "uid-a"}, "status": {"phase": "Running"}})
    store = LeaseRoster(api, NAMESPACE, name="gw-a", life="uid-a/2")
    assert await store.is_dead("gw-a", "uid-a/1")
    assert not await store.is_dead("gw-a", "uid-a/2")


def test_each_process_of_a_pod_has_another_life():
    lives = {new_life("uid-a") for _ in range(10)}
    assert len(lives) == 10
    assert {life.split("/")[0] for life in lives} == {"uid-a"}
