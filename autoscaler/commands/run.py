"""Run the controller in a cluster: scale each service by its policy.

Policies are ScalingPolicy resources, files that are reloaded when they change, or both. Of several controllers only the
holder of the Lease writes; the others decide on the same data, ready to take over. Each option can also be set in the
environment: --gateway-label is INFLIGHT_GATEWAY_LABEL. Separate the values of a repeatable option by commas there.
"""

import argparse
import asyncio
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from autoscaler.app.cluster_controller import ClusterController, cluster_controller
from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.app.page import controller_page, live_services
from autoscaler.commands.options import adder, duration, flag, own_namespace, page_address, receiver, span_export
from autoscaler.controller.controller import Controller
from autoscaler.controller.metrics import ControllerMetrics
from autoscaler.controller.recorders import DecisionLog, Latest, OnChange, log_changes
from autoscaler.controller.start_spans import StartSpans
from autoscaler.controller.status_http import serve_status
from autoscaler.documents.document import DocumentError
from autoscaler.documents.prometheus_address import checked
from autoscaler.kubernetes.client import ApiError
from autoscaler.page.address import PageAddress
from autoscaler.page.live import Live
from autoscaler.ports import Recorder
from autoscaler.runtime.background_writer import BackgroundWriter
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.clock import SystemClock
from autoscaler.runtime.descriptors import raise_limit
from autoscaler.runtime.gc_tuning import tune_gc
from autoscaler.runtime.logs import log_to_stderr
from autoscaler.runtime.signals import follow_hangups, ignore_hangups


