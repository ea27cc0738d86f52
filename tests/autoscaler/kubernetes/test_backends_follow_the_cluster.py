"""A gateway is told of what is: whatever happened to pods, owners, targets and policies, in whatever order."""

import asyncio
import random
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest
from api_kit import (
    DEPLOYMENTS,
    NAMESPACE,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    ApiServer,
    heard,
    pod,
    replica_set,
    workload,
)

from autoscaler.kubernetes.backends import BackendWatch, ServiceBackend
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.pool_members import service_of

DEPLOYMENT, STATEFUL_SET = (
    NamespacedKind(NAMESPACE, "apps/v1", "Deployment"),
    NamespacedKind(NAMESPACE, "apps/v1", "StatefulSet"),
)
WEB = "ns/web"
STARTED_S = 1_767_229_200.0
"""When the gateway started: 2026-01-01T01:00:00Z."""
BEFORE, LATER = "2026-01-01T00:59:59Z", "2026-01-01T01:00:01Z"


class GatewayServer:
    """What a gateway knows of pods; told what cannot be, it fails."""

    def __init__(self):
        self.serving, self.draining, self.marked = defaultdict(dict), defaultdict(set), defaultdict(set)
        self.expected = defaultdict(dict)
        self.warmed_up = []

    def expect_backend(self, service, name, *, created_s):
        assert name not in self.serving[service]
        self.expected[service][name] = created_s
        self.draining[service].discard(name)
        self.marked[service].discard(name)

    def add_backend(self, service, name, address, *, warm):
        self.warmed_up += [] if warm else [name]
        self.expected[service].pop(name, None)
        self.serving[service][name] = address
        self.draining[service].discard(name)
        self.marked[service].discard(name)

    def drain_backend(self, service, name, *, marked):
        assert name in (self.serving[service] | self.expected[service]) or marked or name in self.marked[service]
        self.expected[service].pop(name, None)
        self.serving[service].pop(name, None)
        self.draining[service].add(name)
        (self.marked[service].add if marked else self.marked[service].discard)(name)

    def remove_backend(self, service, name):
        assert name in (self.serving[service] | self.expected[service]) or name in self.draining[service]
        self.expected[service].pop(name, None)
        self.serving[service].pop(name, None)
        self.draining[service].discard(name)
        self.marked[service].discard(name)


class World:
    def __init__(self):
        self.api, self.gateway = ApiServer(), GatewayServer()
        self.watch = BackendWatch(self.api, random.Random(1), self.gateway, started_s=STARTED_S)  # noqa: S311

    @asynccontextmanager
    async def running(self):
        async with self.watch:
            yield self

    def serves(self, service=WEB):
        return set(self.gateway.serving[service])

    async def follow(self, **services):
        self.watch.set_services({f"{NAMESPACE}/{name}": backing for name, backing in services.items()})
        await heard()


@pytest.fixture
async def world():
    async with World().running() as world:
        world.api.put(DEPLOYMENTS, workload("web"))
        world.api.put(REPLICA_SETS, replica_set("web-1", "web"))
        for name in ("a", "b"):
            world.api.put(PODS, pod(name, {"app": "web"}, ("ReplicaSet", "web-1")))
        await world.follow(web=ServiceBackend(DEPLOYMENT, "web", 80))
        assert world.serves() == {"a", "b"}
        yield world


async def test_a_pod_whose_labels_match_no_more_drains_at_once_and_is_forgotten_when_it_is_gone(world):
    world.api.put(PODS, pod("a", {"app": "quarantine"}, ("ReplicaSet", "web-1")))
    await heard()
    assert (world.serves(), world.gateway.draining[WEB]) == ({"b"}, {"a"})
    world.api.delete(PODS, "a")
    await heard()
    assert (world.serves(), world.gateway.draining[WEB]) == ({"b"}, set())


@pytest.mark.parametrize("state", [{"ready": False}, {"leaving": True}, {"cost": "-1000000"}])
async def test_a_pod_that_is_relabelled_in_the_moment_it_ends_is_sent_nothing(world, state):
    world.api.put(PODS, pod("a", {"app": "quarantine"}, ("ReplicaSet", "web-1"), **state))
    await heard()
    assert world.serves() == {"b"}


