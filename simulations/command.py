"""Simulate a scenario and print what the policy would do, in the format of the live demo."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from simulations.report import files
from simulations.report.files import output

if TYPE_CHECKING:
    from autoscaler.demo.report import Expected
    from simulations.scenario.document import Scenario
    from simulations.study import Result

TABLES = (".parquet", ".csv", ".jsonl")

EXIT_STATUS = {
    0: "the run went as the scenario expects",
    1: "it did not",
    2: "a document is invalid, or a file cannot be used",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "scenario", help="a file with one Scenario, or `demo`: the load and the policy of `autoscaler demo`"
    )
    parser.add_argument(
        "--policy",
        type=Path,
        action="append",
        default=[],
        metavar="P",
        help="use this policy instead of the scenario's; repeat it to compare several",
    )
    parser.add_argument("--seed", type=number_from(0), metavar="N", help="use this seed instead of the scenario's")
    parser.add_argument(
        "--replications",
        type=number_from(1),
        default=1,
        metavar="R",
        help="independent runs, for confidence intervals (1)",
    )
    parser.add_argument(
        "--workers",
        type=number_from(1),
        default=1,
        metavar="N",
        help="processes; the result does not depend on it (1)",
    )
    parser.add_argument("--engine", choices=["reference"], default="", help="do not use the compiled engines")
    parser.add_argument("--json", type=output(), metavar="OUT", help="write the report and all figures")
    parser.add_argument(
        "--records",
        type=output(*TABLES),
        metavar="OUT",
        help=f"write the requests of the first policy's first run: {', '.join(TABLES)}",
    )
    parser.add_argument(
        "--decisions", type=output(), metavar="OUT", help="write the decision log of the same run, as JSON lines"
    )
    parser.add_argument(
        "--ticks",
        type=output(*TABLES),
        metavar="OUT",
        help="write what each decision of the same run saw, as a table",
    )
    files.add_arguments(parser)


def number_from(least: int) -> Callable[[str], int]:
    """Give the type of an option that is a whole number of at least `least`."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least {least}")
        return int(text)

    return number


def run(arguments: argparse.Namespace) -> int:
    """Simulate and print.

    Returns:
        0 if the run went as the scenario expects, 1 if not, 2 if a document is invalid or a file cannot be used,
        130 after Ctrl-C.
    """
    from autoscaler.documents.document import DocumentError  # noqa: PLC0415  # --help reads no YAML

    files.check(arguments)
    try:
        scenario, results = _simulated(arguments)
    except DocumentError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    problems = _report_all(scenario, results)
    try:
        _write(arguments, scenario, results)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not results or any(result.partial for result in results):
        sys.stderr.write(f"interrupted: {_completed_part(arguments, results)}\n")
        return 130
    return int(any(problems))


def _completed_part(arguments: argparse.Namespace, results: "list[Result]") -> str:
    """Say which part of the simulation is complete."""
    if not results:
        return "no run has ended"
    last = results[-1]
    if last.history.partial:
        return f"the result is the run of {last.name} up to {last.history.end_s:.0f} s"
    done = ", ".join(f"{len(result.replications)} of {arguments.replications} of {result.name}" for result in results)
    return f"the result is of the completed runs: {done}"


def _simulated(arguments: argparse.Namespace) -> "tuple[Scenario, list[Result]]":
    from autoscaler.documents.document import DocumentError  # noqa: PLC0415
    from simulations.scenario.candidates import candidates_in, candidates_of  # noqa: PLC0415  # as above
    from simulations.scenario.document import read_scenario, seeded  # noqa: PLC0415
    from simulations.study import compare  # noqa: PLC0415

    scenario = seeded(read_scenario(arguments.scenario), arguments.seed)
    candidates = candidates_in(arguments.policy) if arguments.policy else candidates_of(scenario)
    if not candidates and not scenario.spec.services:
        raise DocumentError([f"{arguments.scenario}: spec.policies: is empty; add a policy there or with --policy"])
    results = compare(
        scenario,
        candidates,
        replications=arguments.replications,
        workers=arguments.workers,
        engine=arguments.engine,
        progress=ProgressBar(sys.stderr) if sys.stderr.isatty() else None,
    )
    return scenario, results


class ProgressBar:
    """A progress bar on one line of a terminal, written again when it changes."""

    def __init__(self, to: TextIO) -> None:
        self._to, self._shown = to, ""

    def __call__(self, done: float, total: int) -> None:
        """Show the share of all runs that is done."""
        filled = int(30 * done / total)
        shown = f"[{'#' * filled}{'.' * (30 - filled)}] {int(100 * done / total):3} %, {int(done)} of {total} runs"
        if shown != self._shown:
            self._shown = shown
            self._to.write(f"\r{shown}" + ("\n" if done == total else ""))
            self._to.flush()


