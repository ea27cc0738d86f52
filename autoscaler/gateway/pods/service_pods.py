"""The pods of one service: which there are, and what the dispatcher learns of them."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from weakref import WeakSet

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.counts import Counts, WarmUpOutcome
from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Grant
from autoscaler.gateway.dispatch.types import FailureKind
from autoscaler.gateway.http.pod_connection import Failure
from autoscaler.gateway.http.pod_pool import Pod
from autoscaler.gateway.http.resolver import Resolver
from autoscaler.gateway.pods.pod_checks import PodChecks

_log = logging.getLogger(__name__)
_FIRST_SERVER_ERROR = 500
_MOST_FAILED_POLLS = 30
"""Failed polls in a row after which a pod that drains counts as having no jobs."""
_FAILURES = {
    Failure.RESET: FailureKind.RESET,
    Failure.INVALID: FailureKind.RESET,
    Failure.TIMEOUT: FailureKind.TIMEOUT,
}


class ServicePods:
    """Takes pods in and lets them go.

    Args:
        config: the service.
        loop: the event loop.
        dispatcher: what decides which pod gets which request.
        resolver: looks up the names of pods.
        counts: of the service.
        deliver: is given what the dispatcher grants.
        on_listed: called when a pod is listed or is no longer listed.
    """

    def __init__(
        self,
        config: GatewayService,
        loop: asyncio.AbstractEventLoop,
        dispatcher: Dispatcher,
        *,
        resolver: Resolver,
        counts: Counts,
        deliver: Callable[[list[Grant]], None],
        on_listed: Callable[[], None],
    ) -> None:
        self._config = config
        self._loop = loop
        self._dispatcher = dispatcher
        self._resolver = resolver
        self._counts = counts
        self._deliver = deliver
        self._on_listed = on_listed
        self.listed: dict[str, Pod] = {}
        """The pods that are sent requests once they are admitted, by name."""
        self._draining: WeakSet[Pod] = WeakSet()
        """Pods that are sent nothing new and still run something."""
        self.marked: set[str] = set()
        """Pods that get nothing new because they are marked to be removed, until they are gone or used again."""
        self._checks = PodChecks(
            loop,
            admit=self._admit,
            newest=dispatcher.newest_granted,
            on_jobs=self._jobs_reported,
            on_failure=self._jobs_unknown,
            on_warm_up=self._count_warm_up,
        )

    @property
    def checked(self) -> int:
        """How many pods have checks, running or ended."""
        return len(self._checks)

    def apply(self, config: GatewayService) -> None:
        """Use another configuration; pods that only the previous one lists drain, those of the cluster stay."""
        before, self._config = self._config, config
        if (config.busy, config.ready_path) != (before.busy, before.ready_path):
            self._restart_checks()
        if config.backends is not None or before.backends is not None:
            self.set_all(config.backends or {})

    # Which there are.

    def set_all(self, addresses: Mapping[str, str]) -> None:
        """Set the pods, by name with their `host:port`; all others drain."""
        for name in self.listed.keys() - addresses.keys():
            self._drain(name)
        for name, address in addresses.items():
            self.add(name, address)

    def add(self, name: str, address: str, *, warm: bool = False) -> None:
        """Send requests to a pod from now on; a pod whose address has changed is a new pod.

        Args:
            name: its name.
            address: where it serves.
            warm: whether it has served before, so that it needs no warm-up.
        """
        known = self.listed.get(name)
        if known is not None and known.address == address:
            return
        if known is not None:
            self.remove(name)
        self.marked.discard(name)
        pod = self.listed[name] = self._pod(name, address)
        pod.on_outcome = partial(self._note_outcome, pod)
        self._on_listed()
        pod.warm = warm
        pod.may_be_unready = self._config.ready_path is not None
        self._checks.start(pod, self._config)

    def drain(self, name: str, *, marked: bool = False) -> None:
        """Send a pod nothing new, and let its requests finish; `marked` says that it is marked to be removed."""
        (self.marked.add if marked else self.marked.discard)(name)
        self._drain(name)

    def remove(self, name: str) -> None:
        """Forget a pod that is gone, and end its requests, also if it was draining."""
        gone = [pod for pod in (*self.listed.values(), *self._draining) if pod.name == name]
        self.listed.pop(name, None)
        self.marked.discard(name)
        self._on_listed()
        self._deliver(self._dispatcher.remove_backend(name, self._loop.time()))
        for pod in gone:
            self._checks.stop(pod)
            pod.remove()

    def close(self) -> None:
        """Close idle connections, and end all checks."""
        for pod in self.listed.values():
            pod.close()
        self._checks.stop_all()

    def _pod(self, name: str, address: str) -> Pod:
        return Pod(name, address, self._loop, self._resolver, ready=self._config.backends is None)

    def _drain(self, name: str) -> None:
        pod = self.listed.pop(name, None)
        if pod is None:
            return
        pod.close()
        self._draining.add(pod)
        if not pod.admitted:
            self._checks.stop(pod)
        self._on_listed()
        self._deliver(self._dispatcher.drain_backend(name, self._loop.time()))
        self._stop_checks_if_forgotten(pod)

    # What is known of them.

    def _admit(self, pod: Pod, jobs: int | None = None) -> None:
        pod.admitted = True
        self._deliver(self._dispatcher.add_backend(pod.name, self._loop.time(), jobs=jobs))

    def _count_warm_up(self, outcome: WarmUpOutcome) -> None:
        self._counts.warm_ups[outcome] += 1

    def _jobs_reported(self, pod: Pod, jobs: int, newest: int) -> None:
        if not pod.admitted:
            self._admit(pod, jobs)
        else:
            self._deliver(self._dispatcher.report_jobs(pod.name, jobs, newest, self._loop.time()))
        self._stop_checks_if_forgotten(pod)

    def _jobs_unknown(self, pod: Pod, times: int) -> None:
        """Note that a pod does not report its jobs; one that drains is not waited for without an end."""
        self._counts.failed_busy_polls += 1
        if times >= _MOST_FAILED_POLLS and self.listed.get(pod.name) is not pod:
            self._deliver(self._dispatcher.report_jobs(pod.name, None, 0, self._loop.time()))
        self._stop_checks_if_forgotten(pod)

    def _stop_checks_if_forgotten(self, pod: Pod) -> None:
        if self.listed.get(pod.name) is not pod and pod.name not in self._dispatcher.backends:
            self._checks.stop(pod)

    def _restart_checks(self) -> None:
        """Start the checks of the new configuration."""
        for pod in self.listed.values():
            if self._config.busy is None and pod.admitted:
                self._deliver(self._dispatcher.report_jobs(pod.name, None, 0, self._loop.time()))
            self._checks.start(pod, self._config)

    def _note_outcome(self, pod: Pod, status: int, failure: Failure | None) -> None:
        """Note the result of a request at a pod; a failure that does not count is neither success nor failure."""
        self._checks.poll_soon(pod)
        if self.listed.get(pod.name) is not pod:
            return
        if failure is None:
            kind = FailureKind.SERVER_ERROR if status >= _FIRST_SERVER_ERROR else None
            well = kind not in self._config.failures
        elif _FAILURES.get(failure) in self._config.failures:
            well = False
        else:
            return
        ejections = self._dispatcher.ejections_total
        self._deliver(self._dispatcher.answered(pod.name, self._loop.time(), well=well))
        if self._dispatcher.ejections_total > ejections:
            _log.warning("%s: pod %s failed too often in a row; it is ejected for a while", self._config.name, pod.name)
