"""A fake pod of the Stable Diffusion web UI: `python -m autoscaler.demo.fake_pod --port N ...`, one process each.

It listens only after its cold start, so that a TCP connection shows its readiness. On the first SIGTERM or SIGINT it
accepts no more requests, finishes running jobs, and prints one line of JSON: each pod's report by its address.
"""

import time

BORN_S = time.monotonic()  # before the slow imports, which a cold start includes

# ruff: noqa: E402
import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence

import numpy as np
from aiohttp import web

from algorithms.distributions import Distribution, parse
from autoscaler.demo.fake_webui import Pods, application

LONGEST_JOB_S = 24 * 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; exit status 1 if the port is in use."""
    return asyncio.run(serve(_parser().parse_args(arguments)))


async def serve(settings: argparse.Namespace) -> int:
    """Wait for the cold start, serve, finish running jobs, and print the report."""
    rng = np.random.default_rng(settings.seed)
    stop = _stop_signal()
    cold_start_s: float = settings.cold_start.sample(rng)
    if await _stopped_within(BORN_S + cold_start_s - time.monotonic(), stop):
        return 0
    pods = Pods(settings.concurrency, lambda: settings.service_time.sample(rng))
    runner = web.AppRunner(application(pods), access_log=None, shutdown_timeout=LONGEST_JOB_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        await stop.wait()
    except OSError as error:
        print(f"cannot listen: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        await runner.cleanup()
    await pods.idle()
    print(json.dumps(pods.reports()), flush=True)
    return 0


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _stopped_within(seconds: float, stop: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            return await stop.wait()
    except TimeoutError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m autoscaler.demo.fake_pod", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--concurrency", type=int, default=1, help="concurrent jobs; more are refused")
    parser.add_argument("--service-time", type=_distribution, default="8", metavar="DIST", help="seconds, e.g. 8")
    parser.add_argument("--cold-start", type=_distribution, default="0", metavar="DIST", help="e.g. 'uniform(20, 50)'")
    parser.add_argument("--seed", type=int, help="seed of both; without it every run differs")
    return parser


def _distribution(text: str) -> Distribution:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
