"""The gateway's own requests to pods: whether they are ready, their warm-up, and how many jobs they run."""

import asyncio
from collections.abc import Callable
from functools import partial

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.counts import WarmUpOutcome
from autoscaler.gateway.http.pod_pool import Pod
from autoscaler.gateway.pods.busy_poll import BusyPoller
from autoscaler.gateway.pods.pod_readiness import until_ready
from autoscaler.gateway.pods.pod_warm_up import warm_up


class PodChecks:
    """One task for each pod of a service that is asked something.

    Args:
        loop: the event loop.
        owns: tells whether this gateway warms pods and asks how busy they are.
        admit: is given a pod that may get requests.
        newest: returns the number of the newest request that a pod was granted, by its name.
        on_jobs: is given a pod, its number of jobs, its newest request at the time of the poll, and that time.
        on_failure: is given a pod and the number of polls in a row without a usable response.
        on_warm_up: is given how the warm-up of a pod went.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        owns: Callable[[], bool],
        admit: Callable[[Pod], None],
        newest: Callable[[str], int],
        on_jobs: Callable[[Pod, int, int, float], None],
        on_failure: Callable[[Pod, int], None],
        on_warm_up: Callable[[WarmUpOutcome], None],
    ) -> None:
        self._loop = loop
        self._owns = owns
        self._admit = admit
        self._newest = newest
        self._on_jobs = on_jobs
        self._on_failure = on_failure
        self._on_warm_up = on_warm_up
        self._tasks: dict[Pod, asyncio.Task[None]] = {}
        self._pollers: dict[Pod, BusyPoller] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, pod: Pod, config: GatewayService) -> None:
        """Start the checks that the configuration asks for, and end all others of a pod of that name."""
        for other in [known for known in self._tasks if known.name == pod.name]:
            self.stop(other)
        waits = config.ready_path is not None or (config.warm_up is not None and not pod.warm and self._owns())
        if (config.busy is not None and self._owns()) or (waits and not pod.admitted):
            self._tasks[pod] = self._loop.create_task(self._check(pod, config))
        elif not pod.admitted:
            self._admit(pod)

    def poll_soon(self, pod: Pod) -> None:
        """Ask a pod how many jobs it runs before the interval is over, if it is asked at all."""
        if pod in self._pollers:
            self._pollers[pod].soon()

    def end_polls(self) -> list[Pod]:
        """Ask no pod any more how busy it is; return those that were asked."""
        asked = list(self._pollers)
        for pod in asked:
            self.stop(pod)
        return asked

    def stop(self, pod: Pod) -> None:
        """End the checks of a pod."""
        self._pollers.pop(pod, None)
        if pod in self._tasks:
            self._tasks.pop(pod).cancel()

    def stop_all(self) -> None:
        """End all checks."""
        for pod in list(self._tasks):
            self.stop(pod)

    async def _check(self, pod: Pod, config: GatewayService) -> None:
        connect_s = config.timeouts.connect_s
        if config.ready_path is not None and not pod.admitted:
            await until_ready(pod, config.ready_path, connect_s=connect_s, answer_s=config.ready_timeout_s)
        if config.warm_up is not None and not pod.warm and self._owns():
            pod.warm = True  # before the request, because a pod gets only one
            self._on_warm_up(await warm_up(config.name, pod, config.warm_up, connect_s=connect_s))
        if config.busy is None or not self._owns():
            self._admit(pod)
            return
        poller = self._pollers[pod] = BusyPoller(
            pod if config.busy.port is None else pod.at_port(config.busy.port),
            config.busy,
            connect_s,
            newest=partial(self._newest, pod.name),
            on_jobs=partial(self._on_jobs, pod),
            on_failure=partial(self._on_failure, pod),
        )
        await poller.run()
