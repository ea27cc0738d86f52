"""Hold, queue and route requests: never more to a pod than its concurrency, held while nothing runs.

Services are the ScalingPolicy documents of --config FILE, which is read again when it changes, with no request lost by
that; or, without it, the ScalingPolicy resources of the cluster. A service with `backends: [host:port, ...]` has just
these; of any other the pods of its `scaleTargetRef` are watched, which takes a cluster.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import uvloop

from autoscaler.app import gateway_services
from autoscaler.cluster_gateway import cluster_services, file_services, need_pods
from autoscaler.documents import DocumentError
from autoscaler.fields import parse_duration
from autoscaler.gateway.affinity import read_keys
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.edge import EdgeLimits
from autoscaler.gateway.framing import HeadLimits
from autoscaler.gateway.proxy import Gateway
from autoscaler.gateway.request_log import OnEnded, RequestLog
from autoscaler.gateway.serve import Build, Farewell, serve
from autoscaler.host_claims_file import read_grants
from autoscaler.kubernetes.client import ApiError
from autoscaler.logs import log_to_stderr
from autoscaler.policy import ScalingPolicy
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.validation import read_policies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and the ports."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="ScalingPolicy documents (the cluster's resources)")
    parser.add_argument("--namespace", default="", help="in a cluster: policies of this namespace only (all)")
    parser.add_argument(
        "--trusted-proxies",
        type=networks,
        default=(),
        metavar="CIDR,...",
        help="whose X-Forwarded headers are believed (nobody's)",
    )
    parser.add_argument(
        "--underscores",
        choices=("drop", "pass"),
        default="drop",
        help="what becomes of request headers with _ in their names, which some servers read as - (drop)",
    )
    parser.add_argument(
        "--cookie-key",
        type=Path,
        metavar="FILE",
        help="keys of affinity cookies, one a line: the first signs, each is read (cookies end with this process)",
    )
    parser.add_argument(
        "--grace",
        type=duration,
        default=Farewell().grace_s,
        metavar="DURATION",
        help="how long requests may still take when it is told to go (20s)",
    )
    parser.add_argument(
        "--host-claims",
        type=Path,
        metavar="FILE",
        help="which namespaces may claim which hosts (what is free; below a wildcard, by leave of its namespace)",
    )
    parser.add_argument("--port", type=int, required=True, metavar="N", help="for clients")
    parser.add_argument("--metrics-port", type=int, required=True, metavar="N", help="for /metrics and /v1/inflight")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="bearer tokens, one a line: the metrics port asks for one of them (it asks nobody)",
    )
    parser.add_argument("--request-log", type=Path, metavar="FILE", help="append each request, as JSON lines, to it")


def duration(text: str) -> float:
    """Read a duration; argparse names it in its message."""
    return parse_duration(text)


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read networks that commas part; argparse names them in its message."""
    return tuple(ip_network(part.strip()) for part in text.split(","))


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 where a file or a port cannot be used."""
    log_to_stderr()
    try:
        with _request_log(arguments.request_log) as on_ended:
            keys = read_keys(arguments.cookie_key) if arguments.cookie_key else ()
            limits = EdgeLimits(HeadLimits(underscores=arguments.underscores == "pass"))
            build = partial(
                Gateway, keys=keys, limits=limits, trusted_proxies=arguments.trusted_proxies, on_ended=on_ended
            )
            uvloop.run(_serve(arguments, build))
    except (DocumentError, ApiError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


@contextmanager
def _request_log(path: Path | None) -> Iterator[OnEnded | None]:
    if path is None:
        yield None
        return
    with path.open("a", encoding="utf-8") as file:
        yield RequestLog(file)


async def _serve(arguments: argparse.Namespace, build: Build) -> None:
    config: Path | None = arguments.config
    claims: Path | None = arguments.host_claims
    run_until_told = partial(
        serve,
        port=arguments.port,
        metrics_port=arguments.metrics_port,
        build=build,
        farewell=Farewell(grace_s=arguments.grace),
        cookie_keys=arguments.cookie_key,
        tokens=BearerTokens(arguments.token_file) if arguments.token_file else None,
    )
    if config is not None and not need_pods(_policies(config, claims)):
        await run_until_told(partial(_load, config, claims), config=config)
        return
    found = cluster_services(arguments.namespace, claims) if config is None else file_services(config, claims)
    async with found as services:
        await run_until_told(services.load, follow=services.follow)


def _policies(config: Path, claims: Path | None) -> list[ScalingPolicy]:
    return read_policies([config], read_grants(claims))


def _load(config: Path, claims: Path | None) -> Mapping[str, GatewayService]:
    policies = _policies(config, claims)
    if services := need_pods(policies):
        # Nobody would tell of its pods, and requests would wait for ever.
        raise ValueError(f"{config}: {services[0]} has no backends; to watch pods, start the gateway anew")
    return gateway_services(policies)
