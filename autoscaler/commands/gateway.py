"""Run the gateway: hold, queue and route requests, and never send a pod more than its concurrency limit.

The services are the ScalingPolicy documents of --config FILE, or without it the ScalingPolicy resources of the cluster.
A changed file is reloaded without losing requests. A service with `backends: [host:port, ...]` has exactly these
backends. For any other service the gateway watches the pods of its `scaleTargetRef`, which needs a cluster. Each option
can also be set in the environment: --keep-alive is INFLIGHT_KEEP_ALIVE. Separate the values of a repeatable option by
commas there.

Several gateways that serve the same pods need each other's addresses (--peers, or --peer-port in a cluster): then
together they never send a pod more than its limit. `autoscaler gateway forget NAME` removes one that has ended, if the
others cannot know that.

SIGTERM and Ctrl-C end it after open requests are served. SIGHUP reloads files and reopens logs. SIGUSR1 reopens logs.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NotRequired, TypedDict

import uvloop

from autoscaler.app.cluster_gateway import cluster_services, file_services, need_pods
from autoscaler.app.gateway_config import gateway_services
from autoscaler.app.gateway_page import gateway_page
from autoscaler.app.gateway_peers import PeerOptions, gateway_peers
from autoscaler.commands.options import (
    adder,
    duration,
    memory,
    own_namespace,
    page_address,
    ratio,
    receiver,
    span_export,
    whole_number,
)
from autoscaler.documents.document import DocumentError
from autoscaler.gateway.affinity import derived_keys, read_keys
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.http.clients import ClientLimits
from autoscaler.gateway.http.framing import HeadLimits
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.lifecycle import ShutdownTimeouts, serve
from autoscaler.gateway.overload import Overload
from autoscaler.gateway.peers.runner import PeerRunner
from autoscaler.gateway.reporting.metrics import LOST_LOG_LINES, LOST_REQUEST_LOG_LINES, LOST_SPANS
from autoscaler.gateway.request_log import RequestLog
from autoscaler.gateway.server import GatewayServer
from autoscaler.gateway.tracing import Tracing, exported
from autoscaler.kubernetes.client import ApiError
from autoscaler.policy.host_claims_file import read_grants
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.runtime.background_writer import BackgroundWriter
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.descriptors import for_clients, raise_limit
from autoscaler.runtime.logs import log_to_stderr
from autoscaler.runtime.memory import limit_bytes
from autoscaler.runtime.signals import ignore_hangups

_BODIES_PART, _BACKLOGS_PART = 4, 16
"""Parts of the memory limit: a quarter for bodies of held requests, a sixteenth for unread responses."""
EXIT_STATUS = {0: "it has drained and ended after a signal", 2: "a file or a port cannot be used, or a file is invalid"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, each with its environment variable."""
    add = adder(parser)
    add("--config", type=Path, metavar="FILE", help="ScalingPolicy documents (the cluster's resources)")
    add("--namespace", default="", help="in a cluster: policies of this namespace only (all)")
    add(
        "--trusted-proxies",
        type=networks,
        default=(),
        metavar="CIDR,...",
        help="networks whose X-Forwarded headers are trusted (none)",
    )
    add(
        "--underscores",
        choices=("drop", "pass"),
        default="drop",
        help="drop or pass request headers with _ in their names, which some servers read as - (drop)",
    )
    add(
        "--cookie-key",
        type=Path,
        metavar="FILE",
        help="keys of affinity cookies, one per line: the first signs, all are accepted (a random key of this process)",
    )
    add(
        "--grace",
        type=duration,
        default=ShutdownTimeouts().grace_s,
        metavar="DURATION",
        help="how long open requests may still take after SIGTERM (20s)",
    )
    add(
        "--host-claims",
        type=Path,
        metavar="FILE",
        help="which namespaces may claim which hosts (free hosts; under a wildcard, if its namespace permits)",
    )
    add(
        "--metrics-host",
        action="append",
        metavar="ADDRESS",
        help="address to listen on for the metrics port; repeatable (as --host)",
    )
    add(
        "--keep-alive",
        type=duration,
        default=ClientLimits().keep_alive_s,
        metavar="DURATION",
        help="how long an idle client connection stays open; more than the idle timeout of a load balancer (620s)",
    )
    add(
        "--memory-limit",
        type=memory,
        default=limit_bytes(),
        metavar="AMOUNT",
        help="memory it may use, such as 1Gi; at 80%% of it new requests are refused (the container's limit)",
    )
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="bearer tokens, one per line: the metrics port requires one of them (none)",
    )
    add(
        "--host",
        action="append",
        metavar="ADDRESS",
        help="address to listen on for clients; repeatable (all addresses)",
    )
    add("--port", type=int, required=True, metavar="N", help="port for clients")
    add("--metrics-port", type=int, required=True, metavar="N", help="port for /metrics and /v1/inflight")
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
        help="send spans to this receiver of OpenTelemetry (OTLP/HTTP), such as http://collector:4318 (that of"
        " OTEL_EXPORTER_OTLP_ENDPOINT, else no spans)",
    )
    add(
        "--trace-ratio",
        type=ratio,
        default=1.0,
        metavar="RATIO",
        help="with traces: how many of the requests without a trace of their own get one, from 0 to 1 (1)",
    )
    add("--request-log", type=Path, metavar="FILE", help="append a JSON line for each request to this file")
    _add_peer_options(add)


