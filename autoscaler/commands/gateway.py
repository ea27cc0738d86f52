"""Hold, queue and route requests: never more to a pod than its concurrency, held while nothing runs.

With --config FILE the services are ScalingPolicy documents in which `backends: [host:port, ...]` stands in place of
`scaleTargetRef`; the file is read again when it changes, and no request is lost by that. Without it the services are
the ScalingPolicy resources of the cluster, and their pods are watched.
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvloop

from autoscaler.app import gateway_services
from autoscaler.cluster_gateway import cluster_services
from autoscaler.documents import DocumentError
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.request_log import OnEnded, RequestLog
from autoscaler.gateway.serve import serve
from autoscaler.kubernetes.client import ApiError
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
        "--cookie-key",
        type=Path,
        metavar="FILE",
        help="what signs affinity cookies, 16 bytes or more; without it they end with this process",
    )
    parser.add_argument("--port", type=int, required=True, metavar="N", help="for clients")
    parser.add_argument("--metrics-port", type=int, required=True, metavar="N", help="for /metrics and /v1/inflight")
    parser.add_argument("--request-log", type=Path, metavar="FILE", help="append each request, as JSON lines, to it")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 where the file or a port cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with _request_log(arguments.request_log) as on_ended:
            serving = _in_cluster if arguments.config is None else _from_file
            uvloop.run(serving(arguments, on_ended))
    except (DocumentError, ApiError, OSError) as error:
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


async def _from_file(arguments: argparse.Namespace, on_ended: OnEnded | None) -> None:
    config: Path = arguments.config

    def load() -> Mapping[str, GatewayService]:
        return gateway_services(read_policies([config]))

    ports = arguments.port, arguments.metrics_port
    await serve(load, port=ports[0], metrics_port=ports[1], config=config, on_ended=on_ended)


async def _in_cluster(arguments: argparse.Namespace, on_ended: OnEnded | None) -> None:
    ports = arguments.port, arguments.metrics_port
    async with cluster_services(arguments.namespace) as services:
        await serve(services.load, port=ports[0], metrics_port=ports[1], follow=services.follow, on_ended=on_ended)
