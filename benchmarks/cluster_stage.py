"""The stage of `make bench-cluster`: a real control plane with many services, a gateway and two controllers."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from autoscaler.kubernetes.client import Api, connected
from autoscaler.targets.local_replica import DIE_WITH_PARENT
from autoscaler.testing import policy_document
from benchmarks.cluster_prometheus import StubPrometheus
from tests.cluster.control_plane import ControlPlane, started

NAMESPACE = "bench"
OWN = "inflight-system"
TICK_S = 2.0
CONTROLLERS = ("one", "two")
MANIFESTS = Path(__file__).resolve().parents[1] / "manifests"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
POLICIES = f"/apis/inflight.dev/v1alpha1/namespaces/{NAMESPACE}/scalingpolicies"
PATIENCE_S = 300.0
_ACCOUNT = f"system:serviceaccount:{OWN}:inflight-controller"
_SCRAPED_EVERY_S = 15.0
_TOLD_S = 2.0
"""Events and statuses are written within a second after a change."""
_AT_ONCE = 32
_REAL_PODS_UP_TO = 1000
_CLOCK_HZ = os.sysconf("SC_CLK_TCK")


def host(name: str) -> str:
    """Give the host name of a service."""
    return f"{name}.example.com"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _deployment(name: str, *, paused: bool) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"containers": [{"name": "main", "image": "none"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 0, "paused": paused, "selector": {"matchLabels": labels}, "template": template},
    }


def _policy(name: str, algorithm: Mapping[str, Any]) -> dict[str, Any]:
    return policy_document(
        name,
        algorithm=algorithm,
        scaleDown={"toZeroDelay": "0s"},
        traffic={"hosts": [host(name)], "port": 9},
    )


@dataclass
class Process:
    """A running program."""

    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Give the CPU seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_HZ

    def rss_mb(self, field: str = "VmRSS") -> float:
        """Give its memory now, or its peak with `VmHWM`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


@dataclass
class Stage:
    """Everything that runs, and what was observed."""

    control_plane: ControlPlane
    api: Api
    folder: Path
    names: Sequence[str]
    prometheus: StubPrometheus
    prometheus_url: str
    gateway_port: int
    metrics_port: int
    processes: dict[str, Process] = field(default_factory=dict)
    replicas: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    """Replicas by name, as (time, number), from a watch."""
    lines: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Times at which a line of the gateway's stream first had a queue, by service."""
    scraped: list[int] = field(default_factory=list)
    """Ports of the controllers' metrics."""
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, number: int, names: Sequence[str], deadline_s: float = 60.0) -> bool:
        """Wait until all of these have this number of replicas; False after the deadline."""
        deadline = asyncio.timeout(deadline_s)
        try:
            async with deadline, self.news:
                await self.news.wait_for(lambda: all(self._is(name, number) for name in names))
        except TimeoutError:
            return False
        return True

    async def rest(self) -> None:
        """Wait until no pod is left and the last events are written, so that they are not measured."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.api.get(PODS, {"limit": "1"}))["items"]:  # noqa: ASYNC110 - another program's state
                await asyncio.sleep(0.2)
        await asyncio.sleep(_TOLD_S)

    def _is(self, name: str, number: int) -> bool:
        seen = self.replicas.get(name)
        return (seen[-1][1] if seen else 0) == number

    def moments(self, controller: str) -> list[dict[str, Any]]:
        """Give the times that a controller wrote."""
        return [json.loads(line) for line in (self.folder / f"{controller}.moments").read_text().splitlines()]

    def written(self, since_s: float) -> list[dict[str, Any]]:
        """Give the writes of the controllers to the API server, other than of the Lease, since a Unix time."""
        found = []
        with self.control_plane.audit_log.open() as file:
            for line in file:
                event = json.loads(line) if _ACCOUNT in line else {}
                if _is_write(event) and unix_s(event["requestReceivedTimestamp"]) >= since_s:
                    found.append(event)
        return found

    async def hold(self, name: str) -> tuple[float, asyncio.StreamWriter]:
        """Send a request that is held; give the time and the connection."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.gateway_port)
        sent_s = time.time()
        writer.write(f"GET /sdapi/v1/txt2img HTTP/1.1\r\nHost: {host(name)}\r\n\r\n".encode())
        return sent_s, writer


def _is_write(event: Mapping[str, Any]) -> bool:
    return event.get("verb") in {"create", "update", "patch"} and event["objectRef"]["resource"] != "leases"


def unix_s(stamp: str) -> float:
    """Read a time of the audit log."""
    return datetime.fromisoformat(stamp).timestamp()


@asynccontextmanager
async def stage(folder: Path, number: int) -> AsyncIterator[Stage]:
    """Start everything except the controllers, with `number` services at zero."""
    names = [f"s-{index:05}" for index in range(number)]
    async with AsyncExitStack() as stack:
        control_plane = stack.enter_context(started(folder, cold_start_s=3))
        os.environ["KUBECONFIG"] = str(control_plane.kubeconfig)
        await asyncio.to_thread(_install, control_plane)
        api = await stack.enter_async_context(connected(deadline_s=60))
        await _populate(api, names)
        prometheus = StubPrometheus([f"{NAMESPACE}/{name}" for name in names])
        url = await stack.enter_async_context(prometheus.serving())
        made = Stage(control_plane, api, folder, names, prometheus, url, _free_port(), _free_port())
        stack.push_async_callback(_stop, made)
        made.processes["gateway"] = _program(
            made,
            "gateway",
            *("-m", "autoscaler", "gateway", f"--namespace={NAMESPACE}"),
            *(f"--port={made.gateway_port}", f"--metrics-port={made.metrics_port}"),
        )
        async with aiohttp.ClientSession() as session:
            await _answers(session, f"http://127.0.0.1:{made.metrics_port}/readyz")
            watching = [
                asyncio.create_task(work) for work in (_watch(made), _listen(made, session), _scrape(made, session))
            ]
            try:
                yield made
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)


