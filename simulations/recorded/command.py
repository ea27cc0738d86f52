"""Replay the recorded load of a service with its policy and each of its candidates, and compare them.

The load is that of the gateway's request log, with each request as it was. Without one it is estimated from the counts
of a decision log, or from Prometheus. Each policy gets the same requests and a simulated fleet of its own. Prints
GPU-hours, cost, waits and cold starts with 95 % intervals, and says which differences the record does not settle.
"""

import argparse
import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulations.report import files

if TYPE_CHECKING:
    from autoscaler.policy.spec import ScalingPolicy
    from simulations.recorded.html import Replayed
    from simulations.recorded.load import DecisionLog, Load
    from simulations.recorded.report import Starts

EXIT_STATUS = {0: "the policies are compared", 2: "a file or an option is invalid, or the record has too little"}
_DAY_S = 86400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("service", metavar="SERVICE", help="namespace/name; the namespace is default if there is none")
    add("--since", type=_days, default=7 * _DAY_S, metavar="TIME", help="how far back from the end of the record (7d)")
    add(
        "--requests",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="request log of `autoscaler gateway`: arrivals and service times are exact; repeatable",
    )
    add(
        "--log",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="decision log of `autoscaler run`: the policy, cold starts, and without --requests the load; repeatable",
    )
    add("--prometheus", metavar="URL", help="read the load from Prometheus, exact to 15 s")
    add("--policy", type=Path, metavar="FILE", help="the policy with its candidates (the last one in --log)")
    add("--cold-start", metavar="DIST", help="distribution such as 'uniform(25, 35)' or 30s (measured in --log)")
    add("--service-time", metavar="DIST", help="distribution of service times; required without --requests")
    add("--json", action="store_true", help="print JSON")
    files.add_arguments(parser)


def _days(text: str) -> float:
    """Read a duration, which may be in days."""
    from autoscaler.documents.fields import parse_duration  # noqa: PLC0415  # --help reads no documents

    if days := re.fullmatch(r"([0-9]{1,4})d", text):
        return int(days[1]) * _DAY_S
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a duration such as 7d, 12h or 90m") from error


def run(arguments: argparse.Namespace) -> int:
    """Compare and print; 2 if that is not possible."""
    from autoscaler.documents.document import DocumentError  # noqa: PLC0415  # as above
    from simulations.recorded.load import CompareError  # noqa: PLC0415
    from simulations.traces.command import TraceError  # noqa: PLC0415

    files.check(arguments)
    try:
        sys.stdout.write(_compared(arguments))
    except (DocumentError, TraceError, CompareError, OSError) as error:
        sys.stderr.write(f"compare: {error}\n")
        return 2
    return 0


def _compared(arguments: argparse.Namespace) -> str:
    from simulations.recorded import html, report  # noqa: PLC0415  # as above
    from simulations.recorded.load import read_decisions  # noqa: PLC0415
    from simulations.recorded.replays import compared  # noqa: PLC0415

    service = arguments.service if "/" in arguments.service else f"default/{arguments.service}"
    log = read_decisions(arguments.log, service)
    policy = _policy(arguments.policy, service, log)
    load = _load(arguments, service, policy, log)
    starts, cold_start = _cold_starts(arguments, log)
    found = compared(load, policy, cold_start, _bar if sys.stderr.isatty() else lambda _done, _all: None)
    if arguments.html or arguments.plot:
        _write(arguments, html.Replayed(service, policy, load, starts, found, _command(arguments)))
    if arguments.json:
        return json.dumps(report.to_json(service, load, starts, found), indent=2) + "\n"
    return report.to_text(service, load, starts, found)


def _write(arguments: argparse.Namespace, replayed: "Replayed") -> None:
    from simulations.recorded.html import page_of, sections_of  # noqa: PLC0415  # as above

    files.write(arguments, lambda: page_of(replayed), lambda: sections_of(replayed))


