"""Hurts an installation under load at random for a while, and closes the books: `soak.py --help`.

Faults, load and edits of policies are drawn from one seed. Each fault lasts some seconds and is healed before the next;
load and edits go on meanwhile. In the end all is healed, and everything must have an explanation.
"""

import argparse
import asyncio
import random
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from control_plane import RefusedError, started
from fault_kit import Prometheus, installed, together
from fault_processes import ApiServer, LogPipe
from fault_proxy import Proxy
from soak_faults import Faults

from autoscaler.runtime.programs import find

SERVICES = ("a", "b", "c")
REFUSALS = {0: "broken", 500: "CUDA out of memory", 404: "no service has this host", 502: "pod", 503: "", 504: ""}
"""What clients may be told when gateways and pods are killed, queues full, and policies gone; nothing else."""
MOST_CLIENTS = 4


class Soak:
    """One run.

    Args:
        it: the installation.
        address: of its Prometheus.
        rng: draws everything.
        among: the names of the faults that are drawn; none are all of them.
    """

    def __init__(self, it, address, rng, among=()):
        self.it, self.faults, self.edits = it, Counter(), Counter()
        self._address, self._rng, self._among, self._over = address, rng, among, asyncio.Event()

    async def run(self, faults, seconds):
        """Hurt it for so many seconds, and leave it healed and at rest."""
        services = self.it.services.values()
        await together(self._install(service) for service in services)
        acting = [self._load(service, random.Random(self._rng.random())) for service in services]  # noqa: S311
        acting.append(self._edit(random.Random(self._rng.random())))  # noqa: S311
        tasks = [asyncio.create_task(act) for act in acting]
        await self._hurt(faults, asyncio.get_running_loop().time() + seconds)
        self._over.set()
        await together(tasks)
        await together(self._repair(service) for service in services)
        await together(service.replicas_are(0, deadline_s=120) for service in services)

    async def _install(self, service):
        health = {"failures": ["Reset", "ServerError"], "baseEjectionTime": "2s"}
        traffic = {"queue": {"maxLength": 3, "timeout": "20s"}, "health": health}
        await service.install(prometheus=self._address, traffic=traffic)

    async def _hurt(self, faults, until_s):
        now = asyncio.get_running_loop().time
        while now() < until_s:
            for name in faults.names(self._among):
                if now() < until_s:
                    self.faults[name] += 1
                    await faults.hurt(name, self._rng.uniform(1, 8))
                    await asyncio.sleep(self._rng.uniform(1, 4))

    async def _load(self, service, rng):
        while not self._over.is_set():
            service.start_load(rng.randint(0, MOST_CLIENTS))
            await asyncio.sleep(rng.uniform(2, 12))
            await service.stop_load()

    async def _edit(self, rng):
        edits = [self._bounds, self._window, self._break, self._delete]
        while not self._over.is_set():
            await asyncio.sleep(rng.uniform(3, 10))
            service, edit = self.it[rng.choice(SERVICES)], rng.choice(edits)
            # The API server may be away.
            with suppress(RefusedError, OSError):
                await edit(service, rng)
                self.edits[edit.__name__.strip("_")] += 1

    async def _bounds(self, service, rng):
        await service.change(spec={"maxReplicas": rng.randint(1, MOST_CLIENTS + 1)})

    async def _window(self, service, rng):
        window, delay = f"{rng.randint(6, 12)}s", f"{rng.randint(0, 5)}s"
        algorithm = {"concurrency": {"stableWindow": window}}
        await service.change(spec={"algorithm": algorithm, "scaleDown": {"toZeroDelay": delay}})

    async def _break(self, service, rng):
        until = rng.choice(["soon", None])
        await service.change(metadata={"annotations": {"inflight.dev/paused-until": until}})

    async def _delete(self, service, _rng):
        async with service.policy_stays:
            await service.ask("delete", f"{service.policies}/web")
            await asyncio.sleep(2)
            await service.apply_policy()

    async def _repair(self, service):
        with suppress(RefusedError):
            await service.ask("delete", f"{service.policies}/web")
        await service.apply_policy()


async def soak(control_plane, folder, prometheus_binary, *, seconds, seed, among=()):
    """Run one, and give its report; fails where something has no explanation."""
    rng = random.Random(seed)  # noqa: S311
    with ApiServer(control_plane) as server, LogPipe(folder) as log_pipe:
        async with installed(control_plane, folder, SERVICES, ahead_s=1, log_pipe=log_pipe) as it:
            prometheus = Prometheus(prometheus_binary, folder / "prometheus", it.gateways[0].scraped)
            async with prometheus.started(), Proxy(prometheus.url).running() as liar:
                run = Soak(it, liar.url, rng, among)
                await run.run(
                    Faults(it, prometheus=prometheus, liar=liar, server=server, log_pipe=log_pipe, rng=rng), seconds
                )
    ledgers = [service.ledger for service in it.services.values()]
    for ledger in ledgers:
        ledger.settle(*REFUSALS.items(), killed=True)
    return report(run, ledgers, seconds=seconds, seed=seed)


def report(run, ledgers, *, seconds, seed):
    """Say in lines what was sent, what came of it, and what was checked."""
    requests = [request for ledger in ledgers for request in ledger.requests]
    statuses = Counter(request.status for request in requests)
    refused = Counter(f"{each.status} {each.text.strip()}" for each in requests if each.status in {404, 503, 504})
    decisions = sum(len(ledger.records) for ledger in ledgers)
    unknown = sum(bool(record["observation"]["problem"]) for ledger in ledgers for record in ledger.records)
    lines = [
        f"soak of {seconds:g} s, seed {seed}: {len(ledgers)} services, 2 controllers, 1 gateway",
        f"faults                {run.faults.total():7,}  of {len(run.faults)} kinds",
        f"edits of policies     {run.edits.total():7,}  {_listed(run.edits)}",
        f"requests sent         {len(requests):7,}",
        f"  answered            {statuses[200]:7,}",
        f"  refused with reason {refused.total():7,}  {_listed(refused)}",
        f"  fell with a pod     {statuses[502]:7,}  502",
        f"  failed by a pod     {statuses[500]:7,}  500",
        f"  fell with a gateway {statuses[0]:7,}  the connection broke",
        f"  lost                {sum(not request.ended_s for request in requests):7,}",
        f"  ran twice           {sum(len(runs) > 1 for ledger in ledgers for runs in ledger.runs.values()):7,}",
        f"overlaps at a pod     {sum(ledger.overlaps for ledger in ledgers):7,}",
        f"replica changes       {sum(len(ledger.changes) - 1 for ledger in ledgers):7,}  each explained by a decision",
        f"decisions checked     {decisions:7,}  {unknown:,} of them on what was unknown or partial: none lowered",
        f"replayed as recorded  {decisions:7,}",
    ]
    return "\n".join(lines)


def _listed(counts):
    return ", ".join(f"{number} {name}" for name, number in counts.most_common())


def main():
    """Run one on a control plane of its own; exit status 1 if something has no explanation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", default="", metavar="NAME,...", help="only these")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inflight-soak-"))
    print(f"logs: {folder}")
    (folder / "control-plane").mkdir()
    with started(folder / "control-plane", cold_start_s=1) as own:
        among = [name for name in options.faults.split(",") if name]
        run = soak(own, folder, find("prometheus"), seconds=options.seconds, seed=options.seed, among=among)
        print(asyncio.run(run))


if __name__ == "__main__":
    main()
