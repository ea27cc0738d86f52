"""A decision's record as JSON: one line that the log, the status page, the simulator and replay all understand.

Each line states its version. Lines without one are of version 1, which release 0.1.0 wrote with other names.
`autoscaler.policy.log_lines` says what a line may contain.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from algorithms.observation import ColdStart, Observation, PoolState
from algorithms.types import Average, Decision, Reason, Recommendation
from autoscaler.controller.services import BACKFILL
from autoscaler.documents.document import Document, DocumentError, Flaw
from autoscaler.policy.loading import validated
from autoscaler.policy.log_lines import (
    CandidateLine,
    DecisionLine,
    ObservationLine,
    PolicyLine,
    ReasonLine,
    RecommendationLine,
)
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
        "observation": _written(record.observation),
        "recommendation": _recommended(decision.recommendation),
        "reasons": [reason._asdict() for reason in decision.reasons],
        "unchanged": list(decision.unchanged),
        "desired": decision.desired,
        "written": None if outcome is None else record.written is not None,
        "error": outcome.error if outcome else "",
        "drain": [reason._asdict() for reason in outcome.drain] if outcome else [],
        "unwritten": record.unwritten,
        **({"candidates": [_decided(*each) for each in record.candidates]} if record.candidates else {}),
    }


def _decided(name: str, decision: Decision) -> dict[str, Any]:
    """Give what a candidate decided."""
    return {
        "name": name,
        "recommendation": _recommended(decision.recommendation),
        "reasons": [reason._asdict() for reason in decision.reasons],
        "unchanged": list(decision.unchanged),
        "desired": decision.desired,
    }


def _recommended(recommendation: Recommendation) -> dict[str, Any]:
    averages = [average._asdict() for average in recommendation.averages]
    return {**recommendation._asdict(), "averages": averages}


def _written(observation: Observation) -> dict[str, Any]:
    """Give an observation as JSON-ready values; what only some services have has no key in the lines of others."""
    values = observation._asdict()
    for parts in ("pools", "starts"):
        values[parts] = [part._asdict() for part in values[parts]]
    left_out = () if observation.hinted or observation.hinted_s else _OF_HINTS
    return {
        name: value
        for name, value in values.items()
        if name not in left_out and (name not in _OF_SOME or value not in (None, []))
    }


_OF_SOME = ("pools", "arrived", "finished", "served_s", "starts")
_OF_HINTS = ("hinted", "hinted_s")


def from_json(line: Mapping[str, Any]) -> Record:
    """Read what `to_json` gave, in this version or an earlier one.

    Raises:
        DocumentError: as `record_of`.
    """
    return record_of(Document("record", line, {}))


def policy_line_of(line: Document) -> PolicyLine:
    """Read a line with a policy, of any version.

    Raises:
        DocumentError: all problems of the line, or a later version wrote it.
    """
    return validated(_current(line), PolicyLine)


def record_of(line: Document) -> Record:
    """Read a line with a decision, of any version.

    Raises:
        DocumentError: all problems of the line, or a later version wrote it.
    """
    read = validated(_current(line), DecisionLine)
    return Record(
        service=read.service,
        observation=_observation(read.observation),
        decision=_decision(read),
        outcome=None if read.written is None else Outcome(read.service, read.error, tuple(map(_reason, read.drain))),
        unwritten=read.unwritten,
        candidates=tuple((each.name, _decision(each)) for each in read.candidates),
    )


def _observation(line: ObservationLine) -> Observation:
    pools = tuple(PoolState(**dict(pool)) for pool in line.pools)
    starts = tuple(ColdStart(**dict(start)) for start in line.starts)
    return Observation(**{**dict(line), "pools": pools, "starts": starts})


def _decision(line: DecisionLine | CandidateLine) -> Decision:
    return Decision(
        line.desired,
        _recommendation(line.recommendation),
        tuple(map(_reason, line.reasons)),
        tuple(line.unchanged),
    )


def _recommendation(line: RecommendationLine) -> Recommendation:
    averages = tuple(Average(**dict(average)) for average in line.averages)
    return Recommendation(**{**dict(line), "averages": averages})


def _reason(line: ReasonLine) -> Reason:
    return Reason(_OLD_RULES.get(line.rule, line.rule), line.before, line.after, line.why)


def _current(line: Document) -> Document:
    """Give a line of any version with the names of this one, and without its version."""
    if not isinstance(line.value, Mapping):
        return line
    values = dict(line.value)
    if "version" not in values:
        return replace(line, value={_OLD_KEYS.get(key, key): value for key, value in values.items()})
    if (version := values.pop("version")) != VERSION:
        why = f"{version!r} is not known; legal are {VERSION}, and none at all for version 1"
        raise DocumentError(line.report([Flaw(("version",), line.line(()), why)]))
    return replace(line, value=values)


def explained(record: Record) -> str:
    """Say in one line for people what was decided and why."""
    observation, decision = record.observation, record.decision
    drain = record.outcome.drain if record.outcome else ()
    steps = [
        decision.recommendation.why,
        *(f"{reason.rule}: {reason.before} -> {reason.after}, {reason.why}" for reason in (*decision.reasons, *drain)),
    ]
    error = f" (not written: {record.outcome.error})" if record.outcome and record.outcome.error else ""
    return f"{record.service}: {observation.replicas} -> {decision.desired}{error}; {'; '.join(filter(None, steps))}"
