"""Run the demo on this machine: from zero to five replicas and back under the reference load.

It starts a gateway, a controller, fake pods of the Stable Diffusion web UI (local processes), and Prometheus if it is
installed. It sends 50 requests from 5 clients and prints a report. The exit status is 0 only if every request was
answered, no pod had two requests at once, the peak was as expected and in time, and everything is back at zero.
"""

import argparse
import asyncio
import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from algorithms.distributions import Distribution, parse
from algorithms.mpa import replicas_for
from autoscaler.commands.options import page_address
from autoscaler.demo.live import Options, live
from autoscaler.demo.load import LoadError
from autoscaler.demo.plan import COLD_START, SERVICE_TIME, Plan, faster
from autoscaler.demo.prometheus import PrometheusError
from autoscaler.demo.report import Expected, RunResult, render, to_json, verdict
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import PolicySpec, ScalingPolicy

POLICY = Path(__file__).parents[1] / "demo" / "policy.yaml"
FASTEST = 100.0
"""At a higher speed a process would take longer to start than its whole cold start."""
EXIT_STATUS = {0: "every check of the run passed", 1: "a check failed", 2: "the demo cannot run"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--speed",
        type=_within(1.0, FASTEST),
        default=10.0,
        help="divide every duration by this number; 1 is real time (10)",
    )
    add("--policy", type=Path, default=POLICY, help="a ScalingPolicy with traffic (the reference service)")
    add("-n", "--requests", type=_within(1, 1_000_000), default=50, help="total number of requests (50)")
    add("-c", "--workers", type=_within(1, 10_000), default=5, help="clients, each with one request at a time (5)")
    add("--service-time", type=_drawn, default=SERVICE_TIME, metavar="DIST", help=f"seconds of work ({SERVICE_TIME})")
    add("--cold-start", type=_drawn, default=COLD_START, metavar="DIST", help=f"seconds to start ({COLD_START})")
    add("--tick", type=_within(0.5, 60.0), default=2.0, help="seconds between two decisions (2)")
    add("--seed", type=_within(0, 2**32), default=1, help="seed of the random numbers (1)")
    add("--port", type=_within(0, 65535), default=0, help="port of the gateway (any free port)")
    add("--page", type=page_address, metavar="ADDRESS", help="serve the page there, as host:port or :port (no page)")
    add("--folder", type=Path, default=Path("build/demo"), help="folder for logs and decisions (build/demo)")
    add("--json", type=Path, metavar="FILE", help="write the complete result to this file")
    add("--html", type=Path, metavar="FILE", help="write a report of the run to this file, as one HTML page")
    add("--plot", type=Path, metavar="FILE", help="draw the run to this file: .png or .svg (needs the extra sim)")
    add("--keep", action="store_true", help="keep running after the load, until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 passed, 1 failed, 2 it cannot run."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        plan = _plan(arguments)
    except ValueError as error:
        return _print_errors(error)
    options = Options(arguments.folder, arguments.port, keep=arguments.keep, page=arguments.page)
    output = _Output(_expected(plan), arguments, _origin(arguments))
    status = 0
    try:
        asyncio.run(live(plan, options, _print, output))
    except* (PrometheusError, LoadError, OSError) as failures:
        status = _print_errors(*_leaves(failures))
    return status or output.status


class _Output:
    """Prints the report of a run, and writes the result to the files that are named."""

    def __init__(self, expected: Expected, files: argparse.Namespace, origin: Mapping[str, str]) -> None:
        self.status = 0
        self._expected = expected
        self._files = files
        self._origin = origin

    def __call__(self, result: RunResult) -> None:
        _print(f"\n{render(result, self._expected)}")
        self.status = 1 if verdict(result, self._expected) else 0
        kept = {**to_json(result, self._expected), "origin": self._origin}
        if self._files.json:
            self._files.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        if self._files.html or self._files.plot:
            _write_report(self._files, kept)


def _write_report(files: argparse.Namespace, kept: Mapping[str, Any]) -> None:
    from autoscaler.demo.html import KeptDemo, demo_page, demo_sections  # noqa: PLC0415 - it needs numpy
    from autoscaler.demo.kept import converted  # noqa: PLC0415 - as above
    from autoscaler.report.plot import charts_in, save  # noqa: PLC0415 - as above

    read = converted("demo", json.loads(json.dumps(kept)), KeptDemo)
    if files.html:
        files.html.write_text(demo_page(read), encoding="utf-8")
    if files.plot:
        save(charts_in(demo_sections(read)), files.plot)


def _print(text: str) -> None:
    print(text, flush=True)  # so that a pipe gets each line at once


def _print_errors(*errors: BaseException) -> int:
    for error in errors:
        print(f"demo: {error}", file=sys.stderr)
    return 2


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


# Options.


def _plan(arguments: argparse.Namespace) -> Plan:
    """Build the plan; raises ValueError if an option is wrong."""
    if arguments.workers > arguments.requests:
        raise ValueError(f"-c {arguments.workers}: must be at most -n, which is {arguments.requests}")
    for option, file in (("json", arguments.json), ("html", arguments.html), ("plot", arguments.plot)):
        if file and (file.is_dir() or not file.parent.is_dir()):
            raise ValueError(f"--{option} {file}: must be a file in a folder that exists")
    if arguments.plot:
        _check_plot(arguments.plot)
    plan = Plan(
        policy=_single(read_policies([arguments.policy])),
        requests=arguments.requests,
        workers=arguments.workers,
        service_time=arguments.service_time,
        cold_start=arguments.cold_start,
        tick_s=arguments.tick,
        seed=arguments.seed,
    )
    return faster(plan, arguments.speed)


def _check_plot(file: Path) -> None:
    """Fail now and not after the run if the plot cannot be drawn."""
    from autoscaler.report import plot  # noqa: PLC0415 - seldom needed

    if file.suffix not in plot.ENDINGS:
        raise ValueError(f"--plot {file}: must end in {' or '.join(plot.ENDINGS)}")
    plot.require()


def _origin(arguments: argparse.Namespace) -> dict[str, str]:
    """Say what a run is made from: all that its result depends on."""
    options = {
        "--speed": f"{arguments.speed:g}",
        "--policy": str(arguments.policy) if arguments.policy != POLICY else "",
        "-n": str(arguments.requests),
        "-c": str(arguments.workers),
        "--service-time": str(arguments.service_time),
        "--cold-start": str(arguments.cold_start),
        "--tick": f"{arguments.tick:g}",
        "--seed": str(arguments.seed),
    }
    words = [word for option, value in options.items() if value for word in (option, value)]
    return {
        "Version": version("inflight-autoscaler"),
        "Command": shlex.join(["autoscaler", "demo", *words]),
        "Speed": f"{arguments.speed:g}",
    }


def _single(policies: list[ScalingPolicy]) -> ScalingPolicy:
    if len(policies) != 1 or policies[0].spec.traffic is None:
        raise ValueError(
            "--policy: must be one ScalingPolicy with spec.traffic, which tells the gateway how to route the requests"
        )
    return policies[0]


def _expected(plan: Plan) -> Expected:
    """Expect a response to each request, and as many replicas as the clients keep busy."""
    spec: PolicySpec = plan.policy.spec
    busy = replicas_for(plan.workers, spec.target)
    responses = plan.requests // plan.workers * plan.workers
    return Expected(responses, max(spec.min_replicas, min(busy, spec.max_replicas)))


def _within(low: float, high: float) -> Callable[[str], float]:
    """Make an argparse type for numbers within limits."""
    legal = f"must be {low} to {high}"

    def read(text: str) -> float:
        try:
            number = type(low)(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {legal}") from error
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: {legal}")
        return number

    return read


def _drawn(text: str) -> Distribution:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
