"""The roster of the gateways of a cluster: an annotation of one Lease.

Rules:
1. It is read without a resource version, so that the API server answers with what is stored at that moment.
2. It is written with the resource version of the object in which the expected epoch was read: whoever is second gets a
   conflict. A write whose answer is lost is looked for by reading again.
3. A life is the uid of the gateway's pod and a random part. A gateway is known to be dead if no pod of its name has its
   uid, or if that pod has ended. A container that starts again in place shows itself by its new life. As everywhere, a
   pod that is deleted by force counts as gone, though it may run on at a node that is cut off.
4. A roster that cannot be read is an error, and is never replaced.
5. Each request has two seconds.

The Lease is not watched: a gateway that hears no peer reads the roster once a second, because its permit needs that.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from autoscaler.gateway.peers.roster import Roster
from autoscaler.gateway.peers.roster_store import RosterUnavailableError
from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import PODS, Resource

LEASE = "inflight-gateways"
ANNOTATION = "inflight.dev/roster"
DEADLINE_S = 2.0
"""The timeout of a request."""
_LEASES = Resource("coordination.k8s.io/v1", "leases")
_NOT_FOUND = "NotFound"
"""What the API server says of an object that is not there; a 404 of anything between us and it says less."""
_ENDED = {"Succeeded", "Failed"}


def new_life(pod_uid: str) -> str:
    """Make the life of a process in the pod of this uid."""
    return f"{pod_uid}/{secrets.token_hex(8)}"


class LeaseRoster:
    """A `RosterStore` in a Lease.

    Args:
        api: the API server.
        namespace: the namespace of the gateways and of the Lease.
        name: the name of our own pod; empty if we are no gateway.
        life: our own life. Any other life of our name has ended.
    """

    def __init__(self, api: Api, namespace: str, *, name: str = "", life: str = "") -> None:
        self._api = api
        self._name = name
        self._life = life
        self._leases = _LEASES.collection(namespace)
        self._pods = PODS.collection(namespace)

    async def read(self) -> Roster | None:
        """Give the roster; see `RosterStore`."""
        async with self._bounded():
            return self._roster(await self._lease())

    async def write(self, roster: Roster, expected: int) -> bool:
        """Replace the roster; see `RosterStore`."""
        async with self._bounded():
            lease = await self._lease()
            if _epoch(self._roster(lease)) != expected:
                return False
        try:
            async with self._bounded():
                await self._put(lease, roster)
        except _RefusedError as error:
            if error.was_conflict:
                return False
            raise
        except RosterUnavailableError:
            return await self._was_written(roster, expected)
        return True

    async def is_dead(self, name: str, life: str) -> bool:
        """Tell whether its pod is gone, is another, or has ended; see `RosterStore`."""
        if name == self._name:
            return life != self._life
        async with self._bounded():
            pod = await self._object(f"{self._pods}/{name}")
        if pod is None:
            return True
        uid = str(pod["metadata"].get("uid") or "")
        return uid != life.partition("/")[0] or (pod.get("status") or {}).get("phase") in _ENDED

    async def _was_written(self, roster: Roster, expected: int) -> bool:
        """Tell whether a write was done whose answer is lost."""
        found = await self.read()
        if found == roster:
            return True
        if _epoch(found) == expected:
            raise RosterUnavailableError(f"{self._leases}/{LEASE}: a write was not answered, and may still be done")
        return False

    async def _lease(self) -> Mapping[str, Any] | None:
        return await self._object(f"{self._leases}/{LEASE}")

    async def _object(self, path: str) -> Mapping[str, Any] | None:
        try:
            found = await self._api.get(path, deadline_s=DEADLINE_S)
        except ApiError as error:
            if error.is_not_found and error.reason == _NOT_FOUND:
                return None
            raise
        object_: Mapping[str, Any] = found
        return object_

    async def _put(self, lease: Mapping[str, Any] | None, roster: Roster) -> None:
        text = json.dumps(roster.as_json())
        if lease is None:
            await self._api.create(self._leases, {"metadata": {"name": LEASE, "annotations": {ANNOTATION: text}}})
            return
        metadata = lease["metadata"]
        annotations = {**(metadata.get("annotations") or {}), ANNOTATION: text}
        await self._api.replace(
            f"{self._leases}/{LEASE}", {**lease, "metadata": {**metadata, "annotations": annotations}}
        )

    def _roster(self, lease: Mapping[str, Any] | None) -> Roster | None:
        text = (((lease or {}).get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
        if text is None:
            return None
        try:
            return Roster.from_json(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise RosterUnavailableError(
                f"the annotation {ANNOTATION} of {self._leases}/{LEASE} is no roster of gateways, and is not replaced:"
                f" {error}. Scale the gateways to zero, remove the annotation, and scale them up again"
            ) from error

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Give a call its time, and its errors as those of a store."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                yield
        except TimeoutError as error:
            raise RosterUnavailableError(f"{self._leases}/{LEASE}: no answer within {DEADLINE_S:g} s") from error
        except ApiError as error:
            failed = _RefusedError if error.is_refusal else RosterUnavailableError
            raise failed(f"{self._leases}/{LEASE}: {error}") from error


class _RefusedError(RosterUnavailableError):
    """The API server has refused a request, so nothing was written."""

    @property
    def was_conflict(self) -> bool:
        """Whether another gateway was first."""
        return isinstance(self.__cause__, ApiError) and self.__cause__.is_conflict


def _epoch(roster: Roster | None) -> int:
    return roster.epoch if roster else 0
