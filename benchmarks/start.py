"""CPU time and memory of a controller's start by stage, in one process: `make bench-start ARGS=10000`.

The controller reads many policies and Deployments as JSON from a fake API server that responds immediately, without
sockets, and counts from a Prometheus stand-in in another process. So only the controller is measured.
"""

import asyncio
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp

from autoscaler.app.cluster_controller import ClusterController
from autoscaler.app.cluster_target import ClusterTarget
from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.controller.budgets import Budgets
from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.failures import Failures
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.metrics import ControllerMetrics
from autoscaler.controller.recorders import Latest, OnChange
from autoscaler.controller.services import ServiceRegistry
from autoscaler.kubernetes.reporting import Reporter
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.clock import SystemClock
from autoscaler.runtime.gc_tuning import tune_gc
from autoscaler.sources.gateway_stream import StreamSource
from autoscaler.sources.known_gateways import KnownGateways
from autoscaler.sources.prometheus import PrometheusSource
from benchmarks.figures import report

SIZE = 10_000
TICK_S = 2.0
TICKS = 10
PATIENCE_S = 300.0
_NAMESPACE = "bench"
_STAMP = "2026-01-01T00:00:00Z"
_HOUR_S = 3600.0


class Stages:
    """CPU time and memory of each stage."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._spent_s, self._rss_mb = time.process_time(), _rss_mb()

    def end(self, stage: str) -> None:
        """Record the CPU time and memory of a stage."""
        spent_s, rss_mb = time.process_time(), _rss_mb()
        row = {"stage": stage, "CPU s": spent_s - self._spent_s, "RSS, MB": rss_mb, "more, MB": rss_mb - self._rss_mb}
        self.rows.append(row)
        self._spent_s, self._rss_mb = spent_s, rss_mb


def _rss_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


class Api:
    """A fake API server with many services, which responds immediately with text, as a real one does."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._written: asyncio.Queue[bytes] = asyncio.Queue()
        self.statuses = self.events = 0

    async def get(self, path: str, query: Mapping[str, str], **_options: object) -> Any:
        """List one page."""
        makers = {"scalingpolicies": _policy, "deployments": _deployment, "replicasets": _replica_set}
        make = makers.get(path.rpartition("/")[2])
        first = int(query.get("continue", 0))
        last = min(first + int(query["limit"]), self._number)
        items = [make(index) for index in range(first, last)] if make else []
        more = {"continue": str(last)} if make and last < self._number else {}
        await asyncio.sleep(0)
        return json.loads(json.dumps({"metadata": {"resourceVersion": "1", **more}, "items": items}))

    async def patch(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write a status."""
        self.statuses += 1
        policy = {**_policy(int(path.split("/")[-2].removeprefix("s-"))), **json.loads(json.dumps(body))}
        policy["metadata"]["resourceVersion"] = str(2 * self._number + self.statuses)
        self._written.put_nowait(json.dumps({"type": "MODIFIED", "object": policy}).encode())
        await asyncio.sleep(0)
        return body

    async def create(self, _path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write an event."""
        self.events += 1
        await asyncio.sleep(0)
        return body

    async def lines(
        self, path: str, _query: Mapping[str, str], *, silence_s: float, **_options: object
    ) -> AsyncIterator[bytes]:
        """Watch; written objects are sent back."""
        while path.endswith("scalingpolicies"):
            yield await self._written.get()
        await asyncio.sleep(silence_s * _HOUR_S)
        yield b""


def _metadata(index: int, api_version: str, owned: str) -> dict[str, Any]:
    name = f"s-{index:05}"
    fields: dict[str, Any] = {
        "f:spec": {owned: {}, "f:selector": {}, "f:template": {"f:metadata": {"f:labels": {"f:app": {}}}}}
    }
    manager = {"manager": "kubectl", "operation": "Apply", "apiVersion": api_version, "time": _STAMP}
    return {
        "name": name,
        "namespace": _NAMESPACE,
        "uid": f"00000000-0000-0000-0000-{index:012}",
        "resourceVersion": str(index + 1),
        "generation": 1,
        "creationTimestamp": _STAMP,
        "managedFields": [{**manager, "fieldsType": "FieldsV1", "fieldsV1": fields}],
    }


def _policy(index: int) -> dict[str, Any]:
    """Give a policy: every other one follows its count immediately, the others have the default algorithm."""
    name = f"s-{index:05}"
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 0,
        "maxReplicas": 10,
        "algorithm": {"mpa": {}} if index % 2 == 0 else {"concurrency": {"stableWindow": "6s", "panicWindow": "10%"}},
        "scaleDown": {"toZeroDelay": "30s"},
        "traffic": {"hosts": [f"{name}.example.com"], "port": 8080},
    }
    return {"metadata": _metadata(index, "inflight.dev/v1alpha1", "f:maxReplicas"), "spec": spec}


