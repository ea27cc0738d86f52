"""Looks up host names: each name by one thread at a time, so that a name that hangs delays no other.

A result is kept for a short time, so that a thousand requests need one look-up and a change is followed soon. It is
forgotten when its addresses refuse, because the name may have moved.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Any, NamedTuple

GOOD_FOR_S = 2.0
MOST_LOOKUPS = 32
"""Threads that look up names at the same time; a name that hangs occupies one of them."""
_MOST_ADDRESSES = 8
_MOST_KNOWN = 4096

Lookup = Callable[..., Sequence[tuple[Any, ...]]]
"""Like `socket.getaddrinfo`."""


class _Known(NamedTuple):
    addresses: Sequence[str]
    until_s: float


class Resolver:
    """Looks up names for all pods of a gateway; create it inside the event loop that uses it."""

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, _Known] = {}
        self._under_way: dict[str, asyncio.Task[Sequence[str] | OSError]] = {}
        self._threads = asyncio.Semaphore(MOST_LOOKUPS)

    async def addresses(self, host: str) -> Sequence[str]:
        """Return the addresses of a name, in the order in which to try them; an address is returned as it is.

        Raises:
            OSError: the name has no address, or is invalid.
        """
        if _is_address(host):
            return (host,)
        known = self._known.get(host)
        if known is not None and self._loop.time() < known.until_s:
            return known.addresses
        if host not in self._under_way:
            self._under_way[host] = self._loop.create_task(self._look_up(host))
        # A caller that gives up must not end the look-up for the others.
        found = await asyncio.shield(self._under_way[host])
        if isinstance(found, OSError):
            raise found
        return found

    def forget(self, host: str) -> None:
        """Look a name up again at the next request for it."""
        self._known.pop(host, None)

    async def _look_up(self, host: str) -> Sequence[str] | OSError:
        try:
            async with self._threads:
                found = await self._in_thread(host)
        finally:
            del self._under_way[host]
        if not isinstance(found, OSError):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[host] = _Known(found, self._loop.time() + GOOD_FOR_S)
        return found

    def _in_thread(self, host: str) -> asyncio.Future[Sequence[str] | OSError]:
        answer: asyncio.Future[Sequence[str] | OSError] = self._loop.create_future()

        def give(found: Sequence[str] | OSError) -> None:
            if not answer.done():
                answer.set_result(found)

        def resolve() -> None:
            found = self._asked(host)
            with suppress(RuntimeError):  # the loop is closed, and nothing waits
                self._loop.call_soon_threadsafe(give, found)

        # A daemon thread: a name that hangs must not keep the process from ending.
        Thread(target=resolve, name=f"looks up {host}", daemon=True).start()
        return answer

    def _asked(self, host: str) -> Sequence[str] | OSError:
        try:
            infos = self._lookup(host, None, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # UnicodeError is a ValueError: two dots in a row
            return OSError(f"{host} cannot be looked up: {error}")
        return tuple(dict.fromkeys(str(info[4][0]) for info in infos))[:_MOST_ADDRESSES]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
