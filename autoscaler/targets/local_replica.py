"""One replica as a local process: started, watched, restarted if it dies, and stopped.

Rules:
1. Its port is reserved while it starts, so that only the replica can accept connections on it.
2. It is announced as ready when it accepts connections, but not after `leave`. When its process ends, it is announced
   as gone.
3. When it is stopped, it first finishes its running requests.
4. However it ends, even if cancelled at any point or if we are killed, no process of its group remains.
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

from autoscaler.accounts import CONTAINER, MODEL, StartTimes

DIE_WITH_PARENT = Path(__file__).with_name("local_die_with_parent.py")
HOST = "127.0.0.1"
PROBE_EVERY_S = 0.05
"""The pause between two checks whether it accepts connections, or whether its requests are finished."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The durations of starts, restarts and stops, by default as for a Deployment."""

    first_backoff_s: float = 10.0
    """The wait before the second restart in a row: the first is immediate, and each further one waits twice as long."""
    longest_backoff_s: float = 300.0
    forgiven_after_s: float = 600.0
    """A process that ran this long is restarted at once, as after a first crash."""
    slow_start_s: float = 600.0
    """A longer start is logged."""
    grace_s: float = 30.0
    """The time from SIGTERM to SIGKILL."""

    def scaled(self, by: float) -> "Lifetimes":
        """Give the same durations, multiplied."""
        return Lifetimes(**{name: seconds * by for name, seconds in asdict(self).items()})

    def backoff_s(self, crashes: int) -> float:
        """Give the wait before a restart, after this number of crashes in a row, as in kubelet's CrashLoopBackOff."""
        waits = max(crashes - 1, 0)
        return min(self.first_backoff_s * 2.0 ** min(waits - 1, 60), self.longest_backoff_s) if waits else 0.0


@dataclass(frozen=True, slots=True)
class Routing:
    """One replica's interface to the gateway."""

    running: Callable[[], int]
    """Gives the number of requests that the replica serves."""
    starting: Callable[[], None]
    """Its process begins to start."""
    ready: Callable[[str], None]
    """It serves at this `host:port` from now on."""
    leaving: Callable[[], None]
    """It must get no new requests; its running ones go on."""
    gone: Callable[[], None]
    """Its process has ended with all its requests."""


class LocalReplica:
    """One replica. `pid` is None while it has no process; `ready` says that it is announced and its process runs.

    `start` has the stages of its first start: until its process runs, and until it is announced.
    """

    def __init__(self, name: str, command: Sequence[str], output: Path, routing: Routing, lifetimes: Lifetimes) -> None:
        self.name = name
        self.pid: int | None = None
        self.ready = False
        self.born_s = asyncio.get_running_loop().time()
        self.start = StartTimes()
        self._command = command
        self._output = output
        self._routing = routing
        self._lifetimes = lifetimes
        self._left = asyncio.Event()

    @property
    def left(self) -> bool:
        """Whether it was stopped."""
        return self._left.is_set()

    @property
    def running(self) -> int:
        """The requests that it serves."""
        return self._routing.running()

    def leave(self) -> None:
        """Stop it: it gets no new requests, and its process ends when the running ones are finished."""
        if not self.left:
            self._routing.leaving()
        self._left.set()

    async def live(self) -> None:
        """Keep a process running until it is stopped."""
        crashes = 0
        while not self.left:
            begun_s = self._now()
            end = await self._run()
            if self.left:
                return
            lived_s = self._now() - begun_s
            crashes = 1 if lived_s >= self._lifetimes.forgiven_after_s else crashes + 1
            backoff_s = self._lifetimes.backoff_s(crashes)
            message = "%s: %s after %.1f s; its output is in %s; restart in %g s"
            _log.warning(message, self.name, end, lived_s, self._output, backoff_s)
            await _set_within(self._left, backoff_s)

    async def _run(self) -> str:
        """Run the process once, and say how it ended."""
        with _own_port() as port:
            command = [word.replace("{port}", str(port)) for word in self._command]
            try:
                async with _process_group(command, self._output) as process, asyncio.TaskGroup() as tasks:
                    return await self._watch(process, port, tasks)
            except OSError as error:
                return f"cannot be started ({error.strerror})"
            finally:
                self.pid = None

    async def _watch(self, process: asyncio.subprocess.Process, port: int, tasks: asyncio.TaskGroup) -> str:
        self.pid = process.pid
        if not self.start.stages:
            self.start = StartTimes(((CONTAINER, self._now() - self.born_s),))
        self._routing.starting()
        beside = [tasks.create_task(self._announce(port)), tasks.create_task(self._end_when_left(process))]
        try:
            return _in_words(await process.wait())
        finally:
            for task in beside:
                task.cancel()
            self._retract()

    async def _announce(self, port: int) -> None:
        """Announce the process when it accepts connections; log it if that takes long."""
        slow = asyncio.get_running_loop().call_later(self._lifetimes.slow_start_s, self._report_slow_start, port)
        try:
            while not await _accepts(port):  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(PROBE_EVERY_S)
        finally:
            slow.cancel()
        if not self.left:
            self.ready = True
            self._note_ready()
            self._routing.ready(f"{HOST}:{port}")

    def _note_ready(self) -> None:
        """Note how long the first start took."""
        if self.start.total_s is None:
            total_s = self._now() - self.born_s
            ((_, process_s),) = self.start.stages
            self.start = StartTimes((*self.start.stages, (MODEL, total_s - process_s)), total_s)

    def _report_slow_start(self, port: int) -> None:
        message = "%s: accepts no connections on port %d after %g s; its output is in %s"
        _log.warning(message, self.name, port, self._lifetimes.slow_start_s, self._output)

    def _retract(self) -> None:
        if self.ready:
            self.ready = False
            self._routing.gone()

    async def _end_when_left(self, process: asyncio.subprocess.Process) -> None:
        await self._left.wait()
        while self.ready and self.running:  # noqa: ASYNC110  # there is no event to wait for
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
    """Reserve a free port.

    On Linux a bound socket that does not listen reserves the port, and still lets a server with SO_REUSEADDR bind it.
    On other systems the port is released: a process that finds it in use dies and is restarted with another one.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port


@asynccontextmanager
async def _process_group(command: Sequence[str], output: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a command in a process group of its own, of which no process remains afterwards.

    Closing the parent's end of the pipe ends it. That awaits nothing, so no cancellation can come in between.
    """
    child_end, parent_end = os.pipe()
    process = None
    try:
        process = await _start([sys.executable, "-I", "-S", str(DIE_WITH_PARENT), *command], child_end, output)
        yield process
    finally:
        if process is not None:
            _signal(-process.pid, signal.SIGKILL)
        os.close(parent_end)
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
    """Signal the process, or with a negative number its group.

    The process object is not used: it first checks whether the process has ended, and so takes its status away from the
    event loop. The id cannot be reused: while the watcher lives, its group keeps the number.
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