def _command(arguments: argparse.Namespace) -> str:
    """Give the command with all that its result depends on, without credentials."""
    from autoscaler.documents.prometheus_address import public  # noqa: PLC0415  # as above

    words = ["autoscaler", "compare", arguments.service, "--since", f"{arguments.since:g}s"]
    words += [word for path in arguments.requests for word in ("--requests", str(path))]
    words += [word for path in arguments.log for word in ("--log", str(path))]
    given = {
        "--prometheus": arguments.prometheus and public(arguments.prometheus),
        "--policy": arguments.policy,
        "--cold-start": arguments.cold_start,
        "--service-time": arguments.service_time,
    }
    return shlex.join([*words, *(str(word) for name, value in given.items() if value for word in (name, value))])


def _policy(path: Path | None, service: str, log: "DecisionLog") -> "ScalingPolicy":
    from autoscaler.policy.loading import read_alternatives  # noqa: PLC0415  # as above
    from simulations.recorded.load import CompareError  # noqa: PLC0415

    if path is None:
        if log.policy is None:
            raise CompareError(f"{service}: no policy is known; give it by --policy, or a --log that has one")
        return log.policy
    policies = {policy.service: policy for policy in read_alternatives([path])}
    if service not in policies:
        raise CompareError(f"{path}: has no policy of {service}; it has {', '.join(sorted(policies)) or 'none'}")
    return policies[service]


def _load(arguments: argparse.Namespace, service: str, policy: "ScalingPolicy", log: "DecisionLog") -> "Load":
    from simulations.recorded import load  # noqa: PLC0415  # as above
    from simulations.recorded.load import CompareError  # noqa: PLC0415
    from simulations.traces.command import request_log_lines  # noqa: PLC0415

    if arguments.requests and arguments.prometheus:
        raise CompareError("--requests and --prometheus: only one of them can be the load")
    if arguments.requests:
        source = _names(arguments.requests)
        return load.of_requests(request_log_lines(arguments.requests), service, arguments.since, source)
    if not arguments.service_time:
        raise CompareError(
            "--service-time: is required without --requests, for counts do not say how long requests take"
        )
    drawn = _distribution("--service-time", arguments.service_time)
    if arguments.prometheus:
        return _from_prometheus(arguments, service)
    if not arguments.log:
        raise CompareError("no load is given: name --requests, --log or --prometheus")
    times = load.ServiceTimes(arguments.service_time, drawn.expected(), policy.spec.container_concurrency)
    return load.of_decisions(log.records, times, arguments.since, _names(arguments.log))


def _from_prometheus(arguments: argparse.Namespace, service: str) -> "Load":
    from autoscaler.documents.prometheus_address import public  # noqa: PLC0415  # as above
    from simulations.recorded.load import CompareError, Load  # noqa: PLC0415
    from simulations.traces.command import STEP_S, trace_from_prometheus  # noqa: PLC0415

    trace, start_s, known_s = trace_from_prometheus(arguments.prometheus, service, arguments.since)
    if not len(trace):
        raise CompareError(f"{public(arguments.prometheus)}: has no request of {service} in this time")
    source, how = f"{len(trace)} requests of {public(arguments.prometheus)}", f"arrivals are exact to {STEP_S} s"
    unknown_s = max(arguments.since - known_s, 0.0)
    return Load(trace, start_s, known_s, arguments.service_time, source, how, unknown_s)


def _cold_starts(arguments: argparse.Namespace, log: "DecisionLog") -> "tuple[Starts, Any]":
    from simulations.recorded.load import CompareError, cold_starts_s  # noqa: PLC0415  # as above
    from simulations.recorded.report import Starts  # noqa: PLC0415

    if arguments.cold_start:
        _distribution("--cold-start", arguments.cold_start)
        return Starts(f"{arguments.cold_start}, as given"), arguments.cold_start
    if measured := cold_starts_s(log.records):
        return Starts(_names(arguments.log), measured), measured
    why = "no cold start is in the decision log" if arguments.log else "no --log shows any"
    raise CompareError(f"--cold-start: is required, for {why}; it is a distribution such as 'uniform(25, 35)' or 30s")


def _distribution(option: str, text: str) -> Any:
    from simulations.recorded.load import CompareError  # noqa: PLC0415  # as above
    from simulations.scenario.workloads import distribution  # noqa: PLC0415

    try:
        return distribution(text)
    except ValueError as error:
        raise CompareError(f"{option}: {text!r}: {error}") from error


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _bar(done: int, runs: int) -> None:
    sys.stderr.write(f"\rsimulated {done} of {runs} policies{'' if done < runs else chr(10)}")
