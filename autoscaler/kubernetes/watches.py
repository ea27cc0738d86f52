"""Watches that are started when somebody needs them, and end when nobody does."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Generic, Protocol, TypeVar


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
        """Give the watch of a key that is needed."""
        return self._watches[key][0]

    def items(self) -> Iterable[tuple[Key, W]]:
        """Give all watches by key."""
        return [(key, watch) for key, (watch, _task) in self._watches.items()]

    def need(self, keys: Iterable[Key], tasks: asyncio.TaskGroup) -> None:
        """Run exactly these watches from now on."""
        wanted = set(keys)
        for key in self._watches.keys() - wanted:
            self._watches.pop(key)[1].cancel()
        for key in wanted - self._watches.keys():
            watch = self._make(key)
            self._watches[key] = watch, tasks.create_task(watch.run())
