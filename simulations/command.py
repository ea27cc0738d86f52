"""Simulate a scenario: what a policy would do, told as the live demo tells what it did."""

import argparse
import json
import sys
from pathlib import Path

DEMO = "demo"
HERE = Path(__file__).parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("scenario", help="a file with one Scenario, or `demo` for the reference load on its policy")
    parser.add_argument(
        "--policy", type=Path, action="append", default=[], help="in place of the scenario's; repeatable"
    )
    parser.add_argument("--seed", type=int, help="in place of the scenario's")
    parser.add_argument("--json", type=Path, help="write the report there as well")


def run(arguments: argparse.Namespace) -> int:
    """Simulate and print; 0 if all went as the scenario expects, 1 if not, 2 if the scenario is not right."""
    from autoscaler.documents import DocumentError  # noqa: PLC0415  # --help reads no YAML

    try:
        return _simulate(arguments)
    except DocumentError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _simulate(arguments: argparse.Namespace) -> int:
    from autoscaler.demo.report import Expected, render, to_json, verdict  # noqa: PLC0415  # as above
    from autoscaler.documents import DocumentError  # noqa: PLC0415
    from autoscaler.validation import read_policies  # noqa: PLC0415
    from simulations.run import run as run_once  # noqa: PLC0415
    from simulations.scenario import policies_of, read_scenario, seeded  # noqa: PLC0415
    from simulations.told import run_result  # noqa: PLC0415

    path = HERE / "demo.yaml" if arguments.scenario == DEMO else Path(arguments.scenario)
    scenario = seeded(read_scenario(path), arguments.seed)
    policies = read_policies(arguments.policy) if arguments.policy else policies_of(scenario, path.parent)
    if not policies:
        raise DocumentError([f"{path}: spec.policies: has none; name one there or by --policy"])
    expect = scenario.spec.expect
    expected = Expected(expect.answers, expect.peak_replicas) if expect else None
    results = [run_result(run_once(scenario, policy)) for policy in policies]
    for policy, result in zip(policies, results, strict=True):
        sys.stdout.write(f"Policy {policy.service}\n\n{render(result, expected)}")
    if arguments.json:
        told = [dict(to_json(result, expected)) for result in results]
        arguments.json.write_text(json.dumps(told), encoding="utf-8")
    return int(any(expected and verdict(result, expected) for result in results))
