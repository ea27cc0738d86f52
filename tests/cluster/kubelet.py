"""A kubelet for pods whose containers really run, as processes: it probes them as their manifests say, and ends them.

KWOK gives these pods their addresses. A pod has the annotation `inflight.test/kubelet` to be ours.
"""

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from cluster_kit import is_going, is_ready
from control_plane import RefusedError
from fault_pods import ended, events
from installation import as_process, container_of

ANNOTATION = "inflight.test/kubelet"
PROXY_EVERY_S = 0.5
"""How long a node may take until it knows of a change of the endpoints."""


class Kubelet:
    """Runs the marked pods of a namespace while `running` lasts.

    Args:
        control_plane: where the pods are.
        namespace: theirs.
        folder: for logs and mounts.
    """

    def __init__(self, control_plane, namespace, folder):
        self._control_plane, self._folder = control_plane, folder
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._runs, self._going = {}, {}
        self._ready = {}
        """The addresses of pods that are ready and stay, by name: what an EndpointSlice has."""
        self.endpoints = []
        """The same as a node knows it, which may be a moment older."""
        self.statuses = {}
        """How each process has ended, by pod."""

    @asynccontextmanager
    async def running(self):
        """Run what there is and what comes, while the block runs; all must be deleted by its end."""
        tasks = [asyncio.create_task(each) for each in (self._follow(), self._proxy())]
        try:
            yield self
            # All are deleted by now; each process is waited for.
            await asyncio.gather(*self._runs.values())
        finally:
            for task in (*tasks, *self._runs.values()):
                await ended(task)

    def log(self, pod):
        """Give the file that a pod's process writes to."""
        return self._folder / f"{pod}.log"

    async def _follow(self):
        async for kind, pod in events(self._control_plane, self._pods):
            name = pod["metadata"]["name"]
            if ANNOTATION not in pod["metadata"].get("annotations", {}):
                continue
            going = self._going.setdefault(name, asyncio.Event())
            if kind == "DELETED" or is_going(pod):
                going.set()
            elif "podIP" in pod["status"] and name not in self._runs:
                self._runs[name] = asyncio.create_task(self._run(pod, going))
            if is_ready(pod) and not going.is_set():
                self._ready[name] = pod["status"]["podIP"]
            else:
                self._ready.pop(name, None)

    async def _proxy(self):
        while True:
            self.endpoints = sorted(self._ready.values())
            await asyncio.sleep(PROXY_EVERY_S)

    async def _run(self, pod, going):
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        container = await asyncio.to_thread(container_of, self._control_plane, self._folder, pod, address)
        command, environment = as_process(container)
        with self.log(name).open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
        try:
            probing = asyncio.create_task(self._probe(container))
            exiting = asyncio.create_task(process.wait())
            await asyncio.wait({exiting, asyncio.create_task(going.wait())}, return_when=asyncio.FIRST_COMPLETED)
            assert not exiting.done(), f"{name} ended by itself: {self.log(name).read_text()}"
            await ended(probing)
            process.terminate()
            self.statuses[name] = await exiting
            await self._ask("request", "DELETE", f"{self._pods}/{name}", {"gracePeriodSeconds": 0})
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _probe(self, container):
        """Have the pod's condition say what the readiness probe finds."""
        probe, failures, was = container.spec["readinessProbe"], 0, False
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=probe.get("timeoutSeconds", 1))
        ) as session:
            while True:
                failures = 0 if await _answers(session, container.probe("readinessProbe")) else failures + 1
                if was != (failures < (probe.get("failureThreshold", 3) if was else 1)):
                    was = not was
                    await self._say(container.pod, ready=was)
                await asyncio.sleep(probe["periodSeconds"])

    async def _say(self, pod, *, ready):
        conditions = [{"type": each, "status": str(ready)} for each in ("Ready", "ContainersReady")]
        try:
            await self._ask(
                "patch",
                f"{self._pods}/{pod}/status",
                {"status": {"conditions": conditions}},
                "application/strategic-merge-patch+json",
            )
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                # Else it was deleted meanwhile.
                raise

    async def _ask(self, method, *arguments):
        return await asyncio.to_thread(getattr(self._control_plane, method), *arguments)


async def _answers(session, url):
    try:
        async with session.get(url) as answer:
            return answer.ok
    except (aiohttp.ClientError, TimeoutError):
        return False
