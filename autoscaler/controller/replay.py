"""Decides again on a decision log: with its own policies, or with another one. No I/O.

A log has two kinds of lines: a policy that takes effect, with the state of its decider then, and a decision with its
observation. With the same policy a log gives the same decisions. With another one it answers "what if": requests and
ready replicas stay as recorded, the number asked for is what the other policy made of it before.
"""

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, NamedTuple

from algorithms.decider import FAILED, Decider
from algorithms.observation import Observation
from algorithms.pools import Placement
from algorithms.types import Decision, Reason, State
from autoscaler.controller.budgets import RULE as BUDGET
from autoscaler.controller.candidates import Candidates, Decisions
from autoscaler.controller.records import policy_line_of, record_of
from autoscaler.controller.services import BACKFILL, service_of
from autoscaler.controller.step import placed, without_spare
from autoscaler.documents.document import Document, DocumentError
from autoscaler.policy.decider_factory import decider
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.errors import described

TAKEN_OVER = frozenset({"paused", "override", "foreignWriter", "replicasContested", "secondPolicy", BACKFILL})
"""Rules whose causes are not in the policy: they are taken over as recorded."""
LIMITS = frozenset({BUDGET})
"""Rules of that kind that only lower a number."""


class Replayed(NamedTuple):
    """One recorded decision, and what was decided on the same observation now."""

    recorded: Record
    decision: Decision
    candidates: Decisions = ()
    """What the candidates of the log's policy decided."""

    @property
    def differs(self) -> bool:
        """Whether the desired replicas differ, or what a candidate decided."""
        return self.recorded.decision.desired != self.decision.desired or bool(self.differing_candidates)

    @property
    def differing_candidates(self) -> list[tuple[str, int | None, int | None]]:
        """The candidates whose number differs, each as recorded and as decided now; None is none at all."""
        recorded, now = (
            {name: decision.desired for name, decision in each} for each in (self.recorded.candidates, self.candidates)
        )
        names = dict.fromkeys((*recorded, *now))
        return [(name, recorded.get(name), now.get(name)) for name in names if recorded.get(name) != now.get(name)]


def _with(decision: Decision, recorded: Reason, desired: int) -> Decision:
    """Take over a recorded reason."""
    again = Reason(recorded.rule, decision.desired, desired, recorded.why)
    return decision._replace(desired=desired, reasons=(*decision.reasons, again))


class Replay:
    """Goes through one log.

    Args:
        instead: policies in place of those in the log, for their services.
    """

    def __init__(self, instead: Iterable[ScalingPolicy] = ()) -> None:
        self._instead = {policy.service: policy for policy in instead}
        self._deciders: dict[ServiceName, Decider] = {name: decider(each) for name, each in self._instead.items()}
        self._policies: dict[ServiceName, ScalingPolicy] = dict(self._instead)
        self._placements: dict[ServiceName, Placement] = {}
        self._candidates: dict[ServiceName, Candidates] = {}
        self._last: dict[ServiceName, tuple[int, int]] = {}
        """The desired replicas of the last decision: as recorded, and as decided here."""
        self.services: set[ServiceName] = set()
        """The services that the log has named so far."""
        self._over: set[ServiceName] = set()
        """The services whose decisions are left out from now on."""

    def policy(self, service: ServiceName) -> ScalingPolicy:
        """Give the policy of a service as of its last decision."""
        return self._policies[service]

    def state(self, service: ServiceName) -> State:
        """Give the state of its decider after its last decision."""
        return self._deciders[service].export()

    def lines(self, values: Iterable[Any], source: str = "log", until_s: float = inf) -> Iterator[Replayed]:
        """Decide again on each recorded decision, in order.

        Args:
            values: the value of each line.
            source: the name of the log in messages.
            until_s: decisions after this time are left out, and what follows on the same service.

        Raises:
            DocumentError: a line is not one of a decision log: file, line, key, value and what is legal. A later
                version wrote it, its policy or state is no longer legal, or its service has no policy.
        """
        for number, value in enumerate(values, 1):
            line = Document(source, value, {(): number})
            if isinstance(value, dict) and "policy" in value:
                self._begin(line)
                continue
            record = record_of(line)
            if record.observation.now_s > until_s:
                self._over.add(record.service)
            if record.service not in self._over:
                yield self._again(line, record)

    def _begin(self, line: Document) -> None:
        begun = policy_line_of(line)
        self.services.add(begun.service)
        if begun.service in self._instead or begun.service in self._over:
            return
        fresh = service_of(begun.policy)
        try:
            fresh.restore(begun.state)
        except Exception as error:  # only the parts of the decider know the form of their states
            problem = f"state: is not a state of this policy: {described(error)}"
            raise DocumentError([f"{line.source}:{line.line(())}: {problem}"]) from error
        self._deciders[begun.service], self._policies[begun.service] = fresh.decider, begun.policy
        self._candidates[begun.service] = fresh.candidates
        if fresh.placement is not None:
            self._placements[begun.service] = fresh.placement

    def _again(self, line: Document, record: Record) -> Replayed:
        service = record.service
        self.services.add(service)
        if service not in self._deciders:
            problem = f"service: the log names no policy of {service} before it decides on it; give one with --policy"
            raise DocumentError([f"{line.source}:{line.line(())}: {problem}"])
        decision, beside = self._decision(record), self._beside(record)
        for reason in record.decision.reasons:
            if reason.rule in TAKEN_OVER or (reason.rule in LIMITS and reason.after < decision.desired):
                decision = _with(decision, reason, reason.after)
        if service in self._placements:
            may_exceed = all(reason.rule not in LIMITS for reason in record.decision.reasons)
            decision, _ = placed(decision, self._placements[service], record.observation, may_exceed=may_exceed)
        self._last[service] = record.decision.desired, decision.desired
        return Replayed(record, decision, beside)

    def _beside(self, record: Record) -> Decisions:
        """Let the candidates decide; a decision after a failure is taken over, as that of the policy is."""
        if record.service not in self._candidates:
            return record.candidates
        recorded = dict(record.candidates)
        observation = without_spare(record.observation, self._placements.get(record.service))
        made = []
        for candidate in self._candidates[record.service]:
            known = recorded.get(candidate.name)
            failed = known is not None and any(reason.rule == FAILED for reason in known.reasons)
            made.append((candidate.name, known if failed and known else candidate.decide(observation)[0]))
        return tuple(made)

    def _decision(self, record: Record) -> Decision:
        """Decide; a decision after a failure is taken over, because the log does not have its cause."""
        rules = [reason.rule for reason in record.decision.reasons]
        if FAILED in rules and record.service not in self._instead:
            reason = record.decision.reasons[rules.index(FAILED)]
            return Decision(reason.after, record.decision.recommendation, (reason,))
        decides, placement = self._deciders[record.service], self._placements.get(record.service)
        observation = without_spare(self._observation(record), placement)
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
