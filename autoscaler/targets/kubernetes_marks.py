"""Writes the marks of pods that leave.

Pods of every kind are marked: the mark also tells the gateways to send a pod nothing new. Kinds that number their pods
remove the last ones, whatever is marked, so there exactly these are marked.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import PODS, Pod
from autoscaler.targets.kubernetes_deletion_cost import cost_changes, patch, surplus_marks

_log = logging.getLogger(__name__)


class PodMarks:
    """The marks on pods of any namespace.

    Args:
        api: the API server.
        slots: limits the requests that are carried out at the same time.
    """

    def __init__(self, api: Api, slots: asyncio.Semaphore) -> None:
        self._api = api
        self._slots = slots
        self._removing: set[tuple[str, str]] = set()

    async def set(self, namespace: str, pods: Sequence[Pod], leaving: Sequence[str]) -> None:
        """Mark exactly these of a workload's pods, the first to be removed first; raises ApiError."""
        costs = cost_changes(pods, leaving)
        async with self._slots:
            await asyncio.gather(*(self._annotate(namespace, name, cost) for name, cost in costs.items()))

    def removals(self, namespace: str, pods: Sequence[Pod], replicas: int) -> Iterator[Coroutine[None, None, None]]:
        """Give the work that removes marks which a workload's pods no longer need; a failure is logged."""
        for name in surplus_marks(pods, replicas):
            if (namespace, name) not in self._removing:
                self._removing.add((namespace, name))
                yield self._remove(namespace, name)

    async def _remove(self, namespace: str, pod: str) -> None:
        try:
            await self._annotate(namespace, pod, None)
        except ApiError as error:
            _log.warning("the deletion cost of pod %s could not be removed: %s", pod, error)
        finally:
            self._removing.discard((namespace, pod))

    async def _annotate(self, namespace: str, pod: str, cost: str | None) -> None:
        try:
            await self._api.patch(f"{PODS.collection(namespace)}/{pod}", patch(cost))
        except ApiError as error:
            # A pod that is already deleted needs no mark.
            if not error.is_not_found:
                raise
