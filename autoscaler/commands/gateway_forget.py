"""Remove a gateway that has ended from the roster, where the others cannot know that it has.

The others then give its slots to other requests, after the time for which they hold the slots of a lost gateway. Be
sure that it has ended: if it still runs, pods may get more than their limit. In a cluster, and if the gateways share a
machine, they find out by themselves.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from autoscaler.app.gateway_peers import forget
from autoscaler.commands.options import own_namespace
from autoscaler.gateway.peers.roster_store import RosterUnavailableError
from autoscaler.kubernetes.client import ApiError

EXIT_STATUS = {0: "it is in the roster no more", 2: "there is no such gateway, or the roster cannot be used"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the name and where the roster is."""
    parser.add_argument("name", metavar="NAME", help="the gateway's --name; in a cluster the name of its pod")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--roster", type=Path, metavar="FILE", help="the gateways' file (the cluster's Lease)")
    where.add_argument(
        "--namespace", default=own_namespace(), metavar="NAMESPACE", help="in a cluster: the gateways' (this pod's)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the roster without the gateway; 2 if that is not possible."""
    try:
        asyncio.run(forget(arguments.name, arguments.roster, arguments.namespace))
    except (ApiError, RosterUnavailableError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{arguments.name} is in the roster no more")
    return 0
