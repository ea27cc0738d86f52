"""Decides again on a decision log: with its own policies, or with another one. No I/O.

A log has two kinds of lines: a policy that takes effect, with the state of its decider then, and a decision with its
observation. With the same policy a log gives the same decisions. With another one it answers "what if": requests and
ready replicas stay as recorded, the number asked for is what the other policy made of it before.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from algorithms.decider import FAILED, Decider
from algorithms.observation import Observation
from algorithms.types import Decision, Reason
from autoscaler.controller.records import current, from_json
from autoscaler.controller.services import BACKFILL
from autoscaler.policy.decider_factory import decider
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.errors import described

TAKEN_OVER = frozenset({"paused", "override", "foreignWriter", "secondPolicy", BACKFILL})
"""Rules whose causes are not in the policy: they are taken over as recorded."""


class Replayed(NamedTuple):
    """One recorded decision, and what was decided on the same observation now."""

    recorded: Record
    decision: Decision

    @property
    def differs(self) -> bool:
        """Whether the desired replicas differ."""
        return self.recorded.decision.desired != self.decision.desired


class Replay:
    """Goes through one log.

    Args:
        instead: policies in place of those in the log, for their services.
    """

    def __init__(self, instead: Iterable[ScalingPolicy] = ()) -> None:
        self._instead = {policy.service: policy for policy in instead}
        self._deciders: dict[ServiceName, Decider] = {name: decider(each) for name, each in self._instead.items()}
        self._last: dict[ServiceName, tuple[int, int]] = {}
        """The desired replicas of the last decision: as recorded, and as decided here."""

    def lines(self, lines: Iterable[Mapping[str, Any]]) -> Iterator[Replayed]:
        """Decide again on each recorded decision, in order.

        Raises:
            LookupError: a line lacks a key, or a service has no policy.
            TypeError: a value of a line has the wrong type.
            ValueError: a later version wrote the line, or its policy or state is no longer legal.
        """
        for line in lines:
            if "policy" in line:
                self._begin(current(line))
            else:
                yield self._again(from_json(line))

    def _begin(self, line: Mapping[str, Any]) -> None:
        if line["service"] not in self._instead:
            fresh = decider(ScalingPolicy.model_validate(line["policy"]))
            fresh.restore(line["state"])
            self._deciders[line["service"]] = fresh

    def _again(self, record: Record) -> Replayed:
        service = record.service
        if service not in self._deciders:
            raise LookupError(f"the log names no policy of {service} before it decides on it; give one with --policy")
        decision = self._decision(record)
        for reason in record.decision.reasons:
            if reason.rule in TAKEN_OVER:
                again = Reason(reason.rule, decision.desired, reason.after, reason.why)
                decision = decision._replace(desired=reason.after, reasons=(*decision.reasons, again))
        self._last[service] = record.decision.desired, decision.desired
        return Replayed(record, decision)

    def _decision(self, record: Record) -> Decision:
        """Decide; a decision after a failure is taken over, because the log does not have its cause."""
        rules = [reason.rule for reason in record.decision.reasons]
        if FAILED in rules and record.service not in self._instead:
            reason = record.decision.reasons[rules.index(FAILED)]
            return Decision(reason.after, record.decision.recommendation, (reason,))
        decides, observation = self._deciders[record.service], self._observation(record)
        try:
            return decides.decide(observation)
        except Exception as error:  # noqa: BLE001 - as the controller does
            return decides.decide_after_failure(observation, described(error))

    def _observation(self, record: Record) -> Observation:
        """Give the observation with the replicas that were decided here, unless somebody else wrote a number."""
        if record.service not in self._instead or record.service not in self._last:
            return record.observation
        recorded, decided = self._last[record.service]
        return (
            record.observation._replace(replicas=decided)
            if record.observation.replicas == recorded
            else record.observation
        )


class Summary(NamedTuple):
    """The totals of a replay."""

    decisions: int
    differing: int
    recorded_replica_s: float
    """Replicas asked for, times seconds, as recorded."""
    decided_replica_s: float
    """The same for the decisions here."""


def summarised(replayed: Iterable[Replayed]) -> tuple[list[Replayed], Summary]:
    """Give the decisions at which a difference begins, changes or ends, and the totals."""
    changes: list[Replayed] = []
    pairs: dict[ServiceName, tuple[int, int]] = {}
    decisions = differing = 0
    recorded_s = decided_s = 0.0
    for each in replayed:
        service, observation = each.recorded.service, each.recorded.observation
        decisions, differing = decisions + 1, differing + each.differs
        before = pairs.get(service, (0, 0))
        recorded_s += before[0] * (observation.now_s - observation.since_s)
        decided_s += before[1] * (observation.now_s - observation.since_s)
        pair = pairs[service] = each.recorded.decision.desired, each.decision.desired
        if pair != before and (each.differs or before[0] != before[1]):
            changes.append(each)
    return changes, Summary(decisions, differing, recorded_s, decided_s)
