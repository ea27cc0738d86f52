"""Policies come, change and go; what was learned stays where it fits."""

import pytest

from algorithms.observation import Observation
from autoscaler.controller.services import Origins, PolicyEntry, ServiceRegistry
from autoscaler.testing import policy


def looked(registry, count, *, replicas, now_s):
    observation = Observation(float(now_s), float(now_s - 1), count, replicas, replicas)
    return registry.services["default/sd"].decider.decide(observation).desired


@pytest.fixture
def registry():
    made = ServiceRegistry("http://prometheus:9090")
    made.put(PolicyEntry(policy()))
    return made


def test_a_policy_that_changes_goes_on_with_its_windows(registry):
    for now_s in range(1, 101):
        looked(registry, 5.0, replicas=5, now_s=now_s)
    registry.put(PolicyEntry(policy(maxReplicas=20, algorithm={"concurrency": {"stableWindow": "30s"}})))
    # The average over the window is known; one that starts afresh would hold for a whole window.
    assert looked(registry, 0.0, replicas=9, now_s=101) == 5


def test_a_policy_that_changes_while_its_decider_fails_starts_afresh():
    broken = set()
    registry = ServiceRegistry(is_broken=broken.__contains__)
    registry.put(PolicyEntry(policy()))
    for now_s in range(1, 101):
        looked(registry, 5.0, replicas=5, now_s=now_s)
    broken.add("default/sd")
    before = registry.services["default/sd"].decider
    registry.put(PolicyEntry(policy()))
    assert registry.services["default/sd"].decider is before, "nothing has changed"
    registry.put(PolicyEntry(policy(maxReplicas=20)))
    assert looked(registry, 0.0, replicas=9, now_s=101) == 9, "holds while its first window fills"


def test_a_policy_of_another_algorithm_starts_afresh(registry):
    for now_s in range(1, 101):
        looked(registry, 5.0, replicas=5, now_s=now_s)
    registry.put(PolicyEntry(policy(algorithm={"kpa": {}})))
    assert looked(registry, 1.0, replicas=1, now_s=101) == 1
    registry.put(PolicyEntry(policy()))
    assert looked(registry, 1.0, replicas=9, now_s=102) == 9, "holds while its first window fills"


def test_a_policy_that_only_gets_another_annotation_keeps_its_decider(registry):
    before = registry.services["default/sd"].decider
    registry.put(PolicyEntry(policy(annotations={"inflight.dev/paused-until": "2026-11-23T18:00:00Z"})))
    assert registry.services["default/sd"].decider is before
    assert [override.rule for override in registry.services["default/sd"].overrides] == ["paused"]


def test_an_annotation_of_kedas_is_heeded_when_it_comes_and_when_it_goes():
    registry, keda = ServiceRegistry(), {"keda": {}}
    registry.put(PolicyEntry(policy(algorithm=keda)))
    assert looked(registry, 9.0, replicas=2, now_s=1) == 4
    registry.put(PolicyEntry(policy(annotations={"autoscaling.keda.sh/paused-replicas": "1"}, algorithm=keda)))
    assert looked(registry, 9.0, replicas=2, now_s=31) == 1
    registry.put(PolicyEntry(policy(algorithm=keda)))
    assert looked(registry, 9.0, replicas=2, now_s=61) == 4


def test_a_policy_that_cannot_be_followed_leaves_all_as_it_was(registry):
    before = registry.services["default/sd"]
    with pytest.raises(ValueError, match="paused-until"):
        registry.put(PolicyEntry(policy(annotations={"inflight.dev/paused-until": "soon"}, maxReplicas=3)))
    assert registry.services["default/sd"] is before


@pytest.mark.parametrize("wrong", [{"inflight.dev/paused": "true"}, {"inflight.dev/replicas": "5"}])
def test_a_pause_holds_though_the_rest_of_the_policy_cannot_be_followed(wrong):
    registry, pause = ServiceRegistry(), {"inflight.dev/paused-until": "2026-11-23T18:00:00Z"}
    origins = Origins(registry, ("resources",))
    origins.put("resources", "default/sd", PolicyEntry(policy()))
    assert origins.put("resources", "default/sd", PolicyEntry(policy(annotations={**wrong, **pause}, maxReplicas=3)))
    assert [override.rule for override in registry.services["default/sd"].overrides] == ["paused"]
    assert registry.entries["default/sd"].policy.spec == policy().spec
    assert origins.put("resources", "default/sd", PolicyEntry(policy(annotations=wrong)))
    assert registry.services["default/sd"].overrides == ()


def test_of_a_policy_that_was_never_followed_and_of_a_pause_that_cannot_be_read_nothing_is_taken(registry):
    registry.pause("default/unknown", {"inflight.dev/paused-until": "2026-11-23T18:00:00Z"})
    assert list(registry.services) == ["default/sd"]
    registry.pause("default/sd", {"inflight.dev/paused-until": "soon"})
    assert registry.services["default/sd"].overrides == ()


def test_the_server_of_a_policy_wins_and_without_any_none_is_asked(registry):
    assert registry.queries["default/sd"].server == "http://prometheus:9090"
    registry.put(PolicyEntry(policy(metrics={"prometheus": {"serverAddress": "http://own:9090"}})))
    assert registry.queries["default/sd"].server == "http://own:9090"
    alone = ServiceRegistry()
    alone.put(PolicyEntry(policy()))
    assert alone.queries == {}


def test_a_policy_that_names_a_server_that_may_not_be_asked_is_not_followed_until_it_may():
    refused = {"http://any:9090"}
    registry = ServiceRegistry(
        "http://prometheus:9090", refusal=lambda server: "may not be used" if server in refused else ""
    )
    origins = Origins(registry, ("files",))
    named = PolicyEntry(policy(metrics={"prometheus": {"serverAddress": "http://any:9090"}}))
    problem = "spec.metrics.prometheus.serverAddress: http://any:9090 may not be used"
    assert origins.put("files", "default/sd", named) == problem
    assert (registry.services, registry.queries) == ({}, {})
    refused.clear()
    assert origins.set("files", {"default/sd": named}) == {}
    assert registry.queries["default/sd"].server == "http://any:9090"


def test_only_who_writes_writes_and_a_dry_run_never(registry):
    registry.put(PolicyEntry(policy("dry", mode="DryRun")))
    assert {name: service.writes for name, service in registry.services.items()} == {
        "default/sd": True,
        "default/dry": False,
    }
    registry.set_writing(False)
    assert not any(service.writes for service in registry.services.values())
    registry.put(PolicyEntry(policy("late")))
    assert not registry.services["default/late"].writes
    registry.set_writing(True)
    assert [name for name, service in registry.services.items() if service.writes] == ["default/sd", "default/late"]


def test_of_two_origins_the_first_wins_and_the_other_takes_over_when_it_is_gone():
    registry = ServiceRegistry()
    origins = Origins(registry, ("resources", "files"))
    of_file, of_resource = PolicyEntry(policy(maxReplicas=3)), PolicyEntry(policy(maxReplicas=4), 7.0)
    origins.set("files", {"default/sd": of_file})
    origins.set("resources", {"default/sd": of_resource})
    assert registry.entries == {"default/sd": of_resource}
    origins.set("resources", {})
    assert registry.entries == {"default/sd": of_file}
    origins.set("files", {})
    assert registry.entries == registry.services == registry.queries == {}


def test_problems_are_told_by_service():
    origins = Origins(ServiceRegistry(), ("resources",))
    wrong = PolicyEntry(policy(annotations={"inflight.dev/replicas": "5"}))
    assert "is required beside" in origins.set("resources", {"default/sd": wrong})["default/sd"]
