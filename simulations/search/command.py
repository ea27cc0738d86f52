"""Simulate many variants of a scenario side by side, with as many runs as their differences need."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulations.command import ProgressBar, number_from
from simulations.report.files import output

if TYPE_CHECKING:
    from simulations.search.sweep import Sweep

EXIT_STATUS = {
    0: "all variants were simulated",
    2: "a document or an option is invalid, or a file cannot be used",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("scenario", help="a file with one Scenario or one Sweep, or `demo`")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=A,B,C",
        help="values of a key of policy or scenario, such as spec.scaleDown.delay=0s,1m; repeat it to combine",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="leave out other combinations, such as 'spec.minReplicas <= spec.maxReplicas'",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        action="append",
        default=[],
        metavar="P",
        help="use this policy instead of the scenario's",
    )
    parser.add_argument("--seed", type=number_from(0), metavar="N", help="use this seed instead of the scenario's")
    parser.add_argument("--replications", type=number_from(1), metavar="R", help="runs of each variant, at least (3)")
    parser.add_argument(
        "--up-to", type=number_from(1), metavar="R", help="at most: what is not settled gets more (no more)"
    )
    parser.add_argument("--settle", metavar="FIGURE,...", help="the figures whose differences count (wait_p95_s,gpu_s)")
    parser.add_argument("--within", metavar="SHARE", help="a smaller difference does not matter (5%%)")
    parser.add_argument("--workers", type=number_from(1), default=1, metavar="N", help="processes of this machine (1)")
    parser.add_argument("--on", metavar="ADDRESS", help="run on a Dask cluster instead: dask://HOST:PORT")
    parser.add_argument(
        "--parquet",
        type=output(".parquet"),
        metavar="FILE",
        help="keep every run in this file; runs that it has are not done again",
    )
    parser.add_argument("--json", type=output(), metavar="OUT", help="write all figures and differences")
    parser.add_argument("--html", type=output(), metavar="OUT", help="write a report as one HTML page")


def run(arguments: argparse.Namespace) -> int:
    """Simulate all variants and print them.

    Returns:
        0 if all were simulated, 2 if a document or an option is invalid, 130 after Ctrl-C.
    """
    from simulations.search.outcome import sweep_text  # noqa: PLC0415  # --help imports little

    try:
        found = _swept(arguments)
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if found.variants[0].replications:
        sys.stdout.write(sweep_text(found))
        _write(arguments, found)
    if found.partial:
        again = "" if arguments.parquet is None else f"; {arguments.parquet} has its runs, and the same command goes on"
        sys.stderr.write(f"interrupted: the result is of the runs that were done{again}\n")
        return 130
    return 0


def _swept(arguments: argparse.Namespace) -> "Sweep":
    from simulations.scenario.document import seeded  # noqa: PLC0415  # as above
    from simulations.search.sweep import sweep  # noqa: PLC0415

    scenario, settings, options = _planned(arguments)
    return sweep(
        seeded(scenario, arguments.seed),
        variants=settings,
        policies=arguments.policy,
        workers=arguments.workers,
        on=arguments.on,
        keep=arguments.parquet,
        progress=ProgressBar(sys.stderr) if sys.stderr.isatty() else None,
        **options,
    )


def _planned(arguments: argparse.Namespace) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """Give the scenario, the settings of all variants, and the options of the document and the command line."""
    from autoscaler.documents.document import DocumentError  # noqa: PLC0415  # as above
    from simulations.scenario.document import DEMO, read_scenario  # noqa: PLC0415
    from simulations.search.document import is_sweep, read_sweep  # noqa: PLC0415
    from simulations.search.space import combinations, condition  # noqa: PLC0415

    given = _options(arguments)
    if arguments.scenario != DEMO and is_sweep(Path(arguments.scenario)):
        if arguments.set or arguments.where:
            raise DocumentError(
                [f"{arguments.scenario}: is a Sweep, which has the values; leave out --set and --where"]
            )
        planned = read_sweep(Path(arguments.scenario))
        spec = planned.document.spec
        known = {"replications": spec.replications, "up_to": spec.up_to, "settle": spec.settle, "within": spec.within}
        return planned.scenario, planned.settings, {**known, **given}
    if not arguments.set:
        raise DocumentError(["--set: is missing; name a key and its values, such as spec.scaleDown.delay=0s,1m,5m"])
    grid = dict(_values(text) for text in arguments.set)
    scenario = read_scenario(arguments.scenario)
    return scenario, combinations(grid, (), [condition(text) for text in arguments.where]), given


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    from autoscaler.documents.fields import parse_percent  # noqa: PLC0415  # as above

    given: dict[str, Any] = {}
    if arguments.replications:
        given["replications"] = arguments.replications
    if arguments.up_to:
        given["up_to"] = arguments.up_to
    if arguments.settle:
        given["settle"] = tuple(arguments.settle.split(","))
    if arguments.within:
        try:
            given["within"] = parse_percent(arguments.within)
        except ValueError as error:
            raise ValueError(f"--within: {arguments.within}: {error}") from error
    return given


def _values(text: str) -> tuple[str, list[Any]]:
    """Read `KEY=A,B,C`, where each value is as in a document."""
    from autoscaler.documents.document import DocumentError, read_text  # noqa: PLC0415  # as above

    place, sign, values = text.partition("=")
    if not sign or not values:
        raise DocumentError([f"--set {text}: must be a key and its values, such as spec.scaleDown.delay=0s,1m,5m"])
    (document,) = read_text(f"[{values}]", f"--set {text}")
    return place, list(document.value)


def _write(arguments: argparse.Namespace, found: "Sweep") -> None:
    from simulations.search.outcome import sweep_sections, sweep_values  # noqa: PLC0415  # as above

    if arguments.json:
        arguments.json.write_text(json.dumps(sweep_values(found)), encoding="utf-8")
    if arguments.html:
        from autoscaler.report.page import report_page  # noqa: PLC0415

        title = f"{found.scenario.metadata.name}: {len(found.variants)} variants"
        answer = "Not all differences are settled." if any(each.more for each in found.variants) else ""
        origin = {"Scenario": found.scenario.metadata.name, "Seed": str(found.scenario.spec.seed)}
        page = report_page(title, sweep_sections(found), answer=answer, origin=origin)
        arguments.html.write_text(page, encoding="utf-8")
