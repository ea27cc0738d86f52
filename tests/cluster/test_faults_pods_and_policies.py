"""Pods that never become Ready, are deleted, relabelled and die while they serve, a node that goes; policies that are
edited, broken and deleted: each for a service under load of its own, all at the same time.
"""

import asyncio

import pytest
from cluster_kit import condition
from control_plane import RefusedError
from fault_kit import installed, known, together, until

pytestmark = [pytest.mark.program, pytest.mark.real_time]

CLIENTS = 2
NODE = {
    "metadata": {"name": "doomed", "labels": {"kubernetes.io/hostname": "doomed", "doomed": "yes"}},
    "spec": {"podCIDR": "127.1.1.0/24"},
    "status": {
        "allocatable": (room := {"cpu": "64", "memory": "512Gi", "pods": "250"}),
        "capacity": room,
    },
}


async def never_ready(service):
    """Nobody can serve them: they are refused in time, and the pods go as they came."""
    await service.install(annotations={"inflight.test/cold-start-s": "3600"}, traffic={"queue": {"timeout": "8s"}})
    await service.one(CLIENTS)
    await service.replicas_are(0)


async def pods_deleted(service):
    """One after another is deleted as a user does it; what it serves ends well."""
    await service.install(annotations={"inflight.test/exit-s": "5"})
    async with service.load(CLIENTS):
        await service.serves(CLIENTS)
        for _ in range(2):
            name = next(iter(await service.wait_pods(lambda all_: all_)))
            await service.ask("delete", f"{service.pods}/{name}")
            await service.answered(2 * CLIENTS)
    await service.replicas_are(0)


async def pods_relabelled(service):
    """One after another is taken out for a look; what it serves ends well, and it gets nothing more."""
    await service.install()
    async with service.load(CLIENTS):
        await service.serves(CLIENTS)
        for _ in range(2):
            name, pod = next(iter((await service.wait_pods(lambda all_: all_)).items()))
            taken_out = {"metadata": {"labels": {"app": "quarantine"}}}
            await service.ask("patch", f"{service.pods}/{name}", taken_out)
            await service.answered(CLIENTS)
            runs = service.ledger.runs_at(pod["status"]["podIP"])
            await service.answered(2 * CLIENTS)
            assert service.ledger.runs_at(pod["status"]["podIP"]) == runs
    await service.replicas_are(0)


async def pods_killed(service):
    """One after another dies in the middle of a request, and is gone."""
    await service.install()
    async with service.load(CLIENTS):
        await service.serves(CLIENTS)
        for _ in range(2):
            address = await until(service.ledger.busy, "a pod that serves")
            pods = await service.wait_pods(lambda all_: all_)
            name = next(name for name, pod in pods.items() if pod["status"].get("podIP") == address)
            await die(service, {name: address})
            await service.answered(2 * CLIENTS)
    await service.replicas_are(0)


async def node_gone(service):
    """The power fails; a while later node and pods are taken out of the books, as their garbage collector does it."""
    await service.ask("create", "/api/v1/nodes", NODE)
    await service.install(node="doomed")
    async with service.load(CLIENTS):
        await service.serves(CLIENTS)
        pods = await service.wait_pods(lambda all_: all_)
        assert {pod["spec"]["nodeName"] for pod in pods.values()} == {"doomed"}
        for pod in pods.values():
            await service.installation.fleet.dies(pod["status"]["podIP"])
        await until(lambda: service.ledger.statuses()[502], "a request that fell with it")
        await service.ask("delete", "/api/v1/nodes/doomed")
        await die(service, {name: pod["status"]["podIP"] for name, pod in pods.items()})
        await service.answered(2 * CLIENTS)
    await service.replicas_are(0)


async def die(service, pods):
    """End processes and, without any grace, their pods."""
    for name, address in pods.items():
        await service.installation.fleet.dies(address)
        await service.ask("request", "DELETE", f"{service.pods}/{name}", {"gracePeriodSeconds": 0})


async def policy_edited(service):
    """Bounds and window change while requests wait and run."""
    await service.install(maxReplicas=1)
    async with service.load(CLIENTS + 1):
        await service.serves(1)
        await service.change(spec={"maxReplicas": 3})
        await service.serves(3)
        await service.change(spec={"algorithm": {"concurrency": {"stableWindow": "10s"}}})
        await service.answered(2 * CLIENTS)
        await service.change(spec={"maxReplicas": 2})
        await service.replicas_are(2)
    await service.replicas_are(0)


