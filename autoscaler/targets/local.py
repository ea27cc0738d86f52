"""Replicas as processes of this machine: like a small Deployment for each service, for the demo and for trials."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from autoscaler.ports import Fleet, Outcome, Replica, ScaleRequest, ServiceName
from autoscaler.removal_order import replicas_to_remove
from autoscaler.targets.activity import Activity
from autoscaler.targets.local_replica import Lifetimes, LocalReplica, Routing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Router:
    """The target's interface to the gateway; each function gets the name of the service and of the replica.

    The functions must not block; they are called from the target's event loop.
    """

    running: Callable[[ServiceName, str], int]
    """Gives the number of requests that a replica serves."""
    on_starting: Callable[[ServiceName, str], None]
    """A replica's process begins to start."""
    on_ready: Callable[[ServiceName, str, str], None]
    """A replica serves at the `host:port` that is the third argument."""
    on_leaving: Callable[[ServiceName, str], None]
    """A replica must get no new requests; its running ones go on."""
    on_gone: Callable[[ServiceName, str], None]
    """A replica's process has ended with all its requests; the replica may restart under the same name."""

    def to(self, service: ServiceName, replica: str) -> Routing:
        """Bind the functions to one replica."""
        return Routing(
            partial(self.running, service, replica),
            partial(self.on_starting, service, replica),
            partial(self.on_ready, service, replica),
            partial(self.on_leaving, service, replica),
            partial(self.on_gone, service, replica),
        )


@dataclass(slots=True)
class _Service:
    """What runs for one service."""

    command: Sequence[str]
    asked: int = 0
    started: int = 0
    """The number of replicas ever started, which is the number of the last one."""
    lives: dict[LocalReplica, asyncio.Task[None]] = field(default_factory=dict)
    """All replicas that have not ended, the oldest first."""
    activity: Activity = field(default_factory=Activity)

    def staying(self) -> list[LocalReplica]:
        return [replica for replica in self.lives if not replica.left]


class LocalProcesses:
    """A ScaleTarget that starts and stops processes; use it as an asynchronous context manager, or `close` it.

    Args:
        commands: the command line of each service's replicas, in which `{port}` is replaced by the loopback port to
            listen on, `{name}` by the replica's name and `{number}` by its number, which counts from 1.
        router: routes the requests.
        output: a folder for the replicas' output: one file each, `NAMESPACE/NAME.log`.
        lifetimes: the durations of starts, restarts and stops.
    """

    def __init__(
        self,
        commands: Mapping[ServiceName, Sequence[str]],
        router: Router,
        output: Path,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._services = {service: _Service(tuple(command)) for service, command in commands.items()}
        self._router = router
        self._output = output
        self._lifetimes = lifetimes or Lifetimes()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def observe(self, services: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Give what runs for each service; an unknown one is left out. Raises nothing."""
        return {name: self._fleet(self._services[name]) for name in services if name in self._services}

    async def scale(self, requests: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Start missing replicas and stop those that are too many; returns before that is done. Raises nothing."""
        return [Outcome(request.service, self._carry_out(request)) for request in requests]

    def processes(self) -> dict[str, int]:
        """Give the process ids of all replicas with a process, including those that are stopping, by name."""
        replicas = [replica for service in self._services.values() for replica in service.lives]
        return {replica.name: replica.pid for replica in replicas if replica.pid is not None}

    async def close(self) -> None:
        """Kill every process at once; nothing can be scaled afterwards."""
        self._closed = True
        lives = [life for service in self._services.values() for life in service.lives.values()]
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    # Observing.

    @staticmethod
    def _fleet(service: _Service) -> Fleet:
        now_s = asyncio.get_running_loop().time()
        replicas = (Replica(r.name, r.ready, r.running, now_s - r.born_s, start=r.start) for r in service.staying())
        fleet = Fleet(service.asked, tuple(replicas), leaving=sum(replica.left for replica in service.lives))
        return service.activity.noted(fleet, now_s)

    # Scaling.

    def _carry_out(self, request: ScaleRequest) -> str:
        """Carry out one request; gives the error, or an empty text."""
        service = self._services.get(request.service)
        if service is None:
            return f"{request.service} is no service of this target"
        if request.replicas < 0:
            return f"{request.replicas} replicas are not possible"
        if self._closed:
            return "the target is closed"
        service.asked = request.replicas
        staying = {replica.name: replica for replica in service.staying()}
        for name in replicas_to_remove(self._fleet(service).replicas, request.replicas, request.remove):
            staying[name].leave()
        for _ in range(service.asked - len(service.staying())):
            self._start(request.service, service)
        return ""

    def _start(self, name: ServiceName, service: _Service) -> None:
        service.started += 1
        replica_name = f"{name.rpartition('/')[2]}-{service.started}"
        command = [_filled(word, name=replica_name, number=service.started) for word in service.command]
        output = self._output / name.rpartition("/")[0] / f"{replica_name}.log"
        replica = LocalReplica(replica_name, command, output, self._router.to(name, replica_name), self._lifetimes)
        service.lives[replica] = life = asyncio.get_running_loop().create_task(replica.live(), name=replica_name)
        life.add_done_callback(partial(self._ended, service, replica))

    @staticmethod
    def _ended(service: _Service, replica: LocalReplica, life: asyncio.Task[None]) -> None:
        del service.lives[replica]
        if not life.cancelled() and (error := life.exception()) is not None:
            _log.error("%s: lost", replica.name, exc_info=error)


def _filled(word: str, **values: object) -> str:
    for key, value in values.items():
        word = word.replace(f"{{{key}}}", str(value))
    return word