async def start_controllers(stage: Stage) -> float:
    """Start both controllers; give the seconds from the first one's start to a decision on every service."""
    begun_s = time.time()
    for name in CONTROLLERS:
        stage.scraped.append(port := _free_port())
        stage.processes[name] = _program(
            stage,
            name,
            *("-c", "from benchmarks.cluster_controller import main; main()"),
            *(str(stage.folder / f"{name}.moments"), str(len(stage.names)), f"--tick={TICK_S:g}s"),
            *(f"--prometheus={stage.prometheus_url}/{name}", f"--gateway=127.0.0.1:{stage.metrics_port}"),
            *(f"--own-namespace={OWN}", f"--identity={name}", f"--port={port}", "--host=127.0.0.1"),
        )
    async with asyncio.timeout(PATIENCE_S):
        while not all(_decided_all_s(stage, name) for name in CONTROLLERS):  # noqa: ASYNC110 - another program's state
            await asyncio.sleep(0.2)
    return min(_decided_all_s(stage, name) for name in CONTROLLERS) - begun_s


def _decided_all_s(stage: Stage, name: str) -> float:
    path = stage.folder / f"{name}.moments"
    if stage.processes[name].process.poll() is not None:
        raise RuntimeError(f"controller {name} has ended: {(stage.folder / f'{name}.log').read_text()[-2000:]}")
    moments = stage.moments(name) if path.exists() else []
    return next((moment["all_s"] for moment in moments if "all_s" in moment), 0.0)


def _install(control_plane: ControlPlane) -> None:
    command = ["kubectl", "apply", "--server-side", "-k", str(MANIFESTS)]
    subprocess.run(command, env=control_plane.environment(), check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    control_plane.wait_established("scalingpolicies.inflight.dev")
    control_plane.wait(f"/api/v1/namespaces/{OWN}/serviceaccounts", lambda found: "inflight-controller" in found)
    control_plane.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})


async def _populate(api: Api, names: Sequence[str]) -> None:
    """Create Deployments and policies; every other policy follows its count, the others have the default algorithm."""
    slots = asyncio.Semaphore(_AT_ONCE)
    paused = len(names) > _REAL_PODS_UP_TO

    async def make(path: str, body: Mapping[str, Any]) -> None:
        async with slots:
            await api.create(path, body)

    making: list[Coroutine[Any, Any, None]] = []
    for index, name in enumerate(names):
        algorithm: dict[str, Any] = {"mpa": {}} if index % 2 == 0 else {"concurrency": {"stableWindow": "6s"}}
        making += [make(DEPLOYMENTS, _deployment(name, paused=paused)), make(POLICIES, _policy(name, algorithm))]
    await asyncio.gather(*making)


def _program(stage: Stage, name: str, *arguments: str) -> Process:
    account = "inflight-gateway" if name == "gateway" else "inflight-controller"
    config = stage.control_plane.service_account(OWN, account)
    command = [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), sys.executable, *arguments]
    with (stage.folder / f"{name}.log").open("wb") as output:
        environment = stage.control_plane.environment(config)
        process = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            stdin=subprocess.PIPE,  # the leash: it ends with us, however we end
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Process(process)


async def _stop(stage: Stage) -> None:
    for each in stage.processes.values():
        each.process.terminate()
    for each in stage.processes.values():
        try:
            await asyncio.to_thread(each.process.wait, 20)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()


async def _answers(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def _watch(stage: Stage) -> None:
    version = (await stage.api.get(DEPLOYMENTS, {"limit": "1"}))["metadata"]["resourceVersion"]
    query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "86400"}
    async for line in stage.api.lines(DEPLOYMENTS, query, silence_s=86400):
        if not line:
            continue
        seen_s = time.time()
        item = json.loads(line)["object"]
        name, number = item["metadata"]["name"], item["spec"]["replicas"]
        known = stage.replicas[name]
        if (known[-1][1] if known else 0) != number:
            known.append((seen_s, number))
            async with stage.news:
                stage.news.notify_all()


async def _scrape(stage: Stage, session: aiohttp.ClientSession) -> None:
    """Read the controllers' metrics at Prometheus' scrape interval."""
    while True:
        await asyncio.sleep(_SCRAPED_EVERY_S)
        for port in stage.scraped:
            with suppress(aiohttp.ClientError):  # it starts, or it ends
                async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    await answer.read()


async def _listen(stage: Stage, session: aiohttp.ClientSession) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    url = f"http://127.0.0.1:{stage.metrics_port}/v1/inflight"
    async with session.get(url, timeout=timeout, read_bufsize=2**26) as response:
        async for line in response.content:
            seen_s = time.time()
            for service, count in json.loads(line)["services"].items():
                if count["queued"]:
                    stage.lines[service.partition("/")[2]].append(seen_s)
