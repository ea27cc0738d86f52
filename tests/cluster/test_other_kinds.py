"""Kinds of other projects, with their real definitions and the rights that the page grants.

Their controllers do not run here, the test plays them: it gives a Rollout its ReplicaSet, and a LeaderWorkerSet the
StatefulSet of its leaders. Kubernetes' own controllers then make and remove the pods.
"""

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import aiohttp
import pytest
import yaml
from cluster_kit import QUICK, account_of_the_base, condition, free_port, is_going, is_ready, until
from documentation import blocks_of, documents
from in_process import paint, web_uis
from kubectl import kubectl

pytestmark = [pytest.mark.program, pytest.mark.real_time]

PAGE, ACCOUNTS = "how-to/other-targets.md", ("inflight-controller", "inflight-gateway")
CONTAINERS = {"containers": [{"name": "web", "image": "none"}]}
LEADERS = {"leaderworkerset.sigs.k8s.io/name": "web", "leaderworkerset.sigs.k8s.io/worker-index": "0"}
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


class Kind(NamedTuple):
    """A kind of another project."""

    api_version: str
    name: str
    plural: str
    spec: dict
    labels: dict
    """Labels of the pods that its scale selects."""
    selector_key: str
    """The key of its status that has the selector."""
    makes: str
    """The kind that its controller makes, in plural."""
    made: dict
    """What that has beside number, selector and pods."""

    @property
    def template(self):
        return {"metadata": {"labels": self.labels}, "spec": CONTAINERS}


ROLLOUT = Kind(
    "argoproj.io/v1alpha1",
    "Rollout",
    "rollouts",
    {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}}},
    {"app": "web"},
    "selector",
    "replicasets",
    {},
)
LEADER_WORKER_SET = Kind(
    "leaderworkerset.x-k8s.io/v1",
    "LeaderWorkerSet",
    "leaderworkersets",
    {"leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": CONTAINERS}}},
    LEADERS,
    "hpaPodSelector",
    "statefulsets",
    {"serviceName": "web", "podManagementPolicy": "Parallel"},
)


class World:
    """An object of another kind, and what its controller would do for it."""

    def __init__(self, installation, kind):
        self.it, self.kind = installation, kind
        self.objects = self.it.path(f"apis/{kind.api_version}", kind.plural)
        self.made = self.it.path("apis/apps/v1", kind.makes)

    @asynccontextmanager
    async def played(self):
        """Have the object, whose controller is played as long as the context lasts."""
        kind = self.kind
        body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "web"}}
        await self.it.ask("create", self.objects, {**body, "spec": {**kind.spec, "replicas": 0}})
        spec = {**kind.made, "replicas": 0, "selector": {"matchLabels": kind.labels}, "template": kind.template}
        await self.it.ask("create", self.made, {"metadata": {"name": "web"}, "spec": spec})
        selector = ",".join(f"{key}={value}" for key, value in kind.labels.items())
        await self.it.ask("patch", f"{self.objects}/web/status", {"status": {kind.selector_key: selector}})
        playing = asyncio.create_task(self._play())
        try:
            yield
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    async def _play(self):
        number = 0

        def is_another(found):
            return found["web"]["spec"]["replicas"] != number

        while True:
            with suppress(TimeoutError):
                found = await self.it.ask("wait", self.objects, is_another, deadline_s=2)
                number = found["web"]["spec"]["replicas"]
                await self.it.ask("patch", f"{self.made}/web/scale", {"spec": {"replicas": number}})

    async def pods(self, condition):
        """Wait until the pods that stay are so, and give them by name."""
        found = await self.it.ask("wait", self.it.pods, lambda pods: condition(_staying(pods)), deadline_s=30)
        return _staying(found)


def _staying(pods):
    return {name: pod for name, pod in pods.items() if not is_going(pod)}


def are_ready(number):
    return lambda pods: len(pods) == number and all(map(is_ready, pods.values()))


@pytest.fixture
async def accounts(installation):
    """Have the two accounts with what the base grants, and with what the page adds to it."""
    it = installation
    granted = [each for name in ACCOUNTS for each in account_of_the_base(name)]
    page = [each for block in blocks_of(PAGE) if block.language == "yaml" for each in documents(block)]
    granted += [_here(each, it.namespace) for each in page if each.get("kind", "").startswith("ClusterRole")]
    body = yaml.safe_dump_all(granted)
    await asyncio.to_thread(kubectl, it.control_plane, "apply", "-n", it.namespace, "-f", "-", body=body)
    yield [await it.ask("service_account", it.namespace, name) for name in ACCOUNTS]
    await asyncio.to_thread(kubectl, it.control_plane, "delete", "-n", it.namespace, "-f", "-", body=body)


def _here(item, namespace):
    """Give what the page grants with names of this test alone, for the accounts of its namespace."""
    item["metadata"]["name"] += f"-{namespace}"
    if "roleRef" in item:
        item["roleRef"]["name"] += f"-{namespace}"
        item["subjects"][0]["namespace"] = namespace
    return item


@pytest.mark.parametrize("kind", [ROLLOUT, LEADER_WORKER_SET], ids=lambda kind: kind.name)
async def test_a_kind_of_another_project_is_scaled_and_served_with_the_rights_of_the_page(
    other_kinds, installation, accounts, monkeypatch, kind
):
    it, world, port = installation, World(installation, kind), free_port()
    target = {"apiVersion": kind.api_version, "kind": kind.name, "name": "web"}
    traffic = {"hosts": ["sd.example.com"], "port": port}
    controller, gateway_account = accounts
    monkeypatch.setenv("KUBECONFIG", str(gateway_account))
    async with (
        world.played(),
        web_uis(port, 60) as servers,
        it.gateway() as gateway,
        aiohttp.ClientSession() as session,
    ):
        monkeypatch.setenv("KUBECONFIG", str(controller))
        async with it.controller(gateways=(f"127.0.0.1:{gateway.metrics_port}",)) as whole:
            await it.apply(scaleTargetRef=target, minReplicas=3, maxReplicas=3, traffic=traffic, **QUICK)
            pods = await world.pods(are_ready(3))
            await it.policy_is(lambda status: status.get("readyReplicas") == 3)
            request = asyncio.create_task(paint(session, gateway))
            busy_address = await until(lambda: next((at for at, pod in servers.items() if pod.jobs), ""))
            busy = next(name for name, pod in pods.items() if pod["status"]["podIP"] == busy_address)

            await it.change(spec={"minReplicas": 1})
            left = await world.pods(are_ready(1))
            assert set(left) == ({busy} if kind is ROLLOUT else {"web-0"})
            written = next(record for record in reversed(whole.records) if record.written is not None)
            assert (written.observation.replicas, written.decision.desired) == (3, 1)
            assert written.outcome.drain == (), "the gateway has confirmed that the pods that left get nothing new"
            assert condition(await it.policy_is(lambda status: status.get("readyReplicas") == 1), "Ready")[0] == "True"
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
