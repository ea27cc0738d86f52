"""Run the main job on this machine: from zero to five replicas and back under the reference load.

Starts a gateway, a controller, replicas that stand in for the Stable Diffusion web UI, and Prometheus where one is
found; sends 50 requests from 5 clients, and prints what came of it. Exit status 0 only if every request was answered,
no replica was given two at once, the peak was as expected and in time, and everything is back at zero.
"""

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path

from algorithms.distributions import parse
from autoscaler.demo.live import Options, live
from autoscaler.demo.load import LoadError
from autoscaler.demo.plan import COLD_START, SERVICE_TIME, Plan, faster
from autoscaler.demo.prometheus import PrometheusError
from autoscaler.demo.report import Expected, render, to_json, verdict
from autoscaler.documents import DocumentError
from autoscaler.policy import ScalingPolicy
from autoscaler.validation import read_policies

POLICY = Path(__file__).parents[1] / "demo" / "policy.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be changed."""
    add = parser.add_argument
    add("--speed", type=float, default=10.0, help="divide every duration by this; 1 is real time (10)")
    add("--policy", type=Path, default=POLICY, help="a ScalingPolicy with traffic (the reference service)")
    add("-n", "--requests", type=int, default=50, help="requests in all (50)")
    add("-c", "--workers", type=int, default=5, help="clients, each with one request at a time (5)")
    add("--service-time", type=parse, default=SERVICE_TIME, metavar="DIST", help=f"seconds of work ({SERVICE_TIME})")
    add("--cold-start", type=parse, default=COLD_START, metavar="DIST", help=f"seconds to start ({COLD_START})")
    add("--tick", type=float, default=2.0, help="seconds between two decisions (2)")
    add("--seed", type=int, default=1, help="of all that is drawn (1)")
    add("--port", type=int, default=0, help="of the gateway (a free one)")
    add("--folder", type=Path, default=Path("build/demo"), help="for logs and decisions (build/demo)")
    add("--json", type=Path, metavar="FILE", help="write all of the result here")
    add("--keep", action="store_true", help="leave it running after the load, until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 passed, 1 failed, 2 could not be run."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        plan = _plan(arguments)
        options = Options(arguments.folder, arguments.port, keep=arguments.keep)
        result = asyncio.run(live(plan, options, print))
    except (DocumentError, PrometheusError, LoadError, ValueError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    expected = Expected(plan.requests, min(plan.workers, plan.policy.spec.max_replicas))
    print(f"\n{render(result, expected)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(to_json(result, expected), indent=1) + "\n")
    return 1 if verdict(result, expected) else 0


def _plan(arguments: argparse.Namespace) -> Plan:
    policies = read_policies([arguments.policy])
    plan = Plan(
        policy=_single(policies),
        requests=arguments.requests,
        workers=arguments.workers,
        service_time=arguments.service_time,
        cold_start=arguments.cold_start,
        tick_s=arguments.tick,
        seed=arguments.seed,
    )
    return faster(plan, arguments.speed)


def _single(policies: list[ScalingPolicy]) -> ScalingPolicy:
    if len(policies) != 1 or policies[0].spec.traffic is None:
        raise ValueError("--policy: must be one ScalingPolicy with spec.traffic, for the gateway routes the requests")
    return policies[0]
