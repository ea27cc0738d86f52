"""Follows and writes the scales of all objects of one kind in one namespace.

A Deployment, StatefulSet or ReplicaSet contains its scale. For any other kind only the scale subresource knows where
the number is, so each change of the object is followed by a read of its scale. A failed read is tried again until one
succeeds, because the object may never change again.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.objects import (
    WORKLOADS,
    Resource,
    Scale,
    group_root,
    own_annotations,
    scale,
    workload,
    writer,
)
from autoscaler.kubernetes.store import Change
from autoscaler.runtime.backoff import Backoff

_AT_ONCE = 4
"""Scales that are read at the same time: an object whose webhook hangs delays few others."""
_log = logging.getLogger(__name__)


class NamespacedKind(NamedTuple):
    """A kind in one namespace."""

    namespace: str
    api_version: str
    kind: str


class _WithoutScale(NamedTuple):
    """What is kept of an object whose scale only the subresource knows."""

    version: str
    writer: str
    own_annotations: tuple[str, ...]


class _Unread(NamedTuple):
    """A scale that could not be read the last time."""

    problem: str
    backoff: Backoff
    again: asyncio.TimerHandle
    """The next attempt."""


class ScaleWatch:
    """The scales of one kind in one namespace; `run` it.

    Args:
        api: the API server.
        kind: the kind to follow.
        rng: spreads attempts.
        on_scale: called with the scale of a followed object when it has been read, and with None when it is deleted.
        on_unread: called with the name of a followed object whose scale could not be read; `problem` then says why.
    """

    def __init__(
        self,
        api: Api,
        kind: NamespacedKind,
        rng: random.Random,
        on_scale: Callable[[str, Scale | None], None],
        on_unread: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._api = api
        self._kind = kind
        self._rng = rng
        self._on_scale = on_scale
        self._on_unread = on_unread
        self._resource = WORKLOADS.get((kind.api_version, kind.kind))
        self._contains_scale = self._resource is not None
        self._informer: Informer[Any] | None = None
        self._names: frozenset[str] = frozenset()
        self._to_read: asyncio.Queue[str] = asyncio.Queue()
        self._unread: dict[str, _Unread] = {}
        """Objects whose last read failed."""
        self._never_read: set[str] = set()
        """Followed objects whose scale is still to be read for the first time."""
        self._writers: dict[str, str] = {}
        self._problem = _unlisted(kind)

    def follow_only(self, names: Collection[str]) -> None:
        """Follow the scales of exactly these objects."""
        self._names = frozenset(names)
        for name in self._writers.keys() - self._names:
            self._forget(name)

    def repeat(self, name: str) -> None:
        """Call `on_scale` again with what is known of one object's scale."""
        known = self._informer.store.get(f"{self._kind.namespace}/{name}") if self._informer else None
        if known is not None:
            self._take(name, known)

    def problem(self, name: str) -> str:
        """Say why the scale of a followed object is unknown or may be stale; empty if all is well."""
        watched, whole = self._informer, f"{self._kind.kind} {self._kind.namespace}/{name}"
        if watched is None or not watched.synced.is_set():
            return self.shared_problem
        if watched.store.get(f"{self._kind.namespace}/{name}") is None:
            unreadable = watched.store.unreadable.get(f"{self._kind.namespace}/{name}")
            return f"{whole} cannot be read: {unreadable}" if unreadable else f"{whole} does not exist"
        if name in self._unread:
            return f"the scale of {whole} cannot be read: {self._unread[name].problem}"
        return self._being_read if name in self._never_read else watched.problem

    @property
    def shared_problem(self) -> str:
        """Why no scale at all is known, or all may be stale; empty if all is well."""
        watched = self._informer
        if watched is None or not watched.synced.is_set():
            return (watched.problem if watched else "") or self._problem
        are_read = self._never_read <= self._unread.keys()
        return watched.problem or ("" if are_read else self._being_read)

    @property
    def _being_read(self) -> str:
        return f"the scales of {self._kind.kind}s of {self._kind.namespace} are being read"

    async def run(self) -> None:
        """Follow until cancelled."""
        self._resource = self._resource or await self._resolved()
        self._problem = _unlisted(self._kind)
        path = self._resource.collection(self._kind.namespace)
        keep = workload if self._contains_scale else _without_scale
        self._informer = Informer(self._api, path, keep, self._rng, on_change=self._changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            for _ in range(_AT_ONCE):
                group.create_task(self._read_forever())

    async def read(self, name: str) -> Scale:
        """Read a scale from the API server itself; raises ApiError."""
        found = _as_scale(await self._api.get(self._path(name)), self._writers.get(name, ""))
        known = self._informer.store.get(f"{self._kind.namespace}/{name}") if self._informer else None
        return _with_what_no_scale_says(found, known)

    async def write(self, name: str, replicas: int, version: str) -> Scale:
        """Ask for this number of replicas, unless the object is newer than `version`; raises ApiError."""
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        return _as_scale(await self._api.patch(self._path(name), body))

    def _path(self, name: str) -> str:
        if self._resource is None:
            raise ApiError(0, "", self._problem)
        return f"{self._resource.collection(self._kind.namespace)}/{name}/scale"

    def _changed(self, changes: Sequence[Change[Any]]) -> None:
        for change in changes:
            name = change.key.partition("/")[2]
            if name in self._names:
                self._take(name, change.after)

    def _take(self, name: str, kept: Scale | _WithoutScale | None) -> None:
        if isinstance(kept, _WithoutScale):
            if name not in self._writers:
                self._never_read.add(name)
            self._writers[name] = kept.writer
            self._to_read.put_nowait(name)
        else:
            self._forget(name)
            self._on_scale(name, kept)

    def _forget(self, name: str) -> None:
        """Stop reading an object's scale: it is deleted, or contains its scale."""
        self._writers.pop(name, None)
        self._was_read(name)

    def _was_read(self, name: str) -> None:
        self._never_read.discard(name)
        unread = self._unread.pop(name, None)
        if unread is not None:
            unread.again.cancel()

    async def _read_forever(self) -> None:
        while True:
            name = await self._to_read.get()
            if name in self._names and name in self._writers:
                await self._read_once(name)

    async def _read_once(self, name: str) -> None:
        found: Scale | ApiError
        try:
            found = await self.read(name)
        except ApiError as error:
            found = error
        if name not in self._writers:
            # It was deleted, or is no longer followed, since the read began.
            return
        if isinstance(found, ApiError):
            self._read_later(name, found)
        else:
            self._was_read(name)
            self._on_scale(name, found)

    def _read_later(self, name: str, error: ApiError) -> None:
        before = self._unread.get(name)
        if before is None:
            backoff = Backoff(self._rng, first_s=1.0, longest_s=30.0)
        else:
            before.again.cancel()
            backoff = before.backoff
        again = asyncio.get_running_loop().call_later(backoff.pause_s(), self._to_read.put_nowait, name)
        self._unread[name] = _Unread(str(error), backoff, again)
        if before is None or before.problem != str(error):
            _log.warning("%s", self.problem(name))
        self._on_unread(name)

    async def _resolved(self) -> Resource:
        """Find the name of a kind in paths, and wait until the kind exists."""
        backoff = Backoff(self._rng, first_s=1.0, longest_s=30.0)
        while True:
            try:
                return _find_resource(await self._api.get(group_root(self._kind.api_version)), self._kind)
            except ApiError as error:
                self._problem = f"{self._kind.api_version} {self._kind.kind} cannot be scaled: {error}"
                _log.warning("%s", self._problem)
            await asyncio.sleep(backoff.pause_s())


def _without_scale(item: Mapping[str, Any]) -> _WithoutScale:
    metadata = item["metadata"]
    return _WithoutScale(
        metadata["resourceVersion"], writer(metadata.get("managedFields") or ()), own_annotations(metadata)
    )


def _with_what_no_scale_says(found: Scale, known: Scale | _WithoutScale | None) -> Scale:
    """Add what only the object itself says to a scale that was read."""
    if isinstance(known, Scale):
        return known._replace(
            replicas=found.replicas, version=found.version, selector=found.selector, writer="", uid=found.uid
        )
    return found if known is None else found._replace(own_annotations=known.own_annotations)


def _as_scale(item: Mapping[str, Any], writer: str = "") -> Scale:
    """Read a response as a scale; raises ApiError if it is none, because an extension's API may return anything."""
    try:
        found = scale(item, writer=writer)
        return found._replace(replicas=int(found.replicas), version=str(int(found.version)))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ApiError(0, "NotAScale", f"the response is not a scale ({type(error).__name__}: {error})") from error


def _unlisted(kind: NamespacedKind) -> str:
    return f"{kind.kind}s of {kind.namespace} have not been listed yet"


def _find_resource(found: Mapping[str, Any], kind: NamespacedKind) -> Resource:
    names = {each.get("name") or "" for each in found.get("resources") or () if each.get("kind") == kind.kind}
    plural = next((name for name in names if name and "/" not in name), "")
    if not plural:
        raise ApiError(0, "NotFound", "there is no such kind")
    if f"{plural}/scale" not in {each.get("name") for each in found["resources"]}:
        raise ApiError(0, "NotFound", f"{plural} have no scale subresource")
    return Resource(kind.api_version, plural)
