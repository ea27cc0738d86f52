"""Everything that a run of the demo needs, started and stopped together: gateway, Prometheus, replicas, controller."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from autoscaler.app.gateway_config import gateway_services
from autoscaler.app.local import controller
from autoscaler.app.page import controller_page, live_services
from autoscaler.controller.controller import Controller
from autoscaler.controller.metrics import ControllerMetrics
from autoscaler.controller.recorders import DecisionLog, Latest, log_changes
from autoscaler.controller.status_http import serve_status
from autoscaler.demo.plan import Plan
from autoscaler.demo.prometheus import prometheus
from autoscaler.demo.timeline import SAMPLE_EVERY_S, RunRecorder, Snapshot
from autoscaler.gateway.request_log import RequestRecord
from autoscaler.gateway.server import GatewayServer
from autoscaler.page.address import PageAddress
from autoscaler.runtime import programs
from autoscaler.runtime.clock import SystemClock
from autoscaler.runtime.prometheus_text import Exposition
from autoscaler.targets.local import LocalProcesses, Router
from autoscaler.targets.local_replica import Lifetimes

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts."""

    address: str
    """The gateway's address."""
    counts: str
    """The sources of counts, as text."""
    status: str
    """The address of the controller's status."""
    metrics: str
    """The address of the gateway's metrics."""
    prometheus: str | None
    """The address of Prometheus; None if it is not installed."""
    page: str
    """The address of the page; empty if there is none."""
    target: LocalProcesses
    recorder: RunRecorder


@asynccontextmanager
async def staged(plan: Plan, folder: Path, port: int, page: PageAddress | None = None) -> AsyncIterator[Stage]:
    """Run all parts while the block runs.

    Args:
        plan: what is run, already at its speed.
        folder: for logs, decisions and Prometheus' data; those of the last run are removed.
        port: the gateway's port; 0 takes a free one.
        page: where the page listens; None is no page.

    Raises:
        OSError: the port is in use.
        PrometheusError: Prometheus is installed and does not start.
    """
    service = plan.policy.service
    clock, latest = SystemClock(), Latest()
    live = live_services(clock.now, plan.tick_s)
    _clear(folder)
    async with AsyncExitStack() as stack:
        ended: list[RequestRecord] = []
        gateway = GatewayServer(gateway_services([plan.policy]), on_ended=ended.append)
        await gateway.start(port=port, metrics_port=0, hosts=[HOST])
        metrics = f"{HOST}:{gateway.metrics_port}"
        stack.push_async_callback(gateway.stop)
        target = await stack.enter_async_context(_replicas(plan, folder, gateway))
        decisions, running = ControllerMetrics(), list[Controller]()

        def scraped(form: Exposition) -> Iterator[bytes]:
            accounting = running[0].accounting if running else None
            return decisions.text({service}, leads=True, failures={}, accounting=accounting, form=form)

        status = await stack.enter_async_context(serve_status(latest, 0, metrics=scraped))
        targets = {"gateway": metrics, "controller": status.removeprefix("http://")}
        server, counts = await _prometheus(stack, folder, targets)
        dispatcher = gateway.dispatcher(service)

        async def snapshot() -> Snapshot:
            fleet = (await target.observe([service]))[service]
            return Snapshot(fleet, len(target.processes()), dispatcher.running, dispatcher.queued)

        recorder = RunRecorder(snapshot, clock.now, ended)
        log = stack.enter_context(_opened(folder / "decisions.jsonl"))
        control, streams = await stack.enter_async_context(
            controller(
                [plan.policy],
                clock=clock,
                target=target,
                gateways=[metrics],
                prometheus=server,
                tick_s=plan.tick_s,
                recorders=[log_changes, latest, decisions, recorder.record, live],
                log=DecisionLog(log),
                on_observations=live.observed,
            )
        )
        shown = page and controller_page(
            live,
            control,
            page,
            policy={plan.policy.service: plan.policy}.get,
            gateways=lambda: [metrics],
            tick_s=plan.tick_s,
        )
        shown_at = await stack.enter_async_context(shown) if shown else ""
        running.append(control)
        await stack.enter_async_context(beside(control.run()))
        await stack.enter_async_context(beside(recorder.watch()))
        # Earlier requests would be seen only when the gateway first reports, perhaps some ticks later.
        while streams.awaited(clock.now()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(SAMPLE_EVERY_S)
        yield Stage(
            address=f"http://{HOST}:{gateway.port}",
            counts=counts,
            status=status,
            metrics=f"http://{metrics}/metrics",
            prometheus=server,
            page=shown_at,
            target=target,
            recorder=recorder,
        )


def _replicas(plan: Plan, folder: Path, gateway: GatewayServer) -> LocalProcesses:
    """Build the target: its replicas are fake pods, and the gateway is its router."""
    dispatcher = gateway.dispatcher(plan.policy.service)
    router = Router(
        running=lambda _service, replica: dispatcher.running_on(replica),
        on_starting=gateway.expect_backend,
        on_ready=gateway.add_backend,
        on_leaving=gateway.drain_backend,
        on_gone=gateway.remove_backend,
    )
    command = [
        *(sys.executable, "-m", "autoscaler.demo.fake_pod", "--port", "{port}", "--seed", f"{plan.seed}{{number}}"),
        *("--concurrency", str(plan.policy.spec.container_concurrency)),
        *("--service-time", str(plan.service_time), "--cold-start", str(plan.cold_start)),
    ]
    return LocalProcesses(
        {plan.policy.service: command}, router, folder / "replicas", Lifetimes().scaled(1 / plan.speed)
    )


async def _prometheus(stack: AsyncExitStack, folder: Path, targets: Mapping[str, str]) -> tuple[str | None, str]:
    """Start Prometheus if it is installed; gives its address, and the sources of counts as text."""
    program = programs.find("prometheus")
    if program is None:
        return None, "the gateway's stream alone (no Prometheus found; `make programs` installs one)"
    server = await stack.enter_async_context(prometheus(program, folder / "prometheus", targets))
    return server, f"Prometheus ({program}) and the gateway's stream"


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a task beside the block; its error ends the block, and the end of the block cancels it."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with path.open("w") as file:
        yield file


def _clear(folder: Path) -> None:
    """Remove the files of the last run, and no other file in the folder."""
    for name in ("replicas", "prometheus"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "replicas").mkdir(parents=True)
