"""One replica as a local process: started, watched, restarted where it dies, and ended when it is told to leave.

Rules:
1. Its port is kept from everybody else while it starts, so that an answer on that port is its own.
2. It is announced when it accepts connections, and never once it was told to leave; what was announced is taken back.
3. Told to leave, it first ends what it serves.
4. However its life ends, cancelled at any point or with us killed, no process of its group is left.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

DIE_WITH_PARENT = Path(__file__).with_name("local_die_with_parent.py")
HOST = "127.0.0.1"
PROBE_EVERY_S = 0.05
"""Between two looks whether it accepts connections, or whether it has ended what it served."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things may take, by default as for a Deployment."""

    first_backoff_s: float = 10.0
    """Before the second restart in a row: the first comes at once, and each further one waits twice as long."""
    longest_backoff_s: float = 300.0
    forgiven_after_s: float = 600.0
    """A process that ran for as long has done no wrong: it is restarted at once."""
    slow_start_s: float = 600.0
    """A start that takes longer is reported."""
    grace_s: float = 30.0
    """From SIGTERM to SIGKILL."""

    def scaled(self, by: float) -> "Lifetimes":
        """Give the same with every time multiplied."""
        return Lifetimes(**{name: seconds * by for name, seconds in asdict(self).items()})

    def backoff_s(self, crashes: int) -> float:
        """Give the wait before a restart, after so many crashes in a row: kubelet's CrashLoopBackOff."""
        waits = max(crashes - 1, 0)
        return min(self.first_backoff_s * 2.0 ** min(waits - 1, 60), self.longest_backoff_s) if waits else 0.0


@dataclass(frozen=True, slots=True)
class Routing:
    """What one replica asks of, and tells, whoever routes requests to it."""

    running: Callable[[], int]
    """Gives the number of requests that the replica serves."""
    ready: Callable[[str], None]
    """It serves at this `host:port` from now on."""
    leaving: Callable[[], None]
    """It must be sent nothing new; what it serves goes on."""
    gone: Callable[[], None]
    """Its process has ended, and with it whatever it served."""


class LocalReplica:
    """One replica. `pid` is its process's, None while there is none; `ready` says that it is announced and alive."""

    def __init__(self, name: str, command: Sequence[str], output: Path, routing: Routing, lifetimes: Lifetimes) -> None:
        self.name = name
        self.pid: int | None = None
        self.ready = False
        self.born_s = asyncio.get_running_loop().time()
        self._command = command
        self._output = output
        self._routing = routing
        self._lifetimes = lifetimes
        self._left = asyncio.Event()

    @property
    def left(self) -> bool:
        """Whether it was told to leave."""
        return self._left.is_set()

    @property
    def running(self) -> int:
        """Requests that it serves."""
        return self._routing.running()

    def leave(self) -> None:
        """Tell it to leave: nothing is routed to it from now on, and it ends when it has served what it serves."""
        if self.ready and not self.left:
            self._routing.leaving()
        self._left.set()

    async def live(self) -> None:
        """Keep a process running until told to leave."""
        crashes = 0
        while not self.left:
            begun_s = self._now()
            end = await self._run()
            if self.left:
                return
            lived_s = self._now() - begun_s
            crashes = 1 if lived_s >= self._lifetimes.forgiven_after_s else crashes + 1
            backoff_s = self._lifetimes.backoff_s(crashes)
            told = "%s: %s after %.1f s; its output is in %s; restart in %g s"
            _log.warning(told, self.name, end, lived_s, self._output, backoff_s)
            await _set_within(self._left, backoff_s)

    async def _run(self) -> str:
        """Run the process once, and say how it ended."""
        with _own_port() as port:
            command = [word.replace("{port}", str(port)) for word in self._command]
            try:
                async with _leashed(command, self._output) as process, asyncio.TaskGroup() as tasks:
                    return await self._watch(process, port, tasks)
            except OSError as error:
                return f"cannot be started ({error.strerror})"
            finally:
                self.pid = None

    async def _watch(self, process: asyncio.subprocess.Process, port: int, tasks: asyncio.TaskGroup) -> str:
        self.pid = process.pid
        beside = [tasks.create_task(self._announce(port)), tasks.create_task(self._end_when_left(process))]
        try:
            return _in_words(await process.wait())
        finally:
            for task in beside:
                task.cancel()
            self._retract()

    async def _announce(self, port: int) -> None:
        """Wait for the process to accept connections, and say so; say as well if it takes too long."""
        slow = asyncio.get_running_loop().call_later(self._lifetimes.slow_start_s, self._report_slow_start, port)
        try:
            while not await _accepts(port):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(PROBE_EVERY_S)
        finally:
            slow.cancel()
        if not self.left:
            self.ready = True
            self._routing.ready(f"{HOST}:{port}")

    def _report_slow_start(self, port: int) -> None:
        told = "%s: accepts no connections on port %d after %g s; its output is in %s"
        _log.warning(told, self.name, port, self._lifetimes.slow_start_s, self._output)

    def _retract(self) -> None:
        if self.ready:
            self.ready = False
            self._routing.gone()

    async def _end_when_left(self, process: asyncio.subprocess.Process) -> None:
        await self._left.wait()
        while self.ready and self.running:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(PROBE_EVERY_S)
        _signal(process.pid, signal.SIGTERM)
        await asyncio.sleep(self._lifetimes.grace_s)
        _log.warning("%s: does not end within %g s of SIGTERM; killed", self.name, self._lifetimes.grace_s)
        _signal(process.pid, signal.SIGKILL)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


@contextmanager
def _own_port() -> Iterator[int]:
    """Give a free port that nobody else is given while it is held.

    On Linux a bound socket that does not listen keeps the port, and lets a server bind it that sets SO_REUSEADDR, as
    servers do. Elsewhere the port is let go: a process that then finds it taken dies and is restarted with another one.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port


@asynccontextmanager
async def _leashed(command: Sequence[str], output: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a command in a process group of its own, none of which is left afterwards.

    Closing the leash is what ends it, and that awaits nothing: no cancellation can come in between.
    """
    end, leash = os.pipe()
    process = None
    try:
        process = await _start([sys.executable, "-I", "-S", str(DIE_WITH_PARENT), *command], end, output)
        yield process
    finally:
        if process is not None:
            _signal(-process.pid, signal.SIGKILL)
        os.close(leash)
        if process is not None:
            await process.wait()


async def _start(command: Sequence[str], stdin: int, output: Path) -> asyncio.subprocess.Process:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, stdin=stdin, stdout=log, stderr=log, start_new_session=True
            )
    finally:
        os.close(stdin)


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a leashed process, or with a negative number its group.

    Not by the process object: that looks first whether it has ended, and so takes its status away from the event loop.
    The id is nobody else's: while a watcher lives, its group keeps the number.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, number)


async def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0)
        try:
            await asyncio.get_running_loop().sock_connect(probe, (HOST, port))
        except OSError:
            return False
        return True


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _in_words(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
