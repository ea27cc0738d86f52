"""Repeat the decisions of a decision log with its own policies or other ones, and print the differences.

With the log's own policies nothing may differ; the exit status is 1 if something does. With --policy the table shows
what another policy would have asked for, with the requests and ready replicas of the log.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

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
        replay, lines = Replay(policies), _lines(arguments.log)
        turns, summary = summarised(replay.lines(_values(arguments.log, lines), str(arguments.log)))
        _check_services(policies, replay.services)
    except (DocumentError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    for row in _table(turns):
        print(row)
    print(_totals(summary))
    return 1 if summary.differing and not policies else 0


def _lines(log: Path) -> list[bytes]:
    """Give the lines of a log; the last one is left out, with a note, if its writer was still writing it."""
    *lines, rest = log.read_bytes().split(b"\n")
    if not lines and not rest:
        raise DocumentError([f"{log}: is empty and not a decision log"])
    if lines and rest and not _is_json(rest):
        print(f"replay: {log}:{len(lines) + 1}: the last line is not whole and is left out", file=sys.stderr)
        return lines
    return [*lines, rest] if rest else lines


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return False
    return True


def _values(log: Path, lines: Iterable[bytes]) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        try:
            yield msgspec.json.decode(line)
        except (ValueError, RecursionError) as error:
            raise DocumentError([f"{log}:{number}: not a line of a decision log: {error}"]) from error


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
