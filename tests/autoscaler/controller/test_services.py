"""Policies come, change and go; what was learned stays where it fits."""

import pytest

from algorithms.types import Look
from autoscaler.controller.services import Entry, Origins, Roster
from autoscaler.policy.spec import ScalingPolicy


def policy(name="sd", annotations=None, **spec):
    return ScalingPolicy.model_validate(
        {
            "apiVersion": "inflight.dev/v1alpha1",
            "kind": "ScalingPolicy",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {"scaleTargetRef": {"name": name}, **spec},
        }
    )


def looked(roster, count, *, replicas, now_s):
    look = Look(float(now_s), float(now_s - 1), count, replicas, replicas)
    return roster.services["default/sd"].decider.decide(look).desired


@pytest.fixture
def roster():
    made = Roster("http://prometheus:9090")
    made.put(Entry(policy()))
    return made


def test_a_policy_that_changes_goes_on_with_its_windows(roster):
    for now_s in range(1, 101):
        looked(roster, 5.0, replicas=5, now_s=now_s)
    roster.put(Entry(policy(maxReplicas=20, algorithm={"concurrency": {"stableWindow": "30s"}})))
    # The average over the window is known; one that starts afresh would hold for a whole window.
    assert looked(roster, 0.0, replicas=9, now_s=101) == 5


def test_a_policy_that_changes_while_its_decider_fails_starts_afresh():
    broken = set()
    roster = Roster(is_broken=broken.__contains__)
    roster.put(Entry(policy()))
    for now_s in range(1, 101):
        looked(roster, 5.0, replicas=5, now_s=now_s)
    broken.add("default/sd")
    before = roster.services["default/sd"].decider
    roster.put(Entry(policy()))
    assert roster.services["default/sd"].decider is before, "nothing has changed"
    roster.put(Entry(policy(maxReplicas=20)))
    assert looked(roster, 0.0, replicas=9, now_s=101) == 9, "holds while its first window fills"


def test_a_policy_of_another_algorithm_starts_afresh(roster):
    for now_s in range(1, 101):
        looked(roster, 5.0, replicas=5, now_s=now_s)
    roster.put(Entry(policy(algorithm={"kpa": {}})))
    assert looked(roster, 1.0, replicas=1, now_s=101) == 1
    roster.put(Entry(policy()))
    assert looked(roster, 1.0, replicas=9, now_s=102) == 9, "holds while its first window fills"


def test_a_policy_that_only_gets_another_annotation_keeps_its_decider(roster):
    before = roster.services["default/sd"].decider
    roster.put(Entry(policy(annotations={"inflight.dev/paused-until": "2026-11-23T18:00:00Z"})))
    assert roster.services["default/sd"].decider is before
    assert [order.rule for order in roster.services["default/sd"].orders] == ["paused"]


def test_an_annotation_of_kedas_is_heeded_when_it_comes_and_when_it_goes():
    roster, keda = Roster(), {"keda": {}}
    roster.put(Entry(policy(algorithm=keda)))
    assert looked(roster, 9.0, replicas=2, now_s=1) == 4
    roster.put(Entry(policy(annotations={"autoscaling.keda.sh/paused-replicas": "1"}, algorithm=keda)))
    assert looked(roster, 9.0, replicas=2, now_s=31) == 1
    roster.put(Entry(policy(algorithm=keda)))
    assert looked(roster, 9.0, replicas=2, now_s=61) == 4


def test_a_policy_that_cannot_be_followed_leaves_all_as_it_was(roster):
    before = roster.services["default/sd"]
    with pytest.raises(ValueError, match="paused-until"):
        roster.put(Entry(policy(annotations={"inflight.dev/paused-until": "soon"}, maxReplicas=3)))
    assert roster.services["default/sd"] is before


def test_the_server_of_a_policy_wins_and_without_any_none_is_asked(roster):
    assert roster.queries["default/sd"].server == "http://prometheus:9090"
    roster.put(Entry(policy(metrics={"prometheus": {"serverAddress": "http://own:9090"}})))
    assert roster.queries["default/sd"].server == "http://own:9090"
    alone = Roster()
    alone.put(Entry(policy()))
    assert alone.queries == {}


def test_a_policy_that_names_a_server_that_may_not_be_asked_is_not_followed_until_it_may():
    refused = {"http://any:9090"}
    roster = Roster("http://prometheus:9090", refusal=lambda server: "may not be asked" if server in refused else "")
    origins = Origins(roster, ("files",))
    named = Entry(policy(metrics={"prometheus": {"serverAddress": "http://any:9090"}}))
    problem = "spec.metrics.prometheus.serverAddress: http://any:9090 may not be asked"
    assert origins.put("files", "default/sd", named) == problem
    assert (roster.services, roster.queries) == ({}, {})
    refused.clear()
    assert origins.set("files", {"default/sd": named}) == {}
    assert roster.queries["default/sd"].server == "http://any:9090"


def test_only_who_writes_writes_and_a_dry_run_never(roster):
    roster.put(Entry(policy("dry", mode="DryRun")))
    assert {name: service.writes for name, service in roster.services.items()} == {
        "default/sd": True,
        "default/dry": False,
    }
    roster.set_writing(False)
    assert not any(service.writes for service in roster.services.values())
    roster.put(Entry(policy("late")))
    assert not roster.services["default/late"].writes
    roster.set_writing(True)
    assert [name for name, service in roster.services.items() if service.writes] == ["default/sd", "default/late"]


def test_of_two_origins_the_first_wins_and_the_other_takes_over_when_it_is_gone():
    roster = Roster()
    origins = Origins(roster, ("resources", "files"))
    of_file, of_resource = Entry(policy(maxReplicas=3)), Entry(policy(maxReplicas=4), 7.0)
    origins.set("files", {"default/sd": of_file})
    origins.set("resources", {"default/sd": of_resource})
    assert roster.entries == {"default/sd": of_resource}
    origins.set("resources", {})
    assert roster.entries == {"default/sd": of_file}
    origins.set("files", {})
    assert roster.entries == roster.services == roster.queries == {}


def test_problems_are_told_by_service():
    origins = Origins(Roster(), ("resources",))
    wrong = Entry(policy(annotations={"inflight.dev/replicas": "5"}))
    assert "is required beside" in origins.set("resources", {"default/sd": wrong})["default/sd"]
