"""What happens to several gateways in a soak: each act hurts them for a while, and heals what it hurt."""

import asyncio
from contextlib import asynccontextmanager

from gateways_kit import PATIENCE_S
from peer_proxy import BACK, BOTH, THERE, cut_in_a_line, delay, split, swallow

PERMIT_S = 10.0
LINKS = {
    "swallows": (swallow, BOTH),
    "swallows one way": (swallow, [THERE]),
    "swallows the other way": (swallow, [BACK]),
    "is 5 s late": (delay(5), BOTH),
    "cuts lines in two": (split, BOTH),
    "resets in the middle of a line": (cut_in_a_line, BOTH),
}


class GatewayFaults:
    """All of them, over one installation; each one ends by itself.

    Args:
        it: the installation.
        rng: chooses.
    """

    def __init__(self, it, rng):
        self._it, self._rng = it, rng
        self._busy = set()
        """Gateways that something happens to already."""
        links = {f"a link {name}": self._links(*what) for name, what in LINKS.items()}
        self.all = {
            **links,
            "a gateway leaves and joins": self._leaves,
            "a gateway is killed": self._killed,
            "a gateway is killed and starts at once": self._restarted,
            "two gateways are killed": self._two_killed,
            "a gateway stops for a moment": lambda: self._stopped(0.05, 2),
            "a gateway stops for longer than its permit": lambda: self._stopped(PERMIT_S, 3 * PERMIT_S),
            "a link is refused": self._link_refused,
            "a gateway is cut off": self._cut_off,
            "connections are reset": self._reset,
            "the store is away": self._store_away,
            "a pod starts again": self._pod,
        }

    async def any(self):
        """Let one happen; gives its name, or nothing if there is nobody for it to happen to."""
        name = self._rng.choice(sorted(self.all))
        return name if await self.all[name]() is not False else None

    @asynccontextmanager
    async def _some(self, number=1, leaving=3):
        """Take gateways that nothing happens to while the block runs, and leave at least so many alone; None else."""
        free = sorted(set(self._it.open) - self._busy)
        if len(free) < number + leaving:
            yield None
            return
        taken = set(self._rng.sample(free, number))
        self._busy |= taken
        try:
            yield sorted(taken)
        finally:
            self._busy -= taken

    async def _for_a_while(self, shortest_s=0.5, longest_s=6.0):
        await asyncio.sleep(self._rng.uniform(shortest_s, longest_s))

    def _links(self, act, directions):
        async def hurt():
            one, other = self._rng.sample(sorted(self._it.gateways), 2)
            for way in self._it.ways_between(one, other):
                way.does(act, directions)
            await self._for_a_while()
            for way in self._it.ways_between(one, other):
                way.heal()

        return hurt

    async def _link_refused(self):
        one, other = self._rng.sample(sorted(self._it.gateways), 2)
        for way in self._it.ways_between(one, other):
            way.refuse()
        await self._for_a_while()
        for way in self._it.ways_between(one, other):
            way.heal()

    async def _leaves(self):
        async with self._some() as taken:
            if taken is None:
                return False
            await self._it.leave(*taken)
            await self._for_a_while()
            await self._it.start(*taken)
        return True

    async def _killed(self, number=1, longest_s=6.0):
        async with self._some(number) as taken:
            if taken is None:
                return False
            for name in taken:
                self._it.kill(name)
            await self._for_a_while(0, longest_s)
            await self._it.start(*taken)
        return True

    async def _two_killed(self):
        return await self._killed(2)

    async def _restarted(self):
        return await self._killed(longest_s=0.0)

    async def _stopped(self, shortest_s, longest_s):
        async with self._some() as taken:
            if taken is None:
                return False
            async with self._it.stopped(*taken):
                await self._for_a_while(shortest_s, longest_s)
            await self._it[taken[0]].ready()
        return True

    async def _cut_off(self):
        async with self._some() as taken:
            if taken is None:
                return False
            for way in self._it.ways_of(*taken):
                way.refuse()
            await self._for_a_while(0.5, PATIENCE_S / 6)
            for way in self._it.ways_of(*taken):
                way.heal()
        return True

    async def _reset(self):
        for way in self._it.ways.values():
            way.reset()

    async def _store_away(self):
        with self._it.store_away():
            await self._for_a_while()

    async def _pod(self):
        service = self._rng.choice(sorted(self._it.services))
        pod = self._rng.choice(self._it.services[service].pods)
        if pod in self._busy:
            return False
        self._busy.add(pod)
        await self._it.fleet.dies(pod)
        await self._for_a_while(0, 3)
        await self._it.fleet.begins(pod)
        self._busy.remove(pod)
        return True