def _add_peer_options(add: Callable[..., None]) -> None:
    add("--name", metavar="NAME", help="with --peers: which of them this gateway is")
    add(
        "--peers",
        metavar="PEERS",
        help="all gateways that serve the same pods, as a file with lines `name host:port` or as name=host:port,...;"
        " a file is read again when it changes (this gateway serves alone)",
    )
    add(
        "--roster",
        type=Path,
        metavar="FILE",
        help="with --peers: the file in which the gateways keep who of them is there (CONFIG.roster beside --config)",
    )
    add(
        "--peer-key",
        type=Path,
        metavar="FILE",
        help="secrets by which the gateways know each other, one per line: the first proves, all are accepted (loopback"
        " only; in a cluster the Secret inflight-gateway-peers, which the first gateway creates)",
    )
    add(
        "--peer-port",
        type=whole_number(1, 65535),
        metavar="N",
        help="in a cluster: port for the other gateways, at $POD_IP (this gateway serves alone)",
    )
    add("--own-namespace", default=own_namespace(), help="with --peer-port: the gateways' namespace (this pod's)")


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read networks separated by commas; argparse uses this name in its message."""
    return tuple(ip_network(part.strip()) for part in text.split(","))


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 if a file or a port cannot be used."""
    log = log_to_stderr()
    ignore_hangups()
    try:
        with (
            _request_log(arguments.request_log) as request_log,
            span_export(arguments.traces, "inflight-gateway") as spans,
        ):
            keys = read_keys(arguments.cookie_key) if arguments.cookie_key else ()
            limits = _limits(arguments, raise_limit())

            def build(services: Mapping[str, GatewayService], peers: PeerRunner | None) -> GatewayServer:
                gateway = GatewayServer(
                    services,
                    keys=keys or derived_keys(peers.keys if peers else ()),
                    peers=peers,
                    limits=limits,
                    trusted_proxies=arguments.trusted_proxies,
                    on_ended=exported(spans, request_log) if spans else request_log,
                    tracing=Tracing(arguments.trace_ratio) if spans else None,
                    **_memory(arguments.memory_limit),
                )
                gateway.process_metrics += [
                    (LOST_LOG_LINES, lambda: log.lost),
                    (LOST_REQUEST_LOG_LINES, lambda: request_log.writer.lost if request_log else 0),
                    (LOST_SPANS, lambda: spans.lost if spans else 0),
                ]
                return gateway

            uvloop.run(_serve(arguments, build, (request_log.writer.reopen,) if request_log else ()))
    except (DocumentError, ApiError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _limits(arguments: argparse.Namespace, descriptors: int) -> ClientLimits:
    return ClientLimits(
        HeadLimits(underscores=arguments.underscores == "pass"),
        keep_alive_s=arguments.keep_alive,
        connections=min(ClientLimits().connections, for_clients(descriptors)),
    )


class _Memory(TypedDict):
    """The gateway's arguments that follow from a memory limit."""

    overload: Overload
    body_budget: NotRequired[MemoryBudget]
    backlog_budget: NotRequired[MemoryBudget]


def _memory(limit: int | None) -> _Memory:
    if limit is None:
        return _Memory(overload=Overload())
    return _Memory(
        overload=Overload(limit),
        body_budget=MemoryBudget(limit // _BODIES_PART),
        backlog_budget=MemoryBudget(limit // _BACKLOGS_PART),
    )


@contextmanager
def _request_log(path: Path | None) -> Iterator[RequestLog | None]:
    if path is None:
        yield None
        return
    writer = BackgroundWriter(path, "the request log")
    try:
        yield RequestLog(writer)
    finally:
        writer.close()


async def _serve(
    arguments: argparse.Namespace, build: Callable[..., GatewayServer], reopen: Sequence[Callable[[], None]]
) -> None:
    config: Path | None = arguments.config
    claims: Path | None = arguments.host_claims
    tokens = BearerTokens(arguments.token_file) if arguments.token_file else None
    async with gateway_peers(_peer_options(arguments), config) as peers:
        serve_services = partial(
            serve,
            port=arguments.port,
            metrics_port=arguments.metrics_port,
            build=partial(build, peers=peers),
            shutdown=ShutdownTimeouts(grace_s=arguments.grace),
            hosts=arguments.host,
            metrics_hosts=arguments.metrics_host or None,
            cookie_keys=arguments.cookie_key,
            tokens=tokens,
            reopen=reopen,
            page=partial(gateway_page, address=arguments.page, tokens=tokens) if arguments.page else None,
        )
        if config is not None and not need_pods(_policies(config, claims)):
            await serve_services(partial(_load, config, claims), config=config)
            return
        found = cluster_services(arguments.namespace, claims) if config is None else file_services(config, claims)
        async with found as services:
            await serve_services(services.load, follow=services.follow, recheck=services.recheck)


def _peer_options(arguments: argparse.Namespace) -> PeerOptions:
    return PeerOptions(
        name=arguments.name,
        peers=arguments.peers,
        roster=arguments.roster,
        key=arguments.peer_key,
        port=arguments.peer_port,
        own_namespace=arguments.own_namespace,
    )


def _policies(config: Path, claims: Path | None) -> list[ScalingPolicy]:
    return read_policies([config], read_grants(claims))


def _load(config: Path, claims: Path | None) -> Mapping[str, GatewayService]:
    policies = _policies(config, claims)
    if services := need_pods(policies):
        # Its pods are not watched, and requests would wait for ever.
        raise ValueError(f"{config}: {services[0]} has no backends; to watch pods, restart the gateway")
    return gateway_services(policies)