def _replica_set(index: int) -> dict[str, Any]:
    """Give the metadata, as only that is requested."""
    metadata = _metadata(index, "apps/v1", "f:replicas")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True}
    owner |= {"name": metadata["name"], "uid": metadata["uid"]}
    return {"metadata": {**metadata, "name": f"{metadata['name']}-6d4cf56db6", "ownerReferences": [owner]}}


def _deployment(index: int) -> dict[str, Any]:
    labels = {"app": f"s-{index:05}"}
    pod = {"containers": [{"name": "main", "image": "none", "resources": {}}], "restartPolicy": "Always"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    conditions = [{"type": each, "status": "True", "reason": "r", "message": "m"} for each in ("Available", "Progress")]
    return {
        "metadata": _metadata(index, "apps/v1", "f:replicas"),
        "spec": spec,
        "status": {"observedGeneration": 1, "conditions": conditions},
    }


@asynccontextmanager
async def prometheus(number: int) -> AsyncIterator[str]:
    """Run a Prometheus stand-in in a process of its own, with a count of zero for every service; give its URL."""
    script = "from benchmarks.cluster_prometheus import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, _NAMESPACE, str(number), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield (await cast("asyncio.StreamReader", process.stdout).readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


class Decided:
    """A recorder that counts services."""

    def __init__(self) -> None:
        self.services: set[ServiceName] = set()

    def __call__(self, record: Record) -> None:
        """Count a service once."""
        self.services.add(record.service)


async def measure(number: int, stages: Stages) -> None:
    """Start with `number` services, and run some idle ticks."""
    clock, rng, api = SystemClock(), random.Random(1), Api(number)  # noqa: S311 - spreads attempts
    wake_ups, idle, decided = WakeUps(), IdleServices(), Decided()
    latest, metrics = Latest(), ControllerMetrics()
    election: Any = SimpleNamespace(leads=lambda: True, run=asyncio.Event().wait)
    whole_api: Any = api
    failures = Failures()
    reporter = Reporter(whole_api, "one", clock.now, election.leads, failures)
    async with AsyncExitStack() as stack:
        registry = ServiceRegistry(await stack.enter_async_context(prometheus(number)), backfills=True)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        source = PrometheusSource(session)
        streams = await stack.enter_async_context(StreamSource(session, clock.now, rng, wake_ups.add))
        target = await stack.enter_async_context(
            ClusterTarget(
                whole_api,
                clock.now,
                rng,
                running=streams.pods,
                leads=election.leads,
                hold_s=300.0,
                reports=reporter,
                on_change=reporter.changed,
            )
        )
        whole = ClusterController(
            ControllerSettings(own_namespace="own", identity="one"),
            api=whole_api,
            registry=registry,
            election=election,
            streams=streams,
            target=target,
            reporter=reporter,
            source=source,
            known_gateways=KnownGateways(clock.now),
            now=clock.now,
            failures=failures,
            budgets=Budgets(registry.services, wake_ups.add),
        )
        on_change = OnChange(lambda _record: None)
        recorders: Sequence[Callable[[Record], None]] = [on_change, latest, metrics, decided, reporter.record]
        controller = Controller(
            registry.services,
            clock=clock,
            target=target.services,
            tick_s=TICK_S,
            metered=source,
            queries=registry.queries,
            idle=idle,
            recorders=recorders,
            on_observations=whole.backfill.saw,
            failures=failures,
        )
        stages.end("made")
        running = asyncio.create_task(whole.run(controller))
        await _until(whole.policies.resources.synced.is_set)
        stages.end("policies read, deciders built")
        await _until(lambda: len(decided.services) == number)
        stages.end("Deployments read, all decided on")
        await _until(lambda: api.statuses >= number and not registry.unwarmed)
        stages.end("statuses written")
        # Work left by the start is done by then.
        await asyncio.sleep(2 * TICK_S)
        gc.collect()
        stages.end("the start's rubbish collected")
        await asyncio.sleep(TICKS * TICK_S)
        stages.end(f"{TICKS} ticks at rest")
        for _ in metrics.text(whole.services, leads=True, failures={}):
            pass
        stages.end("/metrics once")
        running.cancel()
        await asyncio.wait([running])


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - the state of what is measured
            await asyncio.sleep(0.02)


def main() -> None:
    """Measure one size in this process and report."""
    tune_gc()
    stages = Stages()
    number = int(sys.argv[1].replace(",", "")) if sys.argv[1:] else SIZE
    asyncio.run(measure(number, stages))
    report(f"start-{number}", [{"services": number, **row} for row in stages.rows])


if __name__ == "__main__":
    main()
