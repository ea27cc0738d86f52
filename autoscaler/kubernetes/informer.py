"""Keeps a store at what the API server has: one list in pages, then one watch, and again after whatever goes wrong.

Rules:
1. A watch that ends goes on where it ended; only after 410 everything is listed again.
2. Attempts are spread and grow apart; the first event brings the shortest pause back.
3. A watch on which nothing is heard, not even a bookmark, is made anew; only if that fails something is wrong.
4. An object that cannot be read keeps no other from being followed. Where a list has one, it is asked for once more, as
   an answer may be garbled; what is the same again is left out, and said in the log.
5. Whatever is raised, the informer goes on: it lists everything again.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from autoscaler.controller.step import described
from autoscaler.kubernetes.client import METADATA, METADATA_LIST, Api, ApiError
from autoscaler.kubernetes.store import Change, Item, Store, UnreadableError
from autoscaler.runtime.backoff import Backoff

T = TypeVar("T")

PAGE = 500
PAGE_S = 60.0
"""A page may take longer than a write, which must not come late: given up too soon, all pages are read again."""
SILENCE_S = 90.0
"""The API server sends a bookmark about once a minute, but none before the first event since it started."""
_NO_LIST = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_NOT_OURS = "NotKubernetes"
_SHORTEST_WATCH_S, _LONGEST_WATCH_S = 300, 600
_log = logging.getLogger(__name__)


class Informer(Generic[T]):
    """One collection of objects, as it is now; `run` it.

    Args:
        api: whom to ask.
        path: the collection, such as `/api/v1/namespaces/default/pods`.
        keep: gives what is kept of an object.
        rng: spreads attempts.
        selector: only objects with such labels.
        metadata_only: ask for nothing but the metadata of objects, where `keep` reads no more.
        on_change: is told of every change, in order, after the store has it.
        first_pause_s: the longest that the first pause after an error can be.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        keep: Callable[[Mapping[str, Any]], T],
        rng: random.Random,
        *,
        selector: str = "",
        metadata_only: bool = False,
        on_change: Callable[[Sequence[Change[T]]], None] = lambda _changes: None,
        first_pause_s: float = 0.2,
    ) -> None:
        self._api = api
        self._path = path
        self._selector = {"labelSelector": selector} if selector else {}
        self._accept_list: dict[str, Any] = {"accept": METADATA_LIST} if metadata_only else {}
        self._accept_watch: dict[str, Any] = {"accept": METADATA} if metadata_only else {}
        self._rng = rng
        self._on_change = on_change
        self._backoff = Backoff(rng, first_s=first_pause_s, longest_s=30.0)
        self.store: Store[T] = Store(keep)
        self.synced = asyncio.Event()
        """Set when the first list has been read whole."""
        self.answered = asyncio.Event()
        """Set when the first list has been read whole, or the server has said that we may not or that there is none."""
        self.problem = ""
        """Why nothing is heard at the moment; empty if all is well."""
        self._odd: set[tuple[str, int]] = set()
        """Objects that could not be read, by key and version: they are no garbled answer."""

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            await self._attempt(self._watch if self.store.version else self._list)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except ApiError as error:
            self.problem = f"{self._path}: {error}"
            _log.log(logging.DEBUG if error.is_expired else logging.WARNING, "not watching %s", self.problem)
            if error.status in _NO_LIST:
                self.answered.set()
            if error.is_expired or error.reason == _NOT_OURS:
                self.store.version = ""
            await asyncio.sleep(self._backoff.pause_s())
        except Exception as error:  # noqa: BLE001 - it is ours, and the others that are followed here must not end by it
            self.problem = f"{self._path}: {described(error)}"
            _log.error("not watching %s", self.problem, exc_info=error)
            self.store.version = ""
            await asyncio.sleep(self._backoff.pause_s())

    async def _list(self) -> None:
        kept: list[Item[T]] = []
        odd: list[UnreadableError] = []
        query = {"limit": str(PAGE), **self._selector}
        while True:
            page = await self._api.get(self._path, query, deadline_s=PAGE_S, **self._accept_list)
            with _understood():
                # A page at a time: whole, ten thousand objects take a hundred times the memory of what is kept.
                kept += self._readable(page["items"], odd)
                version, more = page["metadata"]["resourceVersion"], page["metadata"].get("continue")
            if not more:
                break
            query["continue"] = more
        self._ask_once_more(odd)
        changes = self.store.replace(kept, version)
        for each in odd:
            self._leave_out(each)
        self._on_change(changes)
        self.problem = ""
        self.synced.set()
        self.answered.set()

    def _readable(self, items: Iterable[Mapping[str, Any]], odd: list[UnreadableError]) -> Iterator[Item[T]]:
        for item in items:
            try:
                yield self.store.item(item)
            except UnreadableError as error:
                odd.append(error)

    def _ask_once_more(self, odd: Sequence[UnreadableError]) -> None:
        """Take what was not seen to be odd before for a garbled answer; raises ApiError."""
        before, self._odd = self._odd, {(each.key, each.version) for each in odd}
        if self._odd - before:
            (why, *_) = (described(each.__cause__ or each) for each in odd if (each.key, each.version) not in before)
            raise ApiError(0, _NOT_OURS, f"this is no answer of Kubernetes ({why})") from odd[0]

    def _leave_out(self, odd: UnreadableError) -> Sequence[Change[T]]:
        error = odd.__cause__ or odd
        _log.error("%s: %s is left out, it cannot be read: %s", self._path, odd.key, described(error), exc_info=error)
        return self.store.leave_out(odd.key, described(error))

    async def _watch(self) -> None:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.store.version,
            "timeoutSeconds": str(self._rng.randint(_SHORTEST_WATCH_S, _LONGEST_WATCH_S)),
            **self._selector,
        }
        async with aclosing(self._api.lines(self._path, query, silence_s=SILENCE_S, **self._accept_watch)) as lines:
            async for line in lines:
                self.problem = ""
                if not line:
                    continue
                changes = self._changes(line)
                self._backoff.reset()
                if changes:
                    self._on_change(changes)
        # The server ends every watch after a while; one that ends all at once must not become a busy loop.
        await asyncio.sleep(self._backoff.pause_s())

    def _changes(self, line: bytes) -> Sequence[Change[T]]:
        with _understood():
            try:
                return self.store.apply(_event(line))
            except UnreadableError as error:
                return self._leave_out(error)


@contextmanager
def _understood() -> Iterator[None]:
    """Take what is no list, no event or no such object for a peer's fault: it is said, and all is listed again."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ApiError(0, _NOT_OURS, f"this is no answer of Kubernetes ({type(error).__name__}: {error})") from error


def _event(line: bytes) -> Mapping[str, Any]:
    try:
        event: Mapping[str, Any] = json.loads(line)
    except ValueError as error:
        raise ApiError(0, "Garbled", "the watch broke off in the middle of an event") from error
    return event
