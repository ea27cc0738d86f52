"""Repeat the decisions of a decision log with its own policies or other ones, and print the differences.

With the log's own policies nothing may differ; the exit status is 1 if something does. With --policy the table shows
what another policy would have asked for, with the requests and ready replicas of the log.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from autoscaler.controller.log_file import read_log
from autoscaler.controller.replay import Replay, Replayed, Summary, summarised
from autoscaler.documents.document import DocumentError
from autoscaler.policy.loading import read_alternatives
from autoscaler.policy.spec import ScalingPolicy

_HEAD = ("time", "service", "in flight", "ready", "recorded", "now", "why")

EXIT_STATUS = {
    0: "no decision differs, or `--policy` was given",
    1: "a decision differs",
    2: "the log or a policy is invalid",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the log and the policies."""
    parser.add_argument("log", type=Path, metavar="LOG", help="a decision log of `run --decisions` or the demo")
    parser.add_argument(
        "--policy",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="policies to decide with; repeatable (those in the log)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Replay and print; 0 nothing differs, or --policy was given, 1 something differs, 2 the log cannot be read."""
    try:
        policies = read_alternatives(arguments.policy)
        replay, (values, notes) = Replay(policies), read_log(arguments.log)
        for note in notes:
            print(f"replay: {note}", file=sys.stderr)
        turns, summary = summarised(replay.lines(values, str(arguments.log)))
        _check_services(policies, replay.services)
    except (DocumentError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    for row in _table(turns):
        print(row)
    print(_totals(summary))
    return 1 if summary.differing and not policies else 0


def _check_services(policies: Iterable[ScalingPolicy], services: set[str]) -> None:
    """Refuse policies of services that the log does not have: they would change nothing."""
    if others := sorted({policy.service for policy in policies} - services):
        had = ", ".join(sorted(services)) or "none"
        raise DocumentError([f"--policy: {', '.join(others)}: not in the log; the services of the log are: {had}"])


def _table(turns: Sequence[Replayed]) -> Iterator[str]:
    if not turns:
        return
    rows = [_HEAD, *map(_row, turns)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    for row in rows:
        yield "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]))


def _row(each: Replayed) -> tuple[str, ...]:
    record, decision = each.recorded, each.decision
    inflight = record.observation.inflight
    why = "; ".join(
        filter(
            None,
            (
                decision.recommendation.why,
                *(f"{reason.rule}: {reason.why}" for reason in decision.reasons),
                *(f"candidate {name}: {then} recorded, {now} now" for name, then, now in each.differing_candidates),
            ),
        )
    )
    return (
        datetime.fromtimestamp(record.observation.now_s, UTC).strftime("%H:%M:%S.%f")[:-4],
        record.service,
        "unknown" if inflight is None else f"{inflight:g}",
        str(record.observation.ready),
        str(record.decision.desired),
        str(decision.desired),
        why,
    )


def _totals(summary: Summary) -> str:
    return (
        f"{summary.decisions} decisions, {summary.differing} of them differ; replica-seconds asked for: "
        f"{summary.recorded_replica_s:.0f} recorded, {summary.decided_replica_s:.0f} now"
    )
