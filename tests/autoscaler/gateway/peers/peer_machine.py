"""Single gateways as the explorer sees them: a number for each state that one was ever in, and each step taken once.

A gateway is deterministic, so what an input does to a state is found out once, by the shipped code, and remembered.
Two states that look alike in every attribute (but for the statistics) are one state.
"""

import copyreg
import io
import json
import pickle
from collections.abc import Iterable
from enum import Enum
from functools import cache, partial
from typing import ClassVar, NamedTuple

from autoscaler.gateway.dispatch.types import Granted, Limits, Refused
from autoscaler.gateway.peers.peer import Peer
from autoscaler.gateway.peers.roster import Roster

STATISTICS = {"_seconds", "_seconds_until_s", "claims_total", "takeovers_total", "ejections_total", "passed_total"}


class Output(NamedTuple):
    """What a gateway did in one step."""

    result: object = None
    messages: tuple[tuple[str, str], ...] = ()
    granted: tuple[tuple[str, str], ...] = ()
    ended: tuple[str, ...] = ()
    """Requests that were refused or timed out."""
    store: tuple[tuple, ...] = ()
    ready: bool = False
    may_go: bool = False
    epoch: int = 0
    owns: bool = False
    present: int = 0
    """Requests of its own clients that it counts, waiting or running."""
    suspects: tuple[tuple[str, str], ...] = ()
    """Processes of which it wants to know whether they have ended."""


class Clock:
    """A clock that the explorer sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def nothing(pod: str) -> None:
    """Do nothing when a request of another gateway ends; unlike a lambda, it can be pickled."""


class Gateway:
    """One gateway: the peer, and what its one service's proxy calls."""

    def __init__(self, name: str, life: str, now: float, scope) -> None:
        self.clock = Clock()
        self.clock.now = now
        self.granted: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.peer = Peer(name, life, f"{name}:9091", times=scope.times, clock=self.clock)
        self.service = scope.service
        self.limits = Limits(1, 100, scope.queue_timeout)
        self.dispatcher = self.peer.share(scope.service, self.limits, now)
        self.dispatcher.on_end = nothing
        self.dispatcher.longest.request_timeout_s = scope.grace
        for pod in scope.pods:
            self.dispatcher.know_pod(pod, pod, 0.0)
            self.dispatcher.add_backend(pod, now)
        self.peer.tick(now)

    def do(self, now: float, call: tuple) -> Output:
        """Take one step."""
        self.clock.now = now
        kind, *arguments = call
        return self.output(now, getattr(self, f"do_{kind}")(now, *arguments))

    def output(self, now: float, result: object) -> Output:
        """Take what leaves the gateway."""
        told, deliveries, calls = self.peer.out.take()
        for delivery in deliveries.values():
            self.granted += delivery.grants
            self.ended += [request for request, _ in delivery.refused]
        output = Output(
            result,
            tuple((name, json.dumps(each)) for name, several in told.items() for each in several),
            tuple((request, pod) for request, pod in self.granted),
            tuple(self.ended),
            tuple(self.store_call(now, each) for each in calls),
            self.peer.ready,
            self.peer.may_go,
            self.peer.epoch,
            self.dispatcher.owned,
            self.dispatcher.queued + self.dispatcher.running,
            tuple(sorted(each for each in self.peer.suspects() if each[0])),
        )
        self.granted, self.ended = [], []
        return output

    @staticmethod
    def store_call(now, call) -> tuple:
        roster = getattr(call, "roster", None)
        if roster is None:
            return ("read", now)
        return ("write", json.dumps(roster.as_json(), sort_keys=True), call.expected_epoch, now)

    # Inputs of the peer.

    def do_tick(self, now):
        self.peer.tick(now)
        due = self.dispatcher.expire(now)
        self.granted += due.grants
        self.ended += due.timed_out

    def do_connected(self, now, name, life):
        self.peer.connected(name, life, now)

    def do_disconnected(self, now, name, refused):
        self.peer.disconnected(name, now, refused=refused)

    def do_received(self, now, name, message):
        self.peer.received(name, json.loads(message), now)

    def do_store_read(self, now, roster, began):
        self.peer.store_read(Roster.from_json(json.loads(roster)) if roster else None, began, now)

    def do_store_written(self, now, ok, began):
        self.peer.store_written(began, now, ok=ok)

    def do_store_failed(self, now):
        self.peer.store_failed(now)

    def do_known_dead(self, now, name, life):
        self.peer.known_dead(name, life, now)

    def do_leave(self, now):
        self.peer.leave(now)

    # Inputs of the service's proxy.

    def do_arrive(self, now, request):
        outcome = self.dispatcher.arrive(request, now)
        if isinstance(outcome, Granted):
            self.granted.append((request, outcome.backend))
        if isinstance(outcome, Refused):
            self.ended.append(request)

    def do_may_start(self, now, request, pod):
        return self.dispatcher.may_start(request, pod, now)

    def do_finish(self, now, request):
        self.granted += self.dispatcher.finish(request, now)

    def do_abandon(self, now, request):
        self.granted += self.dispatcher.abandon(request, now)

    def do_put_back(self, now, request):
        self.granted += self.dispatcher.put_back(request, now)

    def do_remove_backend(self, now, pod):
        self.dispatcher.forget_pod(pod)
        self.granted += self.dispatcher.remove_backend(pod, now)


