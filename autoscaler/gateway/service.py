"""One service at run time: its dispatcher, its pods, and the requests that wait for a grant."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast
from weakref import WeakSet

from autoscaler.gateway.affinity import AffinityCookie
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.counts import Counts, RequestOutcome, WarmUpOutcome
from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Grant, Granted, Held, Refused, SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule, PathRules
from autoscaler.gateway.dispatch.types import FailureKind
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.pod_connection import Failure
from autoscaler.gateway.http.pod_pool import Pod
from autoscaler.gateway.http.resolver import Resolver
from autoscaler.gateway.http.tunnel import Tunnel
from autoscaler.gateway.overload import Overload
from autoscaler.gateway.pod_checks import PodChecks
from autoscaler.gateway.probe_requests import ProbeUserAgents
from autoscaler.gateway.request_log import OnEnded

_log = logging.getLogger(__name__)
_LONGEST_RETRY_AFTER_S = 120
_FIRST_SERVER_ERROR = 500
_MOST_FAILED_POLLS = 30
"""Failed polls in a row after which a pod that drains counts as having no jobs."""
_FAILURES = {
    Failure.RESET: FailureKind.RESET,
    Failure.INVALID: FailureKind.RESET,
    Failure.TIMEOUT: FailureKind.TIMEOUT,
}


class Waiter:
    """One request as the dispatcher knows it: by identity."""

    __slots__ = ("arrived_s", "in_dispatcher", "kind", "placement")

    def __init__(self, kind: SlotUse, arrived_s: float) -> None:
        self.kind = kind
        self.arrived_s = arrived_s
        self.in_dispatcher = False
        """Whether the dispatcher has it."""
        self.placement: asyncio.Future[Pod | RequestOutcome] | None = None
        """Set while it is held: the pod that it is granted, or why it is rejected."""


class ServiceProxy:
    """Passes requests to the dispatcher, and its grants to the requests that wait."""

    def __init__(
        self,
        config: GatewayService,
        loop: asyncio.AbstractEventLoop,
        *,
        keys: Sequence[bytes],
        rng: random.Random,
        changed: Callable[[], None],
        body_budget: MemoryBudget,
        overload: Overload,
        resolver: Resolver,
        on_ended: OnEnded | None = None,
    ) -> None:
        self._loop = loop
        self.body_budget = body_budget
        """For the bodies of held requests of all services."""
        self._overload = overload
        self._resolver = resolver
        self.on_ended = on_ended
        """Is given each request of the service when it ends."""
        self._changed = changed
        self._keys = keys
        self._rng = rng
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._holding: set[Waiter] = set()
        self.pods: dict[str, Pod] = {}
        self._draining: WeakSet[Pod] = WeakSet()
        """Pods that are sent nothing new and still run something."""
        self.marked: set[str] = set()
        """Pods that get nothing new because they are marked to be removed, until they are gone or used again."""
        self.tunnels: set[Tunnel] = set()
        self.background_tasks: set[asyncio.Task[None]] = set()
        """Calls that are still to be made for requests whose client has disconnected."""
        self.counts = Counts()
        self.dispatcher = Dispatcher(config.limits, loop.time())
        self._checks = PodChecks(
            loop,
            admit=self._admit,
            newest=self.dispatcher.newest_granted,
            on_jobs=self._jobs_reported,
            on_failure=self._jobs_unknown,
            on_warm_up=self._count_warm_up,
        )
        self._take_config(config)

    def apply(self, config: GatewayService) -> None:
        """Use another configuration; requests that wait keep their place and deadline.

        Pods that only the previous configuration lists drain; pods that the cluster lists stay.
        """
        before, named = self.config, self.config.backends
        self._take_config(config)
        self._deliver(self.dispatcher.set_limits(config.limits, self._loop.time()))
        if (config.busy, config.ready_path) != (before.busy, before.ready_path):
            self._restart_checks()
        if config.backends is not None or named is not None:
            self.set_backends(config.backends or {})

    def set_keys(self, keys: Sequence[bytes]) -> None:
        """Use other cookie keys."""
        self._keys = keys
        self._take_config(self.config)

    def _take_config(self, config: GatewayService) -> None:
        self.config = config
        self.rules = PathRules(config.paths)
        self.probes = ProbeUserAgents(config.probes)
        self.cookie = AffinityCookie(self._keys, config.name, config.affinity) if config.affinity else None
        self._pods_changed()

    # Requests.

    def arrive(self, waiter: Waiter, rule: PathRule, pinned: str | None) -> Pod | RequestOutcome | None:
        """Return the pod that the request is granted, why it is rejected, or None if it is held."""
        if self._overload.active:
            self.counts.arrived += rule.kind is SlotUse.COUNT
            return RequestOutcome.OVERLOADED
        answer = self.dispatcher.arrive(
            waiter, waiter.arrived_s, waiter.kind, pinned, max_per_pod=rule.max_per_pod, wakes=rule.wake
        )
        self.counts.arrived += rule.kind is SlotUse.COUNT
        self._changed()
        match answer:
            case Granted(backend):
                waiter.in_dispatcher = True
                return self.pods[backend]
            case Held():
                waiter.in_dispatcher = True
                self._hold(waiter)
                return None
            case Refused(reason):
                return RequestOutcome(reason.value)

    def put_back(self, waiter: Waiter) -> None:
        """Hold a request again that its pod refused, at its place of arrival."""
        self.counts.retries += 1
        self._hold(waiter)
        self._deliver(self.dispatcher.put_back(waiter, self._loop.time()))
        self._arm()

    def finish(self, waiter: Waiter) -> None:
        """End a request that was granted, and grant its slot to the next."""
        if waiter.in_dispatcher:
            waiter.in_dispatcher = False
            self._deliver(self.dispatcher.finish(waiter, self._loop.time()))

    def open_tunnel(self, waiter: Waiter) -> None:
        """Turn a Pass request into a tunnel, which does not keep its pod; `finish` or `abandon` ends it."""
        self.dispatcher.open_tunnel(waiter, self._loop.time())
        self._changed()

    def abandon(self, waiter: Waiter) -> None:
        """End a request in any state, if it has not ended yet."""
        if waiter.in_dispatcher:
            waiter.in_dispatcher = False
            self._holding.discard(waiter)
            self._deliver(self.dispatcher.abandon(waiter, self._loop.time()))

    def reject_all(self) -> None:
        """Reject all requests that are held."""
        for waiter in list(self._holding):
            self._end_held(waiter, RequestOutcome.DRAINED)
            self._deliver(self.dispatcher.abandon(waiter, self._loop.time()))

    def retry_after_s(self) -> int:
        """Return in how many seconds a slot should be free, from the mean service time, with up to a quarter added."""
        served = self.counts.service_s
        mean_s = served.total / max(1, sum(served.counts))
        slots = max(1, len(self.dispatcher.backends)) * max(1, self.dispatcher.limits.concurrency)
        wait_s = mean_s * (1 + self.dispatcher.queued) / slots
        return max(1, min(_LONGEST_RETRY_AFTER_S, math.ceil(wait_s * self._rng.uniform(1.0, 1.25))))

    # Pods.

    def set_backends(self, backends: Mapping[str, str]) -> None:
        """Set the pods, by name with their `host:port`; all others drain."""
        for name in self.pods.keys() - backends.keys():
            self._drain(name)
        for name, address in backends.items():
            self.add(name, address)

    def add(self, name: str, address: str, *, warm: bool = False) -> None:
        """Send requests to a pod from now on; a pod whose address has changed is a new pod.

        Args:
            name: its name.
            address: where it serves.
            warm: whether it has served before, so that it needs no warm-up.
        """
        known = self.pods.get(name)
        if known is not None and known.address == address:
            return
        if known is not None:
            self.remove(name)
        self.marked.discard(name)
        pod = self.pods[name] = Pod(name, address, self._loop, self._resolver, ready=self.config.backends is None)
        pod.on_outcome = partial(self._note_outcome, pod)
        self._pods_changed()
        pod.warm = warm
        pod.may_be_unready = self.config.ready_path is not None
        self._checks.start(pod, self.config)

    def _admit(self, pod: Pod, jobs: int | None = None) -> None:
        pod.admitted = True
        self._deliver(self.dispatcher.add_backend(pod.name, self._loop.time(), jobs=jobs))

    def _count_warm_up(self, outcome: WarmUpOutcome) -> None:
        self.counts.warm_ups[outcome] += 1

    def _jobs_reported(self, pod: Pod, jobs: int, newest: int) -> None:
        if not pod.admitted:
            self._admit(pod, jobs)
        else:
            self._deliver(self.dispatcher.report_jobs(pod.name, jobs, newest, self._loop.time()))
        self._stop_checks_if_forgotten(pod)

    def _jobs_unknown(self, pod: Pod, times: int) -> None:
        """Note that a pod does not report its jobs; one that drains is not waited for without an end."""
        self.counts.failed_busy_polls += 1
        if times >= _MOST_FAILED_POLLS and self.pods.get(pod.name) is not pod:
            self._deliver(self.dispatcher.report_jobs(pod.name, None, 0, self._loop.time()))
        self._stop_checks_if_forgotten(pod)

    def _stop_checks_if_forgotten(self, pod: Pod) -> None:
        if self.pods.get(pod.name) is not pod and pod.name not in self.dispatcher.backends:
            self._checks.stop(pod)

    @property
    def pods_checked(self) -> int:
        """How many pods have checks, running or ended."""
        return len(self._checks)

    def _restart_checks(self) -> None:
        """Start the checks of the new configuration."""
        for pod in self.pods.values():
            if self.config.busy is None and pod.admitted:
                self._deliver(self.dispatcher.report_jobs(pod.name, None, 0, self._loop.time()))
            self._checks.start(pod, self.config)

    def _note_outcome(self, pod: Pod, status: int, failure: Failure | None) -> None:
        """Note the result of a request at a pod; a failure that does not count is neither success nor failure."""
        self._checks.poll_soon(pod)
        if self.pods.get(pod.name) is not pod:
            return
        if failure is None:
            kind = FailureKind.SERVER_ERROR if status >= _FIRST_SERVER_ERROR else None
            well = kind not in self.config.failures
        elif _FAILURES.get(failure) in self.config.failures:
            well = False
        else:
            return
        ejections = self.dispatcher.ejections_total
        self._deliver(self.dispatcher.answered(pod.name, self._loop.time(), well=well))
        self._arm()
        if self.dispatcher.ejections_total > ejections:
            _log.warning("%s: pod %s failed too often in a row; it is ejected for a while", self.config.name, pod.name)

    def drain_pod(self, name: str, *, marked: bool = False) -> None:
        """Send a pod nothing new, and let its requests finish; `marked` says that it is marked to be removed."""
        (self.marked.add if marked else self.marked.discard)(name)
        self._drain(name)
        self._changed()

    def _drain(self, name: str) -> None:
        pod = self.pods.pop(name, None)
        if pod is not None:
            pod.close()
            self._draining.add(pod)
            if not pod.admitted:
                self._checks.stop(pod)
            self._pods_changed()
            self._deliver(self.dispatcher.drain_backend(name, self._loop.time()))
            self._stop_checks_if_forgotten(pod)

    def remove(self, name: str) -> None:
        """Forget a pod that is gone, and end its requests, also if it was draining."""
        gone = [pod for pod in (*self.pods.values(), *self._draining) if pod.name == name]
        self.pods.pop(name, None)
        self.marked.discard(name)
        self._pods_changed()
        self._deliver(self.dispatcher.remove_backend(name, self._loop.time()))
        for pod in gone:
            self._checks.stop(pod)
            pod.remove()

    def close(self) -> None:
        """Close idle connections, and end all checks and calls."""
        if self._timer is not None:
            self._timer.cancel()
        for pod in self.pods.values():
            pod.close()
        self._checks.stop_all()
        for task in self.background_tasks:
            task.cancel()

    def _pods_changed(self) -> None:
        if self.cookie is not None:
            self.cookie.set_pods(self.pods)

    # Waiting.

    def _hold(self, waiter: Waiter) -> None:
        waiter.placement = self._loop.create_future()
        self._holding.add(waiter)
        self._arm()

    def _deliver(self, grants: list[Grant]) -> None:
        self._changed()
        for request, backend in grants:
            waiter = cast("Waiter", request)
            self._holding.discard(waiter)
            # A client that disconnects in this moment has cancelled its wait; its handler returns the slot.
            if waiter.placement is not None and not waiter.placement.done():
                waiter.placement.set_result(self.pods[backend])

    def _end_held(self, waiter: Waiter, outcome: RequestOutcome) -> None:
        waiter.in_dispatcher = False
        self._holding.discard(waiter)
        if waiter.placement is not None and not waiter.placement.done():
            waiter.placement.set_result(outcome)

    def _arm(self) -> None:
        deadline_s = self.dispatcher.next_deadline_s
        if deadline_s is None or (self._timer is not None and self._timer_s <= deadline_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        # Kept here because a handle of uvloop loses its time once that has passed.
        self._timer_s = deadline_s
        self._timer = self._loop.call_at(deadline_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        due = self.dispatcher.expire(self._loop.time())
        for request in due.timed_out:
            self._end_held(cast("Waiter", request), RequestOutcome.QUEUE_TIMEOUT)
        self._deliver(due.grants)
        self._arm()
