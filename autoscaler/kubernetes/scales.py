"""Follows and writes the scales of one kind's objects in one namespace, whatever the kind.

A Deployment, StatefulSet or ReplicaSet tells its scale itself. Of any other kind only the scale subresource knows where
the number stands, so each change of the object is followed by a look at that.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from autoscaler.backoff import Backoff
from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.objects import WORKLOADS, Resource, Scale, scale, workload, writer
from autoscaler.kubernetes.store import Change

_log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """A kind in one namespace."""

    namespace: str
    api_version: str
    kind: str


class _Mark(NamedTuple):
    """What is kept of an object whose scale only the subresource knows."""

    version: str
    writer: str


class ScaleWatch:
    """The scales of one kind in one namespace; `run` it.

    Args:
        api: whom to ask.
        kind: what is followed.
        rng: spreads attempts.
        on_seen: is told of the scale of a followed object whenever it was read; None when the object is gone.
    """

    def __init__(self, api: Api, kind: Kind, rng: random.Random, on_seen: Callable[[str, Scale | None], None]) -> None:
        self._api = api
        self._kind = kind
        self._rng = rng
        self._on_seen = on_seen
        self._resource = WORKLOADS.get((kind.api_version, kind.kind))
        self._tells_itself = self._resource is not None
        self._informer: Informer[Any] | None = None
        self._names: frozenset[str] = frozenset()
        self._to_read: asyncio.Queue[str] = asyncio.Queue()
        self._writers: dict[str, str] = {}
        self._problem = f"{kind.kind}s of {kind.namespace} have not been listed yet"

    def follow_only(self, names: Collection[str]) -> None:
        """Tell of the scales of these objects from now on."""
        self._names = frozenset(names)

    def tell(self, name: str) -> None:
        """Tell once more what is known of one object's scale, for somebody who begins to follow it."""
        known = self._informer.store.get(f"{self._kind.namespace}/{name}") if self._informer else None
        if known is not None:
            self._tell(name, known)

    def problem(self, name: str) -> str:
        """Say why the scale of a followed object is not known, or may be old; empty if it is known."""
        watched = self._informer
        if watched and watched.synced.is_set() and watched.store.get(f"{self._kind.namespace}/{name}") is None:
            return f"{self._kind.kind} {self._kind.namespace}/{name} does not exist"
        return self.trouble

    @property
    def trouble(self) -> str:
        """Why no scale at all is known, or may be old; empty if all is well."""
        return self._problem if self._informer is None else self._informer.problem

    async def run(self) -> None:
        """Follow until cancelled."""
        self._resource = self._resource or await self._resolved()
        path = self._resource.collection(self._kind.namespace)
        keep = workload if self._tells_itself else _mark
        self._informer = Informer(self._api, path, keep, self._rng, on_change=self._changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            group.create_task(self._read_forever())

    async def read(self, name: str) -> Scale:
        """Read a scale from the API server itself; raises ApiError."""
        return scale(await self._api.get(self._path(name)), writer=self._writers.get(name, ""))

    async def write(self, name: str, replicas: int, version: str) -> Scale:
        """Ask for so many replicas, unless the object is newer than `version`; raises ApiError."""
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        return scale(await self._api.patch(self._path(name), body))

    def _path(self, name: str) -> str:
        if self._resource is None:
            raise ApiError(0, "", self._problem)
        return f"{self._resource.collection(self._kind.namespace)}/{name}/scale"

    def _changed(self, changes: Sequence[Change[Any]]) -> None:
        for change in changes:
            name = change.key.partition("/")[2]
            if name in self._names:
                self._tell(name, change.after)

    def _tell(self, name: str, kept: Scale | _Mark | None) -> None:
        if isinstance(kept, _Mark):
            self._writers[name] = kept.writer
            self._to_read.put_nowait(name)
        else:
            self._on_seen(name, kept)

    async def _read_forever(self) -> None:
        while True:
            name = await self._to_read.get()
            try:
                self._on_seen(name, await self.read(name))
            except ApiError as error:
                _log.warning("%s", error)

    async def _resolved(self) -> Resource:
        """Find out how a kind is called in paths, however long it takes until there is such a kind."""
        backoff = Backoff(self._rng, first_s=1.0, longest_s=30.0)
        while True:
            try:
                return _named(await self._api.get(f"/apis/{self._kind.api_version}"), self._kind)
            except ApiError as error:
                self._problem = f"{self._kind.api_version} {self._kind.kind} cannot be scaled: {error}"
                _log.warning("%s", self._problem)
            await asyncio.sleep(backoff.pause_s())


def _mark(item: Mapping[str, Any]) -> _Mark:
    metadata = item["metadata"]
    return _Mark(metadata["resourceVersion"], writer(metadata.get("managedFields") or ()))


def _named(resources: Mapping[str, Any], kind: Kind) -> Resource:
    names = {each["name"] for each in resources["resources"] if each["kind"] == kind.kind}
    plural = next((name for name in names if "/" not in name), "")
    if not plural:
        raise ApiError(0, "NotFound", "there is no such kind")
    if f"{plural}/scale" not in {each["name"] for each in resources["resources"]}:
        raise ApiError(0, "NotFound", f"{plural} have no scale subresource")
    return Resource(kind.api_version, plural)
