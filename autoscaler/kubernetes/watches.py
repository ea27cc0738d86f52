"""Watches by key: started when needed, cancelled when no longer needed, started again when they fail."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Generic, Protocol, TypeVar

from autoscaler.runtime.errors import described

AGAIN_S = 10.0
"""The wait before a failed watch is started again."""
_log = logging.getLogger(__name__)


class Running(Protocol):
    """Something that runs until it is cancelled."""

    @property
    def run(self) -> Callable[[], Coroutine[None, None, None]]:
        """Run it."""
        ...


Key = TypeVar("Key", bound=Hashable)
W = TypeVar("W", bound=Running)


class Watches(Generic[Key, W]):
    """One watch for each key that is needed.

    Args:
        make: makes the watch of a key.
    """

    def __init__(self, make: Callable[[Key], W]) -> None:
        self._make = make
        self._watches: dict[Key, tuple[W, asyncio.Task[None]]] = {}

    def __getitem__(self, key: Key) -> W:
        """Give the watch of a needed key."""
        return self._watches[key][0]

    def get(self, key: Key) -> W | None:
        """Give the watch of a key; None if it is not needed, or does not run yet."""
        found = self._watches.get(key)
        return None if found is None else found[0]

    def items(self) -> Iterable[tuple[Key, W]]:
        """Give all watches by key."""
        return [(key, watch) for key, (watch, _task) in self._watches.items()]

    def need(self, keys: Iterable[Key], tasks: asyncio.TaskGroup) -> None:
        """Run the watches of exactly these keys."""
        wanted = set(keys)
        for key in self._watches.keys() - wanted:
            self._watches.pop(key)[1].cancel()
        for key in wanted - self._watches.keys():
            watch = self._make(key)
            self._watches[key] = watch, tasks.create_task(_run_forever(key, watch))


async def _run_forever(key: Hashable, watch: Running) -> None:
    """Run a watch until it is cancelled: its error must not end the other watches."""
    while True:
        try:
            await watch.run()
        except Exception as error:  # noqa: BLE001 - logged, whatever it is
            _log.error("the watch of %s failed and is started again: %s", key, described(error), exc_info=error)
        await asyncio.sleep(AGAIN_S)
