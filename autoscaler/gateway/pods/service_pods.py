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
from autoscaler.gateway.peers.shared_dispatcher import SharedDispatcher
from autoscaler.gateway.pods.pod_checks import PodChecks
from autoscaler.gateway.quotes.service_quotes import ServiceQuotes

_log = logging.getLogger(__name__)
_FIRST_SERVER_ERROR = 500
_MOST_FAILED_POLLS = 30
"""Failed polls in a row after which a pod that drains counts as having no jobs."""
_FAILURES = {
    Failure.RESET: FailureKind.RESET,
    Failure.INVALID: FailureKind.RESET,
    Failure.TIMEOUT: FailureKind.TIMEOUT,
}
ServiceDispatcher = Dispatcher | SharedDispatcher
"""What decides which pod gets which request: the latter if several gateways serve the service."""


class ServicePods:
    """Takes pods in and lets them go.

    Of several gateways each asks whether a pod is ready, and only the owner of the service how busy it is, because that
    is needed where slots are granted. The owner warms new pods.

    Args:
        config: the service.
        loop: the event loop.
        dispatcher: what decides which pod gets which request.
        resolver: looks up the names of pods.
        counts: of the service.
        quotes: of the service; they need to know which pods start.
        deliver: is given what the dispatcher grants.
        on_listed: called when a pod is listed or is no longer listed.
    """

    def __init__(
        self,
        config: GatewayService,
        loop: asyncio.AbstractEventLoop,
        dispatcher: ServiceDispatcher,
        *,
        resolver: Resolver,
        counts: Counts,
        quotes: ServiceQuotes,
        deliver: Callable[[list[Grant]], None],
        on_listed: Callable[[], None],
    ) -> None:
        self._config = config
        self._loop = loop
        self._dispatcher = dispatcher
        self._shared = dispatcher if isinstance(dispatcher, SharedDispatcher) else None
        if self._shared is not None:
            self._shared.on_end = self._poll_soon
        self._owns: bool | None = self._shared is None or None
        """Whether this gateway is the owner; None before it is known for the first time, when no pod is asked."""
        self._resolver = resolver
        self._counts = counts
        self._quotes = quotes
        self._deliver = deliver
        self._on_listed = on_listed
        self.listed: dict[str, Pod] = {}
        """The pods that are sent requests once they are admitted, by name."""
        self._unlisted: WeakSet[Pod] = WeakSet()
        """Pods that run something and are no longer listed, or not yet."""
        self.marked: set[str] = set()
        """Pods that get nothing new because they are marked to be removed, until they are gone or used again."""
        self._checks = PodChecks(
            loop,
            owns=lambda: bool(self._owns),
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
        for pod in self.listed.values():
            pod.keeps_idle = self._may_keep_idle
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

    def expect(self, name: str, since_s: float | None) -> None:
        """Note a pod that exists, is not marked to be removed, and cannot serve yet.

        Args:
            name: its name.
            since_s: when it was created, by the loop's clock; None is now.
        """
        self.marked.discard(name)
        self._quotes.pod_starting(name, since_s)

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
        self._quotes.pod_starting(name)
        if self._shared is not None:
            self._shared.know_pod(name, address, self._loop.time(), served=warm)
        if self._owns is not None:
            self._checks.start(pod, self._config)

    def granted(self, name: str) -> Pod:
        """Return the pod of a grant; one that only the gateway that granted it lists yet is known by its address."""
        if name in self.listed or self._shared is None:
            return self.listed[name]
        pod = self._pod(name, self._shared.address(name))
        pod.close()
        self._unlisted.add(pod)
        return pod

    def answers(self, name: str) -> int:
        """Return how many requests a pod has answered, also one that drains; 0 for an unknown one."""
        return sum(pod.answers for pod in (*self.listed.values(), *self._unlisted) if pod.name == name)

    def drain(self, name: str, *, marked: bool = False) -> None:
        """Send a pod nothing new, and let its requests finish; `marked` says that it is marked to be removed."""
        (self.marked.add if marked else self.marked.discard)(name)
        self._quotes.pod_not_starting(name)
        self._drain(name)

    def remove(self, name: str) -> None:
        """Forget a pod that is gone, and end its requests, also if it was draining."""
        gone = [pod for pod in (*self.listed.values(), *self._unlisted) if pod.name == name]
        self.listed.pop(name, None)
        self.marked.discard(name)
        self._quotes.pod_not_starting(name)
        self._on_listed()
        if self._shared is not None:
            self._shared.forget_pod(name)
        self._deliver(self._dispatcher.remove_backend(name, self._loop.time()))
        for pod in gone:
            self._checks.stop(pod)
            pod.remove()

    def close(self) -> None:
        """Close idle connections, and end all checks."""
        for pod in self.listed.values():
            pod.close()
        self._checks.stop_all()

    def follow_owner(self) -> None:
        """Begin or end what only the owner of the service does."""
        if self._shared is None or (self._owns is None and self._shared.owner is None):
            return
        before, self._owns = self._owns, self._shared.owned
        if self._owns and before is False:
            # Whoever owned the service before has warmed them, and they may run something.
            for pod in self.listed.values():
                pod.warm = True
        if (self._owns and not before) or before is None:
            for pod in self.listed.values():
                self._checks.start(pod, self._config)
        elif before and not self._owns:
            self._end_polls()

    def _end_polls(self) -> None:
        """Leave it to the new owner to ask pods; those that drain are not waited for here any longer."""
        for pod in self._checks.end_polls():
            if self.listed.get(pod.name) is not pod:
                self._report(pod, None)
            elif pod.admitted:
                self._report(pod, self._config.limits.concurrency)
            else:
                self._admit(pod)

    def _poll_soon(self, name: str) -> None:
        """Ask a pod how busy it is, because another gateway's request has ended there."""
        if name in self.listed:
            self._checks.poll_soon(self.listed[name])

    def _report(self, pod: Pod, jobs: int | None) -> None:
        newest = self._dispatcher.newest_granted(pod.name)
        self._deliver(self._dispatcher.report_jobs(pod.name, jobs, newest, self._loop.time()))

    @property
    def _may_keep_idle(self) -> bool:
        """Whether connections may stay open: a server with one at a time would let another gateway wait for its end."""
        return self._shared is None or self._config.limits.concurrency != 1

    def _pod(self, name: str, address: str) -> Pod:
        pod = Pod(name, address, self._loop, self._resolver, ready=self._config.backends is None)
        pod.may_be_unready = self._config.ready_path is not None
        pod.keeps_idle = self._may_keep_idle
        return pod

    def _drain(self, name: str) -> None:
        pod = self.listed.pop(name, None)
        if pod is None:
            return
        pod.close()
        self._unlisted.add(pod)
        if not pod.admitted:
            self._checks.stop(pod)
        self._on_listed()
        self._deliver(self._dispatcher.drain_backend(name, self._loop.time()))
        self._stop_checks_if_forgotten(pod)

    # What is known of them.

    def _admit(self, pod: Pod, jobs: int | None = None) -> None:
        pod.admitted = True
        self._quotes.pod_ready(pod.name)
        if jobs is None and self._config.busy is not None:
            # Only its owner asks it. If that will be this gateway, no slot is free before the first answer.
            jobs = self._config.limits.concurrency
        self._deliver(self._dispatcher.add_backend(pod.name, self._loop.time(), jobs=jobs))

    def _count_warm_up(self, outcome: WarmUpOutcome) -> None:
        self._counts.warm_ups[outcome] += 1

    def _jobs_reported(self, pod: Pod, jobs: int, newest: int, asked_s: float) -> None:
        if self._shared is not None and not jobs:
            self._deliver(self._shared.idle_seen(pod.name, asked_s))
        if not pod.admitted:
            self._admit(pod, jobs)
        else:
            self._deliver(self._dispatcher.report_jobs(pod.name, jobs, newest, self._loop.time()))
        self._stop_checks_if_forgotten(pod)

    def _jobs_unknown(self, pod: Pod, times: int) -> None:
        """Note that a pod does not report its jobs; one that drains is not waited for without an end."""
        self._counts.failed_busy_polls += 1
        if times >= _MOST_FAILED_POLLS and self.listed.get(pod.name) is not pod:
            self._report(pod, None)
        self._stop_checks_if_forgotten(pod)

    def _stop_checks_if_forgotten(self, pod: Pod) -> None:
        if self.listed.get(pod.name) is not pod and pod.name not in self._dispatcher.backends:
            self._checks.stop(pod)

    def _restart_checks(self) -> None:
        """Start the checks of the new configuration."""
        for pod in self.listed.values():
            if self._config.busy is None and pod.admitted:
                self._report(pod, None)
            self._checks.start(pod, self._config)

    def _note_outcome(self, pod: Pod, status: int, failure: Failure | None) -> None:
        """Note the result of a request at a pod; a failure that does not count is neither success nor failure."""
        self._checks.poll_soon(pod)
        pod.answers += failure is None
        if self.listed.get(pod.name) is not pod:
            return
        if failure is None:
            well = status < _FIRST_SERVER_ERROR or FailureKind.SERVER_ERROR not in self._config.failures
        elif _FAILURES.get(failure) in self._config.failures:
            well = False
        else:
            return
        ejections = self._dispatcher.ejections_total
        grants = self._dispatcher.answered(pod.name, self._loop.time(), well=well)
        if grants or not well:
            self._deliver(grants)
        if self._dispatcher.ejections_total > ejections:
            _log.warning("%s: pod %s failed too often in a row; it is ejected for a while", self._config.name, pod.name)