def _expected(scenario: "Scenario") -> "Expected | None":
    from autoscaler.demo.report import Expected  # noqa: PLC0415  # as above

    expect = scenario.spec.expect
    return Expected(expect.answers, expect.peak_replicas) if expect else None


def _report_all(scenario: "Scenario", results: "list[Result]") -> list[str]:
    """Print all results, and give where they differ from the scenario's expectation."""
    from autoscaler.demo.report import verdict  # noqa: PLC0415  # as above
    from simulations.comparison import comparison_text, services_text  # noqa: PLC0415
    from simulations.results.to_run_result import run_result  # noqa: PLC0415

    if len(results) == 1:
        return _report(scenario, results[0])
    if results and scenario.spec.services:
        sys.stdout.write(f"{services_text(results)}\n")
        return []
    expected, problems = _expected(scenario), list[str]()
    if results:
        sys.stdout.write(f"{comparison_text(results)}\n")
    for result in results:
        found = verdict(run_result(result.history), expected) if expected else []
        problems += [f"{result.name}: {problem}" for problem in found]
        sys.stdout.write(f"{result.name}: engine {result.history.engine}\n")
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return problems


def _report(scenario: "Scenario", result: "Result") -> list[str]:
    """Print one policy's result, and give where it differs from the scenario's expectation."""
    from autoscaler.demo.report import render, verdict  # noqa: PLC0415  # as above
    from simulations.comparison import figures_text  # noqa: PLC0415
    from simulations.results.to_run_result import run_result  # noqa: PLC0415

    expected = _expected(scenario)
    sys.stdout.write(f"Policy {_service(result)}\n\n")
    if expected is None:
        sys.stdout.write(f"What ran: simulated, engine {result.history.engine}\n\n{figures_text(result)}\n")
        return []
    ran = run_result(result.history)
    sys.stdout.write(f"{render(ran, expected)}\n")
    if len(result.replications) > 1:
        sys.stdout.write(f"{figures_text(result)}\n")
    return verdict(ran, expected)


def _write(arguments: argparse.Namespace, scenario: "Scenario", results: "list[Result]") -> None:
    if arguments.json:
        from simulations.report.kept import document_of  # noqa: PLC0415  # as above

        documents = [document_of(result, _command(arguments), _expected(scenario)) for result in results]
        arguments.json.write_text(json.dumps(documents), encoding="utf-8")
    if results and (arguments.html or arguments.plot):
        from simulations.report.content import page_of, sections_of  # noqa: PLC0415
        from simulations.report.kept import kept  # noqa: PLC0415

        shown = [kept(result, _command(arguments)) for result in results]
        files.write(arguments, lambda: page_of(shown), lambda: sections_of(shown))
    if results and (arguments.records or arguments.ticks):
        from simulations.results import tables  # noqa: PLC0415  # needs pyarrow

        if arguments.records:
            tables.write(tables.requests_arrow(results[0].history), arguments.records)
        if arguments.ticks:
            tables.write(tables.decisions_arrow(results[0].history), arguments.ticks)
    if arguments.decisions and results:
        with arguments.decisions.open("w", encoding="utf-8") as file:
            _log(results if scenario.spec.services else results[:1], file)


def _command(arguments: argparse.Namespace) -> str:
    """Give the command with all that its result depends on."""
    words = ["autoscaler", "simulate", arguments.scenario]
    words += [word for path in arguments.policy for word in ("--policy", str(path))]
    words += [] if arguments.seed is None else ["--seed", str(arguments.seed)]
    words += [] if arguments.replications == 1 else ["--replications", str(arguments.replications)]
    return shlex.join([*words, *(["--engine", arguments.engine] if arguments.engine else [])])


def _service(result: "Result") -> str:
    return result.policy.service if result.policy else result.name


def _log(results: "Sequence[Result]", to: TextIO) -> None:
    """Write decisions in the format of the live decision log, with dates if a policy has a schedule.

    The last result has the decisions of all services.
    """
    from autoscaler.controller.recorders import DecisionLog  # noqa: PLC0415
    from autoscaler.controller.services import service_of  # noqa: PLC0415  # as above
    from simulations.engines.controller import dated  # noqa: PLC0415
    from simulations.scenario.to_run_inputs import start_s_of  # noqa: PLC0415

    log, scenario = DecisionLog(to), results[0].scenario
    policies = {result.policy.service: result.policy.alone() for result in results if result.policy}
    for policy in policies.values() if not scenario.spec.controller.immediate else ():
        log.begin(policy.service, policy.model_dump(mode="json", exclude_unset=True), service_of(policy).export)
    for record in results[-1].history.decisions:
        start_s = start_s_of(scenario, policies[record.service])
        log(record._replace(observation=dated(record.observation, start_s)))
