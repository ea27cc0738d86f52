"""The part of a chart from before this process, from Prometheus. It is asked for only when a viewer comes.

Rules:
1. A viewer waits `PATIENCE_S` at most. Without an answer until then, the time before is unknown, and is shown so.
2. An answer is kept for `KEPT_S`, a refusal too, for at most `MOST_KEPT` services. A question is asked once at a time.
3. At most `AT_ONCE` questions are open. Nothing is decided on an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from autoscaler.page.history import Sample
from autoscaler.ports import ServiceName
from autoscaler.sources.prometheus_past import PastCounts

PATIENCE_S = 2.0
KEPT_S = 60.0
MOST_KEPT = 50
AT_ONCE = 2
_SHORTEST_S = 15.0
"""A shorter part is not worth a question."""

Ask = Callable[[ServiceName, float, float], Awaitable[Sequence[PastCounts] | str]]
"""Asks for a service between two times."""


class _Question(NamedTuple):
    asked_s: float
    task: asyncio.Task[Sequence[PastCounts] | str]


class Past:
    """What a Prometheus has from before this process.

    Args:
        ask: asks it; it says why there is nothing, and raises nothing.
        now: gives the time of the process.
    """

    def __init__(self, ask: Ask, now: Callable[[], float]) -> None:
        self._ask = ask
        self._now = now
        self._questions: dict[ServiceName, _Question] = {}
        """The newest is the last."""
        self._places = asyncio.Semaphore(AT_ONCE)

    async def samples(self, service: ServiceName, since_s: float, until_s: float) -> list[Sample]:
        """Give the rows between two times; none if nothing is known."""
        if until_s - since_s < _SHORTEST_S:
            return []
        question = self._questions.pop(service, None)
        if question is None or (question.task.done() and self._now() - question.asked_s > KEPT_S):
            question = _Question(self._now(), asyncio.create_task(self._answer(service, since_s, until_s)))
        self._questions[service] = question
        if len(self._questions) > MOST_KEPT:
            self._drop(next(iter(self._questions)))
        await asyncio.wait([question.task], timeout=PATIENCE_S)
        found = question.task.result() if question.task.done() and not question.task.cancelled() else ""
        return [] if isinstance(found, str) else rows(found, since_s, until_s)

    async def _answer(self, service: ServiceName, since_s: float, until_s: float) -> Sequence[PastCounts] | str:
        async with self._places:
            return await self._ask(service, since_s, until_s)

    def _drop(self, service: ServiceName) -> None:
        self._questions.pop(service).task.cancel()

    async def close(self) -> None:
        """Ask nothing more."""
        tasks = [question.task for question in self._questions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def rows(found: Sequence[PastCounts], since_s: float, until_s: float) -> list[Sample]:
    """Give what changes between two times, from the first count that is known on."""
    made: list[Sample] = []
    for each in found:
        if not since_s <= each.at_s < until_s:
            continue
        row = Sample(each.at_s, each.running, each.queued, None, each.asked, each.ready, None)
        if made[-1:] and made[-1][1:] == row[1:]:
            continue
        if made or any(value is not None for value in row[1:]):
            made.append(row)
    return made
