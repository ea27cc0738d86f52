"""Lets everything happen to five gateways under load, and closes the books: `gateways_soak.py --help`.

Gateways join, leave, are killed and stopped, links between them swallow, delay and cut, the store is away, pods start
again, several of these at once. What happens is drawn from one seed. In the end all is healed, and everything must have
an explanation.
"""

import argparse
import asyncio
import random
import tempfile
from collections import Counter
from pathlib import Path

from gateway_faults import GatewayFaults
from gateways_kit import BUSY, HUNG_UP, NAMES, PATIENCE_S, several_gateways

SERVICES = ("a", "b", "c")
CLIENTS = 5
"""Of each service, which has three pods."""
AT_ONCE = 3
QUEUE = {"timeout": "30s"}
SHORTEST_S, LONGEST_S = 0.01, 0.5
HANG_UPS, SHORT_PATIENCE_S = 0.05, 0.4
"""The share of clients that may hang up, and after what time at most."""
REFUSALS = {HUNG_UP: "hung up", 0: "broken", 502: "pod", 503: "", 504: ""}
"""What clients may be told when gateways and pods are killed, stopped and cut off; nothing else."""


class GatewaysSoak:
    """One run.

    Args:
        it: the installation.
        rng: draws everything.
    """

    def __init__(self, it, rng):
        self.it, self.happened = it, Counter()
        self._rng = rng
        it.fleet.service_s = lambda: rng.uniform(SHORTEST_S, LONGEST_S)
        it.patience_s = lambda: rng.uniform(0, SHORT_PATIENCE_S) if rng.random() < HANG_UPS else PATIENCE_S

    async def run(self, seconds):
        """Hurt them for so many seconds, and leave all healed and at rest."""
        await self.it.start(*NAMES[:3])
        for service in SERVICES:
            self.it.start_load(service, CLIENTS)
        await self.it.start(*NAMES[3:])
        faults = GatewayFaults(self.it, self._rng)
        end_s = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._hurt(faults, end_s))
        await self.it.agree(*NAMES)
        await self.it.answered(100)
        await self.it.stop_load()
        await self.it.each_slot_can_be_used()

    async def _hurt(self, faults, end_s):
        while asyncio.get_running_loop().time() < end_s:
            if name := await faults.any():
                self.happened[name] += 1
            await asyncio.sleep(self._rng.uniform(0.1, 2))


async def gateways_soak(folder, *, seconds, seed):
    """Run one, and give its report; fails where something has no explanation."""
    rng = random.Random(seed)  # noqa: S311
    async with several_gateways(folder, SERVICES, proxied=True, busy=BUSY, queue=QUEUE) as it:
        run = GatewaysSoak(it, rng)
        await run.run(seconds)
    it.settle(*REFUSALS.items())
    return report(run, seconds=seconds, seed=seed)


def report(run, *, seconds, seed):
    """Say in lines what was sent, what came of it, and what was checked."""
    it, statuses = run.it, run.it.statuses()
    runs = [each for ledger in it.ledgers for each in ledger.runs.values()]
    lines = [
        f"soak of {seconds:g} s, seed {seed}: {len(NAMES)} gateways, {len(SERVICES)} services of 3 pods",
        f"faults                {run.happened.total():7,}  of {len(run.happened)} kinds",
        *(f"  {name:<44}{number:5,}" for name, number in run.happened.most_common()),
        f"epochs of the roster  {it.roster.epoch:7,}",
        f"requests sent         {len(it.requests):7,}",
        f"  answered            {statuses[200]:7,}",
        f"  refused with reason {statuses[503] + statuses[504]:7,}  503 or 504, with Retry-After",
        f"  fell with a pod     {statuses[502]:7,}  502",
        f"  fell with a gateway {statuses[0]:7,}  the connection broke",
        f"  hung up             {statuses[HUNG_UP]:7,}  the client did not wait",
        f"  lost                {sum(not request.ended_s for request in it.requests):7,}",
        f"  ran twice           {sum(len(each) > 1 for each in runs):7,}",
        f"overlaps at a pod     {sum(ledger.overlaps for ledger in it.ledgers):7,}",
    ]
    return "\n".join(lines)


def main():
    """Run one; exit status 1 if something has no explanation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inflight-gateways-"))
    print(f"logs: {folder}")
    print(asyncio.run(gateways_soak(folder, seconds=options.seconds, seed=options.seed)))


if __name__ == "__main__":
    main()
