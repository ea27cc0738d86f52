"""The roster of the gateways of one machine: a file of JSON.

Rules:
1. It is written under `flock` of `ROSTER.lock`, into a temporary file that takes its place by a rename. A reader needs
   no lock: it finds the whole old roster or the whole new one.
2. Nobody waits for ever for the lock: a process that was stopped while it had it makes the store unavailable for the
   others, and the lock of a process that ends is free.
3. A gateway holds `ROSTER.NAME.lock` for life, with its life in it. So two gateways of one name cannot run, and it can
   be known whether a gateway is dead.
4. A file that is no roster is an error, and is never replaced.

The locks are the machine's: the file must be on one of its own disks.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TypeVar

from autoscaler.gateway.peers.names import LEGAL_NAME, NAME
from autoscaler.gateway.peers.roster import Roster
from autoscaler.gateway.peers.roster_store import RosterUnavailableError

PATIENCE_S = 2.0
"""How long a lock is waited for."""
_DISK_S = 2.0
_TRY_EVERY_S = 0.01
_MOST_BYTES = 2**20
_PERMISSIONS = 0o644
_T = TypeVar("_T")


class FileRoster:
    """A `RosterStore` in a file.

    Args:
        path: the file, in a folder that exists.
        patience_s: how long a lock is waited for.
    """

    def __init__(self, path: Path, *, patience_s: float = PATIENCE_S) -> None:
        self._path = path
        self._patience_s = patience_s
        self._held: list[int] = []
        """The descriptors of the locks that we hold for life."""

    async def hold(self, name: str, life: str) -> None:
        """Be the gateway of this name until the process ends, or `close`.

        Raises:
            ValueError: another gateway of this name runs, or it is no name; the message says what to do.
            OSError: the lock's file cannot be written.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: {LEGAL_NAME}")
        self._held.append(await asyncio.to_thread(self._take_name, name, life))

    def close(self) -> None:
        """Give up the names that are held."""
        while self._held:
            os.close(self._held.pop())

    async def read(self) -> Roster | None:
        """Give the roster; see `RosterStore`."""
        return await self._in_thread(self._read)

    async def write(self, roster: Roster, expected: int) -> bool:
        """Replace the roster; see `RosterStore`."""
        return await self._in_thread(lambda: self._write(roster, expected))

    async def is_dead(self, name: str, life: str) -> bool:
        """Tell whether the lock of its name is free, or another life's; see `RosterStore`."""
        return await self._in_thread(lambda: self._is_dead(name, life))

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """Do what waits for a lock or a disk; once begun it is finished, even if nobody waits any longer."""
        try:
            async with asyncio.timeout(self._patience_s + _DISK_S):
                return await asyncio.to_thread(work)
        except TimeoutError as error:
            raise RosterUnavailableError(f"{self._path}: the disk does not answer") from error
        except OSError as error:
            raise RosterUnavailableError(f"{self._path}: {error.strerror or error}") from error

    # In a thread.

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{suffix}")

    def _take_name(self, name: str, life: str) -> int:
        lock = self._beside(f"{name}.lock")
        descriptor = _opened(lock)
        # Another gateway that looks whether we are dead has the lock for a moment, so it is tried more than once.
        if not _lock(descriptor, self._patience_s):
            os.close(descriptor)
            raise ValueError(
                f"{lock}: another gateway with the name {name} runs on this machine:"
                " stop it, or give this one another --name"
            )
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{life}\n".encode(), 0)
        return descriptor

    def _is_dead(self, name: str, life: str) -> bool:
        if not NAME.fullmatch(name) or not (lock := self._beside(f"{name}.lock")).exists():
            # Somebody has removed the lock, and the gateway may still run.
            return False
        descriptor = os.open(lock, os.O_RDWR)
        try:
            holder = os.pread(descriptor, _MOST_BYTES, 0).decode(errors="replace")
            of_another = holder.endswith("\n") and holder != f"{life}\n"
            return of_another or _lock(descriptor)
        finally:
            os.close(descriptor)

    def _read(self) -> Roster | None:
        try:
            with self._path.open("rb") as opened:
                content = opened.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        try:
            return _parsed(content)
        except (ValueError, RecursionError) as error:
            raise RosterUnavailableError(
                f"{self._path}: is no roster of gateways, and is not replaced: {error}."
                " Name another file in --roster, or stop all gateways that use this one, remove it and start them again"
            ) from error

    def _write(self, roster: Roster, expected: int) -> bool:
        with self._locked():
            found = self._read()
            if (found.epoch if found else 0) != expected:
                return False
            self._replace(json.dumps(roster.as_json()) + "\n")
            return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._beside("lock")
        descriptor = _opened(lock)
        try:
            if not _lock(descriptor, self._patience_s):
                raise RosterUnavailableError(
                    f"{lock}: another process has had the lock for {self._patience_s:g} s:"
                    " if it is stopped, let it go on or kill it"
                )
            if not os.path.samestat(os.fstat(descriptor), lock.stat()):
                raise RosterUnavailableError(f"{lock}: somebody has replaced it; never remove it while a gateway runs")
            yield
        finally:
            os.close(descriptor)

    def _replace(self, text: str) -> None:
        new = self._beside("new")
        with new.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _parsed(content: bytes) -> Roster:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    return Roster.from_json(json.loads(content))


def _opened(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_CREAT, _PERMISSIONS)


def _lock(descriptor: int, patience_s: float = 0.0) -> bool:
    """Take a lock until the descriptor is closed; False if another process has it for too long."""
    for attempt in range(int(patience_s / _TRY_EVERY_S) + 1):
        if attempt:
            Event().wait(_TRY_EVERY_S)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False
