"""Hold, queue and route requests: never more to a pod than its concurrency, held while nothing runs.

With --config FILE the services are ScalingPolicy documents in which `backends: [host:port, ...]` stands in place of
`scaleTargetRef`; the file is read again when it changes, and no request is lost by that. Without it the services are
the ScalingPolicy resources of the cluster, and their pods are watched.
"""

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from autoscaler.app import gateway_services
from autoscaler.cluster_gateway import cluster_services
from autoscaler.documents import DocumentError
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.serve import serve
from autoscaler.kubernetes.client import ApiError
from autoscaler.validation import read_policies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and the ports."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="ScalingPolicy documents (the cluster's resources)")
    parser.add_argument("--namespace", default="", help="in a cluster: policies of this namespace only (all)")
    parser.add_argument("--port", type=int, required=True, metavar="N", help="for clients")
    parser.add_argument("--metrics-port", type=int, required=True, metavar="N", help="for /metrics and /v1/inflight")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 where the file or a port cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        uvloop.run(_in_cluster(arguments) if arguments.config is None else _from_file(arguments))
    except (DocumentError, ApiError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


async def _from_file(arguments: argparse.Namespace) -> None:
    config: Path = arguments.config

    def load() -> Mapping[str, GatewayService]:
        return gateway_services(read_policies([config]))

    await serve(load, port=arguments.port, metrics_port=arguments.metrics_port, config=config)


async def _in_cluster(arguments: argparse.Namespace) -> None:
    async with cluster_services(arguments.namespace) as services:
        await serve(services.load, port=arguments.port, metrics_port=arguments.metrics_port, follow=services.follow)
