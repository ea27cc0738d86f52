"""A storm: clients that go at any moment, pods that refuse, reset, half-answer, die, leave and return.

What must come out of it is told by books that are kept outside the gateway: by the pods, of what they ran, and by the
clients, of what they were told.
"""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest
from gateway_kit import HOST, NAME, Client, read_body, reset, service

from autoscaler.gateway.config import OnAbort
from autoscaler.gateway.counts import CLASSES, RequestOutcome
from autoscaler.gateway.server import GatewayServer

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

REQUESTS = 20_000
AT_ONCE = 200
PODS = 5
CONCURRENCY = 2
ABORTED = 0.25


class StormyPod:
    """Answers in its own way, and books each POST that it was given whole, and how many it had at a time."""

    def __init__(self, name, rng):
        self.name = name
        self.rng = rng
        self.runs = Counter()
        self.running = 0
        self.most = 0
        self.server = None
        self.connections = {}

    async def start(self, port=0):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.connections[asyncio.current_task()] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                start, *lines = head.split(b"\r\n")
                headers = [tuple(line.split(b": ", 1)) for line in lines if line]
                await read_body(reader, headers, is_request=True)
                self.running += 1
                self.most = max(self.most, self.running)
                try:
                    self.runs[start.split()[1].decode()] += 1
                    await self.work(writer)
                finally:
                    self.running -= 1
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.connections.pop(asyncio.current_task(), None)
            writer.close()

    async def work(self, writer):
        await asyncio.sleep(self.rng.choice((0, 0, 0.001, 0.003)))
        # What was counted as running has ended for the gateway as soon as these bytes can be read.
        match self.rng.randrange(40):
            case 0:
                reset(writer)
            case 1:
                writer.close()
            case 2:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                reset(writer)
            case 3:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal")
                writer.close()
            case 4:
                writer.write(b"what is this\r\n\r\n")
            case _:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def die(self):
        """End as a process does: with all that it runs."""
        self.server.close()
        for task, writer in list(self.connections.items()):
            reset(writer)
            task.cancel()


class Storm:
    def __init__(self, gateway, rng):
        self.gateway = gateway
        self.rng = rng
        self.told = Counter()
        self.aborted = 0

    async def one(self, number):
        client = Client(*await asyncio.open_connection("127.0.0.1", self.gateway.port))
        try:
            client.send(
                f"POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi".encode()
            )
            if self.rng.random() < ABORTED:
                await asyncio.sleep(self.rng.choice((0, 0.001, 0.01, 0.05)))
                self.aborted += 1
                client.reset() if self.rng.random() < 0.5 else client.close()
                return
            response = await asyncio.wait_for(client.response(), 60)
            self.told[response.status] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            self.told["broken"] += 1
        finally:
            client.close()

    async def clients(self, numbers):
        for number in numbers:
            await self.one(number)

    async def pods_come_and_go(self, pods):
        while True:
            await asyncio.sleep(0.25)
            pod = self.rng.choice(pods)
            match self.rng.randrange(3):
                case 0:
                    self.gateway.drain_backend(NAME, pod.name)
                case 1:
                    pod.die()
                    await asyncio.sleep(0.02)
                    self.gateway.remove_backend(NAME, pod.name)
                    await pod.start(pod.port)
                case 2:
                    pod.die()
                    await asyncio.sleep(0.05)
                    await pod.start(pod.port)
            await asyncio.sleep(0.25)
            for each in pods:
                self.gateway.add_backend(NAME, each.name, f"127.0.0.1:{each.port}")


async def test_a_storm_loses_nothing_runs_nothing_twice_and_leaves_nothing_behind():
    rng = random.Random(20_000)  # noqa: S311
    config = replace(service(concurrency=CONCURRENCY, queue_length=AT_ONCE), on_abort=OnAbort.WAIT_UPSTREAM)
    gateway = GatewayServer({NAME: config})
    await gateway.start(0, 0, ["127.0.0.1"])
    pods = [StormyPod(f"p{n}", rng) for n in range(PODS)]
    for pod in pods:
        await pod.start()
        gateway.add_backend(NAME, pod.name, f"127.0.0.1:{pod.port}")
    storm = Storm(gateway, rng)
    weather = asyncio.ensure_future(storm.pods_come_and_go(pods))
    async with asyncio.timeout(240):
        await asyncio.gather(*(storm.clients(range(n, REQUESTS, AT_ONCE)) for n in range(AT_ONCE)))
        weather.cancel()
        await asyncio.gather(weather, return_exceptions=True)
        while gateway.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    proxy = gateway.proxies[NAME]
    outcomes = {outcome: count for outcome, count in proxy.counts.outcomes.items() if count}

    # Nobody is unaccounted for: each client was told something or went; the gateway booked one ending for each.
    assert storm.aborted + sum(storm.told.values()) == REQUESTS
    refused_in_the_kernel = REQUESTS - sum(outcomes.values())
    assert 0 <= refused_in_the_kernel <= storm.aborted
    assert storm.told[200] <= outcomes[RequestOutcome.SERVED] <= storm.told[200] + storm.aborted
    assert storm.told[200] > REQUESTS / 2

    # Each response that a client saw is counted once, by its status; those that went may have got one too.
    responses = dict(zip(CLASSES, proxy.counts.responses, strict=True))
    errors = sum(number for status, number in storm.told.items() if isinstance(status, int) and status >= 500)
    assert storm.told[200] <= responses["2xx"] <= REQUESTS - errors
    assert errors <= responses["5xx"] <= errors + storm.aborted
    assert 0 < proxy.counts.cut_responses <= responses["2xx"] - storm.told[200]

    # No pod ever had more than it can take, whatever was aborted around it.
    assert max(pod.most for pod in pods) == CONCURRENCY

    # Nothing ran twice.
    runs = sum((pod.runs for pod in pods), Counter())
    assert max(runs.values()) == 1

    # Nothing is left: no count, no slot, no timer, no open exchange.
    dispatcher = proxy.dispatcher
    assert (dispatcher.queued, dispatcher.running, dispatcher.passing, proxy.counts.tunnels) == (0, 0, 0, 0)
    assert dispatcher.idle == dispatcher.backends
    assert not any(pod.open for pod in proxy.pods.listed.values())
    assert not proxy._holding
    await gateway.stop()
    for pod in pods:
        pod.die()