class Rosters:
    """Rosters by number: they are many in a gateway, they are large, and they never change."""

    def __init__(self) -> None:
        self._all: list[Roster] = []
        self._numbers: dict[str, int] = {}

    def number(self, roster: Roster) -> int:
        """Return the number of a roster; equal ones have the same."""
        number = self._numbers.setdefault(repr(roster), len(self._all))
        if number == len(self._all):
            self._all.append(roster)
        return number

    def numbered(self, number: int) -> Roster:
        """Return a roster."""
        return self._all[number]


ROSTERS = Rosters()


class Pickler(pickle.Pickler):
    """Keeps a gateway."""

    dispatch_table: ClassVar = {**copyreg.dispatch_table, Roster: lambda roster: (numbered, (ROSTERS.number(roster),))}


def numbered(number: int) -> Roster:
    """Return a roster."""
    return ROSTERS.numbered(number)


def kept(gateway: Gateway) -> bytes:
    """Return a gateway as it is now."""
    file = io.BytesIO()
    Pickler(file, pickle.HIGHEST_PROTOCOL).dump(gateway)
    return file.getvalue()


class Machines:
    """Every state that a gateway was ever in, and every step that was ever taken."""

    def __init__(self, scope) -> None:
        self._scope = scope
        self._snapshots: list[bytes] = []
        self._numbers: dict[object, int] = {}
        self._steps: dict[tuple, tuple[int, Output]] = {}

    def __len__(self) -> int:
        return len(self._snapshots)

    @property
    def steps(self) -> int:
        """How many different steps the shipped code took."""
        return len(self._steps)

    def new(self, name: str, life: str, now: float) -> tuple[int, Output]:
        """Start a gateway."""
        key = (-1, now, (name, life))
        if key not in self._steps:
            gateway = Gateway(name, life, now, self._scope)
            self._steps[key] = self._intern(gateway, gateway.output(now, None))
        return self._steps[key]

    def step(self, number: int, now: float, call: tuple) -> tuple[int, Output]:
        """Return what an input makes of a state."""
        key = (number, now, call)
        found = self._steps.get(key)
        if found is None:
            gateway = pickle.loads(self._snapshots[number])  # noqa: S301 - our own, from a moment ago
            output = gateway.do(now, call)
            found = self._steps[key] = self._intern(gateway, output)
        return found

    def gateway(self, number: int) -> Gateway:
        """Return a copy of a gateway in this state, to look into."""
        return pickle.loads(self._snapshots[number])  # noqa: S301

    def _intern(self, gateway: Gateway, output: Output) -> tuple[int, Output]:
        gateway.clock.now = 0.0
        snapshot = kept(gateway)
        number = self._numbers.get(snapshot)
        if number is None:
            number = self._numbers.setdefault(picture(gateway, {}), len(self._snapshots))
            self._numbers[snapshot] = number
            if number == len(self._snapshots):
                self._snapshots.append(snapshot)
        return number, output


class Live:
    """Gateways that are never looked at again as they were: each state takes the place of the one before.

    It has the methods of `Machines`, for walks that do not turn back.
    """

    def __init__(self, scope) -> None:
        self._scope = scope
        self._gateways: list[Gateway] = []
        self.steps = 0

    def __len__(self) -> int:
        return self.steps

    def new(self, name: str, life: str, now: float) -> tuple[int, Output]:
        """Start a gateway."""
        gateway = Gateway(name, life, now, self._scope)
        self._gateways.append(gateway)
        return len(self._gateways) - 1, gateway.output(now, None)

    def step(self, number: int, now: float, call: tuple) -> tuple[int, Output]:
        """Let a gateway take a step."""
        self.steps += 1
        return number, self._gateways[number].do(now, call)

    def gateway(self, number: int) -> Gateway:
        """Return a gateway, to look into."""
        return self._gateways[number]


ATOMS = {int, float, str, bytes, bool, type(None)}


def picture(thing: object, seen: dict[int, int]) -> object:
    """Return everything that can be reached from an object as nested tuples; equal pictures behave alike."""
    if type(thing) in ATOMS or isinstance(thing, Enum):
        return thing
    if isinstance(thing, Roster):
        return (Roster, ROSTERS.number(thing))
    if isinstance(thing, tuple):
        return (type(thing), *[picture(each, seen) for each in thing])
    if id(thing) in seen:
        return ("again", seen[id(thing)])
    seen[id(thing)] = len(seen)
    return (type(thing), *[picture(each, seen) for each in parts(thing)])


def parts(thing: object) -> Iterable:
    """Return what an object consists of."""
    if isinstance(thing, dict):
        return thing.items()
    if isinstance(thing, (set, frozenset)):
        return sorted(thing, key=repr)
    if isinstance(thing, list):
        return thing
    if isinstance(thing, partial):
        return (thing.func, thing.args)
    if callable(thing) and hasattr(thing, "__qualname__"):
        return (thing.__qualname__, getattr(thing, "__self__", None))
    return attributes(thing)


def attributes(thing: object) -> list[tuple[str, object]]:
    """Return what an object remembers, but for the statistics."""
    named = [*getattr(thing, "__dict__", ()), *slots(type(thing))]
    return [(name, getattr(thing, name)) for name in named if name not in STATISTICS and hasattr(thing, name)]


@cache
def slots(kind: type) -> list[str]:
    """Return the attributes of a class that are not in a dictionary."""
    return [name for each in kind.__mro__ for name in getattr(each, "__slots__", ())]
