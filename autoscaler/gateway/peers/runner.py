"""Runs a `Peer` in an event loop: its connections, its calls of the store, and its timer.

Rules:
1. All that a turn of the loop puts into the outbox leaves together: one write for each peer.
2. The store has one call at a time. One that fails or takes too long counts as failed, whatever it did: the next read
   shows that.
3. Members that cannot be reached, and lost ones whose slots are held, are looked up in the store: it may know that they
   are dead.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import NamedTuple

from autoscaler.gateway.dispatch.types import Limits
from autoscaler.gateway.peers.connections.links import PeerLinks
from autoscaler.gateway.peers.outbox import Delivery, Message, ReadRoster, WriteRoster
from autoscaler.gateway.peers.peer import Peer
from autoscaler.gateway.peers.roster_store import RosterStore, RosterUnavailableError
from autoscaler.gateway.peers.shared_dispatcher import SharedDispatcher
from autoscaler.runtime.clock import boot_time_s

_STORE_CALL_S = 5.0
_LOOK_UP_EVERY_S = 1.0
_OF_ALL = frozenset({"report", "roster", "settled"})
"""Messages that concern all services."""
_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where the other gateways reach this one."""

    address: str
    """As `host:port`, for the roster."""
    host: str
    """What it listens on; empty is all addresses."""
    port: int


