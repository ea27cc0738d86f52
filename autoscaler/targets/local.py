"""Replicas as processes of this machine: a small Deployment for each service, for the demo and for trying things."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from autoscaler.ports import Fleet, Outcome, Replica, ScaleRequest, ServiceName
from autoscaler.removal_order import replicas_to_remove
from autoscaler.targets.local_replica import Lifetimes, LocalReplica, Routing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Router:
    """What the target asks of, and tells, whoever routes requests: each with the service's and the replica's name.

    The functions return at once; they are called from the target's event loop.
    """

    running: Callable[[ServiceName, str], int]
    """Gives the number of requests that a replica serves."""
    on_ready: Callable[[ServiceName, str, str], None]
    """A replica serves at the `host:port` that comes third."""
    on_leaving: Callable[[ServiceName, str], None]
    """A replica must be sent nothing new; what it serves goes on."""
    on_gone: Callable[[ServiceName, str], None]
    """A replica's process has ended, and with it whatever it served; it may come back under the same name."""

    def to(self, service: ServiceName, replica: str) -> Routing:
        """Give the same for one replica."""
        return Routing(
            partial(self.running, service, replica),
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
    """Replicas ever started: the number of the last one."""
    lives: dict[LocalReplica, asyncio.Task[None]] = field(default_factory=dict)
    """Every replica that is not quite gone, the oldest first."""

    def staying(self) -> list[LocalReplica]:
        return [replica for replica in self.lives if not replica.left]


class LocalProcesses:
    """A ScaleTarget that starts and stops processes; use it as an asynchronous context manager, or `close` it.

    Args:
        commands: how a replica of each service is started, as words in which `{port}` stands for the loopback port that
            it must listen on, `{name}` for its name and `{number}` for its number, which counts from 1.
        router: who routes the requests.
        output: a folder for what the replicas print: one file each, `NAMESPACE/NAME.log`.
        lifetimes: how long things may take.
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

    async def scale(self, orders: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Start what is missing, and tell to leave what is too many; returns before either is done. Raises nothing."""
        return [Outcome(order.service, self._carry_out(order)) for order in orders]

    def processes(self) -> dict[str, int]:
        """Give the process ids of all replicas that have a process, those that leave included, by name."""
        replicas = [replica for service in self._services.values() for replica in service.lives]
        return {replica.name: replica.pid for replica in replicas if replica.pid is not None}

    async def close(self) -> None:
        """Kill every process at once, whatever it does; nothing can be scaled afterwards."""
        self._closed = True
        lives = [life for service in self._services.values() for life in service.lives.values()]
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    # Observing.

    @staticmethod
    def _fleet(service: _Service) -> Fleet:
        now_s = asyncio.get_running_loop().time()
        replicas = (Replica(r.name, r.ready, r.running, now_s - r.born_s) for r in service.staying())
        return Fleet(service.asked, tuple(replicas))

    # Scaling.

    def _carry_out(self, order: ScaleRequest) -> str:
        """Carry out one order; the answer is what is wrong with it, or empty."""
        service = self._services.get(order.service)
        if service is None:
            return f"{order.service} is no service of this target"
        if order.replicas < 0:
            return f"{order.replicas} replicas are not possible"
        if self._closed:
            return "the target is closed"
        service.asked = order.replicas
        staying = {replica.name: replica for replica in service.staying()}
        for name in replicas_to_remove(self._fleet(service).replicas, order.replicas, order.remove):
            staying[name].leave()
        for _ in range(service.asked - len(service.staying())):
            self._start(order.service, service)
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
