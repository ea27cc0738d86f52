"""Several gateways as pure objects in virtual time: one store, connections that keep the order of their messages."""

import json
from collections import deque
from typing import Any

from autoscaler.gateway.dispatch.dispatcher import Granted, Held, Limits, Refused
from autoscaler.gateway.dispatch.types import ANY_TURN, Turn
from autoscaler.gateway.peers.outbox import ReadRoster, WriteRoster
from autoscaler.gateway.peers.peer import Peer
from autoscaler.gateway.peers.roster import Roster

SERVICE = "ns/web"


class Group:
    """Gateways by name; each request is served at once when it may start."""

    def __init__(self, *names: str, pods: tuple[str, ...] = ("p0",), limits: Limits | None = None) -> None:
        self.now_s = 100.0
        self.stored: Roster | None = None
        self.limits = limits or Limits()
        self.pods = pods
        self.peers: dict[str, Peer] = {}
        self.channels: dict[tuple[str, str], deque[dict[str, Any]]] = {}
        self.running: dict[str, tuple[str, str]] = {}
        """Requests that pods run, with their gateway and pod."""
        self.told: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.lives = 0
        for name in names:
            self.start(name)
            self.settle()

    def start(self, name: str) -> Peer:
        self.lives += 1
        peer = self.peers[name] = Peer(name, f"{name}-{self.lives}", f"{name}:1", clock=lambda: self.now_s)
        share = peer.share(SERVICE, self.limits, self.now_s)
        for pod in self.pods:
            share.know_pod(pod, f"{pod}:80", 0.0)
            share.add_backend(pod, self.now_s)
        for other in self.peers:
            if other != name:
                self.link(name, other)
        peer.tick(self.now_s)
        return peer

    def link(self, one: str, two: str) -> None:
        self.channels[one, two], self.channels[two, one] = deque(), deque()
        self.peers[one].connected(two, self.peers[two].life, self.now_s)
        self.peers[two].connected(one, self.peers[one].life, self.now_s)

    def cut(self, one: str, two: str, *, refused: bool = False) -> None:
        for at, other in ((one, two), (two, one)):
            if self.channels.pop((other, at), None) is not None and at in self.peers:
                self.peers[at].disconnected(other, self.now_s, refused=refused)

    def kill(self, name: str) -> None:
        del self.peers[name]
        for request, (gateway, _) in list(self.running.items()):
            if gateway == name:
                self.running[request] = ("", self.running[request][1])
        for other in list(self.peers):
            self.cut(name, other, refused=True)

    def settle(self) -> None:
        """Let all messages arrive, and all calls of the store end."""
        while self._step():
            pass

    def _step(self) -> bool:
        sent = [self._take_out(name, peer) for name, peer in list(self.peers.items())]
        arrived = [self._pass_on(sender, to) for sender, to in list(self.channels)]
        return any(sent) or any(arrived)

    def _take_out(self, name: str, peer: Peer) -> bool:
        messages, deliveries, calls = peer.out.take()
        for to, lines in messages.items():
            if (name, to) in self.channels:
                self.channels[name, to].extend(json.loads(json.dumps(lines)))
        for delivery in deliveries.values():
            for request, pod in delivery.grants:
                self._start(name, str(request), pod)
            for request, why in delivery.refused:
                self.refused[str(request)] = why.value
        for call in calls:
            self._store(peer, call)
        return bool(messages or deliveries or calls)

    def _pass_on(self, sender: str, to: str) -> bool:
        moved = False
        while to in self.peers and self.channels.get((sender, to)):
            self.peers[to].received(sender, self.channels[sender, to].popleft(), self.now_s)
            moved = True
        return moved

    def _store(self, peer: Peer, call: ReadRoster | WriteRoster) -> None:
        if isinstance(call, ReadRoster):
            peer.store_read(self.stored, self.now_s, self.now_s)
            return
        ok = (self.stored.epoch if self.stored else 0) == call.expected_epoch
        if ok:
            self.stored = Roster.from_json(call.roster.as_json())
        peer.store_written(self.now_s, self.now_s, ok=ok)

    def _start(self, name: str, request: str, pod: str) -> None:
        self.told[request] = pod
        if self.peers[name].shares[SERVICE].may_start(request, pod, self.now_s):
            self.running[request] = (name, pod)

    def arrive(self, name: str, request: str, turn: Turn = ANY_TURN) -> None:
        answer = self.peers[name].shares[SERVICE].arrive(request, self.now_s, turn=turn)
        if isinstance(answer, Granted):
            self._start(name, request, answer.backend)
        elif isinstance(answer, Refused):
            self.refused[request] = answer.reason.value
        else:
            assert isinstance(answer, Held)

    def finish(self, request: str) -> None:
        name, _ = self.running.pop(request)
        for each, pod in self.peers[name].shares[SERVICE].finish(request, self.now_s):
            self._start(name, str(each), pod)

    def wait(self, seconds: float, step_s: float = 0.25) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += step_s
            for name, peer in list(self.peers.items()):
                peer.tick(self.now_s)
                due = peer.shares[SERVICE].expire(self.now_s)
                for request, pod in due.grants:
                    self._start(name, str(request), pod)
                for request in due.timed_out:
                    self.refused[str(request)] = "queue_timeout"
            self.settle()

    @property
    def owner(self) -> str:
        assert self.stored is not None
        owner = self.stored.owner(SERVICE)
        assert owner is not None
        return owner

    def others(self) -> list[str]:
        return [name for name in self.peers if name != self.owner]

    def on(self, pod: str) -> list[str]:
        return [request for request, (_, each) in self.running.items() if each == pod]
