"""One scale-down: which pods leave, and the proof that they get nothing new before the number is written. No I/O.

Rules:
1. The pods to remove are chosen by `removal_order` and marked. A gateway that sees a mark sends the pod nothing new,
   and says so in its stream.
2. The number is written when all gateways have said so, or one second later with the reason `drainUnconfirmed`.
3. Until then the choice follows what the pods run. An idle pod that became busy stays, and another idle one leaves
   instead. If there is none, the number falls less, with the reason `podsBusy`. Busy pods leave only if they were
   chosen as such, because too few were idle.
4. A kind that numbers its pods always removes the last ones, busy or not. There these are marked. If one of them became
   busy, it and all pods with lower numbers stay.
5. If no gateway routes the requests, Prometheus is asked what the pods run, for at most one second. A pod without a
   count leaves after the idle ones, with the reason `podsUnknown`.
6. A wake-up of the service cancels the drain, with the reason `drainCancelled`: the decision that follows may raise the
   number.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple

from algorithms.types import Reason
from autoscaler.ports import PodCounts, Replica
from autoscaler.removal_order import last_ones, ordinal, replicas_to_remove

CONFIRMED_WITHIN_S = 1.0
"""How long gateways are waited for."""
UNCONFIRMED, BUSY, UNKNOWN, CANCELLED = "drainUnconfirmed", "podsBusy", "podsUnknown", "drainCancelled"
_MORE_THAN_ANY = 2**53
"""Stands for the requests of a pod whose count is unknown."""


class Removal(NamedTuple):
    """Which pods leave."""

    names: tuple[str, ...]
    """First to be removed first."""
    most_busy: int
    """How many of them may run requests."""
    staying: int
    """The number to write."""
    kept: tuple[str, ...] = ()
    """Pods that would leave too if they had not become busy."""


def choose(
    replicas: Sequence[Replica], staying: int, named: Sequence[str], first_ordinal: int | None = None
) -> Removal:
    """Choose the pods to remove so that `staying` are left; those of `named` that are idle before others.

    Args:
        replicas: the pods that run or start now.
        staying: how many of them stay.
        named: pods to remove before others.
        first_ordinal: the number of the first pod, for a kind that numbers its pods (rule 4).
    """
    busy = _busy(replicas)
    if first_ordinal is None:
        names = replicas_to_remove(replicas, staying, [name for name in named if name not in busy])
    else:
        names = last_ones(replicas, first_ordinal + staying)
    return Removal(names, len(busy.intersection(names)), staying)


def choose_again(
    before: Removal, replicas: Sequence[Replica], staying: int, first_ordinal: int | None = None
) -> Removal:
    """Choose again with what the pods run now (rules 3 and 4)."""
    busy = _busy(replicas)
    names = choose(replicas, staying, before.names, first_ordinal).names
    kept = tuple(name for name in names if name in busy)[before.most_busy :]
    if kept and first_ordinal is not None:
        staying = ordinal(kept[0]) + 1 - first_ordinal
        return Removal(names[: names.index(kept[0])], before.most_busy, staying, kept)
    return Removal(tuple(name for name in names if name not in kept), before.most_busy, staying + len(kept), kept)


def _busy(replicas: Sequence[Replica]) -> set[str]:
    """Name the pods that a choice spares; one that is not ready Kubernetes removes first, however it is marked."""
    return {replica.name for replica in replicas if replica.ready and replica.running}


async def _in_time(counting: Awaitable[PodCounts]) -> PodCounts:
    """Ask for counts for a limited time; a target asks nobody without an end."""
    try:
        async with asyncio.timeout(CONFIRMED_WITHIN_S):
            return await counting
    except TimeoutError:
        return PodCounts({}, f"Prometheus has not answered within {CONFIRMED_WITHIN_S:g} s what the pods run")


class Drained(NamedTuple):
    """The result of a drain."""

    replicas: int | None
    """The number to write; None if the drain was cancelled."""
    reasons: tuple[Reason, ...]


class Drain:
    """The drain of one service.

    Args:
        before: the replicas asked for until now.
        replicas: those wanted, fewer than before.
        named: pods to remove before others.
        observe: gives the pods that stay, with what they run now.
        mark: marks exactly these pods.
        undrained: says which gateways may still send requests to some of these pods; empty if none does.
        first_ordinal: the number of the first pod, for a kind that numbers its pods.
        count: asks what the pods run if no gateway knows that; None if it need not be asked.
    """

    def __init__(
        self,
        before: int,
        replicas: int,
        named: Sequence[str],
        *,
        observe: Callable[[], Sequence[Replica]],
        mark: Callable[[Sequence[str]], Awaitable[None]],
        undrained: Callable[[Collection[str]], str],
        first_ordinal: int | None = None,
        count: Callable[[], Awaitable[PodCounts]] | None = None,
    ) -> None:
        self._before = before
        self._replicas = replicas
        self._named = named
        self._observe = observe
        self._mark = mark
        self._undrained = undrained
        self._first_ordinal = first_ordinal
        self._count = count
        self._counts: PodCounts | None = None
        self._changed = asyncio.Event()
        self._cancelled = False

    def changed(self) -> None:
        """Note that pods, or the requests that they run, have changed."""
        self._changed.set()

    def cancel(self) -> None:
        """Give up: the service must be decided on again."""
        self._cancelled = True
        self._changed.set()

    async def run(self) -> Drained:
        """Choose, mark, and wait for the confirmation; what `mark` raises goes on."""
        if self._count is not None:
            self._counts = await _in_time(self._count())
        removal = choose(self._pods(), self._replicas, self._named, self._first_ordinal)
        await self._mark(removal.names)
        until_s = asyncio.get_running_loop().time() + CONFIRMED_WITHIN_S
        in_time = True
        while not self._cancelled:
            self._changed.clear()
            before = removal
            removal = choose_again(before, self._pods(), self._replicas, self._first_ordinal)
            if removal.names != before.names:
                await self._mark(removal.names)
                if in_time:
                    continue
            why = self._undrained(removal.names) if removal.names else ""
            if not why or not in_time:
                return self._drained(removal, why)
            in_time = await self._wait(until_s)
        why = "the service needed a decision before its pods were drained"
        return Drained(None, (Reason(CANCELLED, self._replicas, self._before, why),))

    def _pods(self) -> Sequence[Replica]:
        """Give the pods with what they run; what Prometheus does not know of a ready pod counts as more than any."""
        pods, counts = self._observe(), self._counts
        if counts is None:
            return pods
        return [pod._replace(running=counts.running.get(pod.name, _MORE_THAN_ANY if pod.ready else 0)) for pod in pods]

    def _unknown(self) -> str:
        """Say why what some pods run is unknown; empty if it is known or need not be."""
        if self._counts is None:
            return ""
        missing = [pod.name for pod in self._observe() if pod.ready and pod.name not in self._counts.running]
        return self._counts.problem or (f"Prometheus has no count of {', '.join(missing)}" if missing else "")

    async def _wait(self, until_s: float) -> bool:
        """Wait for a change; False if the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._changed.wait()
                return True
        return False

    def _drained(self, removal: Removal, unconfirmed: str) -> Drained:
        number = min(removal.staying, self._before)
        reasons = []
        if removal.kept:
            why = f"{', '.join(removal.kept)} became busy, and no other pod can leave instead"
            reasons.append(Reason(BUSY, self._replicas, number, why))
        if unknown := self._unknown():
            reasons.append(Reason(UNKNOWN, number, number, unknown))
        if unconfirmed:
            why = f"after {CONFIRMED_WITHIN_S:g} s {unconfirmed}"
            reasons.append(Reason(UNCONFIRMED, number, number, why))
        return Drained(number, tuple(reasons))
