"""What is followed of policies in resources and files: valid, invalid, deleted ones, and one that raises an error."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import pytest
from api_kit import NAMESPACE, ApiServer

from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.app.followed_policies import FollowedPolicies
from autoscaler.controller.failures import Failures
from autoscaler.controller.services import ServiceRegistry
from autoscaler.documents.document import DocumentError
from autoscaler.kubernetes.policies import POLICIES
from autoscaler.runtime.files import CHECK_EVERY_S
from autoscaler.testing import policy_document

COLLECTION = POLICIES.collection(NAMESPACE)


class Target:
    """Keeps the names of what each service scales."""

    def __init__(self):
        self.names, self.error = {}, None

    def follow(self, entries, had_pools):
        if self.error is not None:
            raise self.error
        self.names = {name: entry.policy.spec.scale_target_ref.name for name, entry in entries.items()}
        self.had_pools = had_pools


class Reporter:
    """Keeps the problem of each policy, and the services with conflicts over hosts."""

    def __init__(self):
        self.problems, self.conflicts = {}, set()

    def keep(self, service, _policy, problem):
        self.problems[service] = problem

    def forget(self, service):
        del self.problems[service]

    def set_host_conflicts(self, conflicts):
        self.conflicts = set(conflicts)


class World:
    def __init__(self, **settings):
        self.api, self.target, self.reporter, self.failures = ApiServer(), Target(), Reporter(), Failures()
        self._generations = itertools.count(1)
        self.registry = ServiceRegistry("http://prometheus:9090")
        self.policies = FollowedPolicies(
            ControllerSettings(own_namespace=NAMESPACE, identity="one", namespace=NAMESPACE, **settings),
            api=self.api,
            registry=self.registry,
            target=self.target,
            reporter=self.reporter,
            failures=self.failures,
        )

    @asynccontextmanager
    async def running(self):
        self.policies.load_files()
        task = asyncio.create_task(self.policies.run())
        try:
            await asyncio.sleep(1)
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def put(self, name, *, day=1, **spec):
        document = policy_document(f"{NAMESPACE}/{name}", **spec)
        metadata = {
            **document["metadata"],
            "uid": f"uid-of-{name}",
            "generation": next(self._generations),
            "creationTimestamp": f"2026-01-0{day}T00:00:00Z",
        }
        self.api.put(COLLECTION, {**document, "metadata": metadata})
        await asyncio.sleep(1)

    def most(self, service):
        return self.registry.entries[service].policy.spec.max_replicas


def target(name):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


@pytest.fixture
async def world():
    async with World().running() as world:
        yield world


async def test_a_policy_is_followed_changed_and_forgotten(world):
    await world.put("web", scaleTargetRef=target("web"), maxReplicas=3)
    assert (world.target.names, world.most("ns/web")) == ({"ns/web": "web"}, 3)
    await world.put("web", scaleTargetRef=target("other"), maxReplicas=4)
    assert (world.target.names, world.most("ns/web")) == ({"ns/web": "other"}, 4)
    world.api.delete(COLLECTION, "web")
    await asyncio.sleep(1)
    assert (world.target.names, world.registry.entries, world.reporter.problems) == ({}, {}, {})


async def test_who_scales_is_told_which_services_have_pools_in_their_status(world):
    await world.put("web", scaleTargetRef=target("web"))
    assert world.target.had_pools == set()
    stored = world.api.find(COLLECTION, "web")
    world.api.put(COLLECTION, {**stored, "status": {"pools": [{"name": "a10"}]}})
    await world.put("other", scaleTargetRef=target("other"))
    assert world.target.had_pools == {"ns/web"}


async def test_a_policy_that_becomes_invalid_stays_in_force_and_its_status_says_why(world):
    await world.put("web", scaleTargetRef=target("web"), maxReplicas=3)
    await world.put("web", scaleTargetRef=target("web"), maxReplicas=-1)
    assert (world.target.names, world.most("ns/web")) == ({"ns/web": "web"}, 3)
    assert "maxReplicas" in world.reporter.problems["ns/web"]


async def test_a_policy_that_was_never_valid_keeps_its_hosts_from_a_younger_one(world):
    await world.put("broken", day=1, scaleTargetRef=target("a"), maxReplicas=-1, traffic={"hosts": ["a.example.com"]})
    await world.put("web", day=2, scaleTargetRef=target("b"), traffic={"hosts": ["a.example.com"]})
    assert world.target.names == {"ns/web": "b"}
    assert world.reporter.conflicts == {"ns/web"}


async def test_an_error_with_one_policy_does_not_stop_the_others(world, monkeypatch):
    keep = world.reporter.keep

    def raises_for_one(service, policy, problem):
        if service == "ns/bad":
            raise ValueError(service)
        keep(service, policy, problem)

    monkeypatch.setattr(world.reporter, "keep", raises_for_one)
    await world.put("bad", scaleTargetRef=target("bad"))
    await world.put("web", scaleTargetRef=target("web"))
    assert "ns/web" in world.target.names
    assert world.failures.is_failing("ns/bad", "policy")


async def test_policies_that_cannot_be_applied_are_tried_again(world):
    world.target.error = ValueError("for now")
    await world.put("web", scaleTargetRef=target("web"))
    assert world.target.names == {}
    world.target.error = None
    await asyncio.sleep(15)
    assert world.target.names == {"ns/web": "web"}


async def test_a_file_is_read_again_and_an_invalid_one_changes_nothing(tmp_path):
    file = tmp_path / "policies.yaml"
    text = "apiVersion: inflight.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: web, namespace: ns}\nspec: {%s}\n"
    reference = "scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}"
    file.write_text(text % f"{reference}, maxReplicas: 3")
    async with World(resources=False, files=(file,)).running() as world:
        assert (world.target.names, world.most("ns/web")) == ({"ns/web": "web"}, 3)
        file.write_text(text % f"{reference}, maxReplicas: -1")
        await asyncio.sleep(5 * CHECK_EVERY_S)
        assert world.most("ns/web") == 3
        file.write_text(text % f"{reference}, maxReplicas: 12")
        while world.most("ns/web") != 12:  # noqa: ASYNC110 - a thread reads the file
            await asyncio.sleep(CHECK_EVERY_S)


def test_an_invalid_file_is_refused_at_the_start(tmp_path):
    file = tmp_path / "policies.yaml"
    file.write_text("kind: ScalingPolicy\n")

    async def start():
        World(resources=False, files=(file,)).policies.load_files()

    with pytest.raises(DocumentError, match=r"policies\.yaml"):
        asyncio.run(start())