@pytest.mark.parametrize("ready", [True, False])
async def test_the_gateway_knows_of_each_mark_also_of_a_pod_that_it_never_sent_anything(world, ready):
    owner = ("ReplicaSet", "web-1")
    world.api.put(PODS, pod("c", {"app": "web"}, owner, ready=False))
    await heard()
    assert world.gateway.draining[WEB] == set()
    for name in ("a", "c"):
        world.api.put(PODS, pod(name, {"app": "web"}, owner, ready=ready, cost="-1000000"))
    await heard()
    assert (world.serves(), world.gateway.marked[WEB]) == ({"b"}, {"a", "c"})
    for name in ("a", "c"):
        world.api.put(PODS, pod(name, {"app": "web"}, owner, ready=ready))
    await heard()
    assert world.gateway.marked[WEB] == set()
    assert world.serves() == ({"a", "b", "c"} if ready else {"b"})


async def test_a_pod_is_expected_until_it_serves_for_the_first_time_marked_or_gone(world):
    owner, expected = ("ReplicaSet", "web-1"), world.gateway.expected[WEB]
    for name in ("c", "d", "e", "f"):
        world.api.put(PODS, pod(name, {"app": "web"}, owner, ready=False))
    world.api.put(PODS, pod("stranger", {"app": "web"}, ("ReplicaSet", "other"), ready=False))
    await heard()
    created_s = expected["c"]
    assert expected == dict.fromkeys(("c", "d", "e", "f"), created_s)
    assert created_s > 0

    world.api.put(PODS, pod("c", {"app": "web"}, owner))
    world.api.put(PODS, pod("d", {"app": "web"}, owner, ready=False, cost="-1000000"))
    world.api.put(PODS, pod("e", {"app": "web"}, owner, ready=False, leaving=True))
    world.api.delete(PODS, "f")
    await heard()
    assert expected == {}

    world.api.put(PODS, pod("c", {"app": "web"}, owner, ready=False))
    await heard()
    assert expected == {}, "it has served: nobody knows how long it takes now"


def started(name, since, restarts=0, *, ready=True, cost=""):
    """Give a pod of which Kubernetes says since when it is ready, and how often it was started again."""
    status = {
        "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": since}],
        "containerStatuses": [{"name": "web", "restartCount": restarts, "ready": ready}],
    }
    return pod(name, {"app": "web"}, ("ReplicaSet", "web-1"), status=status, cost=cost)


async def test_a_pod_gets_one_warm_up_for_each_start_of_its_containers(world):
    world.gateway.warmed_up.clear()
    for each in (
        started("c", LATER),
        started("c", LATER, ready=False),
        started("c", LATER),
        started("c", LATER, cost="-1000000"),
        started("c", LATER),
    ):
        world.api.put(PODS, each)
        await heard()
    assert world.gateway.warmed_up == ["c"]
    world.api.put(PODS, started("c", LATER, restarts=1, ready=False))
    world.api.put(PODS, started("c", LATER, restarts=1))
    await heard()
    assert world.gateway.warmed_up == ["c", "c"]


async def test_a_pod_of_the_same_name_is_another_one_after_its_end(world):
    world.gateway.warmed_up.clear()
    for _ in range(2):
        world.api.put(PODS, started("c", LATER))
        await heard()
        world.api.delete(PODS, "c")
        await heard()
    assert world.gateway.warmed_up == ["c", "c"]


async def test_a_pod_that_was_ready_before_the_gateway_started_is_warm(world):
    world.gateway.warmed_up.clear()
    world.api.put(PODS, started("c", BEFORE))
    world.api.put(PODS, started("d", LATER))
    await heard()
    assert world.gateway.warmed_up == ["d"]


async def test_a_pod_that_is_labelled_back_serves_again(world):
    for label in ("quarantine", "web"):
        world.api.put(PODS, pod("a", {"app": label}, ("ReplicaSet", "web-1")))
        await heard()
    assert (world.serves(), world.gateway.draining[WEB]) == ({"a", "b"}, set())


@pytest.mark.parametrize("owner", [None, ("Job", "nightly"), ("ReplicaSet", "canary-1"), ("ReplicaSet", "unknown")])
async def test_a_pod_of_somebody_else_with_the_same_labels_is_sent_nothing(world, owner):
    world.api.put(DEPLOYMENTS, workload("canary", labels={"app": "web", "track": "canary"}))
    world.api.put(REPLICA_SETS, replica_set("canary-1", "canary"))
    world.api.put(PODS, pod("other", {"app": "web", "track": "canary"}, owner))
    await heard()
    assert world.serves() == {"a", "b"}


