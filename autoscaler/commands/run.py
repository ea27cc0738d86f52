"""Run the controller in a cluster: keep every service's replicas at what its policy says.

Policies are ScalingPolicy resources, files that are read again when they change, or both. Of several controllers the
holder of the Lease writes; the others decide on the same data, ready to go on. Every option can be set in the
environment too: --gateway-label is INFLIGHT_GATEWAY_LABEL; where one can be repeated, commas part the values.
"""

import argparse
import asyncio
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from autoscaler.app.cluster_controller import cluster_controller
from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.commands.options import adder, duration, flag
from autoscaler.controller.metrics import ControllerMetrics
from autoscaler.controller.recorders import DecisionLog, Latest, OnChange, log_changes
from autoscaler.controller.status_http import serve_status
from autoscaler.documents.document import DocumentError
from autoscaler.documents.prometheus_address import checked
from autoscaler.kubernetes.client import ApiError
from autoscaler.ports import Recorder
from autoscaler.runtime.background_writer import BackgroundWriter
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.clock import SystemClock
from autoscaler.runtime.descriptors import raise_limit
from autoscaler.runtime.gc_tuning import tune_gc
from autoscaler.runtime.logs import log_to_stderr
from autoscaler.runtime.signals import follow_hangups, ignore_hangups

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def server(text: str) -> str:
    """Read the address of a Prometheus server; a message never repeats it, as it may have a password in it."""
    try:
        return checked(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def servers(text: str) -> tuple[str, ...]:
    """Read addresses with commas between them."""
    return tuple(server(each.strip()) for each in text.split(",") if each.strip())


EXIT_STATUS = {
    0: "it has ended after a signal",
    2: "it cannot start: a file or a port cannot be used, or the API server refuses it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, each with its environment name."""
    add = adder(parser)
    add("--policy", type=Path, action="append", metavar="FILE", help="ScalingPolicy documents; can be repeated")
    add("--resources", type=flag, default=True, metavar="BOOL", help="read ScalingPolicy resources (true)")
    add("--namespace", default="", help="watch policies of this namespace only (all)")
    add("--host-claims", type=Path, metavar="FILE", help="which namespaces may claim which hosts (what is free)")
    add("--prometheus", type=server, metavar="URL", help="server of policies that name none")
    add("--prometheus-servers", type=servers, default="", metavar="URL,...", help="more that policies may name (none)")
    add(
        "--prometheus-credentials",
        type=Path,
        metavar="FILE",
        help="servers that policies may name, and who we are to those that ask (none)",
    )
    add("--tick", type=duration, default=2.0, help="between two decisions (2s)")
    add("--gateway-label", default="", metavar="SELECTOR", help="labels of the gateways' pods, in our own namespace")
    add("--gateway", action="append", metavar="ADDRESS", help="metrics address of a gateway that is no pod; repeatable")
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="bearer tokens, one a line: shown to gateways, asked for by --port (none)",
    )
    add("--foreign-writer-hold", type=duration, default=300.0, help="lower nothing so long after another writer (5m)")
    add("--own-namespace", default=_own_namespace(), help="of the Lease and the gateways (that of this pod)")
    add("--identity", default=_identity(), help="name among the controllers (pod name and a random part)")
    add("--port", type=int, default=8080, metavar="N", help="for /status, /metrics, /healthz and /readyz (8080)")
    add("--host", action="append", metavar="ADDRESS", help="where it is listened to; repeatable (all addresses)")
    add("--decisions", type=Path, metavar="FILE", help="write every decision there, as lines of JSON for replay")


def _own_namespace() -> str:
    return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else "default"


def _identity() -> str:
    return f"{socket.gethostname()}-{secrets.token_hex(3)}"


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C; 2 where it cannot start."""
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
    """Run until SIGTERM or Ctrl-C, with recorders besides the usual ones; raises what keeps it from starting."""
    latest, metrics = Latest(), ControllerMetrics()
    recorders: list[Recorder] = [OnChange(log_changes), latest, metrics, *more]
    async with AsyncExitStack() as stack:
        writer = stack.enter_context(_writer(arguments.decisions)) if arguments.decisions else None
        log = DecisionLog(writer) if writer else None
        settings = _settings(arguments)
        whole, controller = await stack.enter_async_context(cluster_controller(settings, SystemClock(), recorders, log))
        latest.only(whole.services)
        await stack.enter_async_context(
            serve_status(
                latest,
                arguments.port,
                arguments.host,
                unready=whole.unready,
                metrics=lambda: metrics.text(
                    whole.services,
                    leads=whole.leads(),
                    failures=controller.recording.failures,
                    of_services=controller.failures.counts,
                ),
                tokens=settings.tokens,
            )
        )
        # At ten thousand services it would be half of a start.
        tune_gc()
        follow_hangups((writer.reopen, log.begin_file) if writer and log else (), whole.recheck)
        await _until_told(whole.run(controller))


@contextmanager
def _writer(path: Path) -> Iterator[BackgroundWriter]:
    writer = BackgroundWriter(path, f"the decision log {path}")
    try:
        yield writer
    finally:
        writer.close()


async def _until_told(running: Any) -> None:
    """Run until SIGTERM or SIGINT; what ends by itself has failed, and its error comes out."""
    task = asyncio.ensure_future(running)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
