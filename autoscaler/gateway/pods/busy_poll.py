"""Polls a pod for the number of jobs that it runs."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from http import HTTPStatus

from autoscaler.gateway.busy_response import BusyPoll, UnknownJobsError, jobs_in
from autoscaler.gateway.http.pod_call import PodCallError, call_pod
from autoscaler.gateway.http.pod_pool import Pod

_log = logging.getLogger(__name__)
_PAUSE_S = 0.1
"""The minimum between two polls."""


class BusyPoller:
    """Polls one pod.

    Args:
        pod: the pod.
        poll: what to ask.
        connect_s: time for the connection.
        newest: returns the number of the newest request that the pod was granted.
        on_jobs: is given each number of jobs, with the newest request at the time of the poll, and that time.
        on_failure: is given the number of polls in a row without a usable response.
    """

    def __init__(
        self,
        pod: Pod,
        poll: BusyPoll,
        connect_s: float,
        *,
        newest: Callable[[], int],
        on_jobs: Callable[[int, int, float], None],
        on_failure: Callable[[int], None],
    ) -> None:
        self._pod = pod
        self._poll = poll
        self._connect_s = connect_s
        self._newest = newest
        self._on_jobs = on_jobs
        self._on_failure = on_failure
        self._wanted = asyncio.Event()
        self._problem = ""
        self._failures = 0

    def soon(self) -> None:
        """Poll before the interval is over, because something has changed at the pod."""
        self._wanted.set()

    async def run(self) -> None:
        """Poll without an end."""
        while True:
            self._wanted.clear()
            newest, asked_s = self._newest(), asyncio.get_running_loop().time()
            try:
                jobs = await self._jobs()
            except UnknownJobsError as error:
                self._unknown(str(error))
            else:
                self._problem, self._failures = "", 0
                self._on_jobs(jobs, newest, asked_s)
            await asyncio.sleep(_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(self._poll.interval_s - _PAUSE_S, 0)):
                    await self._wanted.wait()

    async def _jobs(self) -> int:
        pod, request, answer_s = self._pod, f"GET {self._poll.path}", self._poll.timeout_s
        try:
            answer = await call_pod(pod, request, pod.address, connect_s=self._connect_s, answer_s=answer_s)
        except PodCallError as error:
            if error.refused and pod.has_answered:
                # Nothing listens there any more: the process has ended, and its jobs with it.
                return 0
            raise UnknownJobsError(str(error)) from error
        if answer.status != HTTPStatus.OK:
            raise UnknownJobsError(f"status {answer.status}")
        return jobs_in(answer.body, self._poll)

    def _unknown(self, why: str) -> None:
        self._failures += 1
        if why != self._problem:
            self._problem = why
            _log.warning("pod %s does not report its jobs: GET %s: %s", self._pod.name, self._poll.path, why)
        self._on_failure(self._failures)
