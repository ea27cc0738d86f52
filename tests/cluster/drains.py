"""Scales, rolls out and drains nodes under load without a pause, and closes the books: `drains.py --help`.

Three services get requests of random length from a number of clients that changes all the time. One is only scaled; its
bounds change too, and a pod of somebody else has its labels. One gets new revisions, and the node of its pods is
drained. One gets new revisions while a single GPU is left. No request may be cut, refused, or run twice.
"""

import argparse
import asyncio
import itertools
import random
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from control_plane import RefusedError, started
from fault_kit import installed, together, until

SCALED, ROLLED, TIGHT = "scaled", "rolled", "tight"
MOST_CLIENTS, GPUS = 6, 3
SHORTEST_S, LONGEST_S = 0.01, 0.8
EXIT_S = "2"
"""From the deletion of a pod until its process ends: a server that finishes what it runs."""
DRAINED_NODE, GPU_NODE = "drained", "gpus"


CONTAINER = {"containers": [{"name": "web", "image": "none"}]}
ON_A_GPU = {"containers": [{"name": "web", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}


def node(name, network, **resources):
    """Describe a node for the pods of one service."""
    room = {"cpu": "64", "memory": "512Gi", "pods": "250", **resources}
    labels = {"kubernetes.io/hostname": name}
    status = {"allocatable": room, "capacity": room}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"podCIDR": network}, "status": status}


NODES = [node(DRAINED_NODE, "127.1.2.0/24"), node(GPU_NODE, "127.1.3.0/24", **{"nvidia.com/gpu": str(GPUS)})]


class Drains:
    """One run.

    Args:
        it: the installation.
        rng: draws everything.
    """

    def __init__(self, it, rng):
        self.it, self.done = it, Counter()
        self.foreign_runs = None
        """Requests that the pod of somebody else ran."""
        self._rng, self._over = rng, asyncio.Event()
        it.fleet.service_s = lambda: rng.uniform(SHORTEST_S, LONGEST_S)

    async def run(self, requests):
        """Go on until so many requests were answered, then wait until all is at rest."""
        for each in NODES:
            await self.it[SCALED].ask("create", "/api/v1/nodes", each)
        try:
            await self._run(requests)
        finally:
            for each in NODES:
                await self.it[SCALED].ask("delete", f"/api/v1/nodes/{each['metadata']['name']}")

    async def _run(self, requests):
        scaled, rolled, tight = (self.it[name] for name in (SCALED, ROLLED, TIGHT))
        exits = {"inflight.test/exit-s": EXIT_S, "inflight.test/cold-start-s": "1"}
        await scaled.install(annotations=exits)
        foreign = {"metadata": {"name": "nightly", "labels": {"app": "web"}}, "spec": CONTAINER}
        await scaled.ask("create", scaled.pods, foreign)
        await rolled.install(annotations=exits, node=DRAINED_NODE)
        await tight.install(annotations=exits, template=ON_A_GPU, minReplicas=GPUS - 1, maxReplicas=GPUS - 1)
        await tight.serves(GPUS - 1)
        acts = [self._load(service, MOST_CLIENTS) for service in (scaled, rolled)]
        acts += [self._load(tight, GPUS - 1), self._bounds(scaled), self._renew_or_drain(rolled), self._renew(tight)]
        tasks = [asyncio.create_task(act) for act in acts]
        await until(lambda: self.answered() >= requests or any(task.done() for task in tasks), "answers", 3600)
        self._over.set()
        await together(tasks)
        pods = await scaled.ask("wait", scaled.pods, lambda pods: "nightly" in pods)
        self.foreign_runs = scaled.ledger.runs_at(pods["nightly"]["status"]["podIP"])
        await scaled.ask("delete", f"{scaled.pods}/nightly")
        await tight.change(spec={"minReplicas": 0})
        await together(self._rest(service) for service in (scaled, rolled, tight))

    async def _rest(self, service):
        """Wait until a service has no pod: those of a node that is gone would never end."""
        await service.replicas_are(0, deadline_s=120)
        await service.ask("wait", service.pods, lambda pods: not pods, deadline_s=120)

    def answered(self):
        """Count the answers of all services."""
        return sum(service.ledger.statuses()[200] for service in self.it.services.values())

    def settle(self, *services):
        """Close the books of these services: each request was answered, and ran once, on a pod with room."""
        for name in services or self.it.services:
            self.it[name].ledger.settle()

    def most_pods_waited_for(self, service):
        """Give the most pods of a service that became ready while one of its requests waited."""
        ready_s = self.it.fleet.ready_s[self.it[service].namespace]
        waits = self.it[service].ledger.waits()
        return max(sum(sent_s < at_s < begun_s for at_s in ready_s) for sent_s, begun_s in waits)

    async def _load(self, service, most):
        while not self._over.is_set():
            service.start_load(self._rng.randint(0, most))
            await asyncio.sleep(self._rng.uniform(0.5, 3))
            await service.stop_load()

    async def _bounds(self, service):
        while not self._over.is_set():
            await asyncio.sleep(self._rng.uniform(1, 3))
            self.done["changes of bounds"] += 1
            await service.change(spec={"maxReplicas": self._rng.randint(2, MOST_CLIENTS)})

    async def _renew_or_drain(self, service):
        acts = itertools.cycle((self._roll, self._drain_node))
        while not self._over.is_set():
            await next(acts)(service)
            await asyncio.sleep(self._rng.uniform(0.5, 2))

    async def _renew(self, service):
        while not self._over.is_set():
            await self._roll(service)

    async def _roll(self, service):
        """Have a new revision and wait until all pods are of it."""
        self.done["rolling updates"] += 1
        template = {"metadata": {"annotations": {"revision": str(self.done.total())}}}
        deployment = f"{service.workloads()}/web"
        await service.ask("patch", deployment, {"spec": {"template": template}})
        await service.ask("wait", service.workloads(), lambda all_: _is_rolled_out(all_["web"]), deadline_s=120)

    async def _drain_node(self, service):
        """Evict all pods of a node, as `kubectl drain` does, and let it take pods again."""
        self.done["node drains"] += 1
        path = f"/api/v1/nodes/{DRAINED_NODE}"
        await service.ask("patch", path, {"spec": {"unschedulable": True}})
        for name, pod in (await service.ask("wait", service.pods, lambda _pods: True)).items():
            if pod["spec"].get("nodeName") == DRAINED_NODE:
                # A pod may be gone already.
                with suppress(RefusedError):
                    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
                    await service.ask("create", f"{service.pods}/{name}/eviction", body)
        await service.wait_pods(
            lambda pods: not any(pod["spec"].get("nodeName") == DRAINED_NODE for pod in pods.values())
        )
        await service.ask("patch", path, {"spec": {"unschedulable": None}})


