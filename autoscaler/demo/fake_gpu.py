"""The GPU of a fake pod: jobs with random durations, a hard limit on concurrent jobs, and a report of both.

A pod refuses a request above its concurrency limit and counts it as an overlap, which is an error of the sender.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class OverloadError(Exception):
    """A pod got a request above its concurrency limit."""


class Report(NamedTuple):
    """What one pod has done."""

    served: int
    """Completed jobs."""
    interrupted: int
    overlaps: int
    """Requests refused because all slots were taken."""
    peak: int
    """The most requests at a time, refused ones included."""
    busy_s: float
    """Time with at least one job."""


class Job:
    """One job, which ends after its duration or when it is interrupted."""

    def __init__(self, begun_s: float, takes_s: float) -> None:
        self.begun_s = begun_s
        self.takes_s = takes_s
        self.interrupted = asyncio.Event()

    async def done(self) -> bool:
        """Wait for the end; False if it was interrupted."""
        try:
            async with asyncio.timeout_at(self.begun_s + self.takes_s):
                return not await self.interrupted.wait()
        except TimeoutError:
            return True


class Pod:
    """One pod: `concurrency` slots and random job durations; `jobs` are those that run, the oldest first."""

    def __init__(self, concurrency: int, draw: Callable[[], float]) -> None:
        self.jobs: list[Job] = []
        self._concurrency = concurrency
        self._draw = draw
        self._idle = asyncio.Event()
        self._idle.set()
        self._served = self._interrupted = self._overlaps = self._peak = 0
        self._busy_s = 0.0
        self._busy_since_s = 0.0

    async def work(self) -> bool:
        """Do one job; False if it was interrupted.

        Raises:
            OverloadError: all slots are taken.
        """
        self._peak = max(self._peak, len(self.jobs) + 1)
        if len(self.jobs) >= self._concurrency:
            self._overlaps += 1
            raise OverloadError(f"{len(self.jobs)} running, and this pod can do {self._concurrency} at a time")
        with self._slot() as job:
            complete = await job.done()
        self._served += complete
        self._interrupted += not complete
        return complete

    def interrupt(self) -> None:
        """Interrupt all running jobs."""
        for job in self.jobs:
            job.interrupted.set()

    def progress(self) -> tuple[float, float]:
        """Give the progress of the oldest job, from 0 to 1, and its remaining seconds; zeros if none runs."""
        if not self.jobs:
            return 0.0, 0.0
        job = self.jobs[0]
        elapsed_s = self._now() - job.begun_s
        return min(elapsed_s / job.takes_s, 1.0) if job.takes_s else 1.0, max(job.takes_s - elapsed_s, 0.0)

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    def report(self) -> Report:
        """Give the report up to now."""
        running_s = self._now() - self._busy_since_s if self.jobs else 0.0
        return Report(self._served, self._interrupted, self._overlaps, self._peak, round(self._busy_s + running_s, 6))

    @contextmanager
    def _slot(self) -> Iterator[Job]:
        job = Job(self._now(), self._draw())
        if not self.jobs:
            self._busy_since_s = job.begun_s
            self._idle.clear()
        self.jobs.append(job)
        try:
            yield job
        finally:
            self.jobs.remove(job)
            if not self.jobs:
                self._busy_s += self._now() - self._busy_since_s
                self._idle.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
