"""The connections to the other gateways: one for each, made again whenever it ends.

Rules:
1. The lower name of a pair makes the connection. The other one dials too, but the lower refuses that if it dials this
   name itself, and then dials at once. So a new gateway reaches members that do not know it yet, and both learn whether
   the other's address still accepts connections.
2. A connection that ends is dialled again at once, then after pauses that grow to 1 s; one that ended within a second
   of its start, after a pause.
3. `on_disconnected(name, False)` is called when a connection ends. `on_disconnected(name, True)` follows if the address
   then refuses two dials one after the other: no process listens there any more. A connection of whoever is not dialled
   says only that it has ended.
4. A newer connection of a peer replaces the older one: `on_disconnected`, then `on_connected`. No message of a
   connection comes after its `on_disconnected`. Each `on_connected` has its one `on_disconnected(name, False)`, except
   at `close`, after which nothing is called.
5. If `on_message` raises ValueError, the message is malformed, and the connection is closed.
6. Without a key only loopback is listened at and dialled.
7. Each cause for which a peer cannot be dialled is logged once until it is connected, any other once in ten minutes.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

from autoscaler.gateway.http.resolver import Resolver
from autoscaler.gateway.peers.connections.connection import Connection, Limits, Message
from autoscaler.gateway.peers.connections.handshake import CROSSED, CrossedError, Met, Side, Steps, accept, dial
from autoscaler.gateway.peers.names import split_address
from autoscaler.runtime.backoff import Backoff
from autoscaler.runtime.errors import described
from autoscaler.runtime.listeners import listeners

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
_SAY_AGAIN_S = 600.0
_CLOSE_WITHIN_S = 1.0
_REFUSALS = 2
"""That many refusals after each other show that no process listens."""
_ENDED, _REFUSED = False, True
_STRANGER = "unknown"
_LONGEST_CAUSE = 200
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pair:
    """Another gateway, as far as connections go."""

    backoff: Backoff
    address: str = ""
    """Where to dial it; empty: it is not dialled."""
    connection: Connection | None = None
    free: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is no connection."""
    dialler: asyncio.Task[None] | None = None
    knocked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the peer has dialled us and was refused, because it is for us to dial."""
    short_lived: bool = False
    """The last connection ended soon after its start."""
    refusals: int | None = None
    """Refused dials one after the other since a connection ended; None if there was none."""
    said: set[str] = field(default_factory=set)
    """Why it could not be dialled, as logged since it was last connected."""


class PeerLinks:
    """All connections of one gateway; make it inside the event loop.

    Args:
        name: our name.
        life: our life.
        keys: the first proves who we are, each is accepted; without keys only loopback is used.
        on_connected: is called with name and life of a peer that is connected now.
        on_message: is called with the name of a peer and a message; raises ValueError if it is malformed.
        on_disconnected: is called with the name of a peer, first with False, then perhaps with True: see rule 3.
        rng: spreads the pauses.
        limits: what a connection may take.

    Attributes:
        keys: may be set to other keys, which new connections use.
        port: the port that is listened at; 0 before `listen`.
    """

    def __init__(
        self,
        name: str,
        life: str,
        *,
        keys: Sequence[bytes],
        on_connected: Callable[[str, str], None],
        on_message: Callable[[str, Message], None],
        on_disconnected: Callable[[str, bool], None],
        rng: random.Random | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.keys = keys
        self.port = 0
        self._name = name
        self._life = life
        self._on_connected = on_connected
        self._on_message = on_message
        self._on_disconnected = on_disconnected
        self._rng = rng or random.Random()  # noqa: S311 - spreads attempts
        self._limits = limits or Limits()
        self._loop = asyncio.get_running_loop()
        self._resolver = Resolver()
        self._pairs: dict[str, _Pair] = {}
        self._strangers: dict[Connection, None] = {}
        """Connections that were accepted and have not proved who they are, the oldest first."""
        self._dialled: dict[Connection, asyncio.Future[Exception | None]] = {}
        """Connections that we make, each with how it ends."""
        self._all: set[Connection] = set()
        self._listeners: list[asyncio.Server] = []
        self._said: dict[tuple[str, str], float] = {}
        self._closed = False

    async def listen(self, host: str, port: int) -> None:
        """Accept connections at an address.

        Args:
            host: a name or an address; empty is all addresses.
            port: 0 takes a free one.

        Raises:
            ValueError: there is no key, and the address is not loopback.
            OSError: the port is taken.
        """
        sockets = listeners([host] if host else [], port)
        if not self.keys and not all(_is_loopback(each.getsockname()[0]) for each in sockets):
            for each in sockets:
                each.close()
            where = host or "all addresses"
            raise ValueError(
                f"peers: without a key this gateway would take anybody on {where} for a gateway:"
                " give all of them the same --peer-key FILE, or use an address such as 127.0.0.1"
            )
        self.port = sockets[0].getsockname()[1]
        self._listeners += [await self._loop.create_server(self._accepted, sock=each) for each in sockets]

    def dial(self, addresses: Mapping[str, str]) -> None:
        """Keep a connection with exactly these peers, by name; other connections stay until they end."""
        for name, pair in list(self._pairs.items()):
            if name not in addresses and pair.dialler is not None:
                pair.dialler.cancel()
                pair.dialler, pair.address = None, ""
                self._forget_unused(name)
        for name, address in addresses.items():
            if name != self._name:
                pair = self._pair(name)
                pair.address = address
                pair.dialler = pair.dialler or self._loop.create_task(self._keep(name, pair))

    def send(self, name: str, messages: Sequence[Message]) -> None:
        """Write messages to a peer in one write; nothing is sent to one that is not connected.

        Raises:
            ValueError: a message is longer than a line may be.
        """
        pair = self._pairs.get(name)
        if pair is not None and pair.connection is not None:
            pair.connection.send(messages)

    async def close(self) -> None:
        """Stop listening and dialling, and end all connections when what was sent is written, or after a second."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
        diallers = [pair.dialler for pair in self._pairs.values() if pair.dialler is not None]
        for dialler in diallers:
            dialler.cancel()
        await asyncio.gather(*diallers, return_exceptions=True)
        open_still = list(self._all)
        for connection in open_still:
            connection.close()
        if open_still:
            await asyncio.wait([each.ended for each in open_still], timeout=_CLOSE_WITHIN_S)
        for connection in open_still:
            connection.drop()

    # What connections tell: `Owner`.

    def met(self, connection: Connection, peer: Met) -> None:
        """Take a connection as the one of its pair."""
        self._strangers.pop(connection, None)
        if self._closed:
            connection.drop()
            return
        pair = self._pair(peer.name)
        old, pair.connection = pair.connection, connection
        pair.free.clear()
        pair.refusals = None
        pair.said.clear()
        if old is not None:
            if old.peer is not None and old.peer.life != peer.life:
                self._say(peer.name, "is connected in another life now, in place of the one before")
            old.drop()
            self._on_disconnected(peer.name, _ENDED)
        self._finish_dial(connection, None)
        self._on_connected(peer.name, peer.life)

    def received(self, connection: Connection, message: Message) -> None:
        """Pass a message on."""
        if connection.peer is not None and not self._closed:
            self._on_message(connection.peer.name, message)

    def ended(self, connection: Connection, problem: Exception | None) -> None:
        """Make room for the next connection."""
        self._all.discard(connection)
        self._strangers.pop(connection, None)
        if connection.peer is None:
            closed = ConnectionResetError("it closes the connection before it proves who it is")
            if not self._finish_dial(connection, problem or closed) and problem is not None:
                self._say(f"{_STRANGER} at {connection.address}", _cause(problem), key=_STRANGER)
            return
        name = connection.peer.name
        pair = self._pairs.get(name)
        if self._closed or pair is None or pair.connection is not connection:
            return
        if problem is not None:
            self._say(name, f"disconnected: {_cause(problem)}")
        pair.connection = None
        pair.short_lived = connection.lasted_s() < LONGEST_PAUSE_S
        if not pair.short_lived:
            pair.backoff.reset()
        pair.refusals = 0
        pair.free.set()
        self._forget_unused(name)
        self._on_disconnected(name, _ENDED)

    # Accepting.

    def _accepted(self) -> Connection:
        while len(self._strangers) >= self._limits.most_strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.drop()
        connection = self._connection(accept(self._side(), self.keys, self._admit_accepted))
        self._strangers[connection] = None
        return connection

    def _admit_accepted(self, name: str) -> str:
        pair = self._pairs.get(name)
        if pair is None:
            return "I have too many peers" if len(self._pairs) >= self._limits.most_peers else ""
        if pair.dialler is None or self._name > name:
            return ""
        pair.knocked.set()
        return CROSSED

    # Dialling.

    async def _keep(self, name: str, pair: _Pair) -> None:
        """Keep a connection with one peer, for ever."""
        while True:
            await pair.free.wait()
            if pair.short_lived:
                pair.short_lived = False
                await _pause(pair)
            problem = await self._dial_once(name, pair)
            if pair.connection is not None:
                continue
            self._count_refusals(name, pair, problem)
            self._say_dial(name, pair, problem)
            await _pause(pair)

    async def _dial_once(self, name: str, pair: _Pair) -> Exception | None:
        """Try to connect; None if a connection was made, which may have ended since."""
        try:
            async with asyncio.timeout(self._limits.handshake_s):
                return await self._dial_addresses(name, pair)
        except TimeoutError:
            return TimeoutError(f"it does not answer within {self._limits.handshake_s:g} s")
        except (OSError, ValueError) as error:
            return error

    async def _dial_addresses(self, name: str, pair: _Pair) -> Exception | None:
        host, port = split_address(pair.address)
        problem: Exception | None = None
        for address in await self._resolver.addresses(host):
            if not self.keys and not _is_loopback(address):
                return ValueError(f"{address} is not loopback, so it is dialled only with --peer-key FILE")
            try:
                return await self._dial_address(name, pair, address, port)
            except OSError as error:
                # One that refuses is not there; of another error that is not known, so it counts more.
                if problem is None or isinstance(problem, ConnectionRefusedError):
                    problem = error
        self._resolver.forget(host)
        return problem

    async def _dial_address(self, name: str, pair: _Pair, address: str, port: int) -> Exception | None:
        def admit(_name: str) -> str:
            return CROSSED if pair.connection is not None else ""

        connection = self._connection(dial(self._side(), self.keys, name, admit))
        done: asyncio.Future[Exception | None] = self._loop.create_future()
        self._dialled[connection] = done
        try:
            await self._loop.create_connection(lambda: connection, address, port)
            return await done
        except BaseException:
            connection.drop()
            raise
        finally:
            self._dialled.pop(connection, None)
            if connection.peer is None:
                self._all.discard(connection)

    def _finish_dial(self, connection: Connection, problem: Exception | None) -> bool:
        """Tell the dialler how it ended; False if the connection was not dialled."""
        done = self._dialled.get(connection)
        if done is None:
            return False
        if not done.done():
            done.set_result(problem)
        return True

    def _count_refusals(self, name: str, pair: _Pair, problem: Exception | None) -> None:
        if pair.refusals is None:
            return
        pair.refusals = pair.refusals + 1 if isinstance(problem, ConnectionRefusedError) else 0
        if pair.refusals == _REFUSALS:
            pair.refusals = None
            self._on_disconnected(name, _REFUSED)

    # Both.

    def _connection(self, steps: Steps) -> Connection:
        connection = Connection(steps, self, self._limits)
        self._all.add(connection)
        return connection

    def _side(self) -> Side:
        return Side(self._name, self._life, secrets.token_hex(16))

    def _pair(self, name: str) -> _Pair:
        pair = self._pairs.get(name)
        if pair is None:
            backoff = Backoff(self._rng, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
            pair = self._pairs[name] = _Pair(backoff)
            pair.free.set()
        return pair

    def _forget_unused(self, name: str) -> None:
        pair = self._pairs[name]
        if pair.connection is None and pair.dialler is None:
            del self._pairs[name]

    def _say_dial(self, name: str, pair: _Pair, problem: Exception | None) -> None:
        if problem is None or isinstance(problem, CrossedError):
            return
        why = _cause(problem)
        if why not in pair.said:
            pair.said.add(why)
            _log.warning("peer %s at %s: not connected: %s", name, pair.address, why)

    def _say(self, who: str, what: str, *, key: str = "") -> None:
        """Log what happened to a peer, if it has not been logged lately under this key."""
        now_s = self._loop.time()
        self._said = {each: at_s for each, at_s in self._said.items() if now_s < at_s + _SAY_AGAIN_S}
        if not self._closed and (key or who, what) not in self._said:
            self._said[key or who, what] = now_s
            _log.warning("peer %s: %s", who, what)


async def _pause(pair: _Pair) -> None:
    """Wait until the next dial."""
    pair.knocked.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(pair.backoff.pause_s()):
            await pair.knocked.wait()


def _cause(problem: Exception) -> str:
    return described(problem) if isinstance(problem, OSError) else str(problem)[:_LONGEST_CAUSE]


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