async def test_a_pod_that_is_heard_of_before_its_replica_set_serves_as_soon_as_that_is_known(world):
    world.api.put(PODS, pod("c", {"app": "web"}, ("ReplicaSet", "web-2")))
    await heard()
    assert "c" not in world.serves()
    world.api.put(REPLICA_SETS, replica_set("web-2", "web"))
    await heard()
    assert world.serves() == {"a", "b", "c"}


async def test_a_service_with_another_target_drops_the_old_ones_pods_at_once(world):
    world.api.put(DEPLOYMENTS, workload("green"))
    world.api.put(REPLICA_SETS, replica_set("green-1", "green"))
    world.api.put(PODS, pod("g", {"app": "green"}, ("ReplicaSet", "green-1")))
    await heard()
    world.watch.set_services({WEB: ServiceBackend(DEPLOYMENT, "green", 80)})
    assert (world.serves(), world.gateway.draining[WEB]) == (set(), {"a", "b"}) or world.serves() == {"g"}
    await heard()
    assert (world.serves(), world.gateway.draining[WEB]) == ({"g"}, {"a", "b"})


async def test_a_target_that_does_not_exist_yet_has_no_pods_and_the_old_ones_are_dropped(world):
    await world.follow(web=ServiceBackend(STATEFUL_SET, "later", 80))
    assert world.serves() == set()
    world.api.put(STATEFUL_SETS, workload("later"))
    world.api.put(PODS, pod("later-0", {"app": "later"}, ("StatefulSet", "later")))
    await heard()
    assert world.serves() == {"later-0"}


async def test_another_selector_of_the_target_is_followed(world):
    world.api.put(DEPLOYMENTS, workload("web", labels={"app": "web", "revision": "2"}))
    world.api.put(PODS, pod("b", {"app": "web", "revision": "2"}, ("ReplicaSet", "web-1")))
    await heard()
    assert world.serves() == {"b"}


# Whatever happens.

NAMES = ("a", "b", "c", "d")
POD = {
    "labels": [{"app": "web"}, {"app": "web"}, {"app": "blue"}, {"app": "web", "track": "canary"}, {"app": "debug"}],
    "owner": [("ReplicaSet", "r1"), ("ReplicaSet", "r1"), ("ReplicaSet", "r2"), ("StatefulSet", "set"), ("Job", "j")],
    "ready": [True, True, False],
    "address": ["10.0.0.1", "10.0.0.2", "10.0.0.3", ""],
    "leaving": [False, False, True],
    "cost": ["", "", "-1000000", "5"],
}
"""What may be said of a pod; what is named twice comes twice as often."""
BACKINGS = [
    ServiceBackend(DEPLOYMENT, "web", 80),
    ServiceBackend(DEPLOYMENT, "web", 80),
    ServiceBackend(DEPLOYMENT, "web", 81),
    ServiceBackend(DEPLOYMENT, "blue", 80),
    ServiceBackend(STATEFUL_SET, "set", 80),
]