class PeerRunner:
    """One gateway among its peers; make it inside the event loop.

    Args:
        name: the gateway's name.
        life: names the process.
        place: where it listens for peers.
        store: has the roster.
        keys: prove that a gateway belongs to the installation; without any only loopback is used.

    Attributes:
        peer: decides everything.
        keys: the present ones.
        deliver: is given what becomes of requests that wait, by service.
        counted: the epoch, with its members, in which this gateway last knew all slots of its services.
        on_change: is given a service that another gateway has changed; None stands for all.
    """

    def __init__(self, name: str, life: str, place: Place, store: RosterStore, *, keys: Sequence[bytes] = ()) -> None:
        self._loop = asyncio.get_running_loop()
        self._place = place
        self._store = store
        self.peer = Peer(name, life, place.address, clock=boot_time_s)
        self.peer.out.wake = self._wake
        self.deliver: Callable[[str, Delivery], None] = _deliver_to_nobody
        self.on_change: Callable[[str | None], None] = _tell_nobody
        self.keys = tuple(keys)
        self._links = PeerLinks(
            name,
            life,
            keys=keys,
            on_connected=self._connected,
            on_message=self._received,
            on_disconnected=self._disconnected,
        )
        self._listed: Mapping[str, str] = {}
        self._dialled: Mapping[str, str] = {}
        self._is_due = False
        self._touched: set[str | None] = set()
        self.counted: tuple[int, tuple[str, ...]] = (0, ())
        self._state: tuple[int, bool] = (0, False)
        """Epoch and membership, as of the last change of all services."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._look_up_s = 0.0
        self._problem = ""
        self._claims: Counter[str] = Counter({name: 0})
        self._takeovers: Counter[str] = Counter(whole=0, unknown=0)
        """The counts of services that are shared no more."""
        self._gone = asyncio.Event()

    def use_keys(self, keys: Sequence[bytes]) -> None:
        """Use other keys for new connections."""
        self.keys = self._links.keys = tuple(keys)

    def use_addresses(self, listed: Mapping[str, str]) -> None:
        """Dial these addresses, by name, and of other members those that the roster has."""
        self._listed = listed
        self._dial()

    # The services.

    def share(self, service: str, limits: Limits) -> SharedDispatcher:
        """Share a service with the other gateways."""
        return self.peer.share(service, limits, self._loop.time())

    def drop(self, service: str) -> None:
        """Share a service no more."""
        dropped = self.peer.shares[service]
        self._claims.update(dropped.claims_total)
        self._takeovers.update(dropped.takeovers_total)
        self.peer.drop(service)

    def claims_total(self) -> Mapping[str, int]:
        """Return for how many requests each gateway was asked for a slot."""
        return _added(self._claims, (share.claims_total for share in self.peer.shares.values()))

    def takeovers_total(self) -> Mapping[str, int]:
        """Return how many services were taken over, by what was known of their slots."""
        return _added(self._takeovers, (share.takeovers_total for share in self.peer.shares.values()))

    # From start to end.

    async def listen(self) -> None:
        """Open the port for peers.

        Raises:
            OSError: the port is taken.
            ValueError: there is no key, and the address is not loopback.
        """
        await self._links.listen(self._place.host, self._place.port)

    def start(self) -> None:
        """Join the other gateways."""
        self._tick()

    def leave(self) -> None:
        """Give the services to the other gateways, and say goodbye when nothing is left to do."""
        self.peer.leave(self._loop.time())
        self._wake()

    async def gone(self) -> None:
        """Wait until the goodbye has been written."""
        await self._gone.wait()

    async def close(self) -> None:
        """End all connections and calls."""
        self.peer.out.wake = _do_nothing
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._links.close()

    # The outbox.

    def _wake(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        messages, deliveries, calls = self.peer.out.take()
        for name, lines in messages.items():
            self._links.send(name, lines)
        for service, delivery in deliveries.items():
            self.deliver(service, delivery)
        for call in calls:
            self._run(self._call_store(call))
        self._tell_changes()
        self._dial()
        if self.peer.may_go:
            self._gone.set()

    def _touch(self, service: str | None) -> None:
        self._touched.add(service)
        self._wake()

    def _tell_changes(self) -> None:
        """Tell which services may have other counts, owners or deadlines."""
        before, self._state = self._state, (self.peer.epoch, self.peer.is_member)
        touched, self._touched = self._touched, set()
        if self._state != before and self.peer.roster is not None:
            part = "a member" if self.peer.is_member else "no member"
            _log.info("%s of epoch %d: gateways %s", part, self.peer.epoch, ", ".join(sorted(self.peer.roster.members)))
        if self.peer.has_settled and self.peer.roster is not None:
            self.counted = (self.peer.epoch, tuple(sorted(self.peer.roster.members)))
        for service in [None] if None in touched or self._state != before else touched:
            self.on_change(service)

    def _dial(self) -> None:
        addresses = {**self.peer.out.dial, **self._listed}
        if self._timer is not None and addresses != self._dialled:
            self._dialled = addresses
            self._links.dial(addresses)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Connections.

    def _connected(self, name: str, life: str) -> None:
        _log.info("connected to gateway %s", name)
        self.peer.connected(name, life, self._loop.time())
        self._wake()

    def _received(self, name: str, message: Message) -> None:
        self.peer.received(name, message, self._loop.time())
        service = message.get("s")
        if isinstance(service, str):
            self._touch(service)
        elif message.get("t") in _OF_ALL:
            self._touch(None)

    def _disconnected(self, name: str, refused: bool) -> None:  # noqa: FBT001 - as PeerLinks calls it
        self.peer.disconnected(name, self._loop.time(), refused=refused)
        self._touch(None)

    # Time.

    def _tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now_s = self._loop.time()
        self.peer.tick(now_s)
        if now_s >= self._look_up_s and (suspects := self.peer.suspects()):
            self._look_up_s = now_s + _LOOK_UP_EVERY_S
            self._run(self._look_up(suspects))
        self._timer = self._loop.call_later(self.peer.times.beat_s, self._tick)
        self._wake()

    # The store.

    async def _call_store(self, call: ReadRoster | WriteRoster) -> None:
        began_s, now = boot_time_s(), self._loop.time
        try:
            async with asyncio.timeout(_STORE_CALL_S):
                if isinstance(call, ReadRoster):
                    roster = await self._store.read()
                    self.peer.store_read(roster, began_s, now())
                else:
                    is_written = await self._store.write(call.roster, call.expected_epoch)
                    self.peer.store_written(began_s, now(), ok=is_written)
        except (RosterUnavailableError, TimeoutError) as error:
            self._say(str(error) or f"no answer within {_STORE_CALL_S:g} s")
            self.peer.store_failed(now())
        else:
            self._problem = ""
        self._wake()

    async def _look_up(self, suspects: set[tuple[str, str]]) -> None:
        """Find out which of these processes have ended."""
        try:
            async with asyncio.timeout(_STORE_CALL_S):
                for name, life in suspects:
                    if await self._store.is_dead(name, life):
                        self.peer.known_dead(name, life, self._loop.time())
                        self._touch(None)
        except (RosterUnavailableError, TimeoutError) as error:
            self._say(str(error) or f"no answer within {_STORE_CALL_S:g} s")

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            _log.warning("the roster of the gateways cannot be used: %s", problem)
        self._problem = problem


def _added(start: Mapping[str, int], counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total = Counter(start)
    for each in counts:
        total.update(each)
    return total


def _deliver_to_nobody(service: str, _delivery: Delivery) -> None:
    raise RuntimeError(f"nobody takes what becomes of the requests of {service}")


def _tell_nobody(_service: str | None) -> None:
    """Tell nobody: without a gateway there are no services."""


def _do_nothing() -> None:
    """Let what is put into the outbox stay there."""
