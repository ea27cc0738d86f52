"""Simulate a scenario: what a policy would do, told as the live demo tells what it did."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoscaler.demo.report import Expected
    from simulations.scenario import Scenario
    from simulations.study import Result

DEMO = "demo"
HERE = Path(__file__).parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("scenario", help="a file with one Scenario, or `demo` for the reference load on its policy")
    parser.add_argument(
        "--policy", type=Path, action="append", default=[], help="in place of the scenario's; repeatable"
    )
    parser.add_argument("--seed", type=int, help="in place of the scenario's")
    parser.add_argument("--replications", type=int, default=1, metavar="R", help="independent runs, for intervals")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes; the result does not depend on it"
    )
    parser.add_argument("--engine", choices=["reference"], default="", help="forbid the compiled engine")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the report and all figures there")
    parser.add_argument("--records", type=Path, metavar="OUT", help="write the first run's requests: .parquet or .csv")
    parser.add_argument(
        "--decisions", type=Path, metavar="OUT", help="write the first run's decision log, as JSON lines"
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate and print.

    Returns:
        0 if all went as the scenario expects, 1 if not, 2 if a document is not right, 130 after Ctrl-C.
    """
    from autoscaler.documents import DocumentError  # noqa: PLC0415  # --help reads no YAML

    try:
        scenario, results = _simulated(arguments)
    except DocumentError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    problems = [_told(scenario, result) for result in results]
    _write(arguments, scenario, results)
    if not results or any(result.partial for result in results):
        sys.stderr.write("interrupted: this is a part of what was asked for\n")
        return 130
    return int(any(problems))


def _simulated(arguments: argparse.Namespace) -> "tuple[Scenario, list[Result]]":
    from autoscaler.documents import DocumentError  # noqa: PLC0415  # as above
    from autoscaler.validation import read_policies  # noqa: PLC0415
    from simulations.scenario import policies_of, read_scenario, seeded  # noqa: PLC0415
    from simulations.study import simulate  # noqa: PLC0415

    path = HERE / "demo.yaml" if arguments.scenario == DEMO else Path(arguments.scenario)
    scenario = seeded(read_scenario(path), arguments.seed)
    policies = read_policies(arguments.policy) if arguments.policy else policies_of(scenario, path.parent)
    if not policies:
        raise DocumentError([f"{path}: spec.policies: has none; name one there or by --policy"])
    results = simulate(
        scenario,
        policies,
        replications=arguments.replications,
        workers=arguments.workers,
        engine=arguments.engine,
        progress=_progress if sys.stderr.isatty() else None,
    )
    return scenario, results


def _progress(done: int, total: int) -> None:
    filled = 30 * done // total
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done} of {total} runs{end}")


def _expected(scenario: "Scenario") -> "Expected | None":
    from autoscaler.demo.report import Expected  # noqa: PLC0415  # as above

    expect = scenario.spec.expect
    return Expected(expect.answers, expect.peak_replicas) if expect else None


def _told(scenario: "Scenario", result: "Result") -> list[str]:
    """Print one policy's result and give its problems."""
    from autoscaler.demo.report import render, verdict  # noqa: PLC0415  # as above
    from simulations.told import run_result  # noqa: PLC0415

    expected = _expected(scenario)
    sys.stdout.write(f"Policy {result.policy.service}\n\n")
    if expected is None:
        sys.stdout.write(f"What ran: simulated by the {result.history.engine} engine\n\n{_figures(result)}\n")
        return []
    told = run_result(result.history)
    sys.stdout.write(f"{render(told, expected)}\n")
    if len(result.replications) > 1:
        sys.stdout.write(f"{_figures(result)}\n")
    return verdict(told, expected)


def _figures(result: "Result") -> str:
    runs = len(result.replications)
    head = f"Figures of one run, seed {result.scenario.spec.seed}:" if runs == 1 else f"Figures of {runs} runs, mean:"
    rows = [
        f"  {name:24} {mean:14.6g}" + (f"  +- {half_width:.3g}" if runs > 1 else "")
        for name, (mean, half_width) in result.estimates.items()
    ]
    note = ["  (+-: half width of the 95 % confidence interval)"] if runs > 1 else []
    return "\n".join([head, *rows, *note]) + "\n"


def _write(arguments: argparse.Namespace, scenario: "Scenario", results: "list[Result]") -> None:
    from autoscaler.records import to_json  # noqa: PLC0415  # as above

    if arguments.json:
        arguments.json.write_text(json.dumps([_json(scenario, result) for result in results]), encoding="utf-8")
    if arguments.records and results:
        from simulations.tables import write_requests  # noqa: PLC0415  # needs pyarrow

        write_requests(results[0].history, arguments.records)
    if arguments.decisions and results:
        lines = (json.dumps(to_json(record), separators=(",", ":")) for record in results[0].history.decisions)
        arguments.decisions.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _json(scenario: "Scenario", result: "Result") -> dict[str, Any]:
    from autoscaler.demo import report  # noqa: PLC0415  # as above
    from simulations.told import run_result  # noqa: PLC0415

    estimates = {name: estimate.mean for name, estimate in result.estimates.items()}
    known = len(result.replications) > 1
    return {
        "policy": result.policy.service,
        "engine": result.history.engine,
        "seed": scenario.spec.seed,
        "partial": result.partial,
        "figures": estimates,
        "half_widths": {name: each.half_width for name, each in result.estimates.items()} if known else {},
        "replications": list(result.replications),
        **report.to_json(run_result(result.history), _expected(scenario)),
    }
