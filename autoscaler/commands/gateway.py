"""Hold, queue and route requests: never more to a pod than its concurrency, held while nothing runs.

With --config FILE the services are ScalingPolicy documents in which `backends: [host:port, ...]` stands in place of
`scaleTargetRef`; the file is read again when it changes, and no request is lost by that.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from autoscaler.app import gateway_services
from autoscaler.documents import DocumentError
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.serve import serve
from autoscaler.validation import read_policies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and the ports."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="ScalingPolicy documents")
    parser.add_argument("--port", type=int, required=True, metavar="N", help="for clients")
    parser.add_argument("--metrics-port", type=int, required=True, metavar="N", help="for /metrics and /v1/inflight")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 where the file or a port cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config: Path = arguments.config

    def load() -> Mapping[str, GatewayService]:
        return gateway_services(read_policies([config]))

    try:
        asyncio.run(serve(load, port=arguments.port, metrics_port=arguments.metrics_port, config=config))
    except (DocumentError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0
