"""Hours of odd clients and odd pods: no slot is held for longer than the time that its request has."""

import asyncio
import random
from dataclasses import replace

import pytest
from gateway_kit import NAME, Pod, read_body, service
from memory_wire import MemoryNet

from autoscaler.gateway.config import OnAbort, Timeouts
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.http.headers import STREAMS
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.router import Router

pytestmark = pytest.mark.slow

HOURS_S = 2 * 3600
REQUEST_S = 60
LEAVES_WITHIN_S = 30
INTERRUPT_S = 15
"""For the call that breaks off what a client left behind: to connect, and to be answered."""
CLIENTS = 150
UPGRADE = b"GET /socket HTTP/1.1\r\nHost: sd.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class World:
    def __init__(self, seed):
        self.rng = random.Random(seed)  # noqa: S311
        self.pods = {f"10.0.0.{n}:80": Pod(self.answers) for n in range(3)}
        self.net = MemoryNet(asyncio.get_running_loop(), self.pods)
        config = service(concurrency=self.rng.choice((1, 2)), queue_timeout_s=600, timeouts=Timeouts(REQUEST_S))
        config = replace(config, on_abort=self.rng.choice(list(OnAbort)), backends={each: each for each in self.pods})
        self.core = Router({NAME: config}, body_budget=MemoryBudget(self.rng.choice((0, 1 << 20, 64 << 20))))
        self.proxy = self.core.proxies[NAME]
        self.since = {}
        self.longest_s = 0.0
        self.sent = 0

    # Pods.

    async def answers(self, request):
        """Answer as the path says: well, much, part by part for ever, not at all, or not to the end."""
        await read_body(request.reader, request.headers, is_request=True)
        await asyncio.sleep(self.rng.choice((0, 1, 20, 59)))
        await getattr(self, request.target.removeprefix("/"))(request)

    async def well(self, request):
        request.send()

    async def much(self, request):
        request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000))

    async def parts(self, request):
        kind = self.rng.choice([*STREAMS, b"text/plain"])
        request.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind)
        every_s = self.rng.uniform(0.5, 50)
        while not request.writer.is_closing():
            request.send(b"1\r\n.\r\n")
            await asyncio.sleep(every_s)

    async def never(self, request):
        await request.reader.read()

    async def socket(self, request):
        """Switch to a WebSocket; be silent or not, end one side or not, and never mind what the client ends."""
        request.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        ends, talks = self.rng.random() < 0.5, self.rng.random() < 0.5
        if ends:
            request.writer.write_eof()
        while not request.writer.is_closing():
            await asyncio.sleep(5)
            if talks and not ends:
                request.send(b"\x89\x00")

    async def breaks_off(self, request):
        request.writer.transport.abort()

    # Clients.

    async def visits(self):
        """Send a request in one of the ways of clients, and leave in one of theirs."""
        await asyncio.sleep(self.rng.uniform(0, HOURS_S))
        reader, writer = self.net.client(self.core)
        leaves_s = asyncio.get_running_loop().time() + self.rng.uniform(0, LEAVES_WITHIN_S)
        size = self.rng.choice((0, 10, 50_000, 3_000_000))
        way = self.rng.choice(("well", "well", "much", "parts", "never", "socket", "breaks_off"))
        if way == "socket":
            size = 0
            writer.write(UPGRADE)
        else:
            writer.write(f"POST /{way} HTTP/1.1\r\nHost: sd.example.com\r\nContent-Length: {size}\r\n\r\n".encode())
        self.sent += 1
        sending = asyncio.ensure_future(self.sends(writer, size))
        reads = self.rng.random() < 0.7
        if not reads:
            reader._transport.pause_reading()
        if self.rng.random() < 0.5 and way != "socket" and (reads or way != "parts"):
            await self.reads(reader)
        else:
            await asyncio.sleep(leaves_s - asyncio.get_running_loop().time())
        sending.cancel()
        self.rng.choice((writer.close, writer.transport.abort))()

    async def sends(self, writer, size):
        """Send a body at once, or piece by piece at any speed, or fall silent."""
        part, every_s = self.rng.choice(((1, 0), (0.1, 0.5), (0.1, 9), (0.01, 1), (0, 0.7), (0, 9), (0, 59)))
        piece, left = max(1, int(size * part)), size
        while left > 0:
            writer.write(bytes(min(piece, left)))
            left -= piece
            await asyncio.sleep(every_s)
            if self.rng.random() < 0.01:
                return

    async def reads(self, reader):
        """Read what comes, for as long as it is no stream that moves for ever, or takes for ever to come."""
        try:
            async with asyncio.timeout(REQUEST_S * 20):
                head = await reader.readuntil(b"\r\n\r\n")
                if not any(kind in head for kind in STREAMS):
                    await reader.read()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass

    # What is promised.

    async def watch(self):
        """See for how long each slot is held for one and the same request."""
        while True:
            now_s = asyncio.get_running_loop().time()
            held = {each: entry.backend for each, entry in self.proxy.dispatcher._requests.items() if entry.backend}
            self.since = {each: self.since.get(each, now_s) for each in held if each.kind is SlotUse.COUNT}
            self.longest_s = max([self.longest_s, *(now_s - since_s for since_s in self.since.values())])
            await asyncio.sleep(1)

    async def lives(self):
        watching = asyncio.ensure_future(self.watch())
        await asyncio.gather(*(self.visits() for _ in range(CLIENTS)))
        await asyncio.sleep(600 + REQUEST_S + INTERRUPT_S)
        watching.cancel()


@pytest.mark.parametrize("seed", range(8))
async def test_no_slot_is_held_for_longer_than_a_request_may_take_whatever_clients_and_pods_do(seed):
    world = World(seed)
    await world.lives()
    assert world.longest_s <= REQUEST_S + LEAVES_WITHIN_S + INTERRUPT_S
    assert (world.proxy.dispatcher.queued, world.proxy.dispatcher.running) == (0, 0)
    assert not any(pod.open for pod in world.proxy.pods.listed.values())
    assert world.core.body_budget.taken_bytes == 0
    assert world.core.open == 0
    assert sum(world.proxy.counts.outcomes.values()) == world.sent