async def policy_broken(service):
    """What the API server refuses changes nothing; what it lets through leaves the policy before it in force."""
    await service.install()
    async with service.load(CLIENTS):
        await service.serves(CLIENTS)
        with pytest.raises(RefusedError):
            await service.change(spec={"maxReplicas": 0})
        soon = {"inflight.dev/paused-until": "soon"}
        await service.change(metadata={"annotations": soon}, spec={"maxReplicas": 1})
        await service.policy_is(lambda status: condition(status, "Ready") == ("False", "InvalidPolicy"))
        await service.answered(2 * CLIENTS)
        await service.decided(known, 3)
        await service.change(metadata={"annotations": dict.fromkeys(soon)}, spec={"maxReplicas": 3})
        await service.policy_is(lambda status: condition(status, "Ready") == ("True", "ScalingActive"))
    await service.replicas_are(0)


async def policy_deleted(service):
    """Who runs ends well, who waits is told to come again, who comes is told that there is nothing; the pods stay."""
    await service.install(maxReplicas=1)
    async with service.load(CLIENTS):
        await service.serves(1)
        await service.answered(CLIENTS)
        await service.ask("delete", f"{service.policies}/web")
        await until(lambda: service.ledger.statuses()[404], "a request that finds no service")


FAULTS = {
    never_ready: [(504, "no pod was free in time")],
    pods_deleted: [],
    pods_relabelled: [],
    pods_killed: [(502, "the pod closed its connection before the response ended")],
    node_gone: [(502, "pod")],
    policy_edited: [],
    policy_broken: [],
    policy_deleted: [(503, "the gateway is shutting down"), (404, "no service has this host")],
}
"""What clients may be told besides 200."""


async def story(control_plane, folder):
    names = [fault.__name__ for fault in FAULTS]
    async with installed(control_plane, folder, names) as it:
        await together(fault(it[fault.__name__]) for fault in FAULTS)
    return {fault: it[fault.__name__].ledger for fault in FAULTS}


@pytest.fixture(scope="module")
def told(control_plane, tmp_path_factory):
    return asyncio.run(story(control_plane, tmp_path_factory.mktemp("pods")))


@pytest.fixture
def ledger(told, fault):
    return told[fault]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.replace("_", " "))
def test_every_request_is_accounted_for_and_every_change_explained(ledger, fault):
    ledger.settle(*FAULTS[fault])


@pytest.mark.parametrize("fault", [never_ready])
def test_pods_that_never_become_ready_are_as_many_as_were_needed_and_go_again(ledger):
    assert ledger.replicas in ([0, CLIENTS, 0], [0, 1, CLIENTS, 0]), "a decision may fall between two clients' arrivals"
    assert ledger.statuses() == {504: CLIENTS}


@pytest.mark.parametrize("fault", [pods_killed, node_gone])
def test_only_the_requests_that_a_dying_pod_served_are_lost_with_it_and_no_other_runs_twice(ledger):
    cut = {name for name, runs in ledger.runs.items() if any(run.cut for run in runs)}
    broken = {each.name for each in ledger.requests if each.status == 502 and "closed its connection" in each.text}
    assert broken
    assert cut <= broken
    assert not [ledger.runs[name] for name in broken - cut if name in ledger.runs], "they had reached no pod"


@pytest.mark.parametrize("fault", [pods_deleted, pods_relabelled, pods_killed, node_gone, policy_broken])
def test_the_number_stays_while_the_load_does(ledger):
    assert ledger.replicas[:2] in ([0, CLIENTS], [0, 1])
    rising = ledger.replicas[: ledger.replicas.index(CLIENTS) + 1]
    falling = ledger.replicas[len(rising) - 1 :]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("fault", [policy_edited])
def test_an_edit_is_followed_and_says_so(ledger):
    assert [number for number in ledger.replicas if number][:3] == [1, 3, 2]
    rules = {reason["rule"] for record in ledger.orders for reason in record["reasons"]}
    assert "maxReplicas" in rules


@pytest.mark.parametrize("fault", [policy_deleted])
def test_the_pods_of_a_policy_that_is_deleted_stay(ledger):
    assert ledger.replicas == [0, 1]
