"""A decision's record as JSON: one line that the log, the status page, the simulator and replay all understand.

Each line states its version. Lines without one are of version 1, which release 0.1.0 wrote with other names.
"""

from collections.abc import Mapping
from typing import Any

from algorithms.observation import Observation
from algorithms.types import Decision, Reason, Recommendation
from autoscaler.controller.services import BACKFILL
from autoscaler.ports import Outcome, Record

VERSION = 2
_OLD_KEYS = {"look": "observation", "wish": "recommendation"}
_OLD_RULES = {"recall": BACKFILL}


def to_json(record: Record) -> dict[str, Any]:
    """Give the record as JSON-ready values; `written` is null if there was nothing to write."""
    decision, outcome = record.decision, record.outcome
    return {
        "version": VERSION,
        "service": record.service,
        "observation": record.observation._asdict(),
        "recommendation": decision.recommendation._asdict(),
        "reasons": [reason._asdict() for reason in decision.reasons],
        "desired": decision.desired,
        "written": None if outcome is None else not outcome.error,
        "error": outcome.error if outcome else "",
    }


def current(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a line of any version with the names of this one.

    Raises:
        TypeError: it has no keys.
        ValueError: a later version wrote it.
    """
    line = dict(line)
    if "version" not in line:
        return {_OLD_KEYS.get(key, key): value for key, value in line.items()}
    if line["version"] != VERSION:
        raise ValueError(
            f"version: {line['version']!r} is not known; legal are {VERSION}, and none at all for version 1"
        )
    return line


def from_json(line: Mapping[str, Any]) -> Record:
    """Read what `to_json` gave, in this version or an earlier one.

    Raises:
        LookupError: a key is missing.
        TypeError: a value is of another kind.
        ValueError: a later version wrote it.
    """
    line = current(line)
    service = line["service"]
    reasons = tuple(
        Reason(**{**reason, "rule": _OLD_RULES.get(reason["rule"], reason["rule"])}) for reason in line["reasons"]
    )
    return Record(
        service=service,
        observation=Observation(**line["observation"]),
        decision=Decision(line["desired"], Recommendation(**line["recommendation"]), reasons),
        outcome=None if line["written"] is None else Outcome(service, line["error"]),
    )


def explained(record: Record) -> str:
    """Say in one line for people what was decided and why."""
    observation, decision = record.observation, record.decision
    steps = [
        decision.recommendation.why,
        *(f"{reason.rule}: {reason.before} -> {reason.after}, {reason.why}" for reason in decision.reasons),
    ]
    error = f" (not written: {record.outcome.error})" if record.outcome and record.outcome.error else ""
    return f"{record.service}: {observation.replicas} -> {decision.desired}{error}; {'; '.join(filter(None, steps))}"
