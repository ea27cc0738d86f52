"""Repeat the decisions of a decision log with its own policies or other ones, and print the differences.

With the log's own policies nothing may differ; the exit status is 1 if something does. With --policy the table shows
what another policy would have asked for, with the requests and ready replicas of the log.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from autoscaler.controller.replay import Replay, Replayed, Summary, summarised
from autoscaler.documents.document import DocumentError
from autoscaler.policy.loading import read_alternatives

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
        turns, summary = summarised(_replayed(arguments.log, Replay(policies)))
    except (DocumentError, OSError, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    for row in _table(turns):
        print(row)
    print(_totals(summary))
    return 1 if summary.differing and not policies else 0


def _replayed(log: Path, replay: Replay) -> Iterator[Replayed]:
    """Repeat the decisions of each line; an incomplete last line was being written when the writer ended."""
    *whole, _rest = log.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(whole, 1):
        try:
            yield from replay.lines([json.loads(line)])
        except (LookupError, TypeError, ValueError) as error:
            problem = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"{log}:{number}: not a line of a decision log: {problem}") from error


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
        filter(None, (decision.recommendation.why, *(f"{reason.rule}: {reason.why}" for reason in decision.reasons)))
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