def server(text: str) -> str:
    """Read the address of a Prometheus server; a message never repeats it, because it may contain a password."""
    try:
        return checked(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def servers(text: str) -> tuple[str, ...]:
    """Read addresses separated by commas."""
    return tuple(server(each.strip()) for each in text.split(",") if each.strip())


EXIT_STATUS = {
    0: "it has ended after a signal",
    2: "it cannot start: a file or a port cannot be used, or the API server refuses it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, each with its environment variable."""
    add = adder(parser)
    add("--policy", type=Path, action="append", metavar="FILE", help="ScalingPolicy documents; repeatable")
    add("--resources", type=flag, default=True, metavar="BOOL", help="read ScalingPolicy resources (true)")
    add("--namespace", default="", help="only policies of this namespace (all)")
    add("--host-claims", type=Path, metavar="FILE", help="which namespaces may claim which hosts (free hosts)")
    add("--prometheus", type=server, metavar="URL", help="Prometheus server of policies that name none")
    add(
        "--prometheus-servers",
        type=servers,
        default="",
        metavar="URL,...",
        help="other servers that policies may name (none)",
    )
    add(
        "--prometheus-credentials",
        type=Path,
        metavar="FILE",
        help="servers that policies may name, with authentication and TLS (none)",
    )
    add("--tick", type=duration, default=2.0, help="time between two decisions (2s)")
    add(
        "--gateway-label",
        default="",
        metavar="SELECTOR",
        help="label selector of the gateways' pods, in the controller's namespace",
    )
    add(
        "--gateway",
        action="append",
        metavar="ADDRESS",
        help="metrics address of a gateway that is not a pod; repeatable",
    )
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="bearer tokens, one per line: sent to gateways, required on --port (none)",
    )
    add("--foreign-writer-hold", type=duration, default=300.0, help="hold this long after another writer's change (5m)")
    add("--own-namespace", default=own_namespace(), help="namespace of the Lease and the gateways (this pod's)")
    add("--identity", default=_identity(), help="unique name of this controller (pod name and a random part)")
    add("--port", type=int, default=8080, metavar="N", help="port for /status, /metrics, /healthz and /readyz (8080)")
    add("--host", action="append", metavar="ADDRESS", help="address to listen on; repeatable (all addresses)")
    add(
        "--page",
        type=page_address,
        metavar="ADDRESS",
        help="serve the page there, as host:port, or :port for this machine only (no page)",
    )
    add(
        "--traces",
        type=receiver,
        metavar="URL",
        help="send spans of pods' starts to this receiver of OpenTelemetry (OTLP/HTTP), such as http://collector:4318"
        " (that of OTEL_EXPORTER_OTLP_ENDPOINT, else no spans)",
    )
    add(
        "--decisions",
        type=Path,
        metavar="FILE",
        help="decision log: append every decision to this file, as JSON lines for replay",
    )


def _identity() -> str:
    return f"{socket.gethostname()}-{secrets.token_hex(3)}"


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C; 2 if it cannot start."""
    log_to_stderr()
    ignore_hangups()
    raise_limit()
    problems: list[BaseException] = []
    try:
        asyncio.run(serve(arguments))
    except* (DocumentError, ApiError, OSError) as group:
        problems += _flat(group)
    for problem in problems:
        print(f"run: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _flat(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _flat(each)
    else:
        yield error


def _settings(arguments: argparse.Namespace) -> ControllerSettings:
    return ControllerSettings(
        own_namespace=arguments.own_namespace,
        identity=arguments.identity,
        namespace=arguments.namespace,
        resources=arguments.resources,
        files=tuple(arguments.policy),
        host_claims=arguments.host_claims,
        prometheus=arguments.prometheus,
        prometheus_credentials=arguments.prometheus_credentials,
        prometheus_servers=arguments.prometheus_servers,
        tick_s=arguments.tick,
        gateways=tuple(arguments.gateway),
        gateway_label=arguments.gateway_label,
        foreign_writer_hold_s=arguments.foreign_writer_hold,
        tokens=BearerTokens(arguments.token_file) if arguments.token_file else None,
    )


async def serve(arguments: argparse.Namespace, *more: Recorder) -> None:
    """Run until SIGTERM or Ctrl-C, with more recorders; raises DocumentError, ApiError or OSError."""
    latest, metrics = Latest(), ControllerMetrics()
    recorders: list[Recorder] = [OnChange(log_changes), latest, metrics, *more]
    async with AsyncExitStack() as stack:
        writer = stack.enter_context(_writer(arguments.decisions)) if arguments.decisions else None
        log = DecisionLog(writer) if writer else None
        spans = stack.enter_context(span_export(arguments.traces, "inflight-controller"))
        settings, clock = _settings(arguments), SystemClock()
        live = live_services(clock.now, settings.tick_s) if arguments.page else None
        whole, controller = await stack.enter_async_context(
            cluster_controller(
                settings, clock, [*recorders, live] if live else recorders, log, live.observed if live else _ignore
            )
        )
        latest.only(whole.services)
        if spans is not None and controller.accounting is not None:
            controller.recording.add(StartSpans(spans.offer, starts=controller.accounting.starts, leads=whole.leads))
        if live is not None:
            await stack.enter_async_context(_page(live, controller, whole, settings, arguments.page))
        await stack.enter_async_context(
            serve_status(
                latest,
                arguments.port,
                arguments.host,
                unready=whole.unready,
                metrics=lambda form: metrics.text(
                    whole.services,
                    leads=whole.leads(),
                    failures=controller.recording.failures,
                    of_services=controller.failures.counts,
                    accounting=controller.accounting,
                    lost_spans=spans.lost if spans else 0,
                    form=form,
                ),
                tokens=settings.tokens,
            )
        )
        # At ten thousand services the collector would take half of the start.
        tune_gc()
        follow_hangups((writer.reopen, log.begin_file) if writer and log else (), whole.recheck)
        await _until_signal(whole.run(controller))


def _ignore(_observations: object) -> None: ...


def _page(
    live: Live, controller: Controller, whole: ClusterController, settings: ControllerSettings, address: PageAddress
) -> AbstractAsyncContextManager[str]:
    return controller_page(
        live,
        controller,
        address,
        policy=whole.policy,
        gateways=lambda: whole.gateway_addresses,
        tick_s=settings.tick_s,
        ask_past=whole.past,
        leads=whole.leads,
        leader=lambda: whole.leader,
        tokens=settings.tokens,
    )


@contextmanager
def _writer(path: Path) -> Iterator[BackgroundWriter]:
    writer = BackgroundWriter(path, f"the decision log {path}")
    try:
        yield writer
    finally:
        writer.close()


async def _until_signal(running: Any) -> None:
    """Run until SIGTERM or SIGINT; if it ends earlier, its error is raised."""
    task = asyncio.ensure_future(running)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