def _is_rolled_out(deployment):
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    # A deployment that is scaled meanwhile need not become whole.
    return seen and (counts == [wanted] * 3 or status.get("updatedReplicas", 0) == status.get("replicas", 0))


async def drains(control_plane, folder, *, requests, seed):
    """Run one."""
    rng = random.Random(seed)  # noqa: S311
    async with installed(control_plane, folder, (SCALED, ROLLED, TIGHT), controllers=1) as it:
        run = Drains(it, rng)
        await run.run(requests)
    return run


def report(run):
    """Say in lines what was done and what came of it."""
    ledgers = [service.ledger for service in run.it.services.values()]
    statuses = sum((ledger.statuses() for ledger in ledgers), Counter())
    runs = [each for ledger in ledgers for each in ledger.runs.values()]
    drained = [reason["rule"] for ledger in ledgers for record in ledger.records for reason in record["drain"]]
    deleted = {name: run.it.fleet.deleted[service.namespace] for name, service in run.it.services.items()}
    others = deleted[ROLLED] + deleted[TIGHT]
    falls = sum(after < before for ledger in ledgers for before, after in itertools.pairwise(ledger.replicas))
    lines = [
        f"{len(ledgers)} services, 1 controller, 1 gateway: {_listed(run.done)}",
        f"replicas fell         {falls:7,}  times",
        f"  not as planned      {len(drained):7,}  {_listed(Counter(drained))}",
        f"pods scaled down      {len(deleted[SCALED]):7,}  {_busy(deleted[SCALED])}",
        f"pods of the others    {len(others):7,}  {_busy(others)}",
        f"requests answered     {statuses.pop(200):7,}",
        f"  refused             {statuses.total():7,}",
        f"  cut                 {sum(run.cut for each in runs for run in each):7,}",
        f"  ran twice           {sum(len(each) > 1 for each in runs):7,}",
        f"overlaps at a pod     {sum(ledger.overlaps for ledger in ledgers):7,}",
    ]
    return "\n".join(lines)


def _listed(counts):
    return ", ".join(f"{number} {name}" for name, number in counts.most_common())


def _busy(deleted):
    return f"{sum(map(bool, deleted)):,} of them while they ran a request, which they finished"


def _falls(replicas):
    return sum(after < before for before, after in itertools.pairwise(replicas))


def main():
    """Run one on a control plane of its own; exit status 1 if a request has no place in the books."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inflight-drains-"))
    print(f"logs: {folder}")
    (folder / "control-plane").mkdir()
    with started(folder / "control-plane", cold_start_s=1) as own:
        run = asyncio.run(drains(own, folder, requests=options.requests, seed=options.seed))
    run.settle()
    print(f"drains, seed {options.seed}: {report(run)}")


if __name__ == "__main__":
    main()
