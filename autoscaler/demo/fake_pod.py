"""A fake pod of the Stable Diffusion web UI: `python -m autoscaler.demo.fake_pod --port N ...`, one process each.

It binds its port only when its cold start is over, so that a TCP connection is its readiness. At the first SIGTERM or
SIGINT it takes nothing more, finishes what runs, and ends with one line of JSON: each pod's report by its address.
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
    """Serve until told to stop; exit status 1 if the port is taken."""
    return asyncio.run(serve(_parser().parse_args(arguments)))


async def serve(settings: argparse.Namespace) -> int:
    """Start cold, serve, finish what runs, report."""
    rng = np.random.default_rng(settings.seed)
    stop = _stop_signal()
    cold_start_s: float = settings.cold_start.sample(rng)
    if await _told_within(BORN_S + cold_start_s - time.monotonic(), stop):
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


async def _told_within(seconds: float, stop: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            return await stop.wait()
    except TimeoutError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m autoscaler.demo.fake_pod", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--concurrency", type=int, default=1, help="jobs at a time; more are refused")
    parser.add_argument("--service-time", type=_distribution, default="8", metavar="DIST", help="seconds, e.g. 8")
    parser.add_argument("--cold-start", type=_distribution, default="0", metavar="DIST", help="e.g. 'uniform(20, 50)'")
    parser.add_argument("--seed", type=int, help="of both; without it, every run differs")
    return parser


def _distribution(text: str) -> Distribution:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
