"""What one hears who listens to the streams of all gateways, as a controller does: sums of requests in flight."""

import asyncio
import json
from collections import defaultdict
from contextlib import asynccontextmanager, suppress

import aiohttp
from fault_kit import until
from fault_pods import ended


class Sums:
    """The sums of each service, a new one after each line of a gateway while all members are heard."""

    def __init__(self):
        self.whole = defaultdict(list)
        """By service, the sums that were heard while every member of the highest epoch was heard."""
        self.held = defaultdict(list)
        """By service, the held slots by pod that were told with each of these."""
        self._lines = {}

    @asynccontextmanager
    async def following(self, *gateways):
        """Listen to these gateways while the block runs, also if they start later."""
        limits = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=limits) as session:
            tasks = [asyncio.create_task(self._follow(session, gateway)) for gateway in gateways]
            try:
                yield self
            finally:
                for task in tasks:
                    await ended(task)

    def begin_again(self):
        """Forget the sums so far, but not what the gateways have told."""
        self.whole.clear()
        self.held.clear()

    def latest_held(self, service):
        """Give the held slots by pod that were told last."""
        return self.held[service][-1] if self.held[service] else {}

    async def is_(self, service, number):
        """Wait until the latest sum is whole, and this one."""
        await until(lambda: self.whole[service][-1:] == [number], f"{number} in flight, of {self.whole[service][-5:]}")

    async def _follow(self, session, gateway):
        url = f"http://127.0.0.1:{gateway.metrics_port}/v1/inflight"
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    services = {}
                    async for line in answer.content:
                        told = json.loads(line)
                        services |= told["services"]
                        self._lines[gateway.name] = {**told, "services": services}
                        self._add_up()
            self._lines.pop(gateway.name, None)
            await asyncio.sleep(0.02)

    def _add_up(self):
        newest = max(self._lines.values(), key=lambda line: line["epoch"])
        if not set(newest["members"]) <= self._lines.keys():
            return
        for service in set().union(*(line["services"] for line in self._lines.values())):
            states = [line["services"][service] for line in self._lines.values() if service in line["services"]]
            held = {pod: number for state in states for pod, number in state.get("held", {}).items()}
            in_flight = sum(state["queued"] + state["running"] for state in states)
            self.whole[service].append(in_flight + sum(held.values()))
            self.held[service].append(held)
