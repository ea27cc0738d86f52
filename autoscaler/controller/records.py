"""A decision's record as JSON: one line that the log, the status page, the simulator and replay all understand."""

from typing import Any

from algorithms.types import Decision, Observation, Reason, Recommendation
from autoscaler.ports import Outcome, Record


def to_json(record: Record) -> dict[str, Any]:
    """Give the record as JSON-ready values; `written` is null where nothing had to be written."""
    decision, outcome = record.decision, record.outcome
    return {
        "service": record.service,
        "look": record.observation._asdict(),
        "wish": decision.recommendation._asdict(),
        "reasons": [reason._asdict() for reason in decision.reasons],
        "desired": decision.desired,
        "written": None if outcome is None else not outcome.error,
        "error": outcome.error if outcome else "",
    }


def from_json(line: dict[str, Any]) -> Record:
    """Read what `to_json` gave; raises LookupError or TypeError on anything else."""
    service = line["service"]
    reasons = tuple(Reason(**reason) for reason in line["reasons"])
    return Record(
        service=service,
        observation=Observation(**line["look"]),
        decision=Decision(line["desired"], Recommendation(**line["wish"]), reasons),
        outcome=None if line["written"] is None else Outcome(service, line["error"]),
    )


def explained(record: Record) -> str:
    """Say in one line what was decided and why, as people read it."""
    observation, decision = record.observation, record.decision
    steps = [
        decision.recommendation.why,
        *(f"{reason.rule}: {reason.before} -> {reason.after}, {reason.why}" for reason in decision.reasons),
    ]
    error = f" (not written: {record.outcome.error})" if record.outcome and record.outcome.error else ""
    return f"{record.service}: {observation.replicas} -> {decision.desired}{error}; {'; '.join(filter(None, steps))}"
