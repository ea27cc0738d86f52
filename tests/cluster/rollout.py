"""Rolls the shipped gateways out under load, scales them 3 -> 1 -> 3, and closes the books: `rollout.py --help`.

Their pods are those of the shipped Deployment, replaced by the real controllers of a control plane; the containers run
as processes. Four services get requests from clients that choose among the ready gateways as a Service does: some have
a connection for each request, some keep theirs. One service has requests that outlast the 5 s after which a gateway
that leaves takes no clients. No connection may be refused, no request may be cut, refused or run twice, no pod may get
more than it can take, and no request may be overtaken.
"""

import argparse
import asyncio
import itertools
import random
import tempfile
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import yaml
from cluster_kit import Cluster, is_ready, new_namespace
from control_plane import started
from fault_kit import until
from fault_ledger import Ledger, Request
from fault_pods import SERVING, Fleet
from installation import Ports, copied
from kubectl import apply
from kubelet import ANNOTATION, Kubelet

from autoscaler.testing import policy_document

SERVICES = {"one": (1, 6), "two": (2, 4), "idle": (6, 4), "long": (1, 2)}
"""Pods and clients of each."""
NEVER_WAITS = "idle"
"""It has more pods than clients: a request waits there only for what the gateways do."""
SERVICE_S = {"long": 6.0}
SHORTEST_S, LONGEST_S = 0.05, 0.25
REPLICAS = 3
PEACE_S = 5
PATIENCE_S = 120
GATEWAY = "inflight-gateway"
PEACE, UPDATE, DOWN, UP = "peace", "rolling update", "3 -> 1", "1 -> 3"


class Rollout:
    """One run, in a namespace of its own.

    Args:
        cluster: the namespace.
        folder: for manifests and logs.
        rng: draws everything.
    """

    def __init__(self, cluster, folder, rng):
        self.cluster, self.ledgers = cluster, {name: Ledger(name) for name in SERVICES}
        self.kubelet = Kubelet(cluster.control_plane, cluster.namespace, folder)
        self.phases = []
        """Each with its name, its begin and its end."""
        self._folder, self._rng, self._ports = folder, rng, Ports()
        self._fleet = Fleet(self._ports.service, lambda name: self.ledgers[service_of(name)], 0)
        self._fleet.service_s = self._service_s
        self._numbers, self._rounds = itertools.count(), itertools.count()
        self._over = asyncio.Event()

    async def run(self, rounds):
        """Do all of it, so many times."""
        await self._install()
        async with self._fleet.following(self.cluster.control_plane, {self.cluster.namespace}), self.kubelet.running():
            try:
                await self._under_load(rounds)
            finally:
                await self.cluster.scale(0, GATEWAY)
                await self._gateways(0)

    async def _under_load(self, rounds):
        await self._gateways(REPLICAS)
        await until(lambda: len(self.kubelet.endpoints) == REPLICAS, "the endpoints of all gateways")
        async with self._load():
            await self._phase(PEACE, asyncio.sleep(PEACE_S))
            for _ in range(rounds):
                await self._phase(UPDATE, self._update())
                await self._phase(DOWN, self._scale(1))
                await self._phase(UP, self._scale(REPLICAS))

    async def _phase(self, name, act):
        begin_s = _now_s()
        await act
        self.phases.append((name, begin_s, _now_s()))

    # What is done to the gateways.

    async def _install(self):
        manifests = copied(self._folder, self._ports, self.cluster.namespace)
        deployment = manifests / "base" / "gateway" / "deployment.yaml"
        documents = list(yaml.safe_load_all(deployment.read_text()))
        for each in documents:
            if each["kind"] == "Deployment":
                assert each["spec"]["replicas"] == REPLICAS
                each["spec"]["template"]["metadata"]["annotations"] = {ANNOTATION: "here"}
        deployment.write_text(yaml.safe_dump_all(documents))
        overlay = manifests / "overlays" / "namespaced"
        (overlay / "policies.yaml").write_text(yaml.safe_dump_all(self._policy(name) for name in SERVICES))
        for name, (pods, _) in SERVICES.items():
            await self.cluster.make(name, replicas=pods)
        await asyncio.to_thread(apply, self.cluster.control_plane, overlay)

    def _policy(self, name):
        traffic = {"hosts": [host_of(name)], "port": self._ports.service}
        return policy_document(f"{self.cluster.namespace}/{name}", scaleTargetRef={"name": name}, traffic=traffic)

    async def _update(self):
        annotations = {"round": str(next(self._rounds))}
        patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        await self.cluster.ask("patch", f"{self.cluster.workloads()}/{GATEWAY}", patch)
        await self._gateways(REPLICAS, annotations)

    async def _scale(self, replicas):
        await self.cluster.scale(replicas, GATEWAY)
        await self._gateways(replicas)

    async def _gateways(self, number, annotations=None):
        """Wait until there are so many gateways, all of them ready and none that leaves."""

        def are_there(pods):
            marked = [(annotations or {}).items() <= each["metadata"]["annotations"].items() for each in pods.values()]
            return len(pods) == number and all(marked) and all(map(is_ready, pods.values()))

        selector = f"app.kubernetes.io/name={GATEWAY}"
        await self.cluster.ask("wait", self.cluster.pods, are_there, selector=selector, deadline_s=PATIENCE_S)

    # The load.

    @asynccontextmanager
    async def _load(self):
        clients = [
            asyncio.create_task(self._client(name, keeps=number % 2 == 0))
            for name, (_, clients) in SERVICES.items()
            for number in range(clients)
        ]
        try:
            yield
        finally:
            self._over.set()
            await asyncio.gather(*clients)

    async def _client(self, service, *, keeps):
        """Send the next request when the last one was answered, over a new connection or the same one."""
        connector, limits = aiohttp.TCPConnector(force_close=not keeps), aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=limits) as session:
            address = None
            while not self._over.is_set():
                address = address or self._rng.choice(self.kubelet.endpoints)
                stays = await self._send(session, service, address)
                address = address if keeps and stays else None

    async def _send(self, session, service, address):
        request = Request(f"{service}/{next(self._numbers)}", _now_s())
        self.ledgers[service].requests.append(request)
        url, stays = f"http://{address}:{self._ports.gateway}/sdapi/v1/txt2img", False
        try:
            async with session.post(url, json={"prompt": request.name}, headers={"Host": host_of(service)}) as answer:
                request.status, request.text = answer.status, await answer.text()
                request.retry_after = answer.headers.get("Retry-After", "")
                stays = answer.headers.get("Connection", "") != "close"
        except aiohttp.ClientConnectorError as error:
            request.text = f"refused: {error!r}"
        except aiohttp.ClientError as error:
            request.text = f"broken: {error!r}"
        request.ended_s = _now_s()
        return stays

    def _service_s(self):
        return SERVICE_S.get(service_of(SERVING.get())) or self._rng.uniform(SHORTEST_S, LONGEST_S)

    # What came of it.

    def refused(self):
        """Give the connections that were refused."""
        return [each for ledger in self.ledgers.values() for each in ledger.requests if each.text[:7] == "refused"]

    def waits_s(self, phase):
        """Give how long the requests of a phase waited beside idle pods."""
        spans = [(begin_s, end_s) for name, begin_s, end_s in self.phases if name == phase]
        waits = self.ledgers[NEVER_WAITS].waits()
        return sorted(
            begun_s - sent_s for sent_s, begun_s in waits if any(begin <= sent_s < end for begin, end in spans)
        )

    def overtaken_s(self, service):
        """Give the largest difference by which a request was sent before another one that began before it."""
        by_begin = sorted(self.ledgers[service].waits(), key=lambda pair: pair[1])
        newest = itertools.accumulate((sent_s for sent_s, _ in by_begin), max)
        return max(newest_s - sent_s for newest_s, (sent_s, _) in zip(newest, by_begin, strict=True))


