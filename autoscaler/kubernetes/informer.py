"""Keeps a store in step with the API server: one list in pages, then one watch, and again after any failure.

Rules:
1. A watch that ends continues from where it ended. Only after 410 everything is listed again.
2. Attempts back off with random pauses. The first event resets the pause.
3. A watch that stays silent, without even a bookmark, is opened again. Only if that fails there is a problem.
4. An object that cannot be read does not hide any other. A list that contains one is requested once more, because the
   response may be malformed. An object that is unreadable again is left out, and the log says so.
5. After any error the informer goes on: it lists everything again.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from autoscaler.kubernetes.client import METADATA, METADATA_LIST, Api, ApiError
from autoscaler.kubernetes.store import Change, Item, Store, UnreadableError
from autoscaler.runtime.backoff import Backoff
from autoscaler.runtime.errors import described

T = TypeVar("T")

PAGE = 500
PAGE_S = 60.0
"""A page may take longer than a write, which must not be late. If a page times out, all pages are read again."""
SILENCE_S = 90.0
"""The API server sends a bookmark about once a minute, but none before the first event since it started."""
_NO_LIST = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_NOT_OURS = "NotKubernetes"
_SHORTEST_WATCH_S, _LONGEST_WATCH_S = 300, 600
_log = logging.getLogger(__name__)


class Informer(Generic[T]):
    """The current state of one collection of objects; `run` it.

    Args:
        api: the API server.
        path: the collection, such as `/api/v1/namespaces/default/pods`.
        keep: reads the fields of an object that are kept.
        rng: spreads attempts.
        selector: a label selector; only these objects are followed.
        metadata_only: request only the metadata of objects, if `keep` needs no more.
        on_change: called with all changes, in order, after the store has them.
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
        """Set when the first list is complete."""
        self.answered = asyncio.Event()
        """Set when the first list is complete, or the server has said that it is forbidden or does not exist."""
        self.problem = ""
        """Why the collection cannot be followed at the moment; empty if all is well."""
        self._known_unreadable: set[tuple[str, int]] = set()
        """Objects that could not be read, by key and version: the response was not malformed."""

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
        except Exception as error:  # noqa: BLE001 - our own error must not end the other informers
            self.problem = f"{self._path}: {described(error)}"
            _log.error("not watching %s", self.problem, exc_info=error)
            self.store.version = ""
            await asyncio.sleep(self._backoff.pause_s())

    async def _list(self) -> None:
        kept: list[Item[T]] = []
        unreadable: list[UnreadableError] = []
        query = {"limit": str(PAGE), **self._selector}
        while True:
            page = await self._api.get(self._path, query, deadline_s=PAGE_S, **self._accept_list)
            with _malformed_is_api_error():
                # One page at a time: ten thousand whole objects take a hundred times the memory of the kept fields.
                kept += self._readable(page["items"], unreadable)
                version, more = page["metadata"]["resourceVersion"], page["metadata"].get("continue")
            if not more:
                break
            query["continue"] = more
        self._retry_if_new(unreadable)
        changes = self.store.replace(kept, version)
        for each in unreadable:
            self._leave_out(each)
        self._on_change(changes)
        self.problem = ""
        self.synced.set()
        self.answered.set()

    def _readable(self, items: Iterable[Mapping[str, Any]], unreadable: list[UnreadableError]) -> Iterator[Item[T]]:
        for item in items:
            try:
                yield self.store.item(item)
            except UnreadableError as error:
                unreadable.append(error)

    def _retry_if_new(self, unreadable: Sequence[UnreadableError]) -> None:
        """Raise ApiError if an object was not unreadable in the last list: the response may be malformed."""
        before, self._known_unreadable = self._known_unreadable, {(each.key, each.version) for each in unreadable}
        if self._known_unreadable - before:
            first = next(each for each in unreadable if (each.key, each.version) not in before)
            why = described(first.__cause__ or first)
            raise ApiError(0, _NOT_OURS, f"the response is not from Kubernetes ({why})") from first

    def _leave_out(self, object_error: UnreadableError) -> Sequence[Change[T]]:
        key, error = object_error.key, object_error.__cause__ or object_error
        _log.error("%s: %s is left out, it cannot be read: %s", self._path, key, described(error), exc_info=error)
        return self.store.leave_out(key, described(error))

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
        # The server ends every watch after a while. Watches that end immediately must not become a busy loop.
        await asyncio.sleep(self._backoff.pause_s())

    def _changes(self, line: bytes) -> Sequence[Change[T]]:
        with _malformed_is_api_error():
            try:
                return self.store.apply(_event(line))
            except UnreadableError as error:
                return self._leave_out(error)


@contextmanager
def _malformed_is_api_error() -> Iterator[None]:
    """Turn a malformed list, event or object into an ApiError: it is reported, and everything is listed again."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ApiError(
            0, _NOT_OURS, f"the response is not from Kubernetes ({type(error).__name__}: {error})"
        ) from error


def _event(line: bytes) -> Mapping[str, Any]:
    try:
        event: Mapping[str, Any] = json.loads(line)
    except ValueError as error:
        raise ApiError(0, "Truncated", "the watch ended in the middle of an event") from error
    return event
