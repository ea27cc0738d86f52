"""Gateways as far as their connections go, over real sockets, and a log of what each was told."""

import asyncio
import random
from contextlib import asynccontextmanager

from autoscaler.gateway.peers.connections.connection import Limits
from autoscaler.gateway.peers.connections.handshake import Side, dial
from autoscaler.gateway.peers.connections.links import PeerLinks

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
LOOPBACK = "127.0.0.1"
PATIENCE_S = 20
ENDED, REFUSED = False, True
"""What is said of a connection that has ended, and of an address that then refuses."""


class Gateway:
    """One gateway, and what its links have told it."""

    def __init__(self, name, *, life="", keys=(KEY,), **limits):
        self.name, self.life = name, life or f"life-of-{name}"
        self.told = []
        self.malformed = None
        self._news = asyncio.Event()
        self.links = PeerLinks(
            name,
            self.life,
            keys=keys,
            on_connected=lambda peer, life: self._tell("connected", peer, life),
            on_message=self._take,
            on_disconnected=lambda peer, refused: self._tell("disconnected", peer, refused),
            rng=random.Random(1),  # noqa: S311
            limits=Limits(**limits),
        )

    @property
    def address(self):
        return f"{LOOPBACK}:{self.links.port}"

    def _take(self, peer, message):
        if message == self.malformed:
            raise ValueError("what is that")
        self._tell("message", peer, message)

    def _tell(self, *news):
        self.told.append(news)
        self._news.set()

    def dial(self, *others):
        self.links.dial({other.name: other.address for other in others})

    def messages(self, peer):
        return [message for kind, name, message in self.told if kind == "message" and name == peer]

    def is_connected(self, other):
        """Tell whether the last that was said of another is that it is connected, in its present life."""
        links = [news for news in self.told if news[0] != "message" and news[1] == other.name]
        return bool(links) and links[-1] == ("connected", other.name, other.life)

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_dials(self, number):
        """Wait until it has tried to connect this often."""
        tried, dial_once = 0, self.links._dial_once

        async def counted(*arguments):
            nonlocal tried
            problem = await dial_once(*arguments)
            tried += 1
            self._news.set()
            return problem

        self.links._dial_once = counted
        await self.until(lambda: tried >= number)

    async def told_so(self, *news):
        await self.until(lambda: news in self.told)


async def connected(*gateways):
    """Wait until each is connected with each, and what they say arrives."""
    for one in gateways:
        for other in gateways:
            if one is not other:
                await one.until(lambda one=one, other=other: one.is_connected(other))
    for one in gateways:
        for other in gateways:
            if one is not other:
                await is_heard(one, other)


async def is_heard(one, other):
    """Wait until a message of one has arrived at the other; one that meets the end of a connection is said again."""
    async with asyncio.timeout(PATIENCE_S):
        number = 0
        while not [message for message in other.messages(one.name) if message.get("heard") == one.life]:
            number += 1
            one.links.send(other.name, [{"t": "test", "heard": one.life, "number": number}])
            await asyncio.sleep(0.01)


@asynccontextmanager
async def gateways(*made):
    """Have gateways that listen; each can be closed before the end."""
    try:
        for each in made:
            await each.links.listen(LOOPBACK, 0)
        yield made
    finally:
        for each in made:
            await each.links.close()


class RawPeer:
    """A connection to a gateway's peer port, on which a test writes what it likes."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def at(cls, gateway):
        return cls(*await asyncio.open_connection(LOOPBACK, gateway.links.port))

    async def meet(self, gateway, name, *, keys=(KEY,), life="raw"):
        """Prove that we are a gateway of this name; raises HandshakeError."""
        steps = dial(Side(name, life, "n" * 32), keys, gateway.name, lambda _name: "")
        try:
            self.writer.write(next(steps))
            while line := await self.reader.readline():
                self.writer.write(steps.send(line.rstrip(b"\n")))
        except StopIteration:
            return
        raise ConnectionResetError("the gateway has closed the connection")

    async def closed(self):
        """Read to the end; give what came."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""
            finally:
                self.writer.close()