def service_of(name):
    """Give the service of a request by its name."""
    return name.partition("/")[0]


def host_of(service):
    """Give the host of a service."""
    return f"{service}.example.com"


def _now_s():
    return asyncio.get_running_loop().time()


async def rollout(control_plane, folder, *, rounds, seed):
    """Run one."""
    with ExitStack() as stack:
        namespace = stack.enter_context(new_namespace(control_plane))
        run = Rollout(Cluster(control_plane, namespace), folder, random.Random(seed))  # noqa: S311
        await run.run(rounds)
    return run


def report(run):
    """Say in lines what was done and what came of it."""
    requests = [each for ledger in run.ledgers.values() for each in ledger.requests]
    answered = sum(each.status == 200 for each in requests)
    refused = len(run.refused())
    lines = [
        f"{REPLICAS} gateways, {len(SERVICES)} services: {', '.join(name for name, _, _ in run.phases)}",
        f"requests answered     {answered:7,}",
        f"  connection refused  {refused:7,}",
        f"  others              {len(requests) - answered - refused:7,}",
        f"overlaps at a pod     {sum(each.overlaps for each in run.ledgers.values()):7,}",
        f"overtaken by at most  {max(map(run.overtaken_s, run.ledgers)) * 1000:7,.0f} ms",
        "wait beside idle pods, ms      P50      P99      most",
    ]
    for phase in (PEACE, UPDATE, DOWN, UP):
        waits = [1000 * each for each in run.waits_s(phase)]
        p50, p99 = (waits[int(part * (len(waits) - 1))] for part in (0.5, 0.99))
        lines.append(f"  {phase:24}{p50:8,.0f} {p99:8,.0f}  {waits[-1]:8,.0f}   of {len(waits):,}")
    return "\n".join(lines)


def main():
    """Run one on a control plane of its own; exit status 1 if a request has no place in the books."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inflight-rollout-"))
    print(f"logs: {folder}")
    (folder / "control-plane").mkdir()
    with started(folder / "control-plane", cold_start_s=0.5) as own:
        run = asyncio.run(rollout(own, folder, rounds=options.rounds, seed=options.seed))
    print(f"rollout, seed {options.seed}: {report(run)}")
    for ledger in run.ledgers.values():
        ledger.settle()


if __name__ == "__main__":
    main()