class Story:
    """What there is, kept apart from the API server, and what a gateway should know by it."""

    def __init__(self, world):
        self.world, self.pods, self.controllers, self.targets, self.services = world, {}, {}, {}, {}

    def happens(self, rng):
        """Let one thing happen, mostly to a pod, of which mostly one thing changes."""
        match rng.randrange(17):
            case 0:
                self.no_pod(rng.choice(NAMES))
            case 1:
                self.replica_set(rng.choice(["r1", "r2"]), rng.choice(["web", "web", "blue", None]))
            case 2:
                self.no_replica_set(rng.choice(["r1", "r2"]))
            case 3:
                self.target(rng.choice(["web", "blue"]), rng.choice(POD["labels"]), rng.choice(["", "", "2"]))
            case 4:
                self.no_target(rng.choice(["web", "blue"]))
            case 5:
                names = [WEB, "ns/other"] if rng.random() < 0.5 else [f"{WEB}#good", f"{WEB}#cheap", "ns/other"]
                self.policies({name: rng.choice(BACKINGS) for name in names if rng.random() < 0.8})
            case 6:
                self.world.api.forget_watches(rng.choice([PODS, REPLICA_SETS, DEPLOYMENTS]))
            case _:
                self.change_pod(rng)

    def begins(self):
        self.policies({WEB: BACKINGS[0]})
        self.target("web", {"app": "web"}, "")
        self.replica_set("r1", "web")

    def change_pod(self, rng):
        name = rng.choice(NAMES)
        known = self.pods.get(name) or {"name": name, **{key: choices[0] for key, choices in POD.items()}}
        key = rng.choice(list(POD))
        self.pod({**known, key: rng.choice(POD[key])})

    def pod(self, made):
        self.pods[made["name"]] = made
        self.world.api.put(PODS, pod(**made))

    def no_pod(self, name):
        if self.pods.pop(name, None):
            self.world.api.delete(PODS, name)

    def replica_set(self, name, deployment):
        self.controllers[name] = deployment and f"uid-of-{deployment}"
        self.world.api.put(REPLICA_SETS, replica_set(name, deployment))

    def no_replica_set(self, name):
        if name in self.controllers:
            del self.controllers[name]
            self.world.api.delete(REPLICA_SETS, name)

    def target(self, name, labels, again):
        self.no_target(name)
        uid = f"uid-of-{name}{again}"
        self.targets[name] = uid, labels
        self.world.api.put(DEPLOYMENTS, workload(name, uid=uid, labels=labels))

    def no_target(self, name):
        if self.targets.pop(name, None):
            self.world.api.delete(DEPLOYMENTS, name)

    def policies(self, services):
        gone = set(map(service_of, self.services)) - set(map(service_of, services))
        for name in gone:
            # The gateway forgets a service with its pods.
            self.world.gateway.serving.pop(name, None)
            self.world.gateway.draining.pop(name, None)
        self.services = services
        self.world.watch.set_services(services)

    def should_serve(self, service):
        served = {}
        for member, backing in self.services.items():
            if service_of(member) == service:
                served = self.serve(backing) | served
        return served

    def serve(self, backing):
        if backing.kind is STATEFUL_SET:
            uid, labels = "uid-of-set", {"app": "web"}
            owners = {("StatefulSet", "set")}
        else:
            uid, labels = self.targets.get(backing.name, ("", None))
            owners = {("ReplicaSet", name) for name, owner in self.controllers.items() if uid and owner == uid}
        return {
            name: f"{made['address']}:{backing.port}"
            for name, made in self.pods.items()
            if labels is not None
            and labels.items() <= made["labels"].items()
            and made["owner"] in owners
            and made["ready"]
            and made["address"]
            and not made["leaving"]
            and made["cost"] != "-1000000"
        }

    def check(self):
        for service in map(service_of, self.services):
            assert self.world.gateway.serving[service] == self.should_serve(service)
            assert self.world.gateway.draining[service] <= self.pods.keys()


async def listed_again():
    """Let everybody hear of what has changed, also those whose watch has ended."""
    await asyncio.sleep(60)


async def test_a_service_has_the_pods_of_all_its_pools_and_those_of_a_pool_that_is_gone_drain(world):
    world.api.put(DEPLOYMENTS, workload("web-l20"))
    world.api.put(REPLICA_SETS, replica_set("web-l20-1", "web-l20"))
    world.api.put(PODS, pod("c", {"app": "web-l20"}, ("ReplicaSet", "web-l20-1")))
    pools = {"web#a10": ServiceBackend(DEPLOYMENT, "web", 80), "web#l20": ServiceBackend(DEPLOYMENT, "web-l20", 80)}

    await world.follow(**pools)
    assert world.serves() == {"a", "b", "c"}
    assert world.gateway.draining[WEB] == set()

    await world.follow(**{"web#l20": pools["web#l20"]})
    assert world.serves() == {"c"}
    assert world.gateway.draining[WEB] == {"a", "b"}

    world.api.delete(PODS, "a")
    await heard()
    assert world.gateway.draining[WEB] == {"b"}


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 2, 5])
@pytest.mark.parametrize("seed", range(20))
async def test_after_any_events_in_any_order_a_gateway_knows_just_the_pods_that_serve(seed, together):
    rng = random.Random(seed)  # noqa: S311
    async with World().running() as world:
        world.api.put(STATEFUL_SETS, workload("set", labels={"app": "web"}))
        story = Story(world)
        story.begins()
        for number in range(400):
            story.happens(rng)
            if number % together == 0:
                await listed_again()
                story.check()
